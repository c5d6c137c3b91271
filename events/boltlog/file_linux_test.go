package boltlog

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// firstHole is where the first hole of a file begins, or its end.
func firstHole(t *testing.T, f *os.File) int64 {
	t.Helper()
	at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestCommitsMeetNoHole: what a commit writes lies in room that was written before.
func TestCommitsMeetNoHole(t *testing.T) {
	dir := t.TempDir()
	probe, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if _, err := probe.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := probe.Truncate(2 << 20); err != nil {
		t.Fatal(err)
	}
	if firstHole(t, probe) != 1<<20 {
		const why = "the file system of the temporary directory keeps zeros as holes, or knows of none"
		if os.Getenv("ABEYANCE_CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 100 { // a log that has to grow several times
		if err := appendOne(l, 200); err != nil {
			t.Fatal(err)
		}
		if hole := firstHole(t, l.bolt.file); hole < l.bolt.written {
			t.Fatalf("record %d: there is a hole at %d, before %d", l.head.Load().Seq, hole, l.bolt.written)
		}
	}
	if l.bolt.written < 1<<20 {
		t.Errorf("the log was written ahead up to %d only", l.bolt.written)
	}
}

// TestIsNamed: whether a file has its name is told without its times.
func TestIsNamed(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := root.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, err := root.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	b := &boltFile{file: f, root: root, dir: at, name: "file"}
	if same, err := b.isNamed(); err != nil || !same {
		t.Errorf("the file has its name: %t, %v", same, err)
	}
	if err := root.Rename("file", "other"); err != nil {
		t.Fatal(err)
	}
	if same, err := b.isNamed(); err == nil || same {
		t.Errorf("a file that was moved away has its name: %t, %v", same, err)
	}
	if err := root.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if same, err := b.isNamed(); err != nil || same {
		t.Errorf("another file has its name: %t, %v", same, err)
	}
}
