package projection

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
)

// patience bounds what a test waits for that takes a moment.
const patience = 30 * time.Second

// turnstile is a log that lets appends through one by one, or all once it is open.
type turnstile struct {
	events.Log
	shut    atomic.Bool
	arrived chan []events.Record // receives what comes while it is shut
	pass    chan struct{}        // lets one through
	expired atomic.Int64         // cells that are stored as over
}

func (l *turnstile) Append(ctx context.Context, recs []events.Record) error {
	if l.shut.Load() {
		l.arrived <- recs
		<-l.pass
	}
	err := l.Log.Append(ctx, recs)
	for _, r := range recs {
		if e, ok := r.Event.(*events.Expired); ok && err == nil {
			l.expired.Add(int64(len(e.Cells)))
		}
	}
	return err
}

// arrives returns the next batch that comes to a log that is shut.
func (l *turnstile) arrives(t *testing.T) []events.Record {
	t.Helper()
	select {
	case recs := <-l.arrived:
		return recs
	case <-time.After(patience):
		t.Fatal("nothing is appended")
		return nil
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// cooling appends n accounts that cool to a log, each a gap longer than the one before
// it, from an hour on.
func cooling(t *testing.T, log events.Log, n int, gap time.Duration) {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var drafts []events.Draft
	for i := range n {
		drafts = append(drafts,
			events.Draft{Account: benchID(i), Event: &events.AccountAdded{Spec: events.AccountSpec{
				Provider: "antigravity", Weight: 1, Origin: events.OriginConfigured,
			}}},
			events.Draft{Account: benchID(i), Event: &events.LimitObserved{
				Provider: "antigravity", Model: opus, Target: "claude", Class: events.ClassQuotaExhausted,
				Effect: events.EffectStarted, Until: noon().Add(time.Hour + time.Duration(i)*gap), ObservedAt: noon(),
			}})
	}
	for part := range slices.Chunk(drafts, 20_000) {
		recs, err := events.Seal(head, noon(), part)
		if err == nil {
			err = log.Append(t.Context(), recs)
		}
		if err != nil {
			t.Fatal(err)
		}
		head = head.Next(recs[len(recs)-1])
	}
}

// turn checks one batch of a storm, and adds the accounts that it says are over.
func turn(t *testing.T, recs []events.Record, over map[string]int) {
	t.Helper()
	drafts, last := 0, time.Time{}
	for _, r := range recs {
		e, ok := r.Event.(*events.Expired)
		if !ok {
			continue
		}
		if drafts++; e.Due.Before(last) {
			t.Errorf("record %d is due %s, after one due %s", r.Seq, e.Due, last)
		}
		last = e.Due
		for _, c := range e.Cells {
			over[c.Account]++
		}
	}
	if drafts > maxExpireDrafts {
		t.Errorf("a turn has %d records, want %d at most", drafts, maxExpireDrafts)
	}
}

// TestRule07StormOfExpiries: when all the accounts there can be come back at once they
// can be picked although the disk stands still; their expiries are recorded once, in
// turns; and a command waits for one turn, not for the storm.
func TestRule07StormOfExpiries(t *testing.T) {
	most := MaxAccounts
	if testing.Short() || raceEnabled {
		most /= 5
	}
	t.Run("of one instant", func(t *testing.T) { stormOf(t, most, 0) })
	t.Run("one after the other", func(t *testing.T) { stormOf(t, MaxAccounts/5, 10*time.Microsecond) })
}

func stormOf(t *testing.T, n int, gap time.Duration) {
	disk, err := boltlog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	cooling(t, disk, n, gap)
	log := &turnstile{Log: disk, arrived: make(chan []events.Record, 1), pass: make(chan struct{})}
	var ahead atomic.Int64
	e, err := Open(t.Context(), log, &Options{Now: func() time.Time { return noon().Add(time.Duration(ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	defer close(log.pass) // what still stands there when the test fails
	execute := func(account string) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := e.Execute(t.Context(), Command{Do: suspend(account, "gemini-pro", "in the storm")})
			done <- err
		}()
		return done
	}

	// The ends come while the disk stands still.
	log.shut.Store(true)
	ahead.Store(int64(time.Hour - time.Millisecond))
	before := execute(benchID(0))
	log.arrives(t)
	ahead.Store(int64(time.Hour + time.Duration(n)*gap))
	eventually(t, "all accounts usable", func() bool {
		return usableOf(e, opus) == n && e.View().Index.Exact(e.Now())
	})
	log.pass <- struct{}{}
	if err := <-before; err != nil {
		t.Fatal(err)
	}

	// A command that comes during a turn is in the next batch.
	over := map[string]int{}
	turn(t, log.arrives(t), over)
	if len(over) == 0 || len(over) > maxExpireDrafts*events.MaxExpired {
		t.Errorf("%d accounts are recorded in one turn", len(over))
	}
	during := execute(benchID(1))
	eventually(t, "a command waits", func() bool { return len(e.queue) == 1 })
	log.pass <- struct{}{}
	next := log.arrives(t)
	if !slices.ContainsFunc(next, func(r events.Record) bool { return r.Kind() == events.KindSuspended }) {
		t.Errorf("the batch after the turn has %d records, and none of the command", len(next))
	}
	log.shut.Store(false)
	log.pass <- struct{}{}
	if err := <-during; err != nil {
		t.Fatal(err)
	}
	eventually(t, "all expiries recorded", func() bool { return log.expired.Load() >= int64(n) })
	recordedOnce(t, disk, n)
}

// recordedOnce reads the log: each account is over once, in the order of their ends.
func recordedOnce(t *testing.T, log events.Log, n int) {
	t.Helper()
	over := map[string]int{}
	var last time.Time
	for _, r := range expired(t, log) {
		e := r.Event.(*events.Expired)
		if e.Due.Before(last) {
			t.Errorf("record %d is due %s, after one due %s", r.Seq, e.Due, last)
		}
		last = e.Due
		for _, c := range e.Cells {
			over[c.Account]++
		}
	}
	for i := range n {
		if over[benchID(i)] != 1 {
			t.Fatalf("%s is recorded as over %d times", benchID(i), over[benchID(i)])
		}
	}
	t.Logf("%d accounts came back at once", len(over))
}
