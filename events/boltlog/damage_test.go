package boltlog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

var flips = flag.Int("flips", 150, "rounds of TestFlippedBits")

// editDB changes log.db with bbolt itself, so that the file stays sound for it.
func editDB(t *testing.T, dir string, edit func(meta, records *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, nameLog), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error {
		return edit(tx.Bucket([]byte(bucketMeta)), tx.Bucket([]byte(bucketRecords)))
	}); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// usedPart returns the bytes of log.db that its newest meta page claims.
func usedPart(t *testing.T, dir string) []byte {
	t.Helper()
	b := readFile(t, filepath.Join(dir, nameLog))
	m, err := newestMeta(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return b[:int64(m.pages)*m.pageSize]
}

func TestRefusesAFileThatIsNoLog(t *testing.T) {
	for name, c := range map[string]struct{ text, problem string }{
		"empty":   {"", "is empty"},
		"a byte":  {"x", "is cut short: 1 bytes"},
		"short":   {strings.Repeat("x", 4095), "is cut short"},
		"foreign": {strings.Repeat("SQLite format 3\x00", 4096), "is no log"},
		"zeros":   {strings.Repeat("\x00", 1<<16), "is no log"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := newLog(t, 5)
			path := filepath.Join(dir, nameLog)
			write(t, path, c.text)
			damage := refused[*DamageError](t, dir, path, c.problem, "restore a backup", "nothing was changed")
			if damage.Path != path {
				t.Errorf("the error is about %s, want %s", damage.Path, path)
			}
		})
	}
}

func TestRefusesWhatIsNotAFile(t *testing.T) {
	dir, _ := newLog(t, 1)
	path := filepath.Join(dir, nameLog)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	refused[error](t, dir, nameLog)
}

// TestRefusesATruncatedFile cuts the file at every page, and beside it: without
// the check of its shape bbolt would open it and die of SIGBUS, or make it anew. With a
// head file the error says what the log held; without one it is refused all the same.
func TestRefusesATruncatedFile(t *testing.T) {
	source, _ := newLog(t, 300)
	whole := usedPart(t, source)
	if cuts := cutsOf(len(whole)); len(cuts) < 60 {
		t.Fatalf("the file is cut at %v only", cuts)
	}
	for _, words := range [][]string{{"nothing was changed", "head says that the log held record 300"}, {"nothing was changed"}} {
		dir := t.TempDir()
		path := filepath.Join(dir, nameLog)
		if len(words) > 1 {
			write(t, filepath.Join(dir, nameHead), string(readFile(t, filepath.Join(source, nameHead))))
		}
		for _, size := range cutsOf(len(whole)) {
			write(t, path, string(whole[:size]))
			if damage := refused[*DamageError](t, dir, append(words, path)...); damage.Path != path || (damage.Held == 300) != (len(words) > 1) {
				t.Errorf("%d bytes: the error is about %s, which held record %d", size, damage.Path, damage.Held)
			}
			if l, err := Open(dir, &Options{AcceptLoss: true}); err == nil { // no loss that could be told
				l.Close()
				t.Errorf("%d bytes are opened if a loss is accepted", size)
			}
		}
		write(t, path, string(whole))
		if n := count(t, mustOpen(t, dir, nil)); n != 300 {
			t.Errorf("read %d records of the whole file, want 300", n)
		}
	}
}

// TestTornMetaPage damages either meta page: bbolt writes one of the two in turn,
// so one torn page is what a crash may leave, and the other serves.
func TestTornMetaPage(t *testing.T) {
	source, _ := newLog(t, 20)
	whole := usedPart(t, source)
	page := os.Getpagesize()
	for torn := range 2 {
		dir := t.TempDir()
		b := bytes.Clone(whole)
		b[torn*page+20] ^= 1
		write(t, filepath.Join(dir, nameLog), string(b))
		mustOpen(t, dir, nil)
	}
	dir := t.TempDir()
	b := bytes.Clone(whole)
	b[20] ^= 1
	b[page+20] ^= 1
	write(t, filepath.Join(dir, nameLog), string(b))
	refused[*DamageError](t, dir, "neither of its first pages")
}

