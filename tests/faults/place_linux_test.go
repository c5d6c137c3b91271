package faults

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// prepared returns a stopped daemon whose log holds a report.
func prepared(t *testing.T, dir string) *daemon {
	t.Helper()
	d := newDaemon(t, buildDaemon(t), dir)
	d.start()
	d.put("a0", "a1")
	d.mustReport("a0", "prepared")
	d.stop()
	return d
}

func (d *daemon) mustReport(account, request string) {
	d.t.Helper()
	if a, err := d.report(account, request); err != nil || a.status != http.StatusOK {
		d.t.Fatalf("a report was answered %v (%v); the daemon said:\n%s", a, err, d.out)
	}
}

// wantRefusal starts the daemon, which must refuse at once, and say all of why.
func (d *daemon) wantRefusal(why ...string) {
	d.t.Helper()
	_, said := d.refuses(10 * time.Second)
	for _, part := range why {
		if !strings.Contains(said, part) {
			d.t.Errorf("the refusal does not say %q:\n%s", part, said)
		}
	}
	if strings.Contains(said, "panic") || strings.Contains(said, "goroutine ") {
		d.t.Errorf("it crashed:\n%s", said)
	}
}

// again serves the directory and checks that nothing is lost.
func (d *daemon) again() {
	d.t.Helper()
	d.start()
	d.wantSound()
	d.stop()
}

func TestReadOnlyFileSystemIsRefused(t *testing.T) {
	begin(t, "mount", "umount", "losetup", "mkfs.ext4", "go")
	disk := newDisk(t, "ext4")
	disk.mount("")
	d := prepared(t, filepath.Join(disk.point, "data"))
	disk.unmount()
	disk.mount("ro")
	d.wantRefusal("LOCK", "read-only file system")
	if code, said := d.cli("events", "-o", "jsonl"); code != 0 || !strings.Contains(said, `"prepared"`) {
		t.Errorf("the history of a read-only directory: exit %d\n%s", code, said)
	}
	if code, said := d.cli("verify"); code != 0 || !strings.Contains(said, "verify ok") {
		t.Errorf("verify of a read-only directory: exit %d\n%s", code, said)
	}
	disk.unmount()
	disk.mount("")
	d.again()
}

// The disk goes away under a running daemon.
func TestRule05DiskGoneStopsTheDaemon(t *testing.T) {
	begin(t, "mount", "umount", "losetup", "mkfs.ext4", "go")
	disk := newDisk(t, "ext4")
	disk.mount("")
	d := prepared(t, filepath.Join(disk.point, "data"))
	d.start()
	picks := startPicker(d)
	disk.cut()
	if a, err := d.report("a1", "lost"); err != nil || a.status != http.StatusServiceUnavailable || a.body["code"] != "outcome_unknown" {
		t.Errorf("without a disk a report was answered %v (%v)", a, err)
	}
	if code := d.ends(graceExit); code <= 0 {
		t.Errorf("without a disk the daemon ended with %d:\n%s", code, d.out)
	}
	if <-picks.done; picks.bad > 0 {
		t.Errorf("%d picks failed: %s", picks.bad, picks.sample)
	}
	disk.unmount()
	disk.mount("")
	d.again()
}

// chattr makes a file immutable until the test ends, or undo is called.
func chattr(t *testing.T, path string) (undo func()) {
	t.Helper()
	run(t, "chattr", "+i", path)
	undo = sync.OnceFunc(func() { run(t, "chattr", "-i", path) })
	t.Cleanup(undo)
	return undo
}

func TestImmutableFiles(t *testing.T) {
	begin(t, "mount", "umount", "losetup", "mkfs.ext4", "chattr", "go")
	disk := newDisk(t, "ext4")
	disk.mount("")
	d := prepared(t, filepath.Join(disk.point, "data"))
	log := filepath.Join(d.dir, "log.db")

	undo := chattr(t, log)
	d.wantRefusal(log, "operation not permitted")
	undo()
	undo = chattr(t, d.dir)
	d.wantRefusal(d.dir, "operation not permitted")
	undo()
	d.again()

	// Under a running daemon a directory that is immutable costs nothing but the newest
	// head; a log that is, is a disk that fails.
	d.start()
	undo = chattr(t, d.dir)
	for n := range 3 {
		d.mustReport("a1", fmt.Sprint("immutable ", n))
	}
	d.kill()
	undo()
	d.start()
	d.wantSound()
	undo = chattr(t, log)
	if a, err := d.report("a1", "lost"); err != nil || a.body["code"] != "outcome_unknown" {
		t.Errorf("with an immutable log a report was answered %v (%v)", a, err)
	}
	if code := d.ends(graceExit); code <= 0 {
		t.Errorf("with an immutable log the daemon ended with %d:\n%s", code, d.out)
	}
	undo()
	d.again()
}

