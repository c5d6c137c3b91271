package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

// The long form takes half an hour, best on a file system in memory:
//
//	TMPDIR=/dev/shm go test ./events/boltlog -run EveryBit -v -everybit -timeout 1h
//
// A flip that ends the process leaves its file behind in that directory.
var everyBit = flag.Bool("everybit", false, "flip every bit in TestEveryBit, not one in some hundreds")

// tally says what became of the flips of one file.
type tally struct {
	mu      sync.Mutex
	noticed map[string]int // what noticed -> flips
	unused  map[string]int // what the bit was a part of -> flips
}

func (y *tally) count(m map[string]int, key string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	m[key]++
}

// flipBits flips bits of a file of a copy one after the other, on all processors: every
// step-th from a random one on, or all of them. After each flip judge is called.
func (s *smallLog) flipBits(t *testing.T, name string, step int, judge func(dir string, bit int)) {
	t.Helper()
	if *everyBit {
		step = 1
	}
	size := 8 * len(readFile(t, filepath.Join(s.dir, name)))
	at := new(atomic.Int64)
	at.Store(int64(newKiller(t).rand.IntN(step)))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		dir := s.copied(t)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer f.Close()
			for {
				bit := int(at.Add(int64(step))) - step
				if bit >= size || t.Failed() {
					return
				}
				flip(t, f, bit)
				judge(dir, bit)
				flip(t, f, bit)
			}
		})
	}
	wg.Wait()
}

// flip flips a bit of a file.
func flip(t *testing.T, f *os.File, bit int) {
	var b [1]byte
	_, err := f.ReadAt(b[:], int64(bit/8))
	if err == nil {
		b[0] ^= 1 << (bit % 8)
		_, err = f.WriteAt(b[:], int64(bit/8))
	}
	if err != nil {
		t.Error(err)
	}
}

// checkOf names the check that an error about log.db comes from; "" for an error that
// does not name the file.
func checkOf(err error, path string) string {
	if !strings.Contains(err.Error(), path) {
		return ""
	}
	damage, _ := errors.AsType[*DamageError](err)
	chain, isChain := errors.AsType[*events.ChainError](err)
	_, isFault := errors.AsType[*faultError](err)
	_, isRollback := errors.AsType[*RollbackError](err)
	_, isFormat := errors.AsType[*events.FormatError](err)
	switch {
	case isRollback:
		return "the head file"
	case isFormat:
		return "the format's version"
	case damage == nil || damage.Path != path:
		return ""
	case isChain && strings.Contains(chain.Problem, "hash"):
		return "the hash chain"
	case isChain:
		return "the seqs"
	case isFault:
		return "bbolt's own, guarded"
	case strings.Contains(damage.Err.Error(), "has damaged pages"):
		return "the pages' trees"
	case strings.Contains(damage.Err.Error(), "cut short"), strings.Contains(damage.Err.Error(), "is no log"):
		return "the meta pages"
	}
	return "the meta bucket"
}

// TestEveryBit flips single bits of a log.db, opens it and reads all of it. Each flip
// is noticed, by an error that names the file and, for the bytes of a record, that
// record; or the bit is one that nothing depends on, and all answers are as before.
//
// Behind a checkpoint, where leaves are not checked at start, there is one case more: a
// position that leads out of the file, to where this process has the same log mapped once
// more. What is read there is what was written, or the chain tells.
func TestEveryBit(t *testing.T) {
	const behind = "behind a checkpoint"
	s := newSmallLog(t)
	u := useOf(t, s.log)
	for name, ask := range map[string]func(*testing.T, string) error{"whole": s.ask, behind: s.askBehind} {
		t.Run(name, func(t *testing.T) {
			y := &tally{noticed: map[string]int{}, unused: map[string]int{}}
			s.flipBits(t, nameLog, 397, func(dir string, bit int) {
				err := ask(t, dir)
				counts := u.used[bit/8]&(1<<(bit%8)) != 0
				where := fmt.Sprintf("bit %d, in %s of page %d", bit, u.parts[bit/8], bit/8/u.page)
				if err == nil && !counts {
					y.count(y.unused, u.parts[bit/8])
					return
				}
				if err == nil && name == behind && u.far(bit) {
					y.count(y.unused, "a far position")
					return
				}
				if err == nil || !counts {
					t.Errorf("%s: it counts: %v; noticed: %v", where, counts, err)
					return
				}
				check := checkOf(err, filepath.Join(dir, nameLog))
				if check == "" {
					t.Errorf("%s: the error does not name the file: %v", where, err)
				}
				if seq := u.seqs[bit/8]; seq > 0 && !isChain(err, seq) {
					t.Errorf("%s: got the error %v, want one about record %d", where, err, seq)
				}
				y.count(y.noticed, check)
			})
			y.report(t)
		})
	}
	t.Run("without the chain", func(t *testing.T) { s.withoutChain(t, u) })
}

