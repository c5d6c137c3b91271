package router

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// storm is a pool of which every account cools, and all ends come at once, or one soon
// after the other. Time passes as it does, on a clock that can be set.
type storm struct {
	testing.TB
	*Router
	log         *countingLog
	began       time.Time
	offset      atomic.Int64
	accounts    int
	first, last time.Time // ends
}

// countingLog counts what is stored.
type countingLog struct {
	events.Log
	expired atomic.Int64 // cells
	turns   atomic.Int64 // appends of them
	largest atomic.Int64 // records of one such append
}

func (l *countingLog) Append(ctx context.Context, recs []events.Record) error {
	err := l.Log.Append(ctx, recs)
	cells, records := 0, 0
	for _, r := range recs {
		if e, ok := r.Event.(*events.Expired); ok {
			cells += len(e.Cells)
			records++
		}
	}
	if err == nil && cells > 0 {
		l.turns.Add(1)
		l.largest.Store(max(l.largest.Load(), int64(records)))
		l.expired.Add(int64(cells))
	}
	return err
}

// newStorm makes the pool. Each account's end is a gap after that of the one before.
func newStorm(t testing.TB, accounts int, gap time.Duration) *storm {
	t.Helper()
	log, err := boltlog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	s := &storm{TB: t, log: &countingLog{Log: log}, accounts: accounts, began: time.Now(), first: noon().Add(time.Hour)}
	s.last = s.first.Add(time.Duration(accounts-1) * gap)
	s.fill(gap)
	e, err := projection.Open(t.Context(), s.log, &projection.Options{Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s.Router = New(e, nil)
	return s
}

func (s *storm) now() time.Time {
	return noon().Add(time.Since(s.began) + time.Duration(s.offset.Load()))
}

func stormID(i int) string { return fmt.Sprintf("acct_%020d", i) }

// fill writes the log that such a pool comes from.
func (s *storm) fill(gap time.Duration) {
	s.Helper()
	head, err := s.log.Head(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	var drafts []events.Draft
	for i := range s.accounts {
		drafts = append(drafts,
			events.Draft{Account: stormID(i), Event: &events.AccountAdded{Spec: events.AccountSpec{Provider: provider, Weight: 1, Origin: events.OriginConfigured}}},
			events.Draft{Account: stormID(i), Event: &events.LimitObserved{
				Provider: provider, Model: opus, Target: "claude", Class: events.ClassQuotaExhausted, Effect: events.EffectStarted,
				Until: s.first.Add(time.Duration(i) * gap), Source: "retry-after", ObservedAt: noon(),
			}})
	}
	for part := range slices.Chunk(drafts, 10_000) {
		recs, err := events.Seal(head, noon(), part)
		if err == nil {
			err = s.log.Append(s.Context(), recs)
		}
		if err != nil {
			s.Fatal(err)
		}
		head = head.Next(recs[len(recs)-1])
	}
}

// breaks sets the clock to a moment before the first end, and lets the engine see it.
func (s *storm) breaks(before time.Duration) {
	s.Helper()
	s.offset.Add(int64(s.first.Sub(s.now()) - before))
	if err := s.command(0); err != nil {
		s.Fatal(err)
	}
}

// command reports a limit of a model of its own, where no storm is.
func (s *storm) command(n int) error {
	_, err := s.engine.Execute(s.Context(), projection.Command{Do: &projection.Report{
		Account: stormID(n * 7919 % s.accounts), Provider: provider, Model: "tab-complete-1", Status: 429, RequestID: fmt.Sprint("r", n),
		Signal: events.Signal{
			Class: events.ClassQuotaExhausted, Scope: events.ScopeModel, Rule: "storm", Classifier: 1,
			Hints: []events.Hint{{Source: "retry-after", Raw: "86400", Seconds: 86_400}},
		},
	}})
	return err
}

// usable returns how many accounts the index has usable, and whether it holds by now.
func (s *storm) usable() (n int, exact bool) {
	v := s.engine.View()
	id := v.State.Groups().Resolve(provider, opus)
	return v.Index.PoolOf(id).Lane(id).Counts().Available, v.Index.Exact(s.now())
}

// latencies are those of one kind of call, sorted.
type latencies []time.Duration

// at returns the one that a share of them is below.
func (l latencies) at(share float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(share*float64(len(l))), len(l)-1)]
}

// weather is what picks and commands were like for a while.
type weather struct{ picks, commands latencies }

// observe picks and sends commands, one after another, until it is stopped.
func (s *storm) observe(stop <-chan struct{}) *weather {
	w, n := new(weather), int(s.engine.State().Head().Seq)
	var both sync.WaitGroup
	both.Go(func() {
		q := Request{Provider: provider, Model: opus}
		for !closed(stop) {
			for range 10 {
				q.Now = s.now()
				began := time.Now()
				s.Pick(q) // before the storm all are blocked
				w.picks = append(w.picks, time.Since(began))
			}
			time.Sleep(100 * time.Microsecond) // paces the picks and decides nothing
		}
	})
	both.Go(func() {
		for !closed(stop) {
			n++
			began := time.Now()
			if err := s.command(n); err != nil {
				s.Error(err)
				return
			}
			w.commands = append(w.commands, time.Since(began))
		}
	})
	both.Wait()
	slices.Sort(w.picks)
	slices.Sort(w.commands)
	return w
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// while observes during f.
func (s *storm) while(f func()) *weather {
	stop, seen := make(chan struct{}), make(chan *weather)
	go func() { seen <- s.observe(stop) }()
	f()
	close(stop)
	return <-seen
}

// BenchmarkExpiryStorm is the worst that a clock can do: all the accounts there can be
// come back at once.
func BenchmarkExpiryStorm(b *testing.B) {
	for _, gap := range []time.Duration{0, 10 * time.Microsecond} {
		b.Run(fmt.Sprintf("gap=%s", gap), func(b *testing.B) {
			for b.Loop() {
				s := newStorm(b, projection.MaxAccounts, gap)
				before := s.while(func() { time.Sleep(500 * time.Millisecond) })
				s.breaks(time.Millisecond)
				var usable, recorded time.Duration
				during := s.while(func() {
					for n, exact := 0, false; n < s.accounts || !exact; n, exact = s.usable() {
						time.Sleep(100 * time.Microsecond)
					}
					usable = s.now().Sub(s.last)
					for s.log.expired.Load() < int64(s.accounts) {
						time.Sleep(100 * time.Microsecond)
					}
					recorded = s.now().Sub(s.last)
				})
				b.ReportMetric(ms(usable), "usable-ms")
				b.ReportMetric(ms(recorded), "recorded-ms")
				b.ReportMetric(float64(s.log.turns.Load()), "turns")
				b.ReportMetric(float64(s.log.largest.Load()), "records/turn")
				for name, w := range map[string]*weather{"idle": before, "storm": during} {
					b.ReportMetric(us(w.picks.at(0.5)), name+"-pick-p50-us")
					b.ReportMetric(us(w.picks.at(0.99)), name+"-pick-p99-us")
					b.ReportMetric(us(w.picks.at(1)), name+"-pick-max-us")
					b.ReportMetric(ms(w.commands.at(0.5)), name+"-command-p50-ms")
					b.ReportMetric(ms(w.commands.at(1)), name+"-command-max-ms")
				}
			}
		})
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
