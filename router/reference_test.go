package router

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// reference is the selection of design.md section 5, rules 23 and 29 to 31, as it is
// defined there: every answer looks at all accounts and all their cells. It knows no
// index, and of the router nothing but the leases that it gave out.
type reference struct {
	engine     *projection.Engine
	ids        *identity.Book
	strategies Strategies
	observe    bool
	// wrong names a mistake to make, so that it can be shown that one is found.
	wrong string

	// What the log says beyond the cells of the accounts.
	read     events.Seq
	returned map[[2]string]projection.Mark // :: (provider, target) → the last probe that succeeded

	// What a router remembers.
	volatile map[events.Cell]volatileRef
	served   map[turnRef]string   // :: turn → the account served last
	wheels   map[turnRef]*wheelAt // :: turn → where the wheel of a pool stands
	points   map[turnRef]uint64   // :: turn → where the wheel of candidates stands
	probes   map[[2]string][]*probeRef
}

// turnRef names a turn: a target, and a priority of it, among candidates or not.
type turnRef struct {
	provider, target string
	priority         int
	named            bool
}

// volatileRef is a limit that could not be recorded.
type volatileRef struct{ since, until time.Time }

func newReference(e *projection.Engine, ids *identity.Book) *reference {
	r := &reference{engine: e, ids: ids, returned: map[[2]string]projection.Mark{}}
	r.forget()
	return r
}

// forget is what a restart does to what is not in the log.
func (r *reference) forget() {
	r.served, r.wheels, r.points = map[turnRef]string{}, map[turnRef]*wheelAt{}, map[turnRef]uint64{}
	r.probes, r.volatile = map[[2]string][]*probeRef{}, map[events.Cell]volatileRef{}
}

// verdict is how one account stands towards a request.
type verdict struct {
	*projection.Account
	excluded bool
	status   projection.Status
	targets  []string  // of the blocks that last longest
	until    time.Time // zero: it does not come back by itself
	// volatile: the block that lasts longest is of a limit that could not be recorded.
	volatile bool
	// empty and background are when it may be probed while nobody and while somebody
	// can serve; zero: not at all.
	empty, background time.Time
}

// judge is how an account stands at an instant, as far as this router knows (rule 5).
func (r *reference) judge(a *projection.Account, id *projection.Resolution, now time.Time) verdict {
	v := r.judgeState(a, id, now)
	for cell, b := range r.volatile {
		if cell.Account != r.ids.Stored(a.ID) || !r.covers(id, cell.Target) || !now.Before(b.until) {
			continue
		}
		v.empty, v.background = time.Time{}, time.Time{}
		switch longer := v.status == projection.StatusAvailable || !v.until.IsZero() && b.until.After(v.until); {
		case longer:
			v.status, v.until, v.targets, v.volatile = projection.StatusCooling, b.until, []string{cell.Target}, true
		case v.volatile && b.until.Equal(v.until):
			v.targets = append(v.targets, cell.Target)
		}
	}
	return v
}

// limited notes a limit that could not be recorded; served what disproves some.
func (r *reference) limited(cell events.Cell, b volatileRef) {
	if old, ok := r.volatile[cell]; ok && old.until.After(b.until) {
		b.until = old.until
	}
	r.volatile[cell] = b
}

// forgetVolatile forgets those limits once all are over by the clock: should it go back
// after that, they are not remembered.
func (r *reference) forgetVolatile() {
	for _, b := range r.volatile {
		if r.engine.Now().Before(b.until) {
			return
		}
	}
	clear(r.volatile)
}

func (r *reference) disproved(account string, id *projection.Resolution, started time.Time) {
	for cell, b := range r.volatile {
		if cell.Account == account && r.covers(id, cell.Target) && started.After(b.since) {
			delete(r.volatile, cell)
		}
	}
}

// judgeState is how an account stands by the published state.
func (r *reference) judgeState(a *projection.Account, id *projection.Resolution, now time.Time) verdict {
	v := verdict{Account: a, status: projection.StatusAvailable}
	if a.Spec.Disabled {
		v.status, v.targets = projection.StatusDisabled, []string{events.TargetAll}
		return v
	}
	var longest *projection.Cell
	endless := false
	for i := range a.Cells {
		c := &a.Cells[i]
		if !r.covers(id, c.Target) {
			continue
		}
		until, forever, blocked := cellEnd(c, now)
		if !blocked {
			continue
		}
		empty, background := r.due(a, c, id, now)
		if longest == nil {
			v.empty, v.background = empty, background
		} else {
			// A probe has to pass all the cells.
			v.empty, v.background = latest(v.empty, empty), latest(v.background, background)
		}
		switch {
		case longest == nil, forever && !endless, forever == endless && until.After(v.until):
			longest, endless, v.until, v.targets = c, forever, until, []string{c.Target}
		case forever == endless && until.Equal(v.until):
			v.targets = append(v.targets, c.Target)
		}
	}
	if longest == nil {
		return v
	}
	v.status = shown(longest, now)
	if endless {
		v.until = time.Time{}
	} else {
		v.empty, v.background = before(v.empty, v.until), before(v.background, v.until)
	}
	return v
}

