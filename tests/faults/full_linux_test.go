package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// filler fills the file system that a daemon's directory is on, and makes room.
type filler struct {
	*daemon
	rand    *rand.Rand
	ballast string

	filled, rejected int
}

// fill takes all the room there is, and then the room within the log's file, which is
// written ahead: after it the smallest command is rejected.
func (f *filler) fill(round int) {
	f.t.Helper()
	b, err := os.OpenFile(f.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	for block := make([]byte, 512<<f.rand.IntN(8)); err == nil; { // how it fills varies
		_, err = b.Write(block)
	}
	for err = nil; err == nil; {
		_, err = b.Write([]byte{0})
	}
	if b.Close(); !errors.Is(err, syscall.ENOSPC) {
		f.t.Fatal(err)
	}
	for n := range 20_000 { // what is written ahead takes some thousand
		a, err := f.suspend("filler", fmt.Sprintf("fill %d.%d", round, n))
		if err != nil {
			f.t.Fatalf("the daemon is gone on a full disk: %v\n%s", err, f.out)
		}
		if a.status != http.StatusOK {
			f.wantFull(a)
			f.filled++
			return
		}
	}
	f.t.Fatal("the disk is full, and commands are stored")
}

func (f *filler) wantFull(a answer) {
	f.t.Helper()
	if a.status != http.StatusServiceUnavailable || a.body["code"] != "disk_full" {
		f.t.Fatalf("on a full disk a command was answered %v", a)
	}
	f.rejected++
}

// stuck checks what a daemon does while the disk is full: it rejects every command,
// and picks go on, from the last state and what was reported since.
func (f *filler) stuck(round int, account string) {
	f.t.Helper()
	f.free(model, account)
	for n := range 3 {
		a, err := f.report(account, fmt.Sprint("full ", round))
		if err != nil {
			f.t.Fatal(err)
		}
		f.wantFull(a)
		if a, err = f.suspend(account, fmt.Sprintf("full %d.%d", round, n)); err != nil {
			f.t.Fatal(err)
		}
		f.wantFull(a)
	}
	a, err := f.pick("gemini-3-flash")
	if err != nil || a.status != http.StatusOK || a.body["degraded"] != true {
		f.t.Fatalf("on a full disk a pick was answered %v (%v), want one marked degraded", a, err)
	}
	a, err = f.pick(model, account)
	if err != nil || a.status != http.StatusTooManyRequests || !isVolatile(a) {
		f.t.Fatalf("a limit that could not be stored does not block: %v (%v)", a, err)
	}
	if s := f.must("GET", "/v1/summary", nil); s["degraded"] != true {
		f.t.Errorf("the summary of a daemon that cannot write is not degraded: %v", s)
	}
	f.free("gemini-3-pro", account) // the suspension was rejected
}

// free checks that an account may serve a model.
func (f *filler) free(model, account string) {
	f.t.Helper()
	if a, err := f.pick(model, account); err != nil || a.status != http.StatusOK {
		f.t.Fatalf("%s is not free for %s: %v (%v)", account, model, a, err)
	}
}

// isVolatile reports whether a refused pick is so for what the log does not know.
func isVolatile(a answer) bool {
	reasons, _ := a.body["reasons"].([]any)
	if len(reasons) != 1 {
		return false
	}
	reason, _ := reasons[0].(map[string]any)
	return reason["volatile"] == true
}

// goesOn makes room; the very next commands must be stored.
func (f *filler) goesOn(round int, account string) {
	f.t.Helper()
	if err := os.Remove(f.ballast); err != nil {
		f.t.Fatal(err)
	}
	a, err := f.report(account, fmt.Sprint("full ", round))
	if err != nil || a.status != http.StatusOK || a.body["effect"] != "started" {
		f.t.Fatalf("with room again a report was answered %v (%v)", a, err)
	}
	if a, err = f.suspend(account, fmt.Sprint("room ", round)); err != nil || a.status != http.StatusOK {
		f.t.Fatalf("with room again a suspension was answered %v (%v)", a, err)
	}
	if a, err = f.pick("gemini-3-flash"); err != nil || a.status != http.StatusOK || a.body["degraded"] == true {
		f.t.Fatalf("with room again a pick was answered %v (%v)", a, err)
	}
	if a, err = f.pick(model, account); err != nil || a.status != http.StatusTooManyRequests || isVolatile(a) {
		f.t.Fatalf("a limit that was stored does not block as such: %v (%v)", a, err)
	}
}

// fillAndFree runs the rounds on the file system mounted at point.
func fillAndFree(t *testing.T, r *rand.Rand, point string) {
	d := newDaemon(t, buildDaemon(t), filepath.Join(point, "data"))
	d.start()
	pid := d.cmd.Process.Pid
	d.put("filler")
	f := &filler{daemon: d, rand: r, ballast: filepath.Join(point, "ballast")}
	for round := range *fills {
		account := fmt.Sprint("a", round)
		d.put(account)
		f.fill(round)
		f.stuck(round, account)
		f.goesOn(round, account)
		if round%5 == 4 {
			d.wantSound()
		}
	}
	if d.hasExited() || d.cmd.Process.Pid != pid {
		t.Fatal("the daemon did not go on")
	}
	before := d.cells()
	d.kill()
	d.start()
	d.wantSound()
	if after := d.cells(); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the cells differ after a restart:\n%v\n%v", before, after)
	}
	t.Logf("the disk was full %d times and %d commands were rejected; %d were acknowledged, 0 lost", f.filled, f.rejected, len(d.acked))
	if f.filled == 0 || f.rejected == 0 {
		t.Error("the disk was never full")
	}
	d.acked[1] = "negative control: never acknowledged"
	if len(d.unsound(d.history())) != 1 {
		t.Error("the check does not see what is lost")
	}
}

func TestRule05FullDiskRejectsAndGoesOn(t *testing.T) {
	r := begin(t, "mount", "umount", "go")
	fillAndFree(t, r, memory(t, fmt.Sprintf("%dm", 6+*fills)))
}

// On a disk, where the journal and allocations on write have a word to say.
func TestRule05FullExt4RejectsAndGoesOn(t *testing.T) {
	r := begin(t, "mount", "umount", "losetup", "mkfs.ext4", "go")
	d := newDisk(t, "ext4")
	d.mount("")
	fillAndFree(t, r, d.point)
}
