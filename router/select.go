package router

import (
	"strings"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// selection is one pick under way. It lives on the stack; the request stands in it
// by value, since a pointer would move every request to the heap.
type selection struct {
	view  *projection.View
	id    *projection.Resolution
	ids   *identity.Book
	turns *turns
	q     Request
}

func (s *selection) choose() *projection.Account {
	if len(s.q.Candidates) > 0 {
		return s.named()
	}
	x := s.view.Index
	p := x.PoolOf(s.id)
	if p == nil {
		return nil
	}
	var lane *projection.Lane
	if !s.view.ObserveOnly && x.Exact(s.q.Now) {
		lane = p.Lane(s.id)
	}
	for _, tier := range p.Tiers() {
		if a := s.fromTier(p, lane, tier); a != nil {
			return a
		}
	}
	return nil
}

// fromTier returns the next usable account of a tier after the one served last.
// Two picks at once do not get the same turn: the second looks again.
func (s *selection) fromTier(p *projection.Pool, lane *projection.Lane, t projection.Tier) *projection.Account {
	turn := s.turns.of(t.Priority)
	for {
		last := turn.last.Load()
		from := turn.after(last, p, t)
		i := s.next(p, lane, from, t.End)
		if i < 0 {
			i = s.next(p, lane, t.Start, from)
		}
		if i < 0 {
			return nil
		}
		a := p.At(i)
		if s.q.DryRun {
			return a
		}
		if turn.last.CompareAndSwap(last, a) {
			turn.hint.Store(int64(i))
			return a
		}
	}
}

// next returns the first usable position in [from, to) that is not excluded, or -1.
// Without a lane the accounts are judged one by one.
func (s *selection) next(p *projection.Pool, lane *projection.Lane, from, to int) int {
	for ; from < to; from++ {
		if lane != nil {
			if from = lane.Next(from, to); from < 0 {
				return -1
			}
		} else if !s.serves(p.At(from)) {
			continue
		}
		if len(s.q.Exclude) == 0 || !s.excluded(p.At(from)) {
			return from
		}
	}
	return -1
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

// named returns the usable candidate of the highest priority whose turn is next.
func (s *selection) named() *projection.Account {
	for {
		var turn *turn
		var last, next, first *projection.Account
		for _, given := range s.q.Candidates {
			a := s.candidate(given)
			if a == nil || !s.serves(a) || s.excluded(a) {
				continue
			}
			if first == nil || a.Spec.Priority > first.Spec.Priority {
				turn = s.turns.of(a.Spec.Priority)
				last, next, first = turn.last.Load(), nil, a
			} else if a.Spec.Priority < first.Spec.Priority {
				continue
			}
			if a.ID < first.ID {
				first = a
			}
			if last != nil && a.ID > last.ID && (next == nil || a.ID < next.ID) {
				next = a
			}
		}
		if next == nil {
			next = first
		}
		if next == nil || s.q.DryRun || turn.last.CompareAndSwap(last, next) {
			return next
		}
	}
}
