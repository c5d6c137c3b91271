package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// watched starts to watch a file. heard reports whether it heard of a change, within a
// while if it is to, else within a moment.
func watched(t *testing.T, name string) (w *fileWatch, heard func(want bool)) {
	t.Helper()
	w = &fileWatch{name: name, logger: slog.New(slog.DiscardHandler)}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w, func(want bool) {
		t.Helper()
		limit := 200 * time.Millisecond
		if want {
			limit = 10 * time.Second
		}
		got := false
		for end := time.After(limit); !got; {
			select {
			case e := <-w.events():
				got = w.concerns(e)
				continue
			case err := <-w.errors():
				t.Fatal(err)
			case <-end:
			}
			break
		}
		if got != want {
			t.Errorf("heard of a change: %t, want %t", got, want)
		}
		for quiet := time.After(50 * time.Millisecond); ; { // what one change says several times
			select {
			case <-w.events():
				continue
			case <-quiet:
			}
			break
		}
		if err := w.follow(); err != nil {
			t.Error(err)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+".new"); err != nil {
		t.Fatal(err)
	}
	rename(t, name+".new", name)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestFileWatchHearsOfEveryWayToChangeAFile(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "c.yaml")
	write(t, name, "one")
	w, heard := watched(t, name)
	defer w.close()
	write(t, name, "in place")
	heard(true)
	write(t, name+".tmp", "replaced")
	heard(false)
	rename(t, name+".tmp", name)
	heard(true)
	write(t, filepath.Join(dir, "log.db"), "not ours")
	heard(false)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	heard(true)
	write(t, name, "back")
	heard(true)
}

// As Kubernetes mounts a config map: c.yaml → ..data/c.yaml, ..data → a directory that
// another one replaces.
func TestFileWatchFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"..1", "..2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "c.yaml"), version)
	}
	link(t, "..1", filepath.Join(dir, "..data"))
	name := filepath.Join(dir, "c.yaml")
	link(t, filepath.Join("..data", "c.yaml"), name)
	_, heard := watched(t, name)
	link(t, "..2", filepath.Join(dir, "..data"))
	heard(true)
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	heard(false)
	write(t, filepath.Join(dir, "..2", "c.yaml"), "where the links lead now")
	heard(true)
}

func TestWayToAFile(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	if err := os.Mkdir(in("d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, in("d", "f"), "")
	link(t, in("d"), in("absolute"))
	link(t, filepath.Join("absolute", "f"), in("relative"))
	link(t, "circle", in("circle"))
	for name, want := range map[string][]string{
		in("d", "f"):        {in("d", "f")},
		in("missing"):       {in("missing")},
		in("absolute", "f"): {in("absolute", "f"), in("absolute"), in("d", "f")},
		in("relative"):      {in("relative"), in("absolute"), in("d", "f")},
		in("circle"):        {in("circle")},
	} {
		got := wayTo(name)
		for _, place := range want {
			if !got[place] {
				t.Errorf("the way to %s lacks %s: %v", name, place, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("the way to %s: %v, want %v", name, got, want)
		}
	}
}

// Without a watcher it hears of nothing, and nothing fails.
func TestFileWatchWithoutAWatcher(t *testing.T) {
	w := &fileWatch{name: "/nowhere"}
	if w.events() != nil || w.errors() != nil || w.follow() != nil || w.concerns(fsnotify.Event{Name: "/nowhere"}) {
		t.Error("it heard of something")
	}
	w.close()
}
