package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// load is one run: readers, of whom one in a hundred stalls, and a rate of records.
type load struct {
	streams int
	rate    int // records per second
	length  time.Duration
}

// TestStreams: no reader misses a record or gets one twice, and those that stall are
// dropped.
func TestStreams(t *testing.T) {
	loads := []load{{100, 200, time.Second}}
	if *long {
		loads = []load{{1000, 20, 20 * time.Second}, {50, 2000, 20 * time.Second}}
	}
	for _, l := range loads {
		t.Run(fmt.Sprintf("streams=%d,rate=%d", l.streams, l.rate), func(t *testing.T) { l.run(t) })
	}
}

func (l load) run(t *testing.T) {
	s, alone := serve(t), serve(t)
	before := memory()
	stalled := max(1, l.streams/100)
	p := s.start(clients{Live: l.streams - stalled - 1, Stalled: stalled, Lossy: 1})
	each := (memory() - before) / float64(l.streams)

	first, began := s.engine.State().Head().Seq, time.Now()
	drops := s.watchDrops(stalled)
	s.drive(l.rate, l.length)
	for len(drops) < stalled && time.Since(began) < time.Minute {
		s.drive(l.rate, 100*time.Millisecond) // it takes records to see who takes none
	}
	with, without := l.turns(s, alone)
	seen := s.finish(p)
	records := int(s.engine.State().Head().Seq - first)

	l.check(t, seen, records)
	if n := len(drops); n != stalled {
		t.Errorf("%d streams were dropped, want the %d that stall", n, stalled)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d records, %d frames to %d readers, %.1f MB: no gap, no repeat; the reader that lost a frame was caught",
		records, records*len(seen.Live), len(seen.Live), float64(seen.Bytes)/1e6)
	for i := range min(len(drops), stalled) {
		if at := <-drops; i == 0 || i == stalled-1 {
			t.Logf("of %d that stall the number %d was dropped after %.1f s", stalled, i+1, at.Sub(began).Seconds())
		}
	}
	t.Logf("append p50 %v where nobody follows, %v with all of them (%+.0f %%)",
		without, with, 100*(float64(with)/float64(without)-1))
	if l.streams >= 100 { // of fewer the engine's own memory hides it
		t.Logf("%.1f KB of memory for each stream", each/1024)
	}
}

// turns appends to a server and to one that nobody follows in turns, so that both meet
// the same moods of the machine, and returns the p50 of each.
func (l load) turns(s, alone *server) (with, without time.Duration) {
	var a, b []time.Duration
	for range max(2, int(l.length/2/time.Second)) {
		a = append(a, s.drive(l.rate, l.length/20)...)
		b = append(b, alone.drive(l.rate, l.length/20)...)
	}
	return median(a), median(b)
}

// check fails for every reader that did not get each record once.
func (l load) check(t *testing.T, seen report, records int) {
	t.Helper()
	for i, x := range seen.Live {
		if x.Gaps != 0 || x.Repeats != 0 || x.Frames != records {
			t.Errorf("reader %d: %+v of %d records", i, x, records)
		}
	}
	for _, x := range seen.Lossy {
		if x.Gaps != 1 || x.Frames != records-1 {
			t.Errorf("a reader that lost a frame was not caught: %+v of %d records", x, records)
		}
	}
	if len(seen.Live) == 0 || len(seen.Lossy) == 0 || records == 0 {
		t.Error("nothing was followed")
	}
}

// watchDrops returns a channel that gets the instants at which streams are dropped, and
// has room for all of them.
func (s *server) watchDrops(n int) chan time.Time {
	at := make(chan time.Time, n+10)
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for seen := 0; ; {
			for ; seen < min(s.figure("abeyance_subscribers_dropped_total"), cap(at)); seen++ {
				at <- time.Now()
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	s.t.Cleanup(func() {
		close(stop)
		watching.Wait()
	})
	return at
}

// drive appends records at a rate and returns how long each took to be answered. One
// that is late is not waited for by the next, unless there are very many.
func (s *server) drive(rate int, length time.Duration) []time.Duration {
	s.t.Helper()
	n := int(float64(rate) * length.Seconds())
	took, errs := make([]time.Duration, n), make([]error, n)
	room := make(chan struct{}, 1024)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		s.reports++
		c := limit(s.reports)
		room <- struct{}{}
		wg.Go(func() {
			began := time.Now()
			_, errs[i] = s.engine.Execute(context.Background(), c)
			took[i] = time.Since(began)
			<-room
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		s.t.Error(err)
	}
	return took
}

// limit is the n-th limit, which moves a deadline on.
func limit(n int) projection.Command {
	return projection.Command{
		Origin: events.Origin{Actor: "proxy:load", Via: events.ViaGo},
		Do: &projection.Report{
			Account: fmt.Sprint("a", n%accounts), Provider: "antigravity", Model: "claude-opus-4-6-thinking", Status: 429,
			RequestID: fmt.Sprintf("req-%012d", n), StartedAt: time.Now(),
			Signal: events.Signal{
				Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "google/quota_exhausted", Classifier: 1,
				Hints: []events.Hint{{Source: "RetryInfo.retryDelay", Raw: "3600s", Seconds: 3600 + float64(n/accounts)*60}},
			},
		},
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2].Round(10 * time.Microsecond)
}
