package boltlog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

// backup returns a backup of the log in dir.
func backup(t testing.TB, l *Log) ([]byte, events.Head) {
	t.Helper()
	var b bytes.Buffer
	head, err := l.Backup(context.Background(), &b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), head
}

// encoded returns the stored bytes of all records.
func encoded(t testing.TB, l *Log) (all [][]byte) {
	t.Helper()
	for r, err := range l.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, append(bytes.Clone(r.Encoded()), r.Hash[:]...))
	}
	return all
}

func TestBackupAndRestore(t *testing.T) {
	for _, n := range []int{0, 1, 700, 20_000} {
		source := t.TempDir()
		l := mustOpen(t, source, nil)
		head := fill(t, l, n)
		b, copied := backup(t, l)
		if copied != head {
			t.Errorf("the backup goes up to %+v, want %+v", copied, head)
		}
		dir := filepath.Join(t.TempDir(), "restored")
		steps := events.Seq(0)
		got, err := Restore(t.Context(), bytes.NewReader(b), dir, func(done, total events.Seq) {
			if total != events.Seq(n) || done < steps {
				t.Errorf("restored %d of %d after %d", done, total, steps)
			}
			steps = done
		})
		if err != nil || got != head || steps != events.Seq(n) {
			t.Fatalf("restored up to %+v in %d steps (%v), want %+v", got, steps, err, head)
		}
		if want := []string{nameLock, nameHead, nameLog}; !slices.Equal(names(t, dir), want) {
			t.Errorf("the directory holds %v, want %v", names(t, dir), want)
		}
		r := mustOpen(t, dir, nil)
		if !slices.EqualFunc(encoded(t, r), encoded(t, l), bytes.Equal) {
			t.Error("the records are others")
		}
		fill(t, r, 3) // the restored log goes on
		if _, err := r.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if left := slices.DeleteFunc(names(t, source), func(name string) bool { return !isCopy(name) }); len(left) > 0 {
			t.Errorf("the backup left %v", left)
		}
	}
}

// TestBackupIsCompact: a log of single commits takes more pages than its records.
func TestBackupIsCompact(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	fill(t, l, 5000)
	b, _ := backup(t, l)
	size := 0
	for _, e := range encoded(t, l) {
		size += len(e)
	}
	if len(b) > size*5/4 {
		t.Errorf("the backup of %d bytes has %d", size, len(b))
	}
}

// TestBackupWhileAppending: a backup has exactly the records there were when it began.
func TestBackupWhileAppending(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	before := fill(t, l, 2000)
	grown := false
	var b bytes.Buffer
	head, err := l.Backup(t.Context(), &b, func(done, total uint64) {
		if !grown {
			grown = true
			fill(t, l, 300) // deadlocks if the backup keeps appends out
		}
		if total != 2*2000 || done > total {
			t.Errorf("%d of %d", done, total)
		}
	})
	if err != nil || head != before || !grown {
		t.Fatalf("the backup goes up to %d (%v), want 2000", head.Seq, err)
	}
	dir := t.TempDir()
	if _, err := Restore(t.Context(), &b, dir, nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, mustOpen(t, dir, nil)); n != 2000 {
		t.Errorf("%d records were restored", n)
	}
}

// brokenWriter fails after some bytes.
type brokenWriter struct{ room int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// TestBackupFails: a backup of a damaged log, one that is called off and one that nobody
// takes leave nothing behind.
func TestBackupFails(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	fill(t, l, 1500)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := l.Backup(ctx, io.Discard, func(uint64, uint64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	if _, err := l.Backup(t.Context(), &brokenWriter{room: 10_000}, nil); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("nobody takes it: %v", err)
	}
	if _, err := l.Backup(t.Context(), io.Discard, nil); err != nil { // the negative control
		t.Error(err)
	}
	damage(t, l, 1200)
	if _, err := l.Backup(t.Context(), io.Discard, nil); !isChain(err, 1200) {
		t.Errorf("damaged: %v", err)
	}
	if left := slices.DeleteFunc(names(t, dir), func(name string) bool { return !isCopy(name) }); len(left) > 0 {
		t.Errorf("there are left: %v", left)
	}
}

// TestSweepsCopies: what a crash left of a backup is gone after the next start.
func TestSweepsCopies(t *testing.T) {
	dir, _ := newLog(t, 3)
	write(t, filepath.Join(dir, copyName()), "half")
	mustOpen(t, dir, nil)
	for _, name := range names(t, dir) {
		if isCopy(name) || !isOurs(name) {
			t.Errorf("there is %s", name)
		}
	}
	if name := copyName(); !isCopy(name) || !isOurs(name) {
		t.Errorf("%s is not known for a copy", name)
	}
}

// TestSweepsTheAddress: where a process of before listened is gone as soon as another one
// has the log, before a record is read. A reader takes it from nobody.
func TestSweepsTheAddress(t *testing.T) {
	dir, _ := newLog(t, 3)
	path := filepath.Join(dir, nameDaemon)
	write(t, path, "{}")
	there := func() bool {
		_, err := os.Lstat(path)
		return err == nil
	}
	reader := mustOpen(t, dir, &Options{ReadOnly: true})
	if err := reader.Close(); err != nil || !there() {
		t.Errorf("after a reader it is there: %t, %v", there(), err)
	}
	replayed := 0
	mustOpen(t, dir, &Options{Replay: func(events.Record) error {
		if replayed++; there() {
			return errors.New("it is there while the log is read")
		}
		return nil
	}})
	if replayed != 3 {
		t.Errorf("%d records were read", replayed)
	}
}

// TestRestoreRefuses gives Restore what is no sound backup. Nothing is left but LOCK,
// and a sound backup can be restored there afterwards.
func TestRestoreRefuses(t *testing.T) {
	source := mustOpen(t, t.TempDir(), nil)
	fill(t, source, 300)
	whole, _ := backup(t, source)
	changed := bytes.Clone(whole)
	changed[len(changed)*2/3] ^= 4
	for name, b := range map[string][]byte{
		"nothing": nil, "half": whole[:len(whole)/2], "all but a byte": whole[:len(whole)-1],
		"something else": bytes.Repeat([]byte("a tale "), 9999), "a record changed": changed,
		"a bbolt file": foreignBolt(t),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Restore(t.Context(), bytes.NewReader(b), dir, nil)
			if bad, ok := errors.AsType[*DamageError](err); !ok || bad.Path != "the backup" {
				t.Errorf("got the error %v, want a *DamageError about the backup", err)
			}
			if diff := cmp.Diff([]string{nameLock}, names(t, dir)); diff != "" {
				t.Error(diff)
			}
			if _, err := Restore(t.Context(), bytes.NewReader(whole), dir, nil); err != nil {
				t.Errorf("then, a sound one: %v", err)
			}
		})
	}
}

