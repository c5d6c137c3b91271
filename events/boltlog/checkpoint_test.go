package boltlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// fold is what the tests work out from records: how many there were, and the hashes of
// all of them.
type fold struct {
	n       int
	sum     events.Hash
	offered []events.Seq // checkpoints
	read    []events.Seq // records
}

func (f *fold) replay(r events.Record) error {
	f.read = append(f.read, r.Seq)
	f.n++
	f.sum = events.ChainHash(f.sum, r.Hash[:])
	return nil
}

func (f *fold) payload() []byte { return fmt.Appendf(nil, "%d %s", f.n, f.sum) }

func (f *fold) restore(head events.Head, payload []byte) error {
	f.offered = append(f.offered, head.Seq)
	var n int
	var sum string
	if _, err := fmt.Sscan(string(payload), &n, &sum); err != nil {
		return err
	}
	f.n = n
	return f.sum.UnmarshalText([]byte(sum))
}

// options are those of a log that f folds.
func (f *fold) options() *Options { return &Options{Restore: f.restore, Replay: f.replay} }

// foldAll folds a whole log up to a seq.
func foldAll(t testing.TB, l *Log, to events.Seq) (*fold, events.Head) {
	t.Helper()
	f, head := new(fold), l.base
	for r, err := range l.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Seq > to {
			break
		}
		head = head.Next(r)
		if err := f.replay(r); err != nil {
			t.Fatal(err)
		}
	}
	return f, head
}

// checkpoint writes a checkpoint of the fold at each of the seqs.
func checkpoint(t testing.TB, l *Log, seqs ...events.Seq) {
	t.Helper()
	for _, s := range seqs {
		f, head := foldAll(t, l, s)
		if err := l.WriteCheckpoint(t.Context(), head, f.payload()); err != nil {
			t.Fatal(err)
		}
	}
}

