package router

import (
	"fmt"
	"iter"
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

	s selection
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
}

// statusExcluded is the reason of an account that the request ruled out itself.
const statusExcluded = "excluded"

func (e *BlockedError) Error() string {
	text := fmt.Sprintf("no account of %s can serve %s: %s", e.Provider, e.Model, e.Code)
	if !e.EarliestEnd.IsZero() {
		text += fmt.Sprintf("; the first comes back at %s", e.EarliestEnd.UTC().Format(time.RFC3339))
	}
	return text
}

// RetryAfter is how long to wait, in whole seconds rounded up and at least one; 0
// if nothing comes back by itself.
func (e *BlockedError) RetryAfter() time.Duration {
	if e.EarliestEnd.IsZero() {
		return 0
	}
	wait := e.EarliestEnd.Sub(e.s.q.Now)
	return max(time.Second, (wait+time.Second-1)/time.Second*time.Second)
}

// blocked finds out why a selection came to nothing.
func blocked(s selection) error {
	e := &BlockedError{Provider: s.id.Provider, Model: s.q.Model, Target: s.id.Target, Code: BlockNoAccounts, s: s}
	for a := range e.s.considered() {
		e.count(a)
	}
	if !e.EarliestEnd.IsZero() {
		e.Code = BlockCooling
	}
	return e
}

// considered yields the accounts that the request could have got.
func (s *selection) considered() iter.Seq[*projection.Account] {
	return func(yield func(*projection.Account) bool) {
		if len(s.q.Candidates) > 0 {
			for _, given := range s.q.Candidates {
				if a := s.candidate(given); a != nil && !yield(a) {
					return
				}
			}
			return
		}
		p := s.view.Index.Pool(s.id.Provider)
		for i := 0; p != nil && i < p.Len(); i++ {
			if !yield(p.At(i)) {
				return
			}
		}
	}
}

// count adds one account to the counts, and to what decides the code.
func (e *BlockedError) count(a *projection.Account) {
	n, code := &e.Counts.Cooling, BlockNoAccounts
	switch {
	case e.s.excluded(a):
		n, code = &e.Counts.Excluded, BlockExcluded
	case a.Spec.Disabled:
		n, code = &e.Counts.Disabled, BlockDisabled
	default:
		at, never := a.Returns(e.s.id, e.s.q.Now)
		switch e.s.status(a) {
		case projection.StatusHeld:
			n, code = &e.Counts.Held, BlockHeld
		case projection.StatusSuspended:
			n, code = &e.Counts.Suspended, BlockSuspended
		case projection.StatusAvailable:
			return // unreachable: it would have been picked
		}
		if !never && (e.EarliestEnd.IsZero() || at.Before(e.EarliestEnd)) {
			e.EarliestEnd = at
		}
	}
	*n++
	if rank(code) > rank(e.Code) {
		e.Code = code
	}
}

// status is of the block of an account that lasts longest. A hold that outlasts a
// timed suspension of the same cell is what to act on, so it is the one named.
func (s *selection) status(a *projection.Account) projection.Status {
	c := a.Blocking(s.id, s.q.Now)
	if c == nil {
		return projection.StatusAvailable
	}
	if _, held, manual := c.Live(s.q.Now); held != nil && manual != nil && !manual.Until.IsZero() {
		return projection.StatusHeld
	}
	return c.Status(s.q.Now)
}

func rank(c BlockCode) int {
	for i, x := range []BlockCode{BlockNoAccounts, BlockExcluded, BlockDisabled, BlockSuspended, BlockHeld, BlockCooling} {
		if x == c {
			return i
		}
	}
	return -1
}

// Reasons yields why each account is not usable, in the order of the pool. It is
// built when asked for.
func (e *BlockedError) Reasons() iter.Seq[Reason] {
	return func(yield func(Reason) bool) {
		for a := range e.s.considered() {
			if !yield(e.reason(a)) {
				return
			}
		}
	}
}

func (e *BlockedError) reason(a *projection.Account) Reason {
	r := Reason{Account: e.s.ids.Given(a.ID), Status: statusExcluded}
	switch {
	case e.s.excluded(a):
	case a.Spec.Disabled:
		r.Status, r.Target = string(projection.StatusDisabled), events.TargetAll
	default:
		r.Status = string(e.s.status(a))
		if c := a.Blocking(e.s.id, e.s.q.Now); c != nil {
			r.Target = c.Target
			r.Until, _ = c.Returns(e.s.q.Now)
		}
	}
	return r
}
