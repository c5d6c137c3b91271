package router

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// BlockCode says why nothing is usable. The order of the constants matters: where
// several apply and nothing comes back by itself, the last one is given.
type BlockCode string

// The codes.
const (
	BlockNoAccounts BlockCode = "no_accounts"   // the provider has none, or no candidate is of it
	BlockExcluded   BlockCode = "all_excluded"  //
	BlockDisabled   BlockCode = "all_disabled"  //
	BlockSuspended  BlockCode = "all_suspended" // by hand, without an end
	BlockHeld       BlockCode = "all_held"      // a human must act
	BlockCooling    BlockCode = "all_cooling"   // at least one comes back by itself
)

// BlockedError says that no account can serve a request now.
type BlockedError struct {
	Code     BlockCode
	Provider string
	Model    string
	Target   string
	// Counts holds the number of accounts by why each is not usable.
	Counts Counts
	// EarliestEnd is when the first account comes back by itself; zero: none does.
	EarliestEnd time.Time
	// NextProbe is when one request may be let through to see whether a quota is back
	// early; zero: none is planned before EarliestEnd.
	NextProbe time.Time

	s selection
	// of holds the answers of the providers, where an [Offer] was of several.
	of []*BlockedError
}

// Counts are accounts by why they are not usable.
type Counts struct {
	Excluded  int `json:"excluded"`
	Disabled  int `json:"disabled"`
	Suspended int `json:"suspended"`
	Held      int `json:"held"`
	Cooling   int `json:"cooling"`
}

// Reason says why one account is not usable.
type Reason struct {
	Account string // the id as given
	Target  string // of the block that lasts longest; empty if none blocks
	Status  string // a projection.Status, or "excluded"
	Until   time.Time
	// Volatile: the block is known to this router alone, since the log cannot be
	// written.
	Volatile bool
}

// statusExcluded is the reason of an account that the request ruled out itself.
const statusExcluded = "excluded"

func (e *BlockedError) Error() string {
	text := fmt.Sprintf("no account of %s can serve %s: %s", e.Provider, e.Model, e.Code)
	if !e.EarliestEnd.IsZero() {
		text += fmt.Sprintf("; the first comes back at %s", e.EarliestEnd.UTC().Format(time.RFC3339))
	}
	if !e.NextProbe.IsZero() {
		text += fmt.Sprintf("; the next probe is due at %s", e.NextProbe.UTC().Format(time.RFC3339))
	}
	return text
}

// RetryAfter is how long to wait for the first account or the next probe, in whole
// seconds rounded up and at least one; 0 if nothing comes back by itself.
func (e *BlockedError) RetryAfter() time.Duration {
	if e.Code != BlockCooling {
		return 0
	}
	wait := e.next().Sub(e.s.q.Now)
	return max(time.Second, (wait+time.Second-1)/time.Second*time.Second)
}

// next is when it is worth asking again; zero: nobody knows.
func (e *BlockedError) next() time.Time {
	if !e.NextProbe.IsZero() {
		return e.NextProbe
	}
	return e.EarliestEnd
}

// blocked finds out why a selection came to nothing.
func (s *selection) blocked() *BlockedError {
	e := &BlockedError{Provider: s.id.Provider, Model: s.q.Model, Target: s.id.Target, s: *s}
	t := e.s.tally()
	e.Counts, e.EarliestEnd = t.counts, t.end.Time()
	if t.probe < t.end {
		if at := e.s.nextProbe(t.probe.Time()); e.EarliestEnd.IsZero() || at.Before(e.EarliestEnd) {
			e.NextProbe = at
		}
	}
	e.Code = e.code()
	if !s.q.DryRun {
		s.turns.tally.block(e.Code)
	}
	return e
}

// code is the one that the counts and the earliest end come to.
func (e *BlockedError) code() BlockCode {
	switch c := e.Counts; {
	case !e.EarliestEnd.IsZero():
		return BlockCooling
	case c.Held > 0:
		return BlockHeld
	case c.Suspended > 0:
		return BlockSuspended
	case c.Disabled > 0:
		return BlockDisabled
	case c.Excluded > 0:
		return BlockExcluded
	default:
		return BlockNoAccounts
	}
}

// nextProbe returns when a probe that is due may go out: after the one before it.
func (s *selection) nextProbe(due time.Time) time.Time {
	c := s.turns.claim.Load()
	if c == nil || c.free(s.q.Now, s.probeRule()) {
		return due
	}
	if after := c.next(s.probeRule()); after.After(due) {
		return after
	}
	return due
}

// tally is what the accounts that a request could have got add up to.
type tally struct {
	counts     Counts
	end, probe projection.Instant
}

