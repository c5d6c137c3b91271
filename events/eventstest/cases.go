package eventstest

import (
	"bytes"
	"context"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
)

func empty(s *script) {
	h := s.head()
	if h.Log == "" || h.Seq != 0 || !h.At.IsZero() {
		s.Errorf("the head of a new log is %+v", h)
	}
	if want := events.Genesis(h.Log); h.Hash != want {
		s.Errorf("a new log has the hash %s, want that of its id, %s", h.Hash, want)
	}
	for _, q := range []events.Query{{}, {Newest: true}, {Account: "a"}, {Account: "a", Newest: true}, {After: 7}, {Before: 7}} {
		s.expect(q, nil)
	}
}

func readsBack(s *script) {
	before := s.head()
	for _, d := range Drafts() {
		recs := s.append(d)
		h := s.head()
		if want := before.Next(recs[0]); h != want {
			s.Fatalf("after record %d the head is %+v, want %+v", recs[0].Seq, h, want)
		}
		before = h
	}
	s.append(Drafts()...)
	s.expectValues()
	s.expect(events.Query{Newest: true}, reversed(s.want))
}

func appendsNothing(s *script) {
	s.append(lift("a", "one"))
	before := s.head()
	for _, none := range [][]events.Record{nil, {}} {
		if err := s.log.Append(s.Context(), none); err != nil {
			s.Errorf("appending nothing: %v", err)
		}
	}
	if h := s.head(); h != before {
		s.Errorf("appending nothing moved the head to %+v", h)
	}
}

// refused checks that recs are refused with both seqs, and that nothing changed.
func (s *script) refused(what string, recs []events.Record, expected, actual events.Seq) {
	s.Helper()
	before := s.head()
	err := s.log.Append(context.Background(), recs)
	conflict, ok := err.(*events.ConflictError)
	switch {
	case !ok:
		s.Errorf("%s: got the error %v, want a *ConflictError", what, err)
	case conflict.Expected != expected || conflict.Actual != actual:
		s.Errorf("%s: the conflict expects %d and has %d, want %d and %d", what, conflict.Expected, conflict.Actual, expected, actual)
	}
	if h := s.head(); h != before {
		s.Errorf("%s: the head moved to %+v", what, h)
	}
	s.expect(events.Query{}, s.want)
	s.expect(events.Query{Account: "b"}, about(s.want, "b"))
}

func refusesConflicts(s *script) {
	first := s.append(lift("a", "one"), lift("b", "two"))
	next := s.seal(lift("b", "three"), lift("b", "four"), lift("b", "five"))
	s.refused("what is stored already", first, 3, 1)
	s.refused("the newest again", first[1:], 3, 2)
	s.refused("a gap", next[1:], 3, 4)
	s.refused("a gap inside", []events.Record{next[0], next[2]}, 4, 5)
	s.refused("a record twice", []events.Record{next[0], next[0]}, 4, 3)
	if err := s.log.Append(s.Context(), next); err != nil {
		s.Errorf("after refusals: %v", err)
	}
	s.want = append(s.want, next...)
	s.expect(events.Query{}, s.want)
}

func refusesAnotherChain(s *script) {
	other := NewWithID("another log")
	foreign, err := events.Seal(other.head, s.at, []events.Draft{lift("b", "elsewhere")})
	if err != nil {
		s.Fatal(err)
	}
	s.refused("the first record of another log", foreign, 1, 1)
	s.append(lift("a", "one"))
	sealed := s.seal(lift("b", "two"))
	s.append(lift("a", "two"), lift("a", "three"))
	h := s.head()
	late, err := events.Seal(events.Head{Log: h.Log, Seq: h.Seq, Hash: sealed[0].Hash, At: h.At}, s.at, []events.Draft{lift("b", "four")})
	if err != nil {
		s.Fatal(err)
	}
	s.refused("a record on another history", late, 4, 4)
	early, err := events.Seal(events.Head{Log: h.Log, Seq: h.Seq, Hash: h.Hash}, h.At.Add(-time.Hour), []events.Draft{lift("b", "four")})
	if err != nil {
		s.Fatal(err)
	}
	s.refused("a record from before the newest", early, 4, 4)
}