// covers reports whether a block on a target stops a request.
func (r *reference) covers(id *projection.Resolution, target string) bool {
	switch {
	case r.wrong == "ignores *" && target == events.TargetAll:
		return false
	case r.wrong == "ignores models" && strings.HasPrefix(target, events.ModelTarget):
		return false
	}
	return target == events.TargetAll || target == id.Group || target == id.ModelTarget
}

// cellEnd is when a cell's blocks end, if any blocks.
func cellEnd(c *projection.Cell, now time.Time) (until time.Time, forever, blocked bool) {
	if c.Held != nil {
		return time.Time{}, true, true
	}
	if s := c.Suspended; s != nil {
		if s.Until.IsZero() {
			return time.Time{}, true, true
		}
		if now.Before(s.Until) {
			until, blocked = s.Until, true
		}
	}
	if k := c.Cooling; k != nil && now.Before(k.Until) {
		blocked = true
		if k.Until.After(until) {
			until = k.Until
		}
	}
	return until, false, blocked
}

// shown is the status of a blocked cell. A hold under a timed suspension is what to
// act on.
func shown(c *projection.Cell, now time.Time) projection.Status {
	switch {
	case c.Held != nil && c.Suspended != nil && c.Suspended.Until.IsZero():
		return projection.StatusSuspended
	case c.Held != nil:
		return projection.StatusHeld
	case c.Suspended != nil && (c.Suspended.Until.IsZero() || now.Before(c.Suspended.Until)):
		return projection.StatusSuspended
	default:
		return projection.StatusCooling
	}
}

// earliest and latest treat the zero Time as never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return a
	}
	return b
}

// before is t, or never if that is no earlier than the end.
func before(t, end time.Time) time.Time {
	if t.Before(end) {
		return t
	}
	return time.Time{}
}

// field is the accounts that a request is about.
type field struct {
	id       *projection.Resolution
	verdicts []verdict // in the order of the request, or of the pool
}

// field judges the accounts that a request may get, and those it excludes itself.
func (r *reference) field(q *Request) field {
	r.forgetVolatile()
	s := r.engine.State()
	f := field{id: s.Groups().Resolve(q.Provider, q.Model)}
	for _, a := range r.considered(s, f.id, q) {
		v := r.judge(a, f.id, q.Now)
		given := r.ids.Given(a.ID)
		v.excluded = r.wrong != "ignores exclusions" && (slices.Contains(q.Exclude, given) || slices.Contains(q.Exclude, a.ID))
		f.verdicts = append(f.verdicts, v)
	}
	return f
}

// considered lists the candidates once each, or the configured accounts of the
// provider by priority and id.
func (r *reference) considered(s *projection.State, id *projection.Resolution, q *Request) (list []*projection.Account) {
	if len(q.Candidates) == 0 {
		for a := range s.Accounts("") {
			if a.Spec.Provider == id.Provider && a.Spec.Origin == events.OriginConfigured {
				list = append(list, a)
			}
		}
		slices.SortFunc(list, inOrder)
		return list
	}
	for _, given := range q.Candidates {
		a := s.Account(r.ids.Stored(given))
		if a == nil {
			a = &projection.Account{ID: given} // unknown: unblocked
		} else if a.Spec.Provider != id.Provider {
			continue
		}
		if !slices.ContainsFunc(list, func(b *projection.Account) bool { return a.ID == b.ID }) {
			list = append(list, a)
		}
	}
	return list
}

func inOrder(a, b *projection.Account) int {
	return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), strings.Compare(a.ID, b.ID))
}

// top lists those that may be picked: of the highest priority that has any, by id.
func (r *reference) top(f field) (list []*projection.Account) {
	for _, v := range f.verdicts {
		usable := v.status == projection.StatusAvailable || r.observe && v.status != projection.StatusDisabled
		if !v.excluded && usable {
			list = append(list, v.Account)
		}
	}
	slices.SortFunc(list, inOrder)
	if r.wrong == "ignores priorities" {
		return list
	}
	return slices.DeleteFunc(list, func(a *projection.Account) bool { return a.Spec.Priority != list[0].Spec.Priority })
}
