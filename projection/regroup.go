package projection

import (
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// move is what a new set of groups does to one live cell whose group it lacks.
type move struct {
	account  string
	from, to string
	merged   bool // the target was live already
	dropped  bool // a manual suspension that has nowhere to go
	model    string
}

// regroup returns what becomes of the account's cells under new definitions, and
// the account as it is then. Cells whose group still exists stay. A cooldown of a
// group that is gone moves to what its source model resolves to now, where the
// later deadline wins; a manual suspension moves to the groups that replace its
// own. It is pure: Decide asks it what would happen, Apply makes it happen.
func (a *Account) regroup(now *Groups, at time.Time) (*Account, []move) {
	var moves []move
	b := a
	for i := range a.Cells {
		c := &a.Cells[i]
		if c.Target == events.TargetAll || strings.HasPrefix(c.Target, events.ModelTarget) || now.Group(c.Target) != nil {
			continue
		}
		b = b.without(c.Target)
		if k := c.cooling(at); k != nil || c.Held != nil {
			b = b.moveAutomatic(c, now, &moves)
		}
		if c.suspended(at) != nil {
			b = b.moveSuspension(c, now, &moves)
		}
	}
	return b, moves
}

func (a *Account) moveAutomatic(c *Cell, now *Groups, moves *[]move) *Account {
	provider, model := a.Spec.Provider, ""
	if c.Cooling != nil {
		model = c.Cooling.Model
	} else {
		model = c.Held.Model
	}
	to := now.Resolve(provider, model).Target
	if to == "" {
		to = events.TargetAll // a block without a model is the account's
	}
	m := move{account: a.ID, from: c.Target, to: to, model: model}
	b := a.with(to, func(n *Cell) {
		m.merged = n.Cooling != nil || n.Held != nil
		if c.Cooling != nil && (n.Cooling == nil || c.Cooling.Until.After(n.Cooling.Until)) {
			n.Cooling, n.Ladder = c.Cooling, c.Ladder
		}
		if n.Held == nil {
			n.Held = c.Held
		}
		n.Ended = later(n.Ended, c.Ended)
		n.LastSeq = max(n.LastSeq, c.LastSeq)
	})
	*moves = append(*moves, m)
	return b
}

// moveSuspension moves a manual suspension to every group that replaces its own:
// what one group covered may be split over several. A disabled group covers
// nothing, so it replaces nothing.
func (a *Account) moveSuspension(c *Cell, now *Groups, moves *[]move) *Account {
	b := a
	for _, to := range now.successors(c.Target, a.Spec.Provider) {
		m := move{account: a.ID, from: c.Target, to: to}
		b = b.with(to, func(n *Cell) {
			m.merged = n.Suspended != nil
			if n.Suspended == nil || outlives(c.Suspended, n.Suspended) {
				n.Suspended = c.Suspended
			}
			n.Lifted = later(n.Lifted, c.Lifted)
			n.LastSeq = max(n.LastSeq, c.LastSeq)
		})
		*moves = append(*moves, m)
	}
	if b == a {
		*moves = append(*moves, move{account: a.ID, from: c.Target, dropped: true})
	}
	return b
}

// successors returns the groups of a provider that replace a group; nil if none does.
func (g *Groups) successors(target, provider string) (ids []string) {
	for i := range g.List {
		if n := &g.List[i]; slices.Contains(n.Replaces, target) && g.serves(n.ID, provider) {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

func outlives(a, b *Suspension) bool {
	return a.Until.IsZero() || !b.Until.IsZero() && a.Until.After(b.Until)
}

func later(a, b Mark) Mark {
	if b.Seq > a.Seq {
		return b
	}
	return a
}

// applyGroups puts new definitions in force and moves the cells whose group went.
func (s *State) applyGroups(r *events.Record, e *events.GroupsDefined) {
	s.groups = newGroups(e)
	s.groups.Seq = r.Seq
	s.groupsEditions = s.groupsEditions.with(edition{e.Version, r.Seq})
	var changed []*Account
	for a := range s.Accounts("") {
		// No time is given, so that what is over moves too, and ends by its own record:
		// after the clock went back the record's time is later than the decision's.
		if b, _ := a.regroup(s.groups, time.Time{}); b != a {
			changed = append(changed, b)
		}
	}
	for _, b := range changed {
		s.put(b.ID, b)
	}
}