// linksWhatHasNoHash: records that were only encoded get the hashes that sealing gives.
func linksWhatHasNoHash(s *script) {
	s.appendLifts(3, "a1")
	want := s.seal(Drafts()...)
	recs, err := new(events.Sealer).Encode(nil, events.Head{Seq: s.head().Seq, At: s.head().At}, s.at, Drafts())
	if err != nil {
		s.Fatal(err)
	}
	if recs[0].Hash != (events.Hash{}) {
		s.Errorf("a record that was only encoded has the hash %s", recs[0].Hash)
	}
	if err := s.log.Append(context.Background(), recs); err != nil {
		s.Fatalf("Append of records without hashes: %v", err)
	}
	for i := range want {
		if recs[i].Hash != want[i].Hash || !bytes.Equal(recs[i].Encoded(), want[i].Encoded()) {
			s.Errorf("record %d has the hash %s, want %s", recs[i].Seq, recs[i].Hash, want[i].Hash)
		}
	}
	s.want = append(s.want, want...)
	s.expect(events.Query{}, s.want)
}

func iteratesFromAnySeq(s *script) {
	s.appendLifts(25, "a", "b")
	for after := range events.Seq(26) {
		s.expect(events.Query{After: after}, s.want[after:])
		for before := after; before <= 27; before++ {
			want := s.want[after:max(after, min(25, max(before, 1)-1))]
			if before == 0 {
				want = s.want // no bound
			}
			s.expect(events.Query{After: after, Before: before}, want)
			s.expect(events.Query{After: after, Before: before, Newest: true}, reversed(want))
		}
	}
	for _, beyond := range []events.Seq{25, 26, 1 << 40, math.MaxUint64} {
		s.expect(events.Query{After: beyond}, nil)
		s.expect(events.Query{After: beyond, Newest: true}, nil)
		s.expect(events.Query{After: beyond, Account: "a"}, nil)
		s.expect(events.Query{Before: max(beyond, 26)}, s.want)
		s.expect(events.Query{Before: max(beyond, 26), Account: "a", Newest: true}, reversed(about(s.want, "a")))
	}
}

func iteratesTwice(s *script) {
	s.appendLifts(5, "a")
	all := s.log.History(s.Context(), events.Query{Newest: true})
	for range 2 {
		var got []events.Record
		for r, err := range all {
			if err != nil {
				s.Fatal(err)
			}
			got = append(got, r)
		}
		if err := same(got, reversed(s.want)); err != nil {
			s.Error(err)
		}
	}
}

func historyOfOneAccount(s *script) {
	s.append(Drafts()...)
	s.append(lift("a", "one"), lift("b", "two"), lift("a", "three"))
	s.append(
		expiry(events.Cell{Account: "b", Target: "x"}, events.Cell{Account: "a", Target: "x"}, events.Cell{Account: "b", Target: "y"}),
		expiry(events.Cell{Account: "c", Target: "x"}),
		lift("b", "four"),
	)
	s.append(lift("a", "five"), lift("ab", "six"))
	last := s.head().Seq
	for _, account := range []string{"a", "b", "c", "ab", "acct_0123456789abcdef0123", "spare", "nobody"} {
		of := about(s.want, account)
		for after := range last + 2 {
			for before := range last + 3 {
				var want []events.Record
				for _, r := range of {
					if r.Seq > after && (before == 0 || r.Seq < before) {
						want = append(want, r)
					}
				}
				s.expect(events.Query{Account: account, After: after, Before: before}, want)
				s.expect(events.Query{Account: account, After: after, Before: before, Newest: true}, reversed(want))
			}
		}
	}
}

// historyOfManyRecords goes over every page size that an implementation may use.
func historyOfManyRecords(s *script) {
	s.appendLifts(2500, "a", "a", "b")
	for _, q := range []events.Query{{}, {Account: "a"}, {Account: "b"}} {
		want := s.want
		if q.Account != "" {
			want = about(want, q.Account)
		}
		s.expect(q, want)
		q.Newest = true
		s.expect(q, reversed(want))
	}
}

func seesAppends(s *script) {
	s.appendLifts(3, "a")
	for _, q := range []events.Query{{}, {Account: "a"}} {
		var got []events.Record
		most := len(s.want) + 150
		for r, err := range s.log.History(s.Context(), q) {
			if err != nil {
				s.Fatal(err)
			}
			got = append(got, r)
			if len(got) == len(s.want) && len(got) < most {
				s.append(lift("a", "meanwhile"))
			}
		}
		if len(got) < most {
			s.Errorf("the iteration of %+v ended at %d records while more were appended", q, len(got))
		}
		if err := same(got, s.want); err != nil {
			s.Error(err)
		}
	}
}

// holdsNothing appends much more than a first mapping or a buffer holds while
// readers stand still.
func holdsNothing(s *script) {
	s.appendLifts(10, "a")
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	for range 3 {
		reading := make(chan struct{})
		wg.Go(func() {
			for _, err := range s.log.Records(context.Background(), 0) {
				close(reading)
				<-done
				if err != nil {
					s.Error(err)
				}
				return
			}
		})
		<-reading
	}
	s.appendLifts(1000, "a", "b")
}

