package eventstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

// Backend is an implementation of events.Log under test.
type Backend struct {
	// Open returns a new log without records. The suite closes it.
	Open func(t *testing.T) events.Log
	// Reopen closes the log and opens the same one again. Nil: what is logged does
	// not outlive a Close.
	Reopen func(t *testing.T, log events.Log) events.Log
}

// Run checks that b keeps the contract of events.Log.
func Run(t *testing.T, b Backend) {
	for _, c := range []struct {
		name string
		test func(*script)
	}{
		{"Empty", empty},
		{"ReadsBackWhatWasAppended", readsBack},
		{"AppendsNothing", appendsNothing},
		{"RefusesWhatDoesNotContinue", refusesConflicts},
		{"RefusesAnotherChain", refusesAnotherChain},
		{"LinksWhatHasNoHash", linksWhatHasNoHash},
		{"IteratesFromAnySeq", iteratesFromAnySeq},
		{"IteratesTwice", iteratesTwice},
		{"HistoryOfOneAccount", historyOfOneAccount},
		{"HistoryOfManyRecords", historyOfManyRecords},
		{"SeesWhatIsAppendedMeanwhile", seesAppends},
		{"HoldsNothingWhileTheCallerWorks", holdsNothing},
		{"StopsEarly", stopsEarly},
		{"EndsWithItsContext", endsWithContext},
		{"EndsWhenClosed", endsWhenClosed},
		{"ReadersBesideAWriter", readersBesideAWriter},
		{"WritersConflict", writersConflict},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(newScript(t, b)) })
	}
	if b.Reopen != nil {
		t.Run("Reopens", func(t *testing.T) { reopens(newScript(t, b), b) })
	}
}

// script is a log and what should be in it.
type script struct {
	*testing.T
	log  events.Log
	want []events.Record // appended so far
	at   time.Time       // of the next append
}

func newScript(t *testing.T, b Backend) *script {
	s := &script{T: t, log: b.Open(t), at: Epoch()}
	t.Cleanup(func() { s.log.Close() })
	return s
}

// head returns the log's head.
func (s *script) head() events.Head {
	s.Helper()
	h, err := s.log.Head(context.Background())
	if err != nil {
		s.Fatalf("Head: %v", err)
	}
	return h
}

// seal returns the drafts as records that continue the log.
func (s *script) seal(drafts ...events.Draft) []events.Record {
	s.Helper()
	s.at = s.at.Add(time.Second)
	recs, err := events.Seal(s.head(), s.at, drafts)
	if err != nil {
		s.Fatalf("Seal: %v", err)
	}
	return recs
}

// append appends the drafts, which must succeed.
func (s *script) append(drafts ...events.Draft) []events.Record {
	s.Helper()
	recs := s.seal(drafts...)
	if err := s.log.Append(context.Background(), recs); err != nil {
		s.Fatalf("Append of %d records: %v", len(recs), err)
	}
	s.want = append(s.want, recs...)
	return recs
}

// appendLifts appends n small records, in some calls, about the accounts in turn.
func (s *script) appendLifts(n int, accounts ...string) {
	s.Helper()
	var drafts []events.Draft
	for i := range n {
		drafts = append(drafts, lift(accounts[i%len(accounts)], fmt.Sprint(i)))
	}
	for some := range slices.Chunk(drafts, 100) {
		s.append(some...)
	}
}

// read returns the records that q asks for.
func (s *script) read(q events.Query) []events.Record {
	s.Helper()
	var recs []events.Record
	for r, err := range s.log.History(context.Background(), q) {
		if err != nil {
			s.Fatalf("History(%+v) after %d records: %v", q, len(recs), err)
		}
		recs = append(recs, r)
	}
	return recs
}

// expect checks that q finds the records of want, in order.
func (s *script) expect(q events.Query, want []events.Record) {
	s.Helper()
	if err := same(s.read(q), want); err != nil {
		s.Errorf("History(%+v): %v", q, err)
	}
}

// same compares records by what they are sealed with.
func same(got, want []events.Record) error {
	if g, w := seqs(got), seqs(want); !slices.Equal(g, w) {
		return fmt.Errorf("got the records %v, want %v", g, w)
	}
	for i := range got {
		if got[i].Hash != want[i].Hash || !slices.Equal(got[i].Encoded(), want[i].Encoded()) {
			return fmt.Errorf("record %d has other bytes than those appended", got[i].Seq)
		}
	}
	return nil
}

// expectValues checks that the log reads back as the values that were appended.
func (s *script) expectValues() {
	s.Helper()
	got := s.read(events.Query{})
	if err := same(got, s.want); err != nil {
		s.Error(err)
		return
	}
	for i := range got {
		if diff := cmp.Diff(s.want[i], got[i], cmp.FilterPath(isEncoded, cmp.Ignore())); diff != "" {
			s.Errorf("record %d differs (-appended +read):\n%s", got[i].Seq, diff)
		}
	}
}

// isEncoded matches the one unexported field of a record, compared on its own.
func isEncoded(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && f.Name() == "encoded"
}

func seqs(recs []events.Record) []events.Seq {
	s := make([]events.Seq, 0, len(recs))
	for _, r := range recs {
		s = append(s, r.Seq)
	}
	return s
}

// about returns the records that are about the account.
func about(recs []events.Record, account string) []events.Record {
	return slices.DeleteFunc(slices.Clone(recs), func(r events.Record) bool {
		return !slices.Contains(r.Accounts(), account)
	})
}

func reversed(recs []events.Record) []events.Record {
	recs = slices.Clone(recs)
	slices.Reverse(recs)
	return recs
}

func lift(account, reason string) events.Draft {
	return events.Draft{Origin: origin(), Account: account, Event: &events.Lifted{Target: "claude", Reason: reason}}
}

func expiry(cells ...events.Cell) events.Draft {
	return events.Draft{Origin: origin(), Event: &events.Expired{Cells: cells, Dimension: events.DimensionCooling, Due: Epoch()}}
}

// wantErr checks that an iteration yielded records without errors and then, last,
// want with an empty record.
func (s *script) wantErr(got []events.Record, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("the iteration ended with %v, want %v", err, want)
	}
	if err := same(got, s.want[:len(got)]); err != nil {
		s.Errorf("before its error the iteration yielded other records: %v", err)
	}
}

// drain reads records from the start, calling each for every one, up to an error.
func (s *script) drain(ctx context.Context, each func(n int)) (got []events.Record, err error) {
	s.Helper()
	for r, e := range s.log.Records(ctx, 0) {
		if err != nil {
			s.Error("the iteration went on after its error")
			return got, err
		}
		if err = e; e != nil {
			if r.Seq != 0 || r.Event != nil {
				s.Errorf("record %d came with an error", r.Seq)
			}
			continue
		}
		got = append(got, r)
		each(len(got))
	}
	return got, err
}
