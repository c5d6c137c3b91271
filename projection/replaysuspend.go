package projection

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// A suspension may be of a group that the other groups of a replay do not have. What it
// means is then the models of that group: of those the ones that the account is asked for
// in the range, which are all that a replay counts.

// resuspend puts the suspensions at the start, whose groups are gone in the other world,
// to where they stand there.
func (x *replayer) resuspend() {
	if x.query.Groups == nil {
		return
	}
	for was := range x.was.Accounts("") {
		for i := range was.Cells {
			c := &was.Cells[i]
			if c.suspended(x.was.head.At) == nil || x.would.groups.keeps(c.Target) || x.would.groups.successors(c.Target, was.Spec.Provider) != nil {
				continue // it stays, or the new groups have moved it
			}
			for _, target := range x.asked(was, c.Target) {
				x.would.put(was.ID, x.would.Account(was.ID).with(target, func(n *Cell) { n.Suspended, n.LastSeq = c.Suspended, c.LastSeq }))
			}
		}
	}
	x.would.changed = nil
}

// keeps reports whether a target is one under these groups.
func (g *Groups) keeps(target string) bool {
	return target == events.TargetAll || strings.HasPrefix(target, events.ModelTarget) || g.Group(target) != nil
}

// asked returns the targets of the models that an account is asked for in the range, and
// that a group covers as things are in the first world.
func (x *replayer) asked(a *Account, group string) (targets []string) {
	d := x.demands[a.ID]
	if d == nil {
		return nil
	}
	for _, i := range d.what {
		m := &x.sends.asked[i]
		r := x.was.groups.Resolve(m.provider, m.model)
		if r.Target == group && !slices.Contains(targets, r.ModelTarget) {
			targets = append(targets, r.ModelTarget)
		}
	}
	return targets
}

// places returns where a suspension stands in the other world.
func (x *replayer) places(account, target string) []string {
	a, now := x.was.Account(account), x.would.groups
	switch {
	case now.keeps(target):
		return []string{target}
	case a == nil:
		return nil
	}
	if to := now.successors(target, a.Spec.Provider); to != nil {
		return to
	}
	return x.asked(a, target)
}

// elsewhere lets a record about a suspension happen where it stands in the other world.
func (x *replayer) elsewhere(r events.Record) {
	switch e := r.Event.(type) {
	case *events.Suspended:
		for _, target := range x.places(r.Account, e.Target) {
			again := *e
			again.Target = target
			x.instead(r, &again)
		}
	case *events.Lifted:
		for _, target := range x.liftable(r.Account, e.Target) {
			again := *e
			again.Target = target
			x.instead(r, &again)
		}
	case *events.Imported:
		x.imported(r, e)
	}
}

// liftable returns the targets of what stands in the other world for a suspension.
func (x *replayer) liftable(account, target string) (targets []string) {
	was, would := x.was.Account(account), x.would.Account(account)
	if was == nil || would == nil {
		return nil
	}
	s := was.Cell(target).Suspended
	for i := range would.Cells {
		c := &would.Cells[i]
		if n := c.Suspended; s != nil && n != nil && n.Since.Equal(s.Since) && n.By == s.By && n.Reason == s.Reason {
			targets = append(targets, c.Target)
		}
	}
	return targets
}

// imported takes over in the other world what was imported; the cooldown for what its
// model resolves to there.
func (x *replayer) imported(r events.Record, e *events.Imported) {
	if x.would.groups.keeps(e.Target) {
		x.fact(r)
		return
	}
	if e.Suspended {
		for _, target := range x.places(r.Account, e.Target) {
			again := *e
			again.Target, again.CoolUntil = target, time.Time{}
			x.instead(r, &again)
		}
	}
	if !e.CoolUntil.IsZero() {
		again := *e
		again.Target, again.Suspended = cmp.Or(x.would.groups.Resolve(e.Provider, e.Model).Target, events.TargetAll), false
		x.instead(r, &again)
	}
}
