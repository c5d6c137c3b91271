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
	p := s.view.Index.Pool(s.id.Provider)
	if p == nil {
		return nil
	}
	for _, tier := range p.Tiers() {
		if a := s.fromTier(p, tier); a != nil {
			return a
		}
	}
	return nil
}

// fromTier returns the next usable account of a tier after the one served last.
// Two picks at once do not get the same turn: the second looks again.
func (s *selection) fromTier(p *projection.Pool, t projection.Tier) *projection.Account {
	turn := s.turns.of(s.id, t.Priority)
	for {
		last := turn.last.Load()
		from := t.Start
		if last != nil {
			from = p.After(t, last.ID)
		}
		a := s.scan(p, from, t.End)
		if a == nil {
			a = s.scan(p, t.Start, from)
		}
		if a == nil || s.q.DryRun || turn.last.CompareAndSwap(last, a) {
			return a
		}
	}
}

func (s *selection) scan(p *projection.Pool, from, to int) *projection.Account {
	for i := from; i < to; i++ {
		if a := p.At(i); s.usable(a) {
			return a
		}
	}
	return nil
}

func (s *selection) usable(a *projection.Account) bool {
	if a.Spec.Disabled || s.excluded(a) {
		return false
	}
	return s.view.ObserveOnly || a.Usable(s.id, s.q.Now)
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

// candidate returns the account a candidate names: a stand-in without blocks for
// one not known, nil for one of another provider.
func (s *selection) candidate(given string) *projection.Account {
	stored := s.ids.Stored(given)
	a := s.view.State.Account(stored)
	if a == nil {
		return &projection.Account{ID: strings.Clone(stored)}
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
			if a == nil || !s.usable(a) {
				continue
			}
			if first == nil || a.Spec.Priority > first.Spec.Priority {
				turn = s.turns.of(s.id, a.Spec.Priority)
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