func TestRefusesAnotherFormat(t *testing.T) {
	edits := map[string]struct {
		edit  func(meta, records *bbolt.Bucket) error
		newer bool
	}{
		"newer": {func(m, _ *bbolt.Bucket) error { return m.Put([]byte(keyFormat), []byte("2")) }, true},
		"none":  {func(m, _ *bbolt.Bucket) error { return m.Delete([]byte(keyFormat)) }, false},
		"no id": {func(m, _ *bbolt.Bucket) error { return m.Delete([]byte(keyLog)) }, false},
		"an id that the chain does not begin with": {func(m, _ *bbolt.Bucket) error {
			return m.Put([]byte(keyLog), []byte("another"))
		}, false},
		"first seq 0":   {func(m, _ *bbolt.Bucket) error { return m.Put([]byte(keyFirstSeq), make([]byte, 8)) }, false},
		"no bucket":     {func(m, _ *bbolt.Bucket) error { return m.Tx().DeleteBucket([]byte(bucketRecords)) }, false},
		"a foreign key": {func(_, r *bbolt.Bucket) error { return r.Put([]byte("\xff key"), []byte("value")) }, false},
	}
	for name, c := range edits {
		t.Run(name, func(t *testing.T) {
			dir, _ := newLog(t, 3)
			editDB(t, dir, c.edit)
			if c.newer {
				refused[*events.FormatError](t, dir, nameLog, "newer")
			} else {
				refused[*DamageError](t, dir, nameLog)
			}
		})
	}
}

// TestBrokenChainNamesTheRecord damages single records so that bbolt sees nothing.
func TestBrokenChainNamesTheRecord(t *testing.T) {
	value := func(change func(v []byte) []byte) func(seq events.Seq, r *bbolt.Bucket) error {
		return func(seq events.Seq, r *bbolt.Bucket) error {
			return r.Put(seqKey(seq), change(bytes.Clone(r.Get(seqKey(seq)))))
		}
	}
	damages := map[string]func(seq events.Seq, r *bbolt.Bucket) error{
		"a bit of the bytes": value(func(v []byte) []byte { v[20] ^= 1; return v }),
		"a bit of the hash":  value(func(v []byte) []byte { v[len(v)-1] ^= 1; return v }),
		"a byte less":        value(func(v []byte) []byte { return v[1:] }),
		"a byte more":        value(func(v []byte) []byte { return append(v, 0) }),
		"no bytes":           value(func([]byte) []byte { return []byte{} }),
		"only a hash":        value(func(v []byte) []byte { return v[len(v)-32:] }),
		"no record":          func(seq events.Seq, r *bbolt.Bucket) error { return r.Delete(seqKey(seq)) },
		"the next record": func(seq events.Seq, r *bbolt.Bucket) error {
			return r.Put(seqKey(seq), bytes.Clone(r.Get(seqKey(seq+1))))
		},
	}
	source, _ := newLog(t, 1200)
	whole := string(usedPart(t, source))
	for name, damage := range damages {
		for _, seq := range []events.Seq{1, 2, 700, 1199} {
			t.Run(fmt.Sprintf("%s at %d", name, seq), func(t *testing.T) {
				dir := t.TempDir()
				write(t, filepath.Join(dir, nameLog), whole)
				editDB(t, dir, func(_, r *bbolt.Bucket) error { return damage(seq, r) })
				refused[*DamageError](t, dir, nameLog, fmt.Sprintf("record %d ", seq))
				if chain := refused[*events.ChainError](t, dir); chain.Seq != seq {
					t.Errorf("the error names record %d, want %d", chain.Seq, seq)
				}
			})
		}
	}
}

