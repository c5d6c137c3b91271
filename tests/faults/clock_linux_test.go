package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// envClock names the file of the clock that a daemon of buildShifted runs by.
const envClock = "ABEYANCE_FAULTS_CLOCK"

// buildShifted builds the program with a time.Now of which the wall clock can be set,
// once in a run. The machine's own clock stays, and so does the program: only Go's
// package time is another, made here of the one that is installed.
func buildShifted(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(envInside)
	path := filepath.Join(dir, "abeyance-shifted")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	began := time.Now()
	overlay := writeOverlay(t, dir)
	run(t, "env", "CGO_ENABLED=0", "go", "build", "-buildvcs=false", "-overlay", overlay, "-o", path, "github.com/abeyance/abeyance/cmd/abeyance")
	t.Logf("built with another package time in %s", time.Since(began).Round(time.Second))
	return path
}

// writeOverlay writes what replaces files of Go's package time, and returns the name of
// the file that says which.
func writeOverlay(t *testing.T, dir string) string {
	t.Helper()
	const ask, shifted = "sec, nsec, mono := runtimeNow()\n", "sec, nsec, mono := shiftedNow()\n"
	std := filepath.Join(strings.TrimSpace(run(t, "go", "env", "GOROOT")), "src", "time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), ask); n != 1 {
		t.Fatalf("time.Now of this Go asks the clock in another way (%d times %q): writeOverlay and testdata/clock must follow it", n, ask)
	}
	patched := filepath.Join(dir, "time.go")
	if err := os.WriteFile(patched, []byte(strings.Replace(string(source), ask, shifted, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	added, err := filepath.Abs(filepath.Join("testdata", "clock", "shift.go"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(std, "time.go"): patched, filepath.Join(std, "shift.go"): added,
	}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// clock is a wall clock that daemons run by and the test sets.
type clock struct {
	path  string
	ahead *int64 // seconds, in memory that the daemons see
}

func newClock(t *testing.T) *clock {
	t.Helper()
	c := &clock{path: filepath.Join(t.TempDir(), "clock")}
	f, err := os.Create(c.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int(unsafe.Sizeof(*c.ahead))
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(b) })
	c.ahead = (*int64)(unsafe.Pointer(&b[0]))
	return c
}

// now is what the daemons take for the time.
func (c *clock) now() time.Time {
	now := time.Now()
	return time.Unix(now.Unix()+atomic.LoadInt64(c.ahead), int64(now.Nanosecond())).UTC()
}

// jump moves the clock by whole seconds.
func (c *clock) jump(by time.Duration) { atomic.AddInt64(c.ahead, int64(by/time.Second)) }

// set makes it the given time.
func (c *clock) set(to time.Time) { atomic.StoreInt64(c.ahead, to.Unix()-time.Now().Unix()) }
