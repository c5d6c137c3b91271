package boltlog

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// TestIndexPages compares the index with a plain list, over segments too.
func TestIndexPages(t *testing.T) {
	seqs := rapid.OneOf(
		rapid.Uint64Range(1, 50),
		rapid.Uint64Range(1<<32-10, 1<<32+10),
		rapid.Uint64Range(3<<32-3, 3<<32+3),
	)
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(seqs).Draw(t, "seqs")
		slices.Sort(list)
		x := newIndex()
		for _, s := range list {
			x.of("a").add(events.Seq(s)) // also twice
		}
		list = slices.Compact(list)
		r := seqRange{
			first:  events.Seq(seqs.Draw(t, "first")),
			last:   events.Seq(seqs.Draw(t, "last")),
			newest: rapid.Bool().Draw(t, "newest"),
		}
		var want []events.Seq
		for _, s := range list {
			if s := events.Seq(s); s >= r.first && s <= r.last {
				want = append(want, s)
			}
		}
		if r.newest {
			slices.Reverse(want)
		}
		size := rapid.IntRange(1, 20).Draw(t, "size")
		want = want[:min(len(want), size)]
		if got := x.page(make([]events.Seq, 0, size), "a", r); !slices.Equal(got, want) {
			t.Fatalf("page of %+v has %v, want %v", r, got, want)
		}
		if got := x.page(make([]events.Seq, 0, size), "b", r); len(got) > 0 {
			t.Fatalf("an unknown account has %v", got)
		}
	})
}

func TestRangeOf(t *testing.T) {
	for _, c := range []struct {
		q           events.Query
		base, head  events.Seq
		first, last events.Seq
	}{
		{events.Query{}, 0, 10, 1, 10},
		{events.Query{}, 5, 10, 6, 10},
		{events.Query{After: 3}, 5, 10, 6, 10},
		{events.Query{After: 7, Before: 9}, 0, 10, 8, 8},
		{events.Query{Before: 99}, 0, 10, 1, 10},
		{events.Query{Before: 1}, 0, 10, 1, 0},
		{events.Query{After: 10}, 0, 10, 1, 0},
		{events.Query{After: math.MaxUint64}, 0, 10, 1, 0},
	} {
		if r := rangeOf(c.q, c.base, c.head); r.first != c.first || r.last != c.last {
			t.Errorf("%+v of (%d, %d] is [%d, %d], want [%d, %d]", c.q, c.base, c.head, r.first, r.last, c.first, c.last)
		}
	}
}

func TestReplay(t *testing.T) {
	dir, head := newLog(t, 1500)
	var kept []events.Record
	l := mustOpen(t, dir, &Options{Replay: func(r events.Record) error {
		before := events.Head{Seq: r.Seq - 1, Hash: events.Genesis(head.Log)}
		if len(kept) > 0 {
			before.Hash = kept[len(kept)-1].Hash
		}
		if _, err := events.Open(before, r.Seq, r.Encoded(), r.Hash); err != nil || int(r.Seq) != len(kept)+1 {
			t.Errorf("record %d was replayed as number %d, with other bytes: %v", r.Seq, len(kept)+1, err)
		}
		kept = append(kept, r)
		return nil
	}})
	if len(kept) != int(head.Seq) {
		t.Errorf("%d records were replayed, want %d", len(kept), head.Seq)
	}
	for r, err := range l.Records(t.Context(), 0) { // what was kept stays, but for the bytes
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, kept[r.Seq-1], cmpopts.IgnoreUnexported(events.Record{})); diff != "" {
			t.Fatal(diff)
		}
	}
	l.Close()
	stop := errors.New("stop")
	_, err := Open(dir, &Options{Replay: func(r events.Record) error {
		if r.Seq == 700 {
			return stop
		}
		return nil
	}})
	if err != stop {
		t.Errorf("Open returned %v, want the error of Replay as it is", err)
	}
	mustOpen(t, dir, nil) // nothing was left locked
}

func TestVerifyTellsItsProgress(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	head := fill(t, l, 1500)
	var last events.Seq
	got, err := l.Verify(t.Context(), func(done, total events.Seq) {
		if done <= last || total != 1500 {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	})
	if err != nil || got != head || last != 1500 {
		t.Errorf("Verify gave %+v (%v) after %d records, want %+v", got, err, last, head)
	}
	l.Close()
	if _, err := l.Verify(t.Context(), nil); !errors.Is(err, events.ErrClosed) {
		t.Errorf("Verify after Close: %v", err)
	}
}

func TestStats(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	fill(t, l, 150)
	if s := l.Stats(); s.Records != 150 || s.Bytes < 150*100 {
		t.Errorf("the figures are %+v", s)
	}
}
