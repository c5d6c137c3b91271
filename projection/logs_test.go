package projection

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/events/eventstest"
)

// logKind is an implementation of events.Log: what holds on one holds on the other.
type logKind struct {
	open func(dir string) (events.Log, error) // a new one
	// again closes a log and opens the same one.
	again func(dir string, log events.Log) (events.Log, error)
}

// logKinds are the log in memory and that on disk.
func logKinds() map[string]logKind {
	bolt := func(dir string) (events.Log, error) { return boltlog.Open(dir, nil) }
	return map[string]logKind{
		"memory": {
			open:  func(string) (events.Log, error) { return eventstest.New(), nil },
			again: func(_ string, log events.Log) (events.Log, error) { return log, nil },
		},
		"boltlog": {open: bolt, again: func(dir string, log events.Log) (events.Log, error) {
			if err := log.Close(); err != nil {
				return nil, err
			}
			return bolt(dir)
		}},
	}
}

// onEachLog runs a test on a new log of each kind. Again closes it and opens it anew.
func onEachLog(t *testing.T, test func(t *testing.T, log events.Log, again func() events.Log)) {
	for name, kind := range logKinds() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log, err := kind.open(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { log.Close() })
			test(t, log, func() events.Log {
				if log, err = kind.again(dir, log); err != nil {
					t.Fatal(err)
				}
				return log
			})
		})
	}
}

// scratch returns a new directory for one run of a property.
func scratch(t *rapid.T, parent string) string {
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// stream is a live state whose records go to a log on disk, some at a time, with
// checkpoints in between.
type stream struct {
	live
	log         *boltlog.Log
	stored      int
	checkpoints []int // the seqs
}

// store appends what is not stored yet, and may write a checkpoint of it.
func (x *stream) store(t *rapid.T, keep bool) {
	if err := x.log.Append(context.Background(), x.recs[x.stored:]); err != nil {
		t.Fatal(err)
	}
	x.stored = len(x.recs)
	if !keep || slices.Contains(x.checkpoints, x.stored) {
		return
	}
	if err := x.log.WriteCheckpoint(context.Background(), x.s.Head(), dumpOf(t, x.s.Snapshot())); err != nil {
		t.Fatal(err)
	}
	x.checkpoints = append(x.checkpoints, x.stored)
}

// TestRule33CheckpointAndTail: for any commands, stored in batches of any size with
// checkpoints at any seqs, what a start folds from the newest checkpoint, from the one
// before, from all records, and from a log in memory that got the same records, is the
// live state to the byte.
//
// The long form, on a file system in memory:
//
//	TMPDIR=/dev/shm go test ./projection -run Rule33 -rapid.checks 10000 -timeout 1h
func TestRule33CheckpointAndTail(t *testing.T) {
	parent := t.TempDir()
	restored := 0
	rapid.Check(t, func(t *rapid.T) {
		dir := scratch(t, parent)
		defer os.RemoveAll(dir)
		x := newStream(t, dir)
		d := &drawn{T: t, now: noon()}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			d.tick()
			if _, err := x.do(command(d.intent(x.s.Head().Seq)), d.now); err != nil {
				if _, ok := err.(*Error); !ok {
					t.Fatal(err)
				}
			}
			if pick(d, "store", false, false, false, false, true) {
				x.store(t, pick(d, "checkpoint", false, true))
			}
		}
		x.store(t, false)
		if err := x.log.Close(); err != nil {
			t.Fatal(err)
		}
		want := dumpOf(t, x.s)
		for skip := range 3 {
			s, from := folding(t, dir, skip)
			if !bytes.Equal(dumpOf(t, s), want) {
				t.Fatalf("the fold after the checkpoint at %d is not the live state", from)
			}
			if due := checkpointDue(x.checkpoints, skip); from != due {
				t.Fatalf("of the checkpoints %v, %d of them refused, that at %d was used, not %d", x.checkpoints, skip, from, due)
			}
			if from > 0 {
				restored++
			}
		}
		if !bytes.Equal(dumpOf(t, inMemory(t, x.s.Head().Log, x.recs)), want) {
			t.Fatal("the fold of a log in memory is not the live state")
		}
	})
	t.Logf("%d starts from a checkpoint", restored)
	if restored == 0 {
		t.Error("no start was from a checkpoint")
	}
}

// checkpointDue returns the checkpoint that a start uses if it has no use for the newest:
// two are kept.
func checkpointDue(seqs []int, skip int) events.Seq {
	if skip >= min(len(seqs), 2) {
		return 0
	}
	return events.Seq(seqs[len(seqs)-1-skip])
}

func newStream(t *rapid.T, dir string) *stream {
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	head, err := log.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	x := &stream{live: live{s: NewState()}, log: log}
	x.s.begin(head.Log)
	for _, do := range []Intent{
		&DefineGroups{}, &DefinePolicy{},
		&PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity"}}, &PutAccount{ID: "a2", Spec: events.AccountSpec{Provider: "antigravity"}},
	} {
		if _, err := x.do(command(do), noon()); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// folding opens the log as a daemon does, but with no use for the newest checkpoints, and
// returns the state and the seq of the checkpoint that it began with.
func folding(t *rapid.T, dir string, skip int) (s *State, from events.Seq) {
	s = NewState()
	log, err := boltlog.Open(dir, &boltlog.Options{
		ReadOnly: true,
		Restore: func(head events.Head, dump []byte) error {
			if skip--; skip >= 0 {
				return errors.New("not this one")
			}
			loaded, err := Load(dump)
			if err == nil {
				s, from = loaded, head.Seq
			}
			return err
		},
		Replay: func(r events.Record) error { s.Apply(r); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	head, err := log.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s.begin(head.Log)
	return s, from
}

// inMemory returns the fold of a log in memory that gets the records anew.
func inMemory(t *rapid.T, id string, recs []events.Record) *State {
	log := eventstest.NewWithID(id)
	if err := log.Append(context.Background(), recs); err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.begin(id)
	for r, err := range log.Records(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(r)
	}
	return s
}