func (y *tally) report(t *testing.T) {
	noticed, unused := 0, 0
	for _, n := range y.noticed {
		noticed += n
	}
	for _, n := range y.unused {
		unused += n
	}
	t.Logf("%d flips, %d noticed, %d of bits that nothing depends on", noticed+unused, noticed, unused)
	for _, m := range []map[string]int{y.noticed, y.unused} {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			t.Logf("%8d %s", m[key], key)
		}
	}
	if noticed == 0 || unused == 0 {
		t.Error("no flip hit what it should")
	}
}

// withoutChain is the negative control: what bbolt itself answers, with no check of ours,
// is other bytes for every flip of a record's.
func (s *smallLog) withoutChain(t *testing.T, u *usage) {
	var flips, served atomic.Int64
	s.flipBits(t, nameLog, 397, func(dir string, bit int) {
		seq := u.seqs[bit/8]
		if seq == 0 {
			return
		}
		flips.Add(1)
		db, err := bbolt.Open(filepath.Join(dir, nameLog), 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return
		}
		defer db.Close()
		want := append(bytes.Clone(s.recs[seq-1].Encoded()), s.recs[seq-1].Hash[:]...)
		db.View(func(tx *bbolt.Tx) error {
			if got := tx.Bucket([]byte(bucketRecords)).Get(seqKey(seq)); got != nil && !bytes.Equal(got, want) {
				served.Add(1)
			}
			return nil
		})
	})
	t.Logf("%d flips of records' bytes, %d of them served by bbolt without a word", flips.Load(), served.Load())
	if flips.Load() == 0 || served.Load() != flips.Load() {
		t.Error("bbolt noticed: the test above may be of its checks, not of ours")
	}
}

// TestElementsOutsideOfTheirPage moves elements out of their page and out of the file.
// bbolt would follow them, also into what else the process has mapped.
func TestElementsOutsideOfTheirPage(t *testing.T) {
	s := newSmallLog(t)
	u := useOf(t, s.log)
	dir := s.copied(t)
	moved := 0
	for at, part := range u.parts {
		if part != aPosition || u.parts[at-1] == aPosition {
			continue
		}
		for _, far := range []uint32{1 << 16, 1 << 30, 1 << 31} {
			b := bytes.Clone(s.log)
			binary.NativeEndian.PutUint32(b[at:], binary.NativeEndian.Uint32(b[at:])|far)
			write(t, filepath.Join(dir, nameLog), string(b))
			damage, ok := errors.AsType[*DamageError](s.ask(t, dir))
			_, isFault := errors.AsType[*faultError](damage)
			if moved++; !ok || isFault {
				t.Errorf("byte %d, %d further: got the error %v, want that of a check before bbolt's", at, far, damage)
			}
		}
	}
	if moved < 300 {
		t.Errorf("only %d elements were moved", moved)
	}
}

// TestEveryBitBeside flips the bits of what stands beside log.db. A damaged head file is
// refused, or takes the log for another one; the others change no answer, because they are
// not used, and Verify names them.
func TestEveryBitBeside(t *testing.T) {
	s := newSmallLog(t)
	for _, name := range []string{nameHead, nameIndex, checkpointName(smallCheckpoint), checkpointName(40)} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			if err := s.askBehind(t, s.dir); err != nil {
				t.Fatalf("before any flip: %v", err)
			}
			refused, named := new(atomic.Int64), new(atomic.Int64)
			s.flipBits(t, name, 17, func(dir string, bit int) {
				l, err := Open(dir, &Options{ReadOnly: true})
				if err == nil {
					l.Close()
				} else {
					refused.Add(1)
				}
				if (err != nil) != (name == nameHead) {
					t.Errorf("bit %d: opening says %v", bit, err)
				}
				err = s.askBehind(t, dir)
				_, another := errors.AsType[*changed](err)
				back, _ := errors.AsType[*RollbackError](err)
				if another || err == nil || name != nameHead && back != nil || back == nil && !strings.Contains(err.Error(), filepath.FromSlash(name)) {
					t.Errorf("bit %d: got the error %v, want one that names the file", bit, err)
				}
				named.Add(1)
			})
			t.Logf("%d flips, all noticed; %d of them refused at start", named.Load(), refused.Load())
		})
	}
}

// TestUnusedBits fills all that nothing depends on with garbage at once, and what follows
// the pages in the file, too: it is read and written as if nothing had happened.
func TestUnusedBits(t *testing.T) {
	s := newSmallLog(t)
	u := useOf(t, s.log)
	chance := newKiller(t).rand
	for name, garbage := range map[string]func() byte{
		"zeros": func() byte { return 0 }, "ones": func() byte { return 0xff }, "chance": func() byte { return byte(chance.Uint32()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := s.copied(t)
			b := bytes.Clone(s.log)
			for i, used := range u.used {
				b[i] = b[i]&used | garbage()&^used
			}
			for range 1 << 20 {
				b = append(b, garbage())
			}
			write(t, filepath.Join(dir, nameLog), string(b))
			if err := errors.Join(s.ask(t, dir), s.askBehind(t, dir)); err != nil {
				t.Fatal(err)
			}
			s.goesOn(t, dir, chance)
		})
	}
}