// newCheckpointed makes a log of n records with checkpoints and closes it.
func newCheckpointed(t testing.TB, n int, seqs ...events.Seq) (dir string, want *fold) {
	t.Helper()
	dir = t.TempDir()
	l := mustOpen(t, dir, nil)
	head := fill(t, l, n)
	checkpoint(t, l, seqs...)
	want, _ = foldAll(t, l, head.Seq)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// opensLike opens a log, which must fold like want after reading the records after
// from, and have the whole history of an account.
func opensLike(t testing.TB, dir string, want *fold, from events.Seq) *Log {
	t.Helper()
	got := new(fold)
	l := mustOpen(t, dir, got.options())
	if got.n != want.n || got.sum != want.sum {
		t.Errorf("the fold has %d records and the hash %s, want %d and %s", got.n, got.sum, want.n, want.sum)
	}
	if head := l.head.Load().Seq; len(got.read) != int(head-from) || len(got.read) > 0 && got.read[0] != from+1 {
		t.Errorf("%d records were read, want those after %d of %d; offered: %v", len(got.read), from, head, got.offered)
	}
	sameHistory(t, l)
	return l
}

// sameHistory compares the history of an account with what a filter over all records
// gives.
func sameHistory(t testing.TB, l *Log) {
	t.Helper()
	var want, got []events.Seq
	for r, err := range l.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Account == "a3" {
			want = append(want, r.Seq)
		}
	}
	for r, err := range l.History(t.Context(), events.Query{Account: "a3"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the history has %d records, want %d: %v, want %v", len(got), len(want), got, want)
	}
}

func TestRule33OpensFromACheckpoint(t *testing.T) {
	dir, want := newCheckpointed(t, 500, 300, 450)
	l := opensLike(t, dir, want, 450)
	var heads []events.Seq
	for head, err := range l.Checkpoints() {
		if err != nil {
			t.Fatal(err)
		}
		payload, err := l.ReadCheckpoint(head)
		f, whole := foldAll(t, l, head.Seq)
		if err != nil || !bytes.Equal(payload, f.payload()) || head != whole {
			t.Errorf("the checkpoint at %d has %q (%v), want %q", head.Seq, payload, err, f.payload())
		}
		heads = append(heads, head.Seq)
	}
	if want := []events.Seq{450, 300}; !slices.Equal(heads, want) {
		t.Errorf("there are the checkpoints %v, want %v", heads, want)
	}
	fill(t, l, 50) // and the log goes on
	sameHistory(t, l)
	grown, _ := foldAll(t, l, 550)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	opensLike(t, dir, grown, 450)
	if all := names(t, filepath.Join(dir, dirCheckpoints)); len(all) != 2 {
		t.Errorf("there are the files %v, want two", all)
	}
}

// TestRule33ACheckpointAtTheEnd reads no record at all.
func TestRule33ACheckpointAtTheEnd(t *testing.T) {
	dir, want := newCheckpointed(t, 100, 100)
	opensLike(t, dir, want, 100)
}

func TestTheNextCheckpointIsTried(t *testing.T) {
	dir, want := newCheckpointed(t, 500, 300, 450)
	got := new(fold)
	o := got.options()
	o.Restore = func(head events.Head, payload []byte) error {
		if head.Seq == 450 {
			return errors.New("of another version")
		}
		return got.restore(head, payload)
	}
	l := mustOpen(t, dir, o)
	if got.n != want.n || got.sum != want.sum || len(got.read) != 200 {
		t.Errorf("folded %d records and read %d, want %d and 200", got.n, len(got.read), want.n)
	}
	// One that the caller has no use for is not damaged: it stays.
	if _, err := os.Stat(filepath.Join(dir, checkpointName(450))); err != nil {
		t.Error(err)
	}
	sameHistory(t, l)
}

// TestDamagedCheckpoint flips every bit of a checkpoint, and cuts it at every byte:
// none of them is taken for one.
func TestDamagedCheckpoint(t *testing.T) {
	dir, want := newCheckpointed(t, 60, 30, 50)
	l := opensLike(t, dir, want, 50)
	path := filepath.Join(dir, checkpointName(50))
	whole := readFile(t, path)
	unused := func(what string, text []byte) {
		write(t, path, string(text))
		if _, _, err := l.readCheckpoint(50, 60); err == nil {
			t.Errorf("with %s it is still a checkpoint", what)
		}
	}
	for bit := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		unused(fmt.Sprintf("bit %d flipped", bit), b)
	}
	for n := range whole {
		unused(fmt.Sprintf("%d bytes", n), whole[:n])
	}
	unused("a byte more", append(bytes.Clone(whole), 'x'))
	write(t, path, string(whole))
	if _, _, err := l.readCheckpoint(50, 60); err != nil { // the negative control
		t.Errorf("the whole one: %v", err)
	}
}

// TestUselessCheckpoints puts files in the place of the newest checkpoint. The older
// one serves, and what can never serve is deleted.
func TestUselessCheckpoints(t *testing.T) {
	dir, want := newCheckpointed(t, 60, 30, 50)
	own := string(readFile(t, filepath.Join(dir, checkpointName(50))))
	older := string(readFile(t, filepath.Join(dir, checkpointName(30))))
	other, _ := newCheckpointed(t, 60, 50)
	foreign := string(readFile(t, filepath.Join(other, checkpointName(50))))
	flipped := []byte(own)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		text string
		at   events.Seq
		kept bool
	}{
		"empty":               {"", 50, false},
		"half":                {own[:len(own)/2], 50, false},
		"flipped":             {string(flipped), 50, false},
		"of another log":      {foreign, 50, false},
		"under a wrong name":  {older, 50, false},
		"newer than the log":  {strings.Replace(own, "seq 50", "seq 70", 1), 70, false},
		"of a newer version":  {strings.Replace(own, "checkpoint 1", "checkpoint 2", 1), 50, true},
		"of a rewritten past": {strings.Replace(own, "hash ", "hash 00", 1)[:len(own)], 50, false},
	} {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			chmod(t, copied)
			if err := os.Remove(filepath.Join(copied, checkpointName(50))); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(copied, checkpointName(c.at))
			write(t, path, c.text)
			l := opensLike(t, copied, want, 30)
			if _, err := os.Stat(path); (err == nil) != c.kept {
				t.Errorf("the file: %v; want it kept: %v", err, c.kept)
			}
			l.Close()
		})
	}
	opensLike(t, dir, want, 50) // the negative control
}

