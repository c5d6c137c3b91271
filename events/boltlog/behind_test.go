package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// TestDamageAroundACheckpoint: what comes after the checkpoint is checked at start,
// what comes before it whenever it is read.
func TestDamageAroundACheckpoint(t *testing.T) {
	for seq, refused := range map[events.Seq]bool{100: false, 299: false, 300: true, 301: true, 400: true} {
		t.Run(fmt.Sprint(seq), func(t *testing.T) {
			dir, _ := newCheckpointed(t, 400, 300)
			l := mustOpen(t, dir, nil)
			damage(t, l, seq)
			l.Close()
			o := new(fold).options()
			o.ReadOnly = true
			l, err := Open(dir, o)
			if chain, ok := errors.AsType[*events.ChainError](err); refused && (!ok || chain.Seq != seq) {
				t.Fatalf("got the error %v, want one about record %d", err, seq)
			}
			if refused {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if _, err := l.Verify(t.Context(), nil); !isChain(err, seq) {
				t.Errorf("Verify: %v, want an error about record %d", err, seq)
			}
			for r, err := range l.Records(t.Context(), 0) {
				if err != nil && !isChain(err, seq) || err == nil && r.Seq >= seq {
					t.Fatalf("record %d, %v; want an error about record %d", r.Seq, err, seq)
				}
			}
		})
	}
}

func isChain(err error, seq events.Seq) bool {
	chain, ok := errors.AsType[*events.ChainError](err)
	return ok && chain.Seq == seq
}

// TestRolledBackBehindACheckpoint: the head file lies before the checkpoint, or after
// it, or names another record.
func TestRolledBackBehindACheckpoint(t *testing.T) {
	dir, _ := newCheckpointed(t, 60, 50)
	l := mustOpen(t, dir, nil)
	_, before := foldAll(t, l, 20)
	head := *l.head.Load()
	l.Close()
	for _, h := range []events.Head{before, head} {
		write(t, filepath.Join(dir, nameHead), string(formatHead(h)))
		if l, err := Open(dir, new(fold).options()); err != nil {
			t.Errorf("with head at %d: %v", h.Seq, err)
		} else {
			l.Close()
		}
		h.Hash[3] ^= 1
		write(t, filepath.Join(dir, nameHead), string(formatHead(h)))
		l, err := Open(dir, new(fold).options())
		if _, ok := errors.AsType[*RollbackError](err); !ok {
			t.Errorf("with another head at %d: %v", h.Seq, err)
			l.Close()
		}
	}
}

// TestFlippedBitsBehindACheckpoint flips random bits of the pages in use and opens the
// log from a checkpoint. Whatever is damaged, nothing but what was written is answered.
func TestFlippedBitsBehindACheckpoint(t *testing.T) {
	source, _ := newCheckpointed(t, 400, 390)
	whole := usedPart(t, source)
	whereabouts := newKiller(t).rand
	refusals, errs := 0, 0
	for range *flips {
		bit := whereabouts.IntN(8 * len(whole))
		if whereabouts.IntN(4) == 0 { // more often where the structure is
			bit = 8*os.Getpagesize()*whereabouts.IntN(len(whole)/os.Getpagesize()) + whereabouts.IntN(8*128)
		}
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		write(t, filepath.Join(source, nameLog), string(b))
		l, err := Open(source, &Options{ReadOnly: true, Restore: new(fold).restore})
		if err != nil {
			refusals++
			continue
		}
		at := events.Seq(0)
		for r, err := range l.Records(t.Context(), 0) {
			if err != nil {
				errs++
				break
			}
			if at++; r.Seq != at {
				t.Fatalf("with bit %d flipped record %d comes after %d", bit, r.Seq, at-1)
			}
		}
		// Verify may find more: it looks every record up.
		if _, err := l.Verify(t.Context(), nil); err == nil && at < 400 {
			t.Errorf("with bit %d flipped %d records are read and Verify says %v", bit, at, err)
		}
		l.Close()
	}
	t.Logf("%d flips: %d refused, %d met when reading", *flips, refusals, errs)
	if refusals == 0 || errs == 0 {
		t.Error("no flip hit what it should")
	}
}

// TestTruncatedBehindACheckpoint cuts the file at every page: one that is empty is not
// made anew either, and the checkpoint stays.
func TestTruncatedBehindACheckpoint(t *testing.T) {
	dir, want := newCheckpointed(t, 300, 290)
	path := filepath.Join(dir, nameLog)
	whole := usedPart(t, dir)
	for _, size := range cutsOf(len(whole)) {
		write(t, path, string(whole[:size]))
		l, err := Open(dir, new(fold).options())
		if damage, ok := errors.AsType[*DamageError](err); !ok || damage.Path != path || damage.Held != 300 {
			t.Errorf("%d bytes: got the error %v, want a *DamageError about record 300", size, err)
			l.Close()
		}
		if got := readFile(t, path); !bytes.Equal(got, whole[:size]) {
			t.Fatalf("%d bytes became %d", size, len(got))
		}
	}
	write(t, path, string(whole))
	opensLike(t, dir, want, 290)
}

// TestCloseWhileTheIndexFills ends a log whose index is being worked out.
func TestCloseWhileTheIndexFills(t *testing.T) {
	dir, _ := newCheckpointed(t, 3000, 2990)
	for range 10 {
		if err := os.Remove(filepath.Join(dir, nameIndex)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		l, err := Open(dir, new(fold).options())
		if err != nil {
			t.Fatal(err)
		}
		recs, err := events.Seal(*l.head.Load(), time.Now(), lifts(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), recs); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(dir, new(fold).options())
	if err != nil {
		t.Fatal(err)
	}
	sameHistory(t, l)
	l.Close()
}

// settled returns the pages of the trees in a file that appends must not touch: all but
// the last of each level, which are written anew elsewhere. It returns the meta page, too.
func settled(t *testing.T, whole []byte) (ids []uint64, m meta) {
	t.Helper()
	var err error
	if m, err = newestMeta(bytes.NewReader(whole), int64(len(whole))); err != nil {
		t.Fatal(err)
	}
	pages, err := readPages(bytes.NewReader(whole), m)
	if err != nil {
		t.Fatal(err)
	}
	level, err := pages.buckets()
	if err != nil {
		t.Fatal(err)
	}
	for len(level) > 0 {
		var next []uint64
		for _, id := range level {
			for _, b := range pages.children[id] {
				next = append(next, b.page)
			}
		}
		if len(next) > 0 {
			ids = append(ids, next[:len(next)-1]...)
		}
		level = next
	}
	return ids, m
}

// TestAppendsBehindACheckpointWriteOverNothing flips bits where the structure of the
// file is and appends: whatever was damaged, pages that hold records stay as they were.
func TestAppendsBehindACheckpointWriteOverNothing(t *testing.T) {
	source, _ := newCheckpointed(t, 400, 390)
	whole := usedPart(t, source)
	noted := readFile(t, filepath.Join(source, nameHead))
	kept, m := settled(t, whole)
	size := os.Getpagesize()
	whereabouts := newKiller(t).rand
	appended := 0
	for range max(1, *flips/5) {
		bit := 8*size*whereabouts.IntN(len(whole)/size) + whereabouts.IntN(8*256)
		if whereabouts.IntN(3) == 0 { // the count and the first ids of the freelist
			bit = 8*size*int(m.freelist) + 8*10 + whereabouts.IntN(8*80)
		}
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		write(t, filepath.Join(source, nameLog), string(b))
		write(t, filepath.Join(source, nameHead), string(noted))
		l, err := Open(source, new(fold).options())
		if err != nil {
			continue
		}
		recs, err := events.Seal(*l.head.Load(), time.Now(), lifts(30))
		if err != nil {
			t.Fatal(err)
		}
		if l.Append(t.Context(), recs) == nil {
			appended++
		}
		l.Close()
		after := readFile(t, filepath.Join(source, nameLog))
		for _, id := range kept {
			if from := int(id) * size; !bytes.Equal(after[from:from+size], b[from:from+size]) {
				t.Errorf("with bit %d flipped an append wrote over page %d", bit, id)
			}
		}
	}
	t.Logf("%d appends, %d pages to be kept", appended, len(kept))
	if appended == 0 || len(kept) < 5 {
		t.Error("nothing was appended, or there was nothing to lose")
	}
}

// TestPagesThatNothingKnows: a freelist that counts a page less is noticed, also behind a
// checkpoint, among records that go on over many pages: else that page would be lost, and
// a later start that looks at all pages refused.
func TestPagesThatNothingKnows(t *testing.T) {
	dir, _ := newCheckpointed(t, 60, 50)
	for i := range 12 {
		l := mustOpen(t, dir, nil)
		large := lifts(1)
		large[0].Event = &events.GroupsDefined{Configured: make([]byte, 7<<10*(i%4))}
		recs, err := events.Seal(*l.head.Load(), time.Now(), append(lifts(i), large...))
		if err == nil {
			err = l.Append(t.Context(), recs)
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		for _, o := range []*Options{{ReadOnly: true}, {ReadOnly: true, Restore: new(fold).restore}} {
			mustOpen(t, dir, o).Close()
		}
	}
	whole := usedPart(t, dir)
	m, err := newestMeta(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	count := whole[int64(m.freelist)*m.pageSize+10:]
	for less := range binary.NativeEndian.Uint16(count) {
		binary.NativeEndian.PutUint16(count, less)
		write(t, filepath.Join(dir, nameLog), string(whole))
		for _, o := range []*Options{{ReadOnly: true}, {ReadOnly: true, Restore: new(fold).restore}} {
			l, err := Open(dir, o)
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "nothing knows page") {
				t.Errorf("with %d free pages: got the error %v", less, err)
			}
		}
	}
}