func TestModesAndOwners(t *testing.T) {
	begin(t, "go")
	d := prepared(t, filepath.Join(t.TempDir(), "data"))
	log := filepath.Join(d.dir, "log.db")
	for _, c := range []struct {
		path        string
		wrong, good os.FileMode
		advice      string
	}{
		{log, 0o644, 0o600, "chmod 600 " + log},
		{d.dir, 0o777, 0o700, "chmod 700 " + d.dir},
	} {
		if err := os.Chmod(c.path, c.wrong); err != nil {
			t.Fatal(err)
		}
		d.wantRefusal(c.advice)
		if err := os.Chmod(c.path, c.good); err != nil {
			t.Fatal(err)
		}
	}
	// Another user, who may reach the directory but owns nothing in it.
	for dir := filepath.Dir(d.dir); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	d.cmd = exec.Command(d.path, "serve", "--data-dir", d.dir, "--listen", "127.0.0.1:0")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	d.begin()
	if code := d.ends(10 * time.Second); code <= 0 || !strings.Contains(d.out.String(), "permission denied") {
		t.Errorf("for another user the daemon ended with %d:\n%s", code, d.out)
	}
	d.again()
}

func TestSecondDaemonAndCommandLine(t *testing.T) {
	begin(t, "go")
	d := prepared(t, filepath.Join(t.TempDir(), "data"))
	d.start()
	second := newDaemon(t, d.path, d.dir)
	for range 5 {
		began := time.Now()
		code, said := second.refuses(10 * time.Second)
		if took := time.Since(began); took > time.Second {
			t.Errorf("a second daemon took %s to refuse", took)
		}
		if want := fmt.Sprint("held by process ", d.cmd.Process.Pid); code != 6 || !strings.Contains(said, want) {
			t.Errorf("a second daemon ended with %d, and does not say %q:\n%s", code, want, said)
		}
	}
	for _, args := range [][]string{{"verify"}, {"events", "-o", "jsonl"}, {"status"}} {
		if code, said := d.cli(args...); code != 0 {
			t.Errorf("%v beside a daemon: exit %d\n%s", args, code, said)
		}
	}
	d.mustReport("a1", "after the second")
	d.kill() // what it leaves in LOCK and daemon.json stops nobody
	d.again()
}

// A copy is moved over log.db under a running daemon. What it acknowledges from then on
// would go to a file without a name: it must not acknowledge, or the next start must
// say what is missing.
func TestLogRenamedOver(t *testing.T) {
	begin(t, "go", "cp")
	d := prepared(t, filepath.Join(t.TempDir(), "data"))
	log := filepath.Join(d.dir, "log.db")
	d.start()
	run(t, "cp", log, log+".copy")
	if err := os.Rename(log+".copy", log); err != nil {
		t.Fatal(err)
	}
	second := newDaemon(t, d.path, d.dir)
	if _, said := second.refuses(10 * time.Second); !strings.Contains(said, "held by process") {
		t.Errorf("with log.db replaced a second daemon says:\n%s", said)
	}
	a, err := d.report("a1", "renamed over")
	if err == nil && a.status == http.StatusOK {
		d.kill()
		d.wantRefusal(log)
		return
	}
	if a.status != http.StatusServiceUnavailable {
		t.Errorf("with log.db replaced a report was answered %v (%v)", a, err)
	}
	if code := d.ends(graceExit); code <= 0 || !strings.Contains(d.out.String(), "log.db") {
		t.Errorf("with log.db replaced the daemon ended with %d:\n%s", code, d.out)
	}
	d.again()
}
