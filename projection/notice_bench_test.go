package projection

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// BenchmarkNotices folds a record in a pool of 10 000 accounts, half of the records
// freezing an account and half giving one back. What a sentence cites is looked up in a
// log in memory.
func BenchmarkNotices(b *testing.B) {
	log, s := eventstest.New(), NewState()
	s.begin("memory")
	now := noon()
	do := func(intents ...Intent) {
		for _, do := range intents {
			d, err := Decide(s, command(do), now)
			if err != nil {
				b.Fatal(err)
			}
			recs, err := events.Seal(s.Head(), now, d.Drafts)
			if err == nil {
				err = log.Append(context.Background(), recs)
			}
			if err != nil {
				b.Fatal(err)
			}
			for _, r := range recs {
				s.Apply(r)
			}
		}
	}
	do(&DefineGroups{}, &DefinePolicy{})
	const accounts = 10_000
	id := func(i int) string { return fmt.Sprintf("a%05d", i%accounts) }
	for i := range accounts {
		do(&PutAccount{ID: id(i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	first := s.Snapshot()
	for i := range accounts {
		now = now.Add(time.Millisecond)
		do(&Report{Account: id(i), Provider: "antigravity", Model: opus, Status: 429, Signal: quota(3600), StartedAt: now})
		now = now.Add(time.Millisecond)
		do(&Report{Account: id(i), Provider: "antigravity", Model: opus, Status: 200, Signal: ok(), StartedAt: now})
	}
	var recs []events.Record
	for r, err := range log.Records(context.Background(), first.head.Seq) {
		if err != nil {
			b.Fatal(err)
		}
		recs = append(recs, r)
	}
	for name, f := range map[string]NoticeFilter{
		"all":       {On: beginnings()},
		"exhausted": {On: []NoticeKind{NoticeExhausted, NoticeRecovered}},
		"held":      {On: []NoticeKind{NoticeHeld, NoticeRecovered}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var n *Notices
			for i := range b.N {
				if i%len(recs) == 0 {
					b.StopTimer()
					p := &Past{Log: log, State: s.Snapshot(), Now: now}
					var err error
					if n, err = p.Notices(context.Background(), Position{first.head.Seq, first.head.Hash, noon()}, f); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				if _, err := n.Apply(context.Background(), recs[i%len(recs)], now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