// chmod makes a copied data directory private again.
func chmod(t *testing.T, dir string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if d.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyLeavesUselessCheckpoints(t *testing.T) {
	dir, want := newCheckpointed(t, 60, 30, 50)
	path := filepath.Join(dir, checkpointName(50))
	write(t, path, "x")
	got := new(fold)
	o := got.options()
	o.ReadOnly = true
	l := mustOpen(t, dir, o)
	if got.n != want.n || len(got.read) != 30 {
		t.Errorf("folded %d records and read %d, want 60 and 30", got.n, len(got.read))
	}
	if string(readFile(t, path)) != "x" {
		t.Error("a reader changed the file")
	}
	if err := l.WriteCheckpoint(t.Context(), *l.head.Load(), nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("writing a checkpoint of a log open for reading: %v", err)
	}
}

func TestWriteCheckpointRefuses(t *testing.T) {
	l := mustOpen(t, t.TempDir(), nil)
	head := fill(t, l, 10)
	another, later, foreign := head, head, head
	another.Hash[0] ^= 1
	later.Seq = 11
	foreign.Log = "another"
	for _, h := range []events.Head{another, later, foreign} {
		if err := l.WriteCheckpoint(t.Context(), h, nil); err == nil {
			t.Errorf("a checkpoint at %+v was written", h)
		}
	}
	if err := l.WriteCheckpoint(t.Context(), head, nil); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.WriteCheckpoint(t.Context(), head, nil); !errors.Is(err, events.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	for _, err := range l.Checkpoints() {
		if !errors.Is(err, events.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestPrunable(t *testing.T) {
	for _, c := range []struct{ seqs, needless []events.Seq }{
		{nil, nil},
		{[]events.Seq{10}, nil},
		{[]events.Seq{20, 10}, nil},
		{[]events.Seq{30, 20, 10}, []events.Seq{10}},
		{[]events.Seq{90_000, 50_000, 40_000, 30_000}, nil},
		{[]events.Seq{90_000, 50_000, 45_000, 41_000, 9_999}, []events.Seq{45_000, 9_999}},
		{[]events.Seq{1_420_000, 1_410_000, 1_405_000, 430_000, 425_000, 420_001}, []events.Seq{425_000}},
		{[]events.Seq{1_420_000, 1_410_000, 1_405_000, 320_000, 301_000, 100_000, 99_999}, []events.Seq{320_000, 99_999}},
		{[]events.Seq{1_199_000, 1_150_000, 120_000, 110_000}, []events.Seq{120_000}},
	} {
		if got := prunable(c.seqs); !slices.Equal(got, c.needless) {
			t.Errorf("of %v the checkpoints %v are needless, want %v", c.seqs, got, c.needless)
		}
	}
}

// TestPrunesWhatACrashLeft: half a file under a temporary name is gone after the next
// checkpoint, and names that are none of ours stay.
func TestPrunesWhatACrashLeft(t *testing.T) {
	dir, _ := newCheckpointed(t, 40, 10)
	half := filepath.Join(dir, checkpointName(20)+suffix)
	own := filepath.Join(dir, dirCheckpoints, "notes.txt")
	write(t, half, "half")
	write(t, own, "mine")
	l := mustOpen(t, dir, nil)
	checkpoint(t, l, 20, 30, 40)
	want := []string{filepath.Base(checkpointName(30)), filepath.Base(checkpointName(40)), "notes.txt"}
	if got := names(t, filepath.Join(dir, dirCheckpoints)); !slices.Equal(got, want) {
		t.Errorf("there are the files %v, want %v", got, want)
	}
}
