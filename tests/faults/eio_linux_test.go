package faults

import (
	"bufio"
	"crypto/sha256"
	"errors"
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

// graceExit bounds how long a daemon may live after it has answered that it cannot
// write: 2 s by rule 5, and what a traced process on a slow machine needs more.
const graceExit = 2*time.Second + 2*time.Second

// injector is an strace that makes system calls of a running daemon fail.
type injector struct {
	t     *testing.T
	cmd   *exec.Cmd
	trace string // the file of what it saw
	once  sync.Once
}

// attach returns when calls of the kind fail from the n-th of each thread on.
func attach(d *daemon, call string, n int) *injector {
	d.t.Helper()
	i := &injector{t: d.t, trace: filepath.Join(d.t.TempDir(), "trace")}
	i.cmd = exec.Command("strace", "-f", "-o", i.trace, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d+", call, n), "-p", fmt.Sprint(d.cmd.Process.Pid))
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := i.cmd.StderrPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := i.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(i.detach)
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			go func() {
				for lines.Scan() { // more threads
				}
			}()
			return i
		}
	}
	d.t.Fatal("strace does not attach")
	return nil
}

// detach ends the failing, and waits until what was seen is written.
func (i *injector) detach() {
	i.once.Do(func() {
		i.cmd.Process.Signal(syscall.SIGTERM)
		i.cmd.Wait() // strace ends with the signal
	})
}

// fired returns how many calls succeeded before the first that was made to fail, and
// how many were.
func fired(t *testing.T, trace string) (before, injected int) {
	t.Helper()
	doc, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(doc)) {
		switch {
		case strings.Contains(line, "(INJECTED)"):
			injected++
		case strings.Contains(line, "= 0") && injected == 0:
			before++
		}
	}
	return before, injected
}

// picker picks all the time, as a proxy does, until the daemon is gone.
type picker struct {
	done                  chan struct{}
	served, degraded, bad int
	sample                string
}

func startPicker(d *daemon) *picker {
	p := &picker{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for {
			a, err := d.pick("gemini-3-flash")
			switch {
			case err != nil:
				return
			case a.status != http.StatusOK:
				p.bad++
				p.sample = a.String()
			case a.body["degraded"] == true:
				p.degraded++
			default:
				p.served++
			}
		}
	}()
	return p
}

// writeError makes a running daemon's writing fail, and checks rule 5 until after the
// restart. It returns the calls that came before the failure.
func writeError(t *testing.T, path, call string, n int) (before int, picks *picker) {
	t.Helper()
	d := newDaemon(t, path, filepath.Join(t.TempDir(), "data"))
	d.start()
	d.put("a0", "failing")
	for k := range 3 {
		if a, err := d.report("a0", fmt.Sprint("before ", k)); err != nil || a.status != http.StatusOK {
			t.Fatalf("a report was answered %v (%v)", a, err)
		}
	}
	i := attach(d, call, n)
	picks = startPicker(d)
	failed := ""
	for k := 0; failed == ""; k++ {
		account := []string{"a0", "failing"}[min(k/3, 1)]
		request := fmt.Sprint("during ", k)
		a, err := d.report(account, request)
		if err != nil || a.status != http.StatusOK {
			failed = account
			if err != nil || a.status != http.StatusServiceUnavailable || a.body["code"] != "outcome_unknown" {
				t.Errorf("a report that could not be stored was answered %v (%v)", a, err)
			}
		}
		if k > 200 {
			t.Fatalf("%s never failed", call)
		}
	}
	if code := d.ends(graceExit); code <= 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	<-picks.done
	i.detach()
	before, injected := fired(t, i.trace)
	if injected == 0 {
		t.Fatalf("the daemon ended, and no %s was made to fail:\n%s", call, d.out)
	}
	afterError(d)
	return before, picks
}

// afterError serves the directory again: what nobody was told may be there or not, and
// history, state and chain agree about it.
func afterError(d *daemon) {
	d.t.Helper()
	d.start()
	found := d.wantSound()
	stored := false
	for seq, marker := range found {
		if strings.HasPrefix(marker, "during") && seq > 0 {
			if data := d.must("GET", fmt.Sprint("/v1/events/", seq), nil); data["account"] == "failing" {
				stored = true
			}
		}
	}
	want := map[bool]string{true: "cooling", false: "available"}[stored]
	if got := d.cells()["failing claude"]; got != want {
		d.t.Errorf("the history says that the cell is %s, and the state that it is %s", want, got)
	}
	if a, err := d.report("a0", "after"); err != nil || a.status != http.StatusOK {
		d.t.Errorf("after the restart a report was answered %v (%v)", a, err)
	}
	d.stop()
}

