package router

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

// benchPool is a pool of n accounts of which the blocked ones cool. The state is folded
// before the engine starts, since one commit for each account would take minutes.
// Unless all are blocked, one account is left. With weights every account has another
// one than the next.
func benchPool(b *testing.B, n int, s shape, strategy Strategy) *Router {
	b.Helper()
	log := eventstest.New()
	head, err := log.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	weight := func(int) int { return 1 }
	if strategy == Weighted {
		weight = func(i int) int { return 1 + i%16 }
	}
	var drafts []events.Draft
	for i := range n {
		id := fmt.Sprintf("acct-%06d", i)
		drafts = append(drafts, events.Draft{Account: id, Event: &events.AccountAdded{Spec: events.AccountSpec{
			Provider: provider, Weight: weight(i), Origin: events.OriginConfigured,
		}}})
		cools := i < n*s.blocked/1000
		if s.scattered {
			cools = (i*7919+7919)%1000 < s.blocked // 7919 is prime: each residue once in a thousand
		}
		if i == n/2 && s.blocked < 1000 {
			cools = false
		}
		if cools {
			drafts = append(drafts, events.Draft{Account: id, Event: &events.LimitObserved{
				Provider: provider, Target: "claude", Class: events.ClassQuotaExhausted, Effect: events.EffectStarted,
				Until: noon().Add(time.Hour), Source: "h",
			}})
		}
	}
	recs, err := events.Seal(head, noon(), drafts)
	if err == nil {
		err = log.Append(b.Context(), recs)
	}
	if err != nil {
		b.Fatal(err)
	}
	e, err := projection.Open(b.Context(), log, &projection.Options{Now: noon})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	return New(e, &Options{Strategies: Strategies{Default: strategy}})
}

// floor is the least a pick can be: an atomic load, a map look-up and a counter.
type floor struct {
	table atomic.Pointer[map[modelName]int]
	count atomic.Uint64
}

type modelName struct{ provider, model string }

func newFloor() *floor {
	f := new(floor)
	f.table.Store(&map[modelName]int{{provider, opus}: 1, {provider, sonnet}: 2})
	return f
}

func (f *floor) pick(name modelName) int {
	return (*f.table.Load())[name] + int(f.count.Add(1))
}

// shape is which accounts of a pool are blocked: how many in a thousand, and whether
// they lie in one run.
type shape struct {
	blocked   int
	scattered bool
}

func (s shape) String() string {
	name := fmt.Sprintf("blocked=%.1f%%", float64(s.blocked)/10)
	switch {
	case s.blocked == 0:
		return name
	case s.scattered:
		return name + "-scattered"
	default:
		return name + "-in-one-run"
	}
}

func shapes() []shape {
	return []shape{{0, false}, {900, false}, {900, true}, {999, false}, {999, true}}
}

// benchPicks measures picks of one kind and the floor, in turns of some microseconds:
// what else the machine does meets both.
func benchPicks(b *testing.B, pick func() error) {
	const round = 1000
	f, name := newFloor(), modelName{provider, opus}
	var picks, floors time.Duration
	rounds := 0
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for range round {
			f.pick(name)
		}
		between := time.Now()
		for range round {
			if err := pick(); err != nil {
				b.Fatal(err)
			}
		}
		floors += between.Sub(began)
		picks += time.Since(between)
		rounds++
	}
	b.ReportMetric(float64(picks.Nanoseconds())/float64(rounds*round), "ns/pick")
	b.ReportMetric(float64(floors.Nanoseconds())/float64(rounds*round), "floor-ns")
	b.ReportMetric(float64(picks)/float64(floors), "x-floor")
}

// picker returns a function that picks once from a pool.
func picker(r *Router, session string) func() error {
	q := Request{Provider: provider, Model: opus, Now: noon(), Session: session}
	return func() error {
		_, err := r.Pick(q)
		return err
	}
}

func BenchmarkPick(b *testing.B) {
	for _, strategy := range []Strategy{RoundRobin, Weighted, FillFirst} {
		for _, n := range []int{10, 1000, 100_000} {
			for _, s := range shapes() {
				b.Run(fmt.Sprintf("%s/accounts=%d/%s", strategy, n, s), func(b *testing.B) {
					benchPicks(b, picker(benchPool(b, n, s, strategy), ""))
				})
			}
		}
	}
}

