//go:build unix

package boltlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abeyance/abeyance/events"
)

// fillUp, in a helper, appends until the process may not make the file longer,
// says so, and goes on when it may again.
func fillUp(l *Log) error {
	signal.Ignore(unix.SIGXFSZ)
	var unlimited unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &unlimited); err != nil {
		return err
	}
	limit := unlimited
	limit.Cur = 17 << 20 // bbolt grows its file in steps of 16 MiB
	for round := range 2 {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		if err := fillOnce(l); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unlimited); err != nil {
			return err
		}
		if err := appendOne(l, 1); err != nil {
			return fmt.Errorf("round %d, with room again: %w", round, err)
		}
		limit.Cur += 16 << 20
	}
	fmt.Println("stored", uint64(l.head.Load().Seq))
	return nil
}

// fillOnce appends until there is no room, which must leave the log as it was.
func fillOnce(l *Log) error {
	for {
		before := *l.head.Load()
		err := appendLarge(l)
		if err == nil {
			continue
		}
		if !errors.Is(err, events.ErrFull) {
			return fmt.Errorf("want ErrFull: %w", err)
		}
		if after := *l.head.Load(); after != before {
			return fmt.Errorf("the head moved from %d to %d", before.Seq, after.Seq)
		}
		_, err = l.Verify(context.Background(), nil)
		return err
	}
}

// appendLarge appends a record of nearly a mebibyte.
func appendLarge(l *Log) error {
	large := &events.GroupsDefined{Configured: make([]byte, events.MaxDefinitions-1000)}
	recs, err := events.Seal(*l.head.Load(), time.Now(), []events.Draft{{Event: large}})
	if err != nil {
		return err
	}
	return l.Append(context.Background(), recs)
}

func appendOne(l *Log, size int) error {
	recs, err := events.Seal(*l.head.Load(), time.Now(), lifts(size))
	if err != nil {
		return err
	}
	return l.Append(context.Background(), recs)
}

// fillRest, in a helper, may not make the file longer, and appends until there is no room:
// all that the file has must have been made use of.
func fillRest(l *Log) error {
	signal.Ignore(unix.SIGXFSZ)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := appendOne(l, 1); err != nil {
		return err
	}
	info, err := l.bolt.file.Stat()
	if err != nil {
		return err
	}
	length := info.Size()
	limit.Cur = uint64(length) + 4096
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for err = nil; err == nil; {
		err = appendOne(l, 500)
	}
	if !errors.Is(err, events.ErrFull) {
		return fmt.Errorf("want ErrFull: %w", err)
	}
	tx, err := l.bolt.db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if rest := length - tx.Size(); rest > 1<<20 {
		return fmt.Errorf("rejected with %d of %d bytes to spare", rest, length)
	}
	fmt.Println("stored", uint64(l.head.Load().Seq))
	return nil
}

// storedBy runs a helper in dir until it ends, and returns how many records it says it
// stored.
func storedBy(t *testing.T, mode, dir string) (n int) {
	t.Helper()
	h := startHelper(t, mode, dir)
	text, _ := h.line()
	if _, err := fmt.Sscanf(text, "stored %d", &n); err != nil {
		t.Fatalf("the helper says %q", text)
	}
	h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRule5AllOfTheFileIsUsed: a file that cannot be made longer takes what it has room for.
func TestRule5AllOfTheFileIsUsed(t *testing.T) { storedBy(t, "rest", t.TempDir()) }

func TestRule5FullDiskIsNoEnd(t *testing.T) {
	dir := t.TempDir()
	stored := storedBy(t, "full", dir)
	if n := count(t, mustOpen(t, dir, nil)); n != stored {
		t.Errorf("read %d records, want %d", n, stored)
	}
}

// TestRule5FailedCommitEndsAppends makes commits fail by taking bbolt's file away.
func TestRule5FailedCommitEndsAppends(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	head := fill(t, l, 10)
	null, err := os.Open(os.DevNull) // writes to it fail
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), int(l.bolt.file.Fd())); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		err := appendOne(l, 2)
		commit, ok := errors.AsType[*CommitError](err)
		if !ok || commit.First != 11 || commit.Last != 12 {
			t.Fatalf("append %d: got the error %v, want a *CommitError of records 11 to 12", i, err)
		}
	}
	if got := *l.head.Load(); got != head {
		t.Errorf("the head moved to %d", got.Seq)
	}
	if n := count(t, l); n != 10 {
		t.Errorf("%d records can be read, want the 10 that are durable", n)
	}
}
