package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// tail is how many records come after the newest checkpoint at most: the engine writes
// one as often.
const tail = 10_000

// madeLog is a closed log of a pool whose accounts are limited in turn.
type madeLog struct {
	dir     string
	records int
	encoded int // bytes of all records
}

// makeLog makes a log of n records, stored in batches as large as the engine's, with a
// checkpoint a tail before its end.
func makeLog(b *testing.B, n int) madeLog {
	b.Helper()
	m := madeLog{dir: b.TempDir(), records: n}
	log, err := boltlog.Open(m.dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	s := withPool(b, log, now)
	for r, err := range log.Records(b.Context(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		m.encoded += len(r.Encoded())
	}
	drafts := limits(b, s, now)
	var sealer events.Sealer
	for s.Head().Seq < events.Seq(n) {
		now = now.Add(time.Second)
		recs, err := sealer.Seal(nil, s.Head(), now, drafts(min(batchSize, n-int(s.Head().Seq), untilCheckpoint(s, n))))
		if err == nil {
			err = log.Append(b.Context(), recs)
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range recs {
			m.encoded += len(r.Encoded())
			s.Apply(r)
		}
		if s.Head().Seq == events.Seq(n-tail) {
			keep(b, log, s)
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	return m
}

// untilCheckpoint is how many records come before the checkpoint of a log of n records,
// or before its end.
func untilCheckpoint(s *projection.State, n int) int {
	if before := n - tail - int(s.Head().Seq); before > 0 {
		return before
	}
	return n
}

func keep(b *testing.B, log *boltlog.Log, s *projection.State) {
	dump, err := s.Snapshot().Pack()
	if err == nil {
		err = log.WriteCheckpoint(b.Context(), s.Head(), dump)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// withPool lets an engine put the definitions and the accounts into a new log, and
// returns a working state of it.
func withPool(b *testing.B, log *boltlog.Log, now time.Time) *projection.State {
	b.Helper()
	o := &projection.Options{Now: func() time.Time { return now }}
	for i := range pool {
		o.Accounts = append(o.Accounts, projection.PutAccount{ID: accountID(i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	e, err := projection.Open(b.Context(), log, o)
	if err != nil {
		b.Fatal(err)
	}
	dump, err := e.State().Dump()
	if err := errors.Join(err, e.Close()); err != nil {
		b.Fatal(err)
	}
	s, err := projection.Load(dump)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// limits returns a function that drafts the next limits of the pool: each is what is
// decided for a report, with a later deadline than the one before on its account.
func limits(b *testing.B, s *projection.State, now time.Time) func(n int) []events.Draft {
	d, err := projection.Decide(s, report(1, new(projection.Report)), now)
	if err != nil || len(d.Drafts) != 1 {
		b.Fatalf("%d drafts: %v", len(d.Drafts), err)
	}
	i := 0
	return func(n int) []events.Draft {
		drafts := make([]events.Draft, n)
		for k := range drafts {
			drafts[k] = d.Drafts[0]
			e := *drafts[k].Event.(*events.LimitObserved)
			e.RequestID = fmt.Sprintf("req-%012d", i)
			e.Until, e.Reset = e.Until.Add(time.Duration(i)*time.Second), e.Reset.Add(time.Duration(i)*time.Second)
			if i >= pool {
				e.Effect = events.EffectExtended
			}
			drafts[k].Event, drafts[k].Account = &e, accountID(i*7919%pool)
			drafts[k].CorrelationID = fmt.Sprintf("0195a1d2-7e3c-7b9a-8f10-%012d", i)
			i++
		}
		return drafts
	}
}
