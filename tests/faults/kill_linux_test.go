package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// killer kills processes under test at random points.
type killer struct {
	*testing.T
	mode   string
	rand   *rand.Rand
	bases  [2]string // directories on the disk and in memory
	dirs   int
	dir    string
	ledger *ledger
	rounds int
	boot   time.Duration // how long a first start takes to the first acknowledgement

	running, starting, checkpointing int // faults that fired, by where
	restored                         int // logs opened from a checkpoint after a kill
}

func newKiller(t *testing.T, mode string) *killer {
	t.Helper()
	k := &killer{T: t, mode: mode, rand: begin(t, "mount", "umount"), boot: 50 * time.Millisecond}
	k.bases = [2]string{t.TempDir(), memory(t, "256m")}
	k.fresh()
	return k
}

// fresh goes on in a directory that does not exist yet: on the disk, where most kills
// fall into a sync, and in memory, where they fall everywhere else, in turn.
func (k *killer) fresh() {
	k.Helper()
	if k.dir != "" {
		if err := os.RemoveAll(k.dir); err != nil {
			k.Fatal(err)
		}
	}
	k.dirs++
	k.dir = filepath.Join(k.bases[k.dirs%2], fmt.Sprint("data", k.dirs))
	k.ledger = newLedger()
}

func (k *killer) start() *process {
	k.Helper()
	k.rounds++
	return startChild(k.T, k.ledger, k.mode, fmt.Sprint("r", k.rounds), k.dir)
}

// killRunning kills while commands are executed.
func (k *killer) killRunning() {
	k.Helper()
	p := k.start()
	p.serving()
	pause(2*time.Millisecond + upTo(k.rand, 28*time.Millisecond))
	p.killed()
	k.running++
}

// killStarting kills during the first start of a log.
func (k *killer) killStarting() {
	k.Helper()
	k.fresh()
	p := k.start()
	pause(upTo(k.rand, k.boot))
	p.killed()
	if p.acks == 0 {
		k.starting++
		return
	}
	k.running++
	k.boot = (k.boot + <-p.first) / 2 // so that most kills come before it is over
}

// killCheckpointing kills while a checkpoint is written.
func (k *killer) killCheckpointing() {
	k.Helper()
	p := k.start()
	p.serving()
	<-p.writing
	pause(upTo(k.rand, 2*time.Millisecond))
	p.killed()
	if p.inCheckpoint {
		k.checkpointing++
	} else {
		k.running++
	}
}

// pause is when in the life of a process the fault falls: the seed decides it, and no
// outcome depends on it.
func pause(d time.Duration) { <-time.After(d) }

// check returns what is wrong with the log now.
func (k *killer) check() error {
	k.Helper()
	f, err := k.ledger.check(k.Context(), k.dir)
	if err != nil {
		return fmt.Errorf("opening after a kill: %w", err)
	}
	if f.from > 0 {
		k.restored++
	}
	return f.err()
}

// perDirectory is how many kills one log goes through.
const perDirectory = 10

func TestRule05KillKeepsWhatWasAcknowledged(t *testing.T) {
	k := newKiller(t, modeSound)
	acked := 0
	for n := range *kills {
		switch n % perDirectory {
		case 0, 1:
			acked += len(k.ledger.acked)
			k.killStarting()
		case 3, 6, 9:
			k.killCheckpointing()
		default:
			k.killRunning()
		}
		if err := k.check(); err != nil {
			t.Fatalf("after kill %d: %v", n+1, err)
		}
	}
	acked += len(k.ledger.acked)
	t.Logf("%d kills fired: %d while commands were executed, %d during a first start, %d during a checkpoint; %d records acknowledged, 0 lost; %d starts from a checkpoint",
		k.running+k.starting+k.checkpointing, k.running, k.starting, k.checkpointing, acked, k.restored)
	if k.running == 0 || k.starting == 0 || k.checkpointing == 0 || k.restored == 0 {
		t.Error("some kills never fired where they should")
	}
}

// The negative control: the same loop must catch a log that acknowledges first.
func TestKillFindsEarlyAcknowledgements(t *testing.T) {
	k := newKiller(t, modeBoast)
	const rounds = 20
	caught := 0
	for range rounds {
		k.fresh()
		k.killRunning()
		if err := k.check(); err != nil {
			caught++
		}
	}
	t.Logf("%d of %d kills of a log that acknowledges too early were caught", caught, rounds)
	if caught < rounds/2 {
		t.Error("the loop hardly sees records that are lost")
	}
}
