package events_test

import (
	"fmt"
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// busy returns records as a busy log has them, of about 400 bytes each.
func busy(b *testing.B, n int) []events.Record {
	filled := eventstest.Drafts()[0]
	drafts := make([]events.Draft, n)
	for i := range drafts {
		e := *filled.Event.(*events.LimitObserved)
		e.RequestID, e.Lost, e.Clamp, e.Evidence = fmt.Sprintf("req-%012d", i), nil, nil, "Your quota will reset after 7h0m0s."
		drafts[i] = events.Draft{Origin: filled.Origin, Account: fmt.Sprintf("acct_%020d", i), Event: &e}
		drafts[i].IdempotencyKey, drafts[i].RequestHash = "", events.Hash{}
		drafts[i].CorrelationID = fmt.Sprintf("0195a1d2-7e3c-7b9a-8f10-%012d", i)
	}
	return sealAll(b, drafts)
}

func BenchmarkSeal(b *testing.B) {
	drafts := make([]events.Draft, 0, 1000)
	for _, r := range busy(b, 1000) {
		drafts = append(drafts, r.Draft)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Seal(genesis(goldenLog), eventstest.Epoch(), drafts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(drafts)), "ns/record")
}

func BenchmarkDecoderOpen(b *testing.B) {
	recs := busy(b, 1000)
	dec := events.NewDecoder()
	b.ReportAllocs()
	for b.Loop() {
		head := genesis(goldenLog)
		for _, r := range recs {
			got, err := dec.Open(head, r.Seq, r.Encoded(), r.Hash)
			if err != nil {
				b.Fatal(err)
			}
			head = head.Next(got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(recs)), "ns/record")
	b.ReportMetric(float64(len(recs[500].Encoded())), "bytes/record")
}
