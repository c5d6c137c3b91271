package boltlog

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wantLocked opens dir and checks that it is refused in time, naming pid.
func wantLocked(t *testing.T, dir string, o *Options, pid int) {
	t.Helper()
	start := time.Now()
	l, err := Open(dir, o)
	if err == nil {
		l.Close()
		t.Fatal("the log was opened twice")
	}
	if d := time.Since(start); d >= time.Second {
		t.Errorf("the refusal took %v, want less than a second", d)
	}
	locked, ok := errors.AsType[*LockedError](err)
	if !ok || locked.PID != pid || locked.Path != filepath.Join(dir, nameLock) {
		t.Errorf("got the error %v, want a *LockedError of %s and process %d", err, filepath.Join(dir, nameLock), pid)
	}
	if pid != 0 && !strings.Contains(err.Error(), strconv.Itoa(pid)) {
		t.Errorf("the message %q does not name process %d", err, pid)
	}
}

func TestHeldByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	h := startHelper(t, "hold", dir)
	if text, _ := h.line(); text != "ready" {
		t.Fatalf("the helper says %q", text)
	}
	wantLocked(t, dir, nil, h.cmd.Process.Pid)
	wantLocked(t, dir, &Options{ReadOnly: true}, h.cmd.Process.Pid)
	h.kill(t)
	mustOpen(t, dir, nil) // the lock ended with its process
}

func TestHeldByTheSameProcess(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	wantLocked(t, dir, nil, os.Getpid())
	wantLocked(t, dir, &Options{ReadOnly: true}, os.Getpid())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, nil)
}

func TestReadersKeepWritersOut(t *testing.T) {
	dir, _ := newLog(t, 1)
	first := mustOpen(t, dir, &Options{ReadOnly: true})
	second := mustOpen(t, dir, &Options{ReadOnly: true})
	wantLocked(t, dir, nil, 0)
	for _, l := range []*Log{first, second} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir, nil)
}

func TestLockSaysNothingOnceClosed(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	text := func() string {
		b, err := os.ReadFile(filepath.Join(dir, nameLock))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got, want := text(), strconv.Itoa(os.Getpid())+"\n"; got != want {
		t.Errorf("LOCK says %q while the log is open, want %q", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := text(); got != "" {
		t.Errorf("LOCK says %q after Close, want nothing", got)
	}
}

// TestRenamedOver opens the log again under a name that was given to another file
// meanwhile: a lock on log.db alone would not notice.
func TestRenamedOver(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, nil)
	other, _ := newLog(t, 1)
	if err := os.Rename(filepath.Join(other, nameLog), filepath.Join(dir, nameLog)); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, dir, nil, os.Getpid())
}
