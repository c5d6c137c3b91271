package boltlog

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// lists returns the contents of an index.
func (x *index) lists() map[string][]events.Seq {
	all := map[string][]events.Seq{}
	for id, p := range x.accounts {
		for _, g := range p.segments {
			for i := range g.low {
				all[id] = append(all[id], g.seq(i))
			}
		}
	}
	return all
}

// drawIndex draws an index over several segments.
func drawIndex(t *rapid.T) (x *index, all map[string][]events.Seq) {
	seq := rapid.OneOf(rapid.Uint64Range(1, 99), rapid.Uint64Range(1<<32-3, 1<<32+3), rapid.Uint64Range(5<<32, 5<<32+9))
	all = rapid.MapOfN(rapid.StringN(1, 9, 20), rapid.Custom(func(t *rapid.T) []events.Seq {
		list := rapid.SliceOfN(seq, 1, 20).Draw(t, "seqs")
		slices.Sort(list)
		seqs := []events.Seq{}
		for _, s := range slices.Compact(list) {
			seqs = append(seqs, events.Seq(s))
		}
		return seqs
	}), 0, 9).Draw(t, "accounts")
	x = newIndex()
	for id, list := range all {
		for _, s := range list {
			x.of(id).add(s)
		}
	}
	return x, all
}

func cutLists(all map[string][]events.Seq, keep func(events.Seq) bool) map[string][]events.Seq {
	cut := map[string][]events.Seq{}
	for id, list := range all {
		for _, s := range list {
			if keep(s) {
				cut[id] = append(cut[id], s)
			}
		}
	}
	return cut
}

// TestIndexRoundTrip: what is saved up to a seq is what was there up to it.
func TestIndexRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, all := drawIndex(t)
		to := events.Seq(rapid.OneOf(rapid.Uint64Range(1, 99), rapid.Uint64Range(1<<32-3, 6<<32)).Draw(t, "to"))
		b := x.encode(to)
		got, err := decodeIndex(b, to)
		if err != nil {
			t.Fatal(err)
		}
		want := cutLists(all, func(s events.Seq) bool { return s <= to })
		if diff := cmp.Diff(want, got.lists()); diff != "" {
			t.Fatal(diff)
		}
		if !bytes.Equal(got.encode(to), b) {
			t.Fatal("it is encoded in another way")
		}
	})
}

// TestIndexCompleted: older records and those that came meanwhile make one index,
// whichever of the two has those in between.
func TestIndexCompleted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, all := drawIndex(t)
		to := events.Seq(rapid.OneOf(rapid.Uint64Range(0, 99), rapid.Uint64Range(1<<32-3, 5<<32+5)).Draw(t, "to"))
		beyond := to + events.Seq(rapid.Uint64Range(0, 9).Draw(t, "beyond"))
		older, tail := newIndex(), newIndex()
		for _, id := range slices.Sorted(maps.Keys(all)) {
			for _, s := range all[id] {
				if s <= beyond {
					older.of(id).add(s)
				}
				if s > to {
					tail.of(id).add(s)
				}
			}
		}
		tail.complete(older, to)
		if diff := cmp.Diff(all, tail.lists()); diff != "" {
			t.Fatal(diff)
		}
		if err := tail.wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeIndex(f *testing.F) {
	x := newIndex()
	for i := range 9 {
		x.of(fmt.Sprint("account", i%3)).add(events.Seq(i + 1))
	}
	f.Add(x.encode(9))
	f.Add([]byte{0})
	f.Add([]byte{1, 1, 'a', 2, 1, 0})
	f.Add(bytes.Repeat([]byte{255}, 30))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeIndex(b, 1<<40)
		if err != nil {
			return
		}
		again, err := decodeIndex(x.encode(1<<40), 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(x.lists(), again.lists()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestUselessIndex puts something else in the place of the index. The histories are
// those of the log whatever it is.
func TestUselessIndex(t *testing.T) {
	dir, want := newCheckpointed(t, 500, 300, 450)
	path := filepath.Join(dir, nameIndex)
	own := readFile(t, path)
	other, _ := newLog(t, 500)
	flipped := bytes.Clone(own)
	flipped[len(flipped)-1] ^= 1
	for name, text := range map[string][]byte{
		"empty": {}, "half": own[:len(own)/2], "flipped": flipped,
		"of another log":     readFile(t, filepath.Join(other, nameIndex)),
		"of a newer version": bytes.Replace(own, []byte("index 1"), []byte("index 2"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, string(text))
			opensLike(t, dir, want, 450).Close()
			if !bytes.Equal(readFile(t, path), own) {
				t.Error("the index was not saved anew")
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		opensLike(t, dir, want, 450)
	})
}

// TestOlderIndex: the index may be older than the checkpoint, or newer.
func TestOlderIndex(t *testing.T) {
	dir, want := newCheckpointed(t, 500, 200, 400)
	for _, at := range []events.Seq{100, 200, 399, 400, 401, 500} {
		l := mustOpen(t, dir, nil)
		_, head := foldAll(t, l, at)
		if err := writeSealed(l.root, nameIndex, sealIndex, head, l.index.encode(at)); err != nil {
			t.Fatal(err)
		}
		l.savedAt = l.head.Load().Seq // so that Close leaves it
		l.Close()
		opensLike(t, dir, want, 400).Close()
	}
}

// TestIndexBits flips every bit of an index file: none is taken for one. The negative
// control is the file as it was.
func TestIndexBits(t *testing.T) {
	dir, _ := newLog(t, 40)
	l := mustOpen(t, dir, nil)
	path := filepath.Join(dir, nameIndex)
	whole := readFile(t, path)
	for bit := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		write(t, path, string(b))
		if _, _, err := l.savedIndex(40); err == nil {
			t.Errorf("with bit %d flipped it is still an index", bit)
		}
	}
	write(t, path, string(whole))
	if _, head, err := l.savedIndex(40); err != nil || head.Seq != 40 {
		t.Errorf("the whole one is of record %d: %v", head.Seq, err)
	}
}

// TestHistoryWaitsForTheIndex: an account's history is not half of it, and a caller may
// go away before it is there.
func TestHistoryWaitsForTheIndex(t *testing.T) {
	dir, _ := newLog(t, 50)
	l := mustOpen(t, dir, nil)
	whole := l.index
	l.index = newIndex()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range l.History(ctx, events.Query{Account: "a3"}) {
		if err == nil {
			t.Error("a history was read from an index that is not whole")
		}
	}
	n := 0
	for range l.History(ctx, events.Query{}) { // a context that ended ends this, too
		n++
	}
	if n != 1 {
		t.Errorf("the records of all accounts are yielded %d times", n)
	}
	l.index.complete(whole, 50)
	sameHistory(t, l)
}