// tally counts the accounts. Where the lane knows, no account is looked at but those
// that the request rules out.
func (s *selection) tally() tally {
	if t, ok := s.tallyLane(); ok {
		return t
	}
	t := tally{end: projection.Never, probe: projection.Never}
	for a := range s.considered() {
		if s.excluded(a) {
			t.counts.Excluded++
			continue
		}
		st := s.standing(a)
		t.add(st.Status, 1)
		t.end = min(t.end, st.End)
		if !s.view.Degraded {
			t.probe = min(t.probe, st.Empty)
		}
	}
	return t
}

// standing is the account's, with what the overlay adds.
func (s *selection) standing(a *projection.Account) projection.Standing {
	st := s.view.State.Standing(a, s.id, s.q.Now)
	b, on := s.volatileBlock(a)
	if on == "" {
		return st
	}
	if b.outlasts(st) {
		st.Status, st.End = projection.StatusCooling, projection.InstantOf(b.until)
	}
	st.Empty = projection.Never
	return st
}

// outlasts reports whether the block lasts longer than what the state knows of the
// account. What has no end by itself lasts longer than any.
func (b volatileBlock) outlasts(st projection.Standing) bool {
	return st.Status == projection.StatusAvailable || st.End != projection.Never && projection.InstantOf(b.until) > st.End
}

// add counts an account n times.
func (t *tally) add(s projection.Status, n int) {
	switch s {
	case projection.StatusDisabled:
		t.counts.Disabled += n
	case projection.StatusSuspended:
		t.counts.Suspended += n
	case projection.StatusHeld:
		t.counts.Held += n
	case projection.StatusCooling:
		t.counts.Cooling += n
	}
}

// tallyLane is the tally of a whole pool. It reports false where the lane does not
// tell: if an account that is ruled out is the first to come back, or may be.
func (s *selection) tallyLane() (tally, bool) {
	if s.lane == nil || s.volatile != nil || len(s.q.Candidates) > 0 {
		return tally{}, false
	}
	c := s.lane.Counts()
	t := tally{Counts{0, c.Disabled, c.Suspended, c.Held, c.Cooling}, s.lane.FirstEnd(), s.lane.ProbeDue(true)}
	if s.view.Degraded {
		t.probe = projection.Never
	}
	var out [MaxNames]int
	excluded := out[:0]
	for _, given := range s.q.Exclude {
		if i, ok := s.pool.Find(s.ids.Stored(given)); ok && !slices.Contains(excluded, i) {
			excluded = append(excluded, i)
		}
	}
	for _, i := range excluded {
		st := s.view.State.Standing(s.pool.At(i), s.id, s.q.Now)
		if st.End == t.end && st.End != projection.Never || st.Empty == t.probe && st.Empty != projection.Never {
			return tally{}, false
		}
		t.add(st.Status, -1)
		t.counts.Excluded++
	}
	return t, true
}

// considered yields the accounts that the request could have got, each once.
func (s *selection) considered() iter.Seq[*projection.Account] {
	return func(yield func(*projection.Account) bool) {
		if len(s.q.Candidates) > 0 {
			seen := make(map[string]bool, len(s.q.Candidates))
			for _, given := range s.q.Candidates {
				a := s.candidate(given)
				if a == nil || seen[a.ID] {
					continue
				}
				seen[a.ID] = true
				if !yield(a) {
					return
				}
			}
			return
		}
		for i := 0; s.pool != nil && i < s.pool.Len(); i++ {
			if !yield(s.pool.At(i)) {
				return
			}
		}
	}
}

// Reasons yields why each account is not usable, in the order of the pool. It is
// built when asked for.
func (e *BlockedError) Reasons() iter.Seq[Reason] {
	return func(yield func(Reason) bool) {
		for _, of := range e.of {
			for r := range of.Reasons() {
				if !yield(r) {
					return
				}
			}
		}
		if len(e.of) > 0 {
			return
		}
		for a := range e.s.considered() {
			if !yield(e.reason(a)) {
				return
			}
		}
	}
}

func (e *BlockedError) reason(a *projection.Account) Reason {
	r := Reason{Account: e.s.ids.Given(a.ID), Status: statusExcluded}
	if e.s.excluded(a) {
		return r
	}
	st := e.s.view.State.Standing(a, e.s.id, e.s.q.Now)
	r.Status = string(st.Status)
	if a.Spec.Disabled {
		r.Target = events.TargetAll
		return r
	}
	if c := a.Blocking(e.s.id, e.s.q.Now); c != nil {
		r.Target = c.Target
		r.Until, _ = c.Returns(e.s.q.Now)
	}
	if b, on := e.s.volatileBlock(a); on != "" && b.outlasts(st) {
		r.Status, r.Target, r.Until, r.Volatile = string(projection.StatusCooling), on, b.until, true
	}
	return r
}
