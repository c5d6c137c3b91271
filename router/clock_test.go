package router

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

// TestRule34WaitingThroughAJump: timers follow the monotonic clock, deadlines the wall
// clock: a pick that waits sees a jump within 30 s.
func TestRule34WaitingThroughAJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		p := newPool(t, setup{accounts: accounts(1, nil), wall: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		defer p.engine.Close()
		p.cool("a001", opus, 86400)
		done := p.waits(t.Context(), Request{Model: opus})
		time.Sleep(time.Minute)
		ahead.Store(int64(25 * time.Hour))
		began := time.Now()
		if w := <-done; w.err != nil || w.at.Sub(began) > 30*time.Second {
			t.Errorf("%#v, %v after %s", w.lease, w.err, w.at.Sub(began))
		}
		// And back: what was recorded since is not undone, and nothing is dated earlier.
		p.cool("a001", opus, 600)
		ahead.Store(0)
		if b := p.blocked(Request{Model: opus}); b.EarliestEnd.Sub(p.now()) < 25*time.Hour {
			t.Errorf("the deadline of before is in %s", b.EarliestEnd.Sub(p.now()))
		}
		p.do(&projection.Clear{Filter: projection.Filter{Account: "a001", Target: "claude"}})
		p.cool("a001", opus, 600)
		done = p.waits(t.Context(), Request{Model: opus})
		end := p.blocked(Request{Model: opus}).EarliestEnd
		if w := <-done; w.err != nil || !w.at.Equal(end) {
			t.Errorf("%#v, %v at %s, want at %s", w.lease, w.err, w.at, end)
		}
		var last time.Time
		for r, err := range p.log.Records(t.Context(), 0) {
			if err != nil || r.At.Before(last) {
				t.Errorf("record %d is dated %s after %s, %v", r.Seq, r.At, last, err)
			}
			last = r.At
		}
	})
}

// TestRule34IndexAfterAClockThatWentBack: picks are right at once, and fast again, with
// probes beside others, within 30 s.
func TestRule34IndexAfterAClockThatWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		p := newPool(t, setup{accounts: accounts(2, nil), wall: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		defer p.engine.Close()
		p.cool("a001", opus, 600)
		time.Sleep(time.Hour)
		p.wants(p.round(2, Request{Model: opus}), "a001", "a002")
		ahead.Store(-int64(2 * time.Hour))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if !p.engine.View().Index.Exact(p.now()) {
			t.Error("the index is still of the time before the clock went back")
		}
	})
}

// stalling is a log whose disk may stand still.
type stalling struct {
	events.Log
	gate chan struct{} // closed, or one append passes for each value
	shut atomic.Bool
}

func (s *stalling) Append(ctx context.Context, recs []events.Record) error {
	if s.shut.Load() {
		<-s.gate
	}
	return s.Log.Append(ctx, recs)
}

// TestRule07ExpiriesDoNotWaitForTheDisk: while an append stands still, each deadline is
// seen at its instant by picks and by those that wait, and the index is kept up to it.
func TestRule07ExpiriesDoNotWaitForTheDisk(t *testing.T) {
	disk := &stalling{}
	bubble(t, setup{accounts: accounts(3, nil), disk: func(l *eventstest.Log) events.Log {
		disk.Log, disk.gate = l, make(chan struct{})
		return disk
	}}, func(t *testing.T, p *pool) {
		defer close(disk.gate)
		var ends []time.Time
		for i, seconds := range []float64{600, 1200, 1800} {
			p.cool(fmt.Sprintf("a%03d", i+1), opus, seconds)
			ends = append(ends, p.engine.State().Account(fmt.Sprintf("a%03d", i+1)).Cell("claude").Cooling.Until)
		}
		disk.shut.Store(true)
		for i, end := range ends {
			id := fmt.Sprintf("a%03d", i+1)
			done := p.waits(t.Context(), Request{Model: opus, Candidates: []string{id}})
			time.Sleep(time.Until(end) - 1)
			if got := p.served(Request{Model: opus, Candidates: []string{id}}); got != "all_cooling" {
				t.Errorf("%s is served before its time", got)
			}
			if w := <-done; w.err != nil || !w.at.Equal(end) || w.lease.Account != id {
				t.Errorf("%#v, %v at %s, want it at %s", w.lease, w.err, w.at, end)
			}
			synctest.Wait()
			if !p.engine.View().Index.Exact(end) {
				t.Errorf("the index does not show that %s is back", id)
			}
		}
		if p.engine.State().Account("a001").Cell("claude").Cooling == nil {
			t.Error("the expiry was recorded: the test shows nothing")
		}
	})
}
