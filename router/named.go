package router

import (
	"slices"

	"github.com/abeyance/abeyance/projection"
)

// named picks among the candidates of the request.
func (s *selection) named() string {
	var room [MaxNames]*projection.Account
	usable := room[:0]
	inUse := prober{s: s, now: projection.InstantOf(s.q.Now)}
	idle := prober{s: s, now: inUse.now, nobody: true}
	for _, given := range s.q.Candidates {
		a := s.candidate(given)
		if a == nil || s.ruledOut(a) {
			continue
		}
		if s.serves(a) {
			usable = append(usable, a)
		} else if !s.view.Degraded {
			st := s.view.State.Standing(a, s.id, s.q.Now)
			inUse.offer(a, st)
			idle.offer(a, st)
		}
	}
	probe := &inUse
	if len(usable) == 0 {
		probe = &idle
	}
	if a := probe.claim(); a != nil {
		return a.ID
	}
	if len(usable) == 0 {
		return ""
	}
	return s.among(usable).ID
}

// among picks one of the usable candidates of the highest priority by the strategy. The
// list is its own: it is cut down to those.
func (s *selection) among(usable []*projection.Account) *projection.Account {
	top := slices.MaxFunc(usable, func(a, b *projection.Account) int { return a.Spec.Priority - b.Spec.Priority }).Spec.Priority
	usable = slices.DeleteFunc(usable, func(a *projection.Account) bool { return a.Spec.Priority != top })
	return s.oneOf(usable, s.turns.of(top))
}

// oneOf picks one of accounts that come before all others by the strategy.
func (s *selection) oneOf(usable []*projection.Account, turn *turn) *projection.Account {
	switch {
	case s.strategy == FillFirst:
		return first(usable)
	case s.strategy == Sticky && s.q.Session != "":
		return s.nearestOf(usable)
	case s.strategy == Weighted:
		return s.slotOf(usable, turn)
	default:
		return s.turnOf(usable, turn)
	}
}

// first returns the candidate with the lowest id.
func first(usable []*projection.Account) *projection.Account {
	best := usable[0]
	for _, a := range usable[1:] {
		if a.ID < best.ID {
			best = a
		}
	}
	return best
}

// nearestOf returns the candidate that is nearest to the session.
func (s *selection) nearestOf(usable []*projection.Account) *projection.Account {
	session := projection.Hash64(s.q.Session)
	var best *projection.Account
	most := uint64(0)
	for _, a := range usable {
		if n := nearness(session, projection.Hash64(a.ID)); best == nil || n > most {
			best, most = a, n
		}
	}
	return best
}

// slotOf returns the candidate whose slot comes next after the one served last. Each
// account's slots are where its hash and weight put them, so that no wheel is needed
// for a list that may be another one the next time.
func (s *selection) slotOf(usable []*projection.Account, turn *turn) *projection.Account {
	for {
		last := turn.wheel.Load()
		var next *projection.Account
		least := uint64(0)
		for _, a := range usable {
			if d := a.SlotAfter(last) - 1; next == nil || d < least || d == least && a.ID < next.ID {
				next, least = a, d
			}
		}
		if s.q.DryRun || turn.wheel.CompareAndSwap(last, last+least+1) {
			return next
		}
	}
}

// turnOf returns the candidate that comes after the one served last, by id.
func (s *selection) turnOf(usable []*projection.Account, turn *turn) *projection.Account {
	for {
		last := turn.last.Load()
		next := first(usable)
		if last != nil {
			after := next
			for _, a := range usable {
				if a.ID > last.ID && (after.ID <= last.ID || a.ID < after.ID) {
					after = a
				}
			}
			next = after
		}
		if s.q.DryRun || turn.last.CompareAndSwap(last, next) {
			return next
		}
	}
}
