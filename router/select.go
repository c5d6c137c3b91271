package router

import (
	"strings"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// selection is one pick under way. It lives on the stack; the request stands in it
// by value, since a pointer would move every request to the heap.
type selection struct {
	q        Request
	view     *projection.View
	id       *projection.Resolution
	ids      *identity.Book
	memory   *memory
	turns    *turns
	volatile *volatiles
	pool     *projection.Pool // nil: the provider has no configured account
	// lane is how the pool's accounts stand; nil: they are judged one by one.
	lane     *projection.Lane
	strategy Strategy
	probe    uint64 // the claim taken
	counted  bool   // the turn that was taken counts the pick
}

// locate finds the pool and the lane of the request.
func (s *selection) locate() {
	s.pool = s.view.Index.PoolOf(s.id)
	if s.pool != nil && !s.view.ObserveOnly && s.view.Index.Exact(s.q.Now) {
		s.lane = s.pool.Lane(s.id)
	}
}

// choose returns the stored id of the account picked, empty if there is none.
func (s *selection) choose() string {
	if len(s.q.Candidates) > 0 {
		return s.named()
	}
	if s.pool == nil {
		return ""
	}
	// Beside others a probe is in no hurry: where no lane tells, it waits for one.
	if s.lane != nil && s.lane.ProbeDue(false) != projection.Never && s.next(0, s.pool.Len()) >= 0 {
		if a := s.probePool(false); a != nil {
			return a.ID
		}
	}
	for _, tier := range s.pool.Tiers() {
		if i := s.from(tier); i >= 0 {
			return s.pool.ID(i)
		}
	}
	if a := s.probePool(true); a != nil {
		return a.ID
	}
	return ""
}

// from returns the position that the strategy picks in a tier, or -1.
func (s *selection) from(t projection.Tier) int {
	switch {
	case s.strategy == FillFirst:
		return s.next(t.Start, t.End)
	case s.strategy == Sticky && s.q.Session != "":
		return s.nearest(t)
	case s.strategy == Weighted && s.pool.Weighted():
		return s.turnOfWheel(t)
	default:
		return s.turn(t)
	}
}

// turn returns the next usable position of a tier after the one served last. Two
// picks at once do not get the same turn: the second looks again.
func (s *selection) turn(t projection.Tier) int {
	turn := s.turns.of(t.Priority)
	for {
		last := place(turn.at.Load())
		from := turn.from(last, s.pool.Roster, t)
		i := s.next(from, t.End)
		if i < 0 {
			i = s.next(t.Start, from)
		}
		if i < 0 || s.q.DryRun {
			return i
		}
		if turn.serve(last, i, s.pool.Roster) {
			s.counted = true
			return i
		}
	}
}

// turnOfWheel is the same over the slots of the wheel.
func (s *selection) turnOfWheel(t projection.Tier) int {
	turn := s.turns.of(t.Priority)
	for {
		last := place(turn.slot.Load())
		from := last.within(t.FirstSlot, t.EndSlot)
		slot := s.nextSlot(from, t.EndSlot)
		if slot < 0 {
			slot = s.nextSlot(t.FirstSlot, from)
		}
		if slot < 0 {
			return -1
		}
		if s.q.DryRun {
			return s.pool.Served(slot)
		}
		if turn.slot.CompareAndSwap(uint64(last), uint64(last.then(slot))) {
			s.counted = true
			return s.pool.Served(slot)
		}
	}
}

// next returns the first position in [from, to) that may be picked, or -1.
func (s *selection) next(from, to int) int {
	for ; from < to; from++ {
		if s.lane != nil {
			if from = s.lane.Next(from, to); from < 0 {
				return -1
			}
		}
		if s.passes(from) {
			return from
		}
	}
	return -1
}

// nextSlot is the same over the slots of the wheel.
func (s *selection) nextSlot(from, to int) int {
	for ; from < to; from++ {
		if s.lane != nil {
			if from = s.lane.NextSlot(from, to); from < 0 {
				return -1
			}
		}
		if s.passes(s.pool.Served(from)) {
			return from
		}
	}
	return -1
}

// passes reports whether nothing but the lane, if there is one, rules out the account
// at a position.
func (s *selection) passes(i int) bool {
	if s.lane != nil && s.volatile == nil && len(s.q.Exclude) == 0 {
		return true
	}
	a := s.pool.At(i)
	return (s.lane != nil || s.serves(a)) && !s.ruledOut(a)
}

// ruledOut reports whether the request or the overlay rules out an account.
func (s *selection) ruledOut(a *projection.Account) bool {
	if s.excluded(a) {
		return true
	}
	_, on := s.volatileBlock(a)
	return on != "" && !s.view.ObserveOnly
}

// volatileBlock returns what the overlay blocks an account by, and where. That of a
// candidate not known stands under the id that it would be stored by.
func (s *selection) volatileBlock(a *projection.Account) (b volatileBlock, on string) {
	if s.volatile == nil {
		return volatileBlock{}, ""
	}
	return s.volatile.blocks(s.ids.Stored(a.ID), s.id, s.q.Now)
}

// serves reports whether the account's state lets it serve the request.
func (s *selection) serves(a *projection.Account) bool {
	return !a.Spec.Disabled && (s.view.ObserveOnly || a.Usable(s.id, s.q.Now))
}

// excluded compares ids as given, which needs no pseudonym to be computed.
func (s *selection) excluded(a *projection.Account) bool {
	if len(s.q.Exclude) == 0 {
		return false
	}
	given := s.ids.Given(a.ID)
	for _, x := range s.q.Exclude {
		if x == given || x == a.ID {
			return true
		}
	}
	return false
}

// candidate returns the account a candidate names: a stand-in without blocks, under
// the id as given, for one not known; nil for one of another provider.
func (s *selection) candidate(given string) *projection.Account {
	a := s.view.State.Account(s.ids.Stored(given))
	if a == nil {
		return &projection.Account{ID: strings.Clone(given)}
	}
	if a.Spec.Provider != s.id.Provider {
		return nil
	}
	return a
}