func stopsEarly(s *script) {
	s.appendLifts(600, "a")
	for n := range 50 {
		for _, q := range []events.Query{{}, {Newest: true}, {Account: "a"}} {
			got := 0
			for _, err := range s.log.History(s.Context(), q) {
				if err != nil {
					s.Fatal(err)
				}
				if got++; got > n {
					break
				}
			}
		}
	}
	s.append(lift("a", "after"))
	s.expect(events.Query{}, s.want)
}

func endsWithContext(s *script) {
	s.appendLifts(100, "a")
	next := s.seal(lift("b", "late"))
	ctx, cancel := context.WithCancel(context.Background())
	got, err := s.drain(ctx, func(n int) {
		if n == 7 {
			cancel()
		}
	})
	s.wantErr(got, err, context.Canceled)
	if len(got) != 7 {
		s.Errorf("the iteration yielded %d records, want the 7 before its context ended", len(got))
	}
	if _, err := s.log.Head(ctx); err != context.Canceled {
		s.Errorf("Head with an ended context: %v", err)
	}
	if err := s.log.Append(ctx, next); err != context.Canceled {
		s.Errorf("Append with an ended context: %v", err)
	}
	s.expect(events.Query{}, s.want)
	s.append(lift("b", "after"))
}

func endsWhenClosed(s *script) {
	s.appendLifts(100, "a")
	next := s.seal(lift("b", "late"))
	got, err := s.drain(context.Background(), func(n int) {
		if n == 7 {
			if err := s.log.Close(); err != nil {
				s.Errorf("Close: %v", err)
			}
		}
	})
	s.wantErr(got, err, events.ErrClosed)
	if len(got) != 7 {
		s.Errorf("the iteration yielded %d records, want the 7 before Close", len(got))
	}
	got, err = s.drain(context.Background(), func(int) {})
	s.wantErr(got, err, events.ErrClosed)
	if _, err := s.log.Head(context.Background()); err != events.ErrClosed {
		s.Errorf("Head after Close: %v", err)
	}
	if err := s.log.Append(context.Background(), next); err != events.ErrClosed {
		s.Errorf("Append after Close: %v", err)
	}
	if err := s.log.Close(); err != nil {
		s.Errorf("Close after Close: %v", err)
	}
}

func readersBesideAWriter(s *script) {
	const total = 80
	s.append(lift("a", "first"))
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // readers also end when the writer fails
	for i := range 4 {
		wg.Go(func() { s.follow(ctx, events.Query{Account: []string{"", "a"}[i%2]}, total) })
	}
	for n := 1; n < total; n++ {
		s.append(lift("a", "next"))
		runtime.Gosched()
	}
	wg.Wait()
	s.expect(events.Query{}, s.want)
}

// follow reads until it has seen the record total, which must come without a gap
// and never before the head tells of it.
func (s *script) follow(ctx context.Context, q events.Query, total events.Seq) {
	for seen := events.Seq(0); seen < total && ctx.Err() == nil; {
		q.After = seen
		for r, err := range s.log.History(context.Background(), q) {
			if err != nil {
				s.Errorf("reading beside a writer: %v", err)
				return
			}
			h, err := s.log.Head(context.Background())
			if err != nil || r.Seq != seen+1 || h.Seq < r.Seq {
				s.Errorf("read record %d after %d, the head being %d (%v)", r.Seq, seen, h.Seq, err)
				return
			}
			seen = r.Seq
		}
	}
}

// writersConflict lets writers race for each seq: one wins, the others are told.
func writersConflict(s *script) {
	for range 20 {
		recs := s.seal(lift("a", "race"))
		var mu sync.Mutex
		won := 0
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				err := s.log.Append(context.Background(), recs)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if _, ok := err.(*events.ConflictError); !ok {
					s.Errorf("a writer that lost got %v", err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			s.Fatalf("%d of 4 writers won", won)
		}
		s.want = append(s.want, recs...)
	}
	s.expect(events.Query{}, s.want)
}

func reopens(s *script, b Backend) {
	again := func() {
		s.Helper()
		before := s.head()
		s.log = b.Reopen(s.T, s.log)
		if h := s.head(); h != before {
			s.Errorf("reopened, the head is %+v, want %+v", h, before)
		}
		s.expect(events.Query{}, s.want)
		for _, account := range []string{"a", "b", "spare"} {
			s.expect(events.Query{Account: account}, about(s.want, account))
			s.expect(events.Query{Account: account, Newest: true}, reversed(about(s.want, account)))
		}
	}
	again()
	s.append(Drafts()...)
	again()
	s.expectValues()
	s.appendLifts(1500, "a", "b")
	again()
	s.append(lift("a", "after"))
	again()
}
