package router

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

// benchPool is a pool of n accounts of which the blocked ones cool: a thousandth of
// them, in thousandths; in one run or scattered. The state is folded before the
// engine starts, since one commit for each account would take minutes.
func benchPool(b *testing.B, n, blocked int, scattered bool) *Router {
	b.Helper()
	log := eventstest.New()
	head, err := log.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var drafts []events.Draft
	for i := range n {
		id := fmt.Sprintf("acct-%06d", i)
		drafts = append(drafts, events.Draft{Account: id, Event: &events.AccountAdded{Spec: events.AccountSpec{
			Provider: provider, Weight: 1, Origin: events.OriginConfigured,
		}}})
		cools := i < n*blocked/1000
		if scattered {
			cools = (i*7919+7919)%1000 < blocked // 7919 is prime: each residue once in a thousand
		}
		if i == n/2 {
			cools = false // one is always left
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
	return New(e, nil)
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

// floorNanos measures the floor in the same run, the best of some short rounds.
func floorNanos() float64 {
	const rounds, n = 5, 200_000
	f, name, best := newFloor(), modelName{provider, opus}, 0.0
	for range rounds {
		began := time.Now()
		for range n {
			f.pick(name)
		}
		if ns := float64(time.Since(began).Nanoseconds()) / n; best == 0 || ns < best {
			best = ns
		}
	}
	return best
}

// ratio reports how many floors one operation takes.
func ratio(b *testing.B, floor float64) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "x-floor")
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		for _, blocked := range []int{0, 900, 999} {
			for _, scattered := range []bool{false, true} {
				if blocked == 0 && scattered {
					continue
				}
				shape := "run"
				if scattered {
					shape = "scattered"
				}
				b.Run(fmt.Sprintf("accounts=%d/blocked=%.1f%%/%s", n, float64(blocked)/10, shape), func(b *testing.B) {
					r := benchPool(b, n, blocked, scattered)
					q := Request{Provider: provider, Model: opus, Now: noon()}
					least := floorNanos()
					b.ReportAllocs()
					for b.Loop() {
						if _, err := r.Pick(q); err != nil {
							b.Fatal(err)
						}
					}
					ratio(b, least)
				})
			}
		}
	}
}

func BenchmarkPickParallel(b *testing.B) {
	r := benchPool(b, 1000, 900, true)
	b.Run("floor", func(b *testing.B) {
		f, name := newFloor(), modelName{provider, opus}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				f.pick(name)
			}
		})
	})
	b.Run("pick", func(b *testing.B) {
		q := Request{Provider: provider, Model: opus, Now: noon()}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.Pick(q); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkPickAllBlocked(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			r := benchPool(b, n, 1000, false)
			q := Request{Provider: provider, Model: opus, Now: noon(), Exclude: []string{fmt.Sprintf("acct-%06d", n/2)}}
			least := floorNanos()
			for b.Loop() {
				if _, err := r.Pick(q); err == nil {
					b.Fatal("picked")
				}
			}
			ratio(b, least)
		})
	}
}
