package boltlog

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

var (
	kills = flag.Int("kills", 10, "rounds of the tests that kill a process")
	seed  = flag.Uint64("seed", 0, "seed of the rounds; 0: from the clock")
)

// killer runs helpers and kills them at random points.
type killer struct {
	*testing.T
	dir  string
	rand *rand.Rand
}

func newKiller(t *testing.T) *killer {
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", n)
	return &killer{T: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(n, 0))}
}

// round lets a helper append until it is killed, 2 to 30 ms after its first
// acknowledgement, and returns the last one that arrived.
func (k *killer) round(mode string) (acked events.Head) {
	k.Helper()
	h := startHelper(k.T, mode, k.dir)
	acks := 0
	for {
		text, ok := h.line()
		if !ok {
			break
		}
		var hash string
		if _, err := fmt.Sscan(text, (*uint64)(&acked.Seq), &hash); err != nil {
			k.Fatalf("the helper says %q", text)
		}
		if err := acked.Hash.UnmarshalText([]byte(hash)); err != nil {
			k.Fatalf("the helper says %q: %v", text, err)
		}
		if acks++; acks == 1 {
			time.AfterFunc(time.Duration(2000+k.rand.IntN(28_000))*time.Microsecond, func() { h.cmd.Process.Kill() })
		}
	}
	h.kill(k.T)
	if acks == 0 {
		k.Fatal("the helper was killed before it acknowledged anything")
	}
	return acked
}

// holds reports whether the log has the acknowledged record. Whatever else it has
// must be whole batches.
func (k *killer) holds(acked events.Head) bool {
	k.Helper()
	l, err := Open(k.dir, nil)
	if err != nil {
		k.Fatalf("opening after a kill: %v", err)
	}
	defer l.Close()
	found := false
	batchEnd := events.Seq(0)
	for r, err := range l.Records(k.Context(), 0) {
		if err != nil {
			k.Fatalf("reading after a kill: %v", err)
		}
		found = found || r.Seq == acked.Seq && r.Hash == acked.Hash
		if r.Seq > batchEnd {
			batchEnd += events.Seq(batchSize(r.Seq))
		}
	}
	if head := l.head.Load().Seq; head != batchEnd {
		k.Errorf("the log ends at record %d, inside the batch that ends at %d", head, batchEnd)
	}
	return found
}

func TestRule5KillKeepsWhatWasAcknowledged(t *testing.T) {
	k := newKiller(t)
	for range *kills {
		if acked := k.round("append"); !k.holds(acked) {
			t.Fatalf("record %d was acknowledged and is lost", acked.Seq)
		}
	}
}

// TestKillFindsEarlyAcknowledgements is the negative control: the same harness must
// catch a log that acknowledges before it stores.
func TestKillFindsEarlyAcknowledgements(t *testing.T) {
	k := newKiller(t)
	for range 50 {
		if !k.holds(k.round("boast")) {
			return
		}
	}
	t.Error("50 kills never lost a record that was acknowledged too early: the harness sees nothing")
}

// TestRule33KillDuringCheckpoints kills a process that does nothing but append and write
// checkpoints. Each start folds the same from a checkpoint as from all records.
func TestRule33KillDuringCheckpoints(t *testing.T) {
	k := newKiller(t)
	restored, half := 0, 0
	for range *kills {
		acked := k.round("checkpoint")
		torn, err := filepath.Glob(filepath.Join(k.dir, dirCheckpoints, "*"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		half += len(torn)
		got := new(fold)
		l, err := Open(k.dir, got.options())
		if err != nil {
			t.Fatal(err)
		}
		want, head := foldAll(t, l, l.head.Load().Seq)
		if got.n != want.n || got.sum != want.sum || head.Seq < acked.Seq {
			t.Errorf("folded %d records to %s, want %d and %s, and at least %d", got.n, got.sum, want.n, want.sum, acked.Seq)
		}
		sameHistory(t, l)
		if _, err := l.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if len(got.read) < got.n {
			restored++
		}
		l.Close()
	}
	t.Logf("%d of %d starts used a checkpoint; %d kills left half of one", restored, *kills, half)
	if restored == 0 {
		t.Error("no start used a checkpoint")
	}
}