// A commit of bbolt's syncs its data, writes its meta page and syncs that. At each of
// the two syncs, and at a write, the disk may fail.
func TestRule05WriteErrorStopsTheDaemon(t *testing.T) {
	begin(t, "strace", "go")
	path := buildDaemon(t)
	dataSyncs, metaSyncs, writes, degraded, served := 0, 0, 0, 0, 0
	count := func(p *picker) {
		degraded, served = degraded+p.degraded, served+p.served
		if p.bad > 0 {
			t.Errorf("%d picks failed: %s", p.bad, p.sample)
		}
	}
	// Which sync fails depends on the threads that make them: until each kind has.
	for n := 0; n < *errs || dataSyncs*metaSyncs == 0 && n < 10**errs; n++ {
		before, p := writeError(t, path, "fdatasync", n%3+1)
		count(p)
		if before%2 == 0 {
			dataSyncs++
		} else {
			metaSyncs++
		}
		if n%3 == 0 {
			_, p = writeError(t, path, "pwrite64", n+1)
			count(p)
			writes++
		}
	}
	t.Logf("errors fired at %d syncs of data, %d syncs of the meta page and %d writes; of %d picks meanwhile %d were marked degraded, and none failed",
		dataSyncs, metaSyncs, writes, served+degraded, degraded)
	if dataSyncs == 0 || metaSyncs == 0 || writes == 0 {
		t.Error("some errors never fired where they should")
	}
}

// The disk fails while the log is opened, at whichever read. Either the daemon says
// which file it cannot read, and changes nothing; or it can do without, and has all of
// the log.
func TestRule05ReadErrorAtOpen(t *testing.T) {
	begin(t, "strace", "go")
	d := newDaemon(t, buildDaemon(t), filepath.Join(t.TempDir(), "data"))
	d.start()
	d.put("a0")
	for k := range 20 {
		if a, err := d.report("a0", fmt.Sprint("before ", k)); err != nil || a.status != http.StatusOK {
			t.Fatalf("a report was answered %v (%v)", a, err)
		}
	}
	d.stop()
	const end, refusal, harmless = 0, 1, 2
	var count [3]int
	for _, name := range []string{"log.db", "head"} {
		n := 1
		for result := refusal; result != end; n++ {
			result = readError(d, filepath.Join(d.dir, name), n)
			count[result]++
			if n > 100 {
				t.Fatal("the reads have no end")
			}
		}
		if n == 2 {
			t.Errorf("no read of %s was made to fail", name)
		}
	}
	d.start()
	d.wantSound()
	t.Logf("errors fired at %d reads: %d were refused, %d did no harm", count[refusal]+count[harmless], count[refusal], count[harmless])
}

// wantSoundInTheEnd is wantSound of a daemon of which each thread may fail to read once
// more: that may be while it verifies, which then is asked for again.
func (d *daemon) wantSoundInTheEnd() {
	d.t.Helper()
	for _, wrong := range d.unsound(d.history()) {
		d.t.Error(wrong)
	}
	for range 50 { // more than it has threads
		a, err := d.call("GET", "/v1/verify", nil)
		if err == nil && a.status == http.StatusOK && a.body["ok"] == true {
			return
		}
		if err != nil || a.status != http.StatusInternalServerError {
			d.t.Fatalf("verify: %v (%v)", a, err)
		}
	}
	d.t.Fatalf("it is never verified:\n%s", d.out)
}

// readError starts the daemon with the n-th read of a file by a thread failing. It
// returns 0 if there is no such read, 1 if the daemon refused to start, and 2 if it
// served all the same.
func readError(d *daemon, file string, n int) (result int) {
	d.t.Helper()
	sum := sumOf(d.t, file)
	trace := filepath.Join(d.t.TempDir(), "trace")
	if err := os.Remove(filepath.Join(d.dir, nameDaemon)); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	d.launch("strace", "-f", "-o", trace, "-P", file, "-e", "trace=read,pread64",
		"-e", fmt.Sprintf("inject=read,pread64:error=EIO:when=%d", n))
	pid := 0
	defer func() {
		if pid != 0 { // also after a failure: it outlives its strace
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	for pid == 0 && !d.hasExited() {
		pid = d.ready()
		time.Sleep(time.Millisecond)
	}
	if pid != 0 {
		d.wantSoundInTheEnd()
		syscall.Kill(pid, syscall.SIGKILL)
		d.ends(10 * time.Second)
	}
	_, injected := fired(d.t, trace)
	said := d.out.String()
	switch {
	case injected == 0 && pid != 0:
		return 0
	case injected == 0:
		d.t.Fatalf("the daemon does not start:\n%s", said)
	case pid != 0:
		return 2
	case sumOf(d.t, file) != sum:
		d.t.Fatalf("%s was changed by a start that could not read it", file)
	case !strings.Contains(said, file) || strings.Contains(said, "delete"):
		d.t.Errorf("read %d of %s failed; the message must name the file and not advise to delete it:\n%s", n, file, said)
	}
	return 1
}

func sumOf(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(doc)
}
