package projection

import (
	"fmt"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// stopwatch adds up how long the parts of a step take, in the order they come.
type stopwatch struct {
	last  time.Time
	parts [5]time.Duration
}

func (w *stopwatch) start() { w.last = time.Now() }

// lap ends a part and begins the next.
func (w *stopwatch) lap(part int) {
	now := time.Now()
	w.parts[part] += now.Sub(w.last)
	w.last = now
}

// report adds the time per change that each part took, and that of all together.
func (w *stopwatch) report(b *testing.B, changes int, names ...string) {
	total := time.Duration(0)
	for i, name := range names {
		total += w.parts[i]
		b.ReportMetric(float64(w.parts[i].Nanoseconds())/float64(changes), name+"-ns/change")
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(changes), "ns/change")
}

// largeState has n accounts of one provider, under the default definitions.
func largeState(b *testing.B, n int) *State {
	s := NewState()
	s.groups, s.policy = defined(b, GroupsConfig{}), &Policy{Policy: events.Policy{Default: defaultRules()}}
	for i := range n {
		id := benchID(i)
		s.put(id, &Account{ID: id, Spec: events.AccountSpec{Provider: "antigravity", Weight: 1, Origin: events.OriginConfigured}})
	}
	return s
}

func benchID(i int) string { return fmt.Sprintf("acct_%020d", i) }

// BenchmarkPublish is one change of a large pool, or each of a batch, until it is
// visible: the state with its snapshot, and the index. All accounts have been limited
// before.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, batch := range []int{1, 256} {
			b.Run(fmt.Sprintf("accounts=%d/batch=%d", n, batch), func(b *testing.B) {
				s := largeState(b, n)
				ids := make([]string, n)
				for i := range ids {
					ids[i] = benchID(i)
				}
				e := &events.LimitObserved{Target: "claude", Class: events.ClassQuotaExhausted, Effect: events.EffectStarted}
				i := 0
				change := func() {
					i++
					e.Until = noon().Add(time.Hour + time.Duration(i)*time.Millisecond)
					s.Apply(events.Record{Seq: s.head.Seq + 1, At: noon(), Draft: events.Draft{Account: ids[i*7919%n], Event: e}})
				}
				for range n {
					change()
				}
				old := s.Snapshot()
				index := newIndex(s.order(), noon())
				var watch stopwatch
				b.ReportAllocs()
				for b.Loop() {
					watch.start()
					for range batch {
						change()
					}
					changed := s.changed
					now := s.Snapshot()
					watch.lap(0)
					index, _ = index.next(old, s.order(), changed, noon())
					watch.lap(1)
					old = now
				}
				watch.report(b, b.N*batch, "state", "index")
			})
		}
	}
}

// BenchmarkWriter is what the writer does for one limit report of about 400 bytes in
// a pool of 10 000, without the disk: decide, seal, apply, and its share of
// publishing the batch and of counting for the metrics what it holds.
func BenchmarkWriter(b *testing.B) {
	const n = 10_000
	for _, size := range []int{1, 256, 1024} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s := largeState(b, n)
			old := s.Snapshot()
			index := newIndex(s.order(), noon())
			commands := make([]Command, size)
			m := newMetrics(nil, false)
			i, bytes := 0, 0
			var watch stopwatch
			b.ReportAllocs()
			for b.Loop() {
				for k := range commands {
					i++
					commands[k] = benchReport(i, n)
				}
				now := noon().Add(time.Duration(i) * time.Microsecond)
				landed := batch{records: make([]events.Record, 0, len(commands))}
				watch.start()
				for _, c := range commands {
					d, err := Decide(s, c, now)
					watch.lap(0)
					if err != nil {
						b.Fatal(err)
					}
					recs, err := events.Seal(s.head, now, d.Drafts)
					watch.lap(1)
					if err != nil || len(recs) != 1 {
						b.Fatal(recs, err)
					}
					s.Apply(recs[0])
					watch.lap(2)
					landed.records = append(landed.records, recs[0])
					bytes += len(recs[0].Encoded()) + len(recs[0].Hash)
				}
				changed := s.changed
				published := s.Snapshot()
				was := &View{State: old, Index: index}
				u := index.update(old, s.orderOf(published, nil), changed, now)
				index, _ = u.finish()
				watch.lap(3)
				landed.turned = m.turn(was, &View{State: published, Index: index}, u.changed, landed.records)
				m.appended(&landed, 0)
				watch.lap(4)
				old = published
			}
			b.ReportMetric(float64(bytes)/float64(b.N*size), "bytes/record")
			watch.report(b, b.N*size, "decide", "seal", "apply", "publish", "metrics")
		})
	}
}

// benchReport is the i-th limit in a pool of n: each account's deadline moves on, so
// that every one of them changes the state.
func benchReport(i, n int) Command {
	return Command{
		Origin: events.Origin{Actor: "proxy:bench", Via: events.ViaGo, CorrelationID: "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90"},
		Do: &Report{
			Account: benchID(i * 7919 % n), Provider: "antigravity", Model: "claude-opus-4-6-thinking", Status: 429,
			RequestID: fmt.Sprintf("req-%012d", i), StartedAt: noon(),
			Signal: events.Signal{
				Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "google/quota_exhausted", Classifier: 1,
				Hints: []events.Hint{{Source: "RetryInfo.retryDelay", Raw: "3600s", Seconds: 3600 + float64(i/n)*60}},
			},
		},
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