func BenchmarkPickSticky(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, s := range shapes() {
			b.Run(fmt.Sprintf("accounts=%d/%s", n, s), func(b *testing.B) {
				pick := picker(benchPool(b, n, s, Sticky), "conversation-1")
				b.ReportAllocs()
				for b.Loop() {
					if err := pick(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/pick")
			})
		}
	}
}

// BenchmarkPickParallel compares picks with the floor, both from as many goroutines as
// there are processors, in turns of some milliseconds: what else the machine does
// meets both.
func BenchmarkPickParallel(b *testing.B) {
	r := benchPool(b, 1000, shape{900, true}, RoundRobin)
	q := Request{Provider: provider, Model: opus, Now: noon()}
	f, name := newFloor(), modelName{provider, opus}
	const round = 100_000
	var picks, floors time.Duration
	rounds := 0
	for b.Loop() {
		floors += together(func() {
			for range round {
				f.pick(name)
			}
		})
		picks += together(func() {
			for range round {
				if _, err := r.Pick(q); err != nil {
					b.Error(err)
				}
			}
		})
		rounds++
	}
	each := float64(rounds * round * runtime.GOMAXPROCS(0))
	b.ReportMetric(float64(picks.Nanoseconds())/each, "ns/pick")
	b.ReportMetric(float64(floors.Nanoseconds())/each, "floor-ns")
	b.ReportMetric(float64(picks)/float64(floors), "x-floor")
}

// together runs f once on every processor and returns how long that took.
func together(f func()) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(f)
	}
	all.Wait()
	return time.Since(began)
}

// BenchmarkPickWhileChanging compares the 99th percentile of picks while 5 000
// changes a second are published behind them with the same on an idle engine. A
// sample is a hundred picks, since the clock alone takes as long as one.
func BenchmarkPickWhileChanging(b *testing.B) {
	r := benchPool(b, 10_000, shape{900, true}, RoundRobin)
	var idle, busy []time.Duration
	for b.Loop() {
		idle = append(idle, samples(b, r)...)
		stop := make(chan struct{})
		var changing sync.WaitGroup
		changing.Go(func() { change(b, r, stop) })
		busy = append(busy, samples(b, r)...)
		close(stop)
		changing.Wait()
	}
	b.ReportMetric(float64(percentile(idle, 99).Nanoseconds())/100, "idle-p99-ns")
	b.ReportMetric(float64(percentile(busy, 99).Nanoseconds())/100, "p99-ns")
	b.ReportMetric(float64(percentile(busy, 99))/float64(percentile(idle, 99)), "x-idle")
}

func samples(b *testing.B, r *Router) []time.Duration {
	q := Request{Provider: provider, Model: opus, Now: noon()}
	list := make([]time.Duration, 20_000)
	for i := range list {
		began := time.Now()
		for range 100 {
			if _, err := r.Pick(q); err != nil {
				b.Error(err)
			}
		}
		list[i] = time.Since(began)
	}
	return list
}

// change suspends and lifts accounts, five a millisecond, until it is stopped.
func change(b *testing.B, r *Router, stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for i := range 5 {
			f := projection.Filter{Account: fmt.Sprintf("acct-%06d", (n*5+i)/2*7919%10_000), Target: "gemini-pro"}
			var do projection.Intent = &projection.Suspend{Filter: f, Reason: "bench", Forever: true}
			if (n*5+i)%2 == 1 {
				do = &projection.Lift{Filter: f}
			}
			if _, err := r.engine.Execute(b.Context(), projection.Command{Do: do}); err != nil {
				b.Error(err)
			}
		}
	}
}

func percentile(list []time.Duration, p int) time.Duration {
	slices.Sort(list)
	return list[len(list)*p/100]
}

// BenchmarkPickAllBlocked is a pick that finds nothing, with its error: the code, the
// counts and the time to wait, but no reasons.
func BenchmarkPickAllBlocked(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			pick := picker(benchPool(b, n, shape{1000, false}, RoundRobin), "")
			benchPicks(b, func() error {
				if pick() == nil {
					return errors.New("picked")
				}
				return nil
			})
		})
	}
}

// BenchmarkFairness reports how often the account served most was served, against
// the one served least. An operation is one whole turn.
func BenchmarkFairness(b *testing.B) {
	for _, s := range []shape{{0, false}, {900, false}, {900, true}} {
		b.Run(s.String(), func(b *testing.B) {
			r := benchPool(b, 1000, s, RoundRobin)
			q := Request{Provider: provider, Model: opus, Now: noon()}
			served := map[string]int{}
			v := r.engine.View()
			id := v.State.Groups().Resolve(provider, opus)
			usable := v.Index.PoolOf(id).Lane(id).Counts().Available
			for b.Loop() {
				for range usable {
					l, err := r.Pick(q)
					if err != nil {
						b.Fatal(err)
					}
					served[l.Account]++
				}
			}
			least, most := b.N*usable, 0
			for _, n := range served {
				least, most = min(least, n), max(most, n)
			}
			b.ReportMetric(float64(most)/float64(least), "max/min")
			b.ReportMetric(float64(len(served)), "accounts")
		})
	}
}
