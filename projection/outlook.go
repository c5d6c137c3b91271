package projection

import (
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Outlook says when cells are next probed, as one state has it at one instant. It
// remembers which pools have somebody to serve: ask one about many cells. It is not
// for several goroutines at once.
type Outlook struct {
	judge
	// serves :: requests of one kind → whether a configured account can serve them
	serves map[Resolution]bool
}

// NewOutlook returns the outlook of a state as seen at now.
func NewOutlook(s *State, now time.Time) *Outlook {
	return &Outlook{judge: judge{s, now}, serves: map[Resolution]bool{}}
}

// NextProbe returns when a request may first be let through to a cell of the account
// that cools, by the schedule that holds: that of a pool nobody of which can serve, or
// of one where others can. The zero Time means that none is planned before the cell's
// end; an instant that has passed, that the next request may be one. Whether a probe of
// the same pool is out is not part of the state, and may put it off.
func (o *Outlook) NextProbe(a *Account, target string) time.Time {
	c := a.Cell(target)
	k := c.cooling(o.now)
	if k == nil {
		return time.Time{}
	}
	next := Never
	for _, r := range o.requests(a.Spec.Provider, target) {
		s := o.state.Standing(a, &r, o.now)
		if o.somebody(r) {
			next = min(next, s.Background)
		} else {
			next = min(next, s.Empty)
		}
	}
	if next >= InstantOf(k.Until) {
		return time.Time{}
	}
	return next.Time()
}

// requests lists the kinds of requests that pass a provider's cell of the target.
func (o *Outlook) requests(provider, target string) (list []Resolution) {
	groups := o.state.groups
	if model, ok := strings.CutPrefix(target, events.ModelTarget); ok {
		group := groups.Resolve(provider, model).Group
		return []Resolution{{Provider: provider, Group: group, ModelTarget: target}}
	}
	for _, g := range groups.Of(provider) {
		if target == events.TargetAll || target == g.ID {
			list = append(list, Resolution{Provider: provider, Group: g.ID})
		}
	}
	if len(list) == 0 && target == events.TargetAll {
		list = append(list, Resolution{Provider: provider}) // a provider without groups
	}
	return list
}

// somebody reports whether a configured account can serve requests of a kind.
func (o *Outlook) somebody(r Resolution) bool {
	can, known := o.serves[r]
	if known {
		return can
	}
	for a := range o.state.Accounts("") {
		if can = a.Spec.Provider == r.Provider && a.listed() && a.Usable(&r, o.now); can {
			break
		}
	}
	o.serves[r] = can
	return can
}
