package projection

import (
	"fmt"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// BenchmarkPublish is one change of a large pool until it is visible: the state,
// its snapshot and the index.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, batch := range []int{1, 256} {
			b.Run(fmt.Sprintf("accounts=%d/batch=%d", n, batch), func(b *testing.B) {
				s := NewState()
				s.groups, s.policy = defined(b, GroupsConfig{}), &Policy{Policy: events.Policy{Default: defaultRules()}}
				for i := range n {
					id := fmt.Sprintf("acct-%06d", i)
					s.put(id, &Account{ID: id, Spec: events.AccountSpec{Provider: "antigravity", Weight: 1, Origin: events.OriginConfigured}})
				}
				old := s.Snapshot()
				index := newIndex(old, noon())
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					for range batch {
						i = (i + 7919) % n
						id := fmt.Sprintf("acct-%06d", i)
						s.Apply(events.Record{Seq: s.head.Seq + 1, At: noon(), Draft: events.Draft{Account: id, Event: &events.LimitObserved{
							Target: "claude", Class: events.ClassQuotaExhausted, Effect: events.EffectStarted, Until: noon().Add(time.Hour),
						}}})
					}
					changed := s.changed
					now := s.Snapshot()
					index = index.next(old, now, changed, noon())
					old = now
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/change")
			})
		}
	}
}

// BenchmarkDecide is the decision of a limit on a large state, without its commit.
func BenchmarkDecide(b *testing.B) {
	x := newScenario(b)
	c := Command{Do: x.observed("a1", opus, quota(600))}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decide(x.s, c, x.now); err != nil {
			b.Fatal(err)
		}
	}
}