func foreignBolt(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	return readFile(t, path)
}

func TestRestoreIntoSomething(t *testing.T) {
	source := mustOpen(t, t.TempDir(), nil)
	fill(t, source, 10)
	whole, _ := backup(t, source)
	restore := func(dir string) error {
		_, err := Restore(t.Context(), bytes.NewReader(whole), dir, nil)
		return err
	}
	log, _ := newLog(t, 1)
	head, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(head, nameHead), "x")
	write(t, filepath.Join(other, "a file"), "x")
	for _, dir := range []string{log, head, other} {
		before := contents(t, dir)
		full, ok := errors.AsType[*NotEmptyError](restore(dir))
		if !ok || full.Dir != dir || len(full.Found) == 0 || !strings.Contains(full.Error(), "not empty") {
			t.Errorf("%s: got the error %v", dir, full)
		}
		if before != contents(t, dir) {
			t.Errorf("%s was changed", dir)
		}
	}
	if _, ok := errors.AsType[*MissingError](restore(filepath.Join(t.TempDir(), "a", "b"))); !ok {
		t.Error("a missing parent was made")
	}
	// What a restore that was cut off leaves may be there.
	cut := t.TempDir()
	for _, name := range []string{nameHead, nameLog + suffix, nameHead + suffix} {
		write(t, filepath.Join(cut, name), "x")
	}
	if err := restore(cut); err != nil {
		t.Error(err)
	}
	// A directory that somebody else restores into.
	held := t.TempDir()
	h := startRestore(t, held)
	if _, ok := errors.AsType[*LockedError](restore(held)); !ok {
		t.Error("two restores into one directory")
	}
	h()
}

// startRestore begins a restore that waits for its input, and returns what ends it.
func startRestore(t *testing.T, dir string) func() {
	in, out := io.Pipe()
	reached, done := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		defer close(done)
		if _, err := Restore(ctx, readerFunc(func(p []byte) (int, error) {
			select {
			case <-reached:
			default:
				close(reached)
			}
			return in.Read(p)
		}), dir, nil); err == nil {
			t.Error("a restore of nothing succeeded")
		}
	}()
	<-reached
	return func() { out.Close(); <-done; cancel() }
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestRestoreCalledOff(t *testing.T) {
	source := mustOpen(t, t.TempDir(), nil)
	fill(t, source, 2000)
	whole, _ := backup(t, source)
	for _, after := range []string{"receiving", "checking"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		r := io.Reader(bytes.NewReader(whole))
		progress := func(events.Seq, events.Seq) { cancel() }
		if after == "receiving" {
			r = io.MultiReader(bytes.NewReader(whole[:9000]), readerFunc(func([]byte) (int, error) { cancel(); return 0, nil }), r)
		}
		if _, err := Restore(ctx, r, dir, progress); !errors.Is(err, context.Canceled) {
			t.Errorf("called off while %s: %v", after, err)
		}
		if diff := cmp.Diff([]string{nameLock}, names(t, dir)); diff != "" {
			t.Error(diff)
		}
		cancel()
	}
}

// TestReadOnlyBackup copies to a directory of its own, for nothing is made in that of
// the log.
func TestReadOnlyBackup(t *testing.T) {
	dir, head := newLog(t, 100)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	l := mustOpen(t, dir, &Options{ReadOnly: true, CopyDir: t.TempDir()})
	if b, got := backup(t, l); got.Hash != head.Hash || len(b) == 0 {
		t.Errorf("the backup goes up to %+v", got)
	}
	if before != contents(t, dir) {
		t.Error("the directory was changed")
	}
}