// damage flips a bit of a record of an open log under its feet.
func damage(t *testing.T, l *Log, seq events.Seq) {
	t.Helper()
	if err := l.bolt.db.Update(func(tx *bbolt.Tx) error {
		r := tx.Bucket([]byte(bucketRecords))
		v := bytes.Clone(r.Get(seqKey(seq)))
		v[25] ^= 1
		return r.Put(seqKey(seq), v)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDamageWhileOpen damages a record of an open log under its feet: reading and
// verifying notice, and serve what comes before.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	head := fill(t, l, 50)
	if got, err := l.Verify(t.Context(), nil); err != nil || got != head {
		t.Fatalf("Verify of a sound log: %+v (%v), want %+v", got, err, head)
	}
	damage(t, l, 30)
	want := func(what string, err error) {
		t.Helper()
		if chain, ok := errors.AsType[*events.ChainError](err); !ok || chain.Seq != 30 {
			t.Errorf("%s: got the error %v, want one about record 30", what, err)
		}
	}
	_, err := l.Verify(t.Context(), nil)
	want("Verify", err)
	n := 0
	for r, err := range l.Records(t.Context(), 0) {
		if err != nil {
			want("Records", err)
			break
		}
		n++
		if r.Seq >= 30 {
			t.Errorf("record %d was served", r.Seq)
		}
	}
	if n != 29 {
		t.Errorf("%d records were served before the damage, want 29", n)
	}
	for _, err := range l.History(t.Context(), events.Query{Account: "a9", Newest: true, Before: 31}) { // record 30
		want("History", err)
		break
	}
}

func TestShorterThanItsHead(t *testing.T) {
	dir, old := newLog(t, 10)
	path := filepath.Join(dir, nameLog)
	copied := usedPart(t, dir)
	l := mustOpen(t, dir, nil)
	newest := fill(t, l, 5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(copied)) // taken back to an older copy
	back := refused[*RollbackError](t, dir, path, "ends at record 10", "held record 15", "nothing was changed")
	if back.Log.Seq != old.Seq || back.Head.Seq != newest.Seq || back.Head.Hash != newest.Hash {
		t.Errorf("the error has the records %d and %d, want %d and %d", back.Log.Seq, back.Head.Seq, old.Seq, newest.Seq)
	}
	if err := os.Remove(filepath.Join(dir, nameHead)); err != nil { // as the message offers
		t.Fatal(err)
	}
	mustOpen(t, dir, nil)
}

func TestSwappedLog(t *testing.T) {
	dir, _ := newLog(t, 10)
	other, head := newLog(t, 20)
	write(t, filepath.Join(dir, nameLog), string(usedPart(t, other)))
	back := refused[*RollbackError](t, dir, nameLog, head.Log, "record 20", "record 10")
	if back.Log.Log != head.Log || back.Head.Log == head.Log {
		t.Errorf("the error has the logs %s and %s", back.Log.Log, back.Head.Log)
	}
}

// TestRewrittenLog gives a log another history of the same length: its chain is
// sound, and only the head file knows better.
func TestRewrittenLog(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, nil)
	l.Close()
	empty := usedPart(t, dir)
	heads := make([]events.Head, 2)
	for i := range heads {
		write(t, filepath.Join(dir, nameLog), string(empty))
		if err := os.Remove(filepath.Join(dir, nameHead)); err != nil {
			t.Fatal(err)
		}
		l := mustOpen(t, dir, nil)
		fill(t, l, 4+i)
		recs, err := events.Seal(*l.head.Load(), l.head.Load().At, lifts(3-i))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), recs); err != nil {
			t.Fatal(err)
		}
		heads[i] = *l.head.Load()
		l.Close()
	}
	write(t, filepath.Join(dir, nameHead), string(formatHead(heads[0])))
	back := refused[*RollbackError](t, dir, "another record 7", heads[0].Hash.String(), heads[1].Hash.String())
	if back.Log.Hash != heads[1].Hash || back.Head.Hash != heads[0].Hash {
		t.Errorf("the error has the hashes %s and %s", back.Log.Hash, back.Head.Hash)
	}
}

// TestAnotherBeginning claims that the log begins later than it does.
func TestAnotherBeginning(t *testing.T) {
	later := func(m, _ *bbolt.Bucket) error { return m.Put([]byte(keyFirstSeq), seqKey(5)) }
	dir, _ := newLog(t, 3)
	editDB(t, dir, later)
	refused[*DamageError](t, dir, "record 5 is missing")
	dir, _ = newLog(t, 0)
	editDB(t, dir, later)
	refused[*RollbackError](t, dir, "begins after record 4", "held record 0")
}

func TestLogGoneHeadLeft(t *testing.T) {
	dir, _ := newLog(t, 1)
	if err := os.Remove(filepath.Join(dir, nameLog)); err != nil {
		t.Fatal(err)
	}
	refused[*DamageError](t, dir, filepath.Join(dir, nameLog), "is missing")
	if _, err := os.Stat(filepath.Join(dir, nameLog)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a log was made in place of the missing one")
	}
}

// TestFlippedBits flips random bits of the pages in use. Whatever is damaged, the
// log either is refused or answers as if nothing had happened.
func TestFlippedBits(t *testing.T) {
	source, head := newLog(t, 400)
	whole := usedPart(t, source)
	dir := t.TempDir()
	noted := string(readFile(t, filepath.Join(source, nameHead)))
	n := newKiller(t).rand
	unnoticed := 0
	for range *flips {
		bit := n.IntN(8 * len(whole))
		if n.IntN(4) == 0 { // more often where the structure is
			bit = 8*os.Getpagesize()*n.IntN(len(whole)/os.Getpagesize()) + n.IntN(8*128)
		}
		flipped := bytes.Clone(whole)
		flipped[bit/8] ^= 1 << (bit % 8)
		write(t, filepath.Join(dir, nameLog), string(flipped))
		write(t, filepath.Join(dir, nameHead), noted)
		l, err := Open(dir, &Options{ReadOnly: n.IntN(8) > 0}) // a writer syncs, which takes long
		if locked, ok := errors.AsType[*LockedError](err); ok {
			t.Fatalf("before bit %d was flipped a refusal left the file locked: %v", bit, locked)
		}
		if err != nil {
			continue
		}
		unnoticed++
		if got := *l.head.Load(); got.Hash != head.Hash || count(t, l) != 400 {
			t.Errorf("with bit %d flipped the log ends at %+v, want %+v or a refusal", bit, got, head)
		}
		l.Close()
	}
	t.Logf("%d of %d flips hit nothing in use", unnoticed, *flips)
}
