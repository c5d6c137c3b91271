package boltlog

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// records yields all records of a log.
func records(t testing.TB, l *Log) iter.Seq2[events.Record, error] {
	t.Helper()
	return l.Records(t.Context(), 0)
}

// TestFillMakesTheSameLog: the log made of a log's records has its id, its hashes and
// its head, and goes on from there.
func TestFillMakesTheSameLog(t *testing.T) {
	for _, n := range []int{0, 1, copyBatch, copyBatch + 3} {
		l := mustOpen(t, t.TempDir(), nil)
		head := fill(t, l, n)
		dir := filepath.Join(t.TempDir(), "filled")
		steps := events.Seq(0)
		got, err := Fill(t.Context(), Source{head.Log, records(t, l)}, dir, func(done, total events.Seq) {
			if total != events.Seq(n) || done < steps {
				t.Errorf("checked %d of %d after %d", done, total, steps)
			}
			steps = done
		})
		if err != nil || got != head || steps != events.Seq(n) {
			t.Fatalf("filled up to %+v in %d steps (%v), want %+v", got, steps, err, head)
		}
		if want := []string{nameLock, nameHead, nameLog}; !slices.Equal(names(t, dir), want) {
			t.Errorf("the directory holds %v, want %v", names(t, dir), want)
		}
		r := mustOpen(t, dir, nil)
		if !slices.EqualFunc(encoded(t, r), encoded(t, l), bytes.Equal) {
			t.Error("the records are others")
		}
		fill(t, r, 3) // the log goes on
		if _, err := r.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

// TestFillRefuses: from a source that is wrong, breaks off or is called off no log is
// made, and a sound one can be made there afterwards.
func TestFillRefuses(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	head := fill(t, l, copyBatch+100)
	other := mustOpen(t, t.TempDir(), nil)
	fill(t, other, 10)
	broken := errors.New("the source broke off")
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	for name, source := range map[string]Source{
		"another log's id": {"0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90", records(t, l)},
		"breaks off":       {head.Log, until(records(t, l), copyBatch+50, func() error { return broken })},
		"called off":       {head.Log, until(records(t, l), copyBatch+50, func() error { cancel(); return nil })},
		"two logs": {head.Log, func(yield func(events.Record, error) bool) {
			until(records(t, l), 5, nil)(yield)
			records(t, other)(yield)
		}},
	} {
		if got, err := Fill(ctx, source, dir, nil); err == nil || got != (events.Head{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got := names(t, dir); !slices.Equal(got, []string{nameLock}) {
			t.Errorf("%s leaves %v", name, got)
		}
		if name == "called off" {
			ctx = t.Context()
		}
	}
	if got, err := Fill(t.Context(), Source{head.Log, records(t, l)}, dir, nil); err != nil || got != head {
		t.Errorf("the sound one: %+v, %v", got, err)
	}
	_, err := Fill(t.Context(), Source{head.Log, records(t, l)}, dir, nil)
	if _, ok := errors.AsType[*NotEmptyError](err); !ok {
		t.Errorf("over something: %v", err)
	}
}

// until yields n records, and then what end says; nil: nothing more.
func until(from iter.Seq2[events.Record, error], n int, end func() error) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		left := n
		for r, err := range from {
			if left--; left < 0 {
				if end == nil {
					return
				}
				if err = end(); err != nil {
					r = events.Record{}
				}
				end = nil
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// TestFillAfterACrash: what a crash left of an earlier one is in nobody's way.
func TestFillAfterACrash(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	head := fill(t, l, 10)
	dir := t.TempDir()
	write(t, filepath.Join(dir, nameLog+suffix), "half a log")
	write(t, filepath.Join(dir, nameHead), "half a head")
	if got, err := Fill(t.Context(), Source{head.Log, records(t, l)}, dir, nil); err != nil || got != head {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, nameLog+suffix)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestScanHandsOutARange compares the bulk reading with the one by one.
func TestScanHandsOutARange(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	fill(t, l, 3*pageRows+7)
	last := events.Seq(3*pageRows + 7)
	for _, r := range []struct{ after, last, want events.Seq }{
		{0, last, last}, {0, 1, 1}, {pageRows - 1, pageRows + 1, 2}, {last - 1, 1 << 60, 1}, {last, last, 0}, {5, 5, 0}, {9, 3, 0},
	} {
		at := r.after
		err := l.Scan(t.Context(), r.after, r.last, func(recs []events.Record) error {
			for _, rec := range recs {
				if at++; rec.Seq != at || rec.Hash == (events.Hash{}) {
					t.Fatalf("record %d came for %d", rec.Seq, at)
				}
			}
			return nil
		})
		if err != nil || at-r.after != r.want {
			t.Errorf("after %d up to %d: %d records, %v", r.after, r.last, at-r.after, err)
		}
	}
	own := errors.New("enough")
	if err := l.Scan(t.Context(), 0, last, func([]events.Record) error { return own }); !errors.Is(err, own) {
		t.Errorf("the caller's error: %v", err)
	}
	damage(t, l, 1200)
	if err := l.Scan(t.Context(), 0, last, func([]events.Record) error { return nil }); !isChain(err, 1200) {
		t.Errorf("damaged: %v", err)
	}
	l.Close()
	if err := l.Scan(t.Context(), 0, last, nil); !errors.Is(err, events.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
