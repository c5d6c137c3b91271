package projection

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Filter chooses cells. Fields that are set must all match; a filter without any
// is refused.
type Filter struct {
	Account  string // stored id
	Provider string
	// Target is a group id, "model:NAME" or "*". Clear of a group includes the
	// account's model cells that resolve to it.
	Target string
	// Class matches cells cooling or held by a signal of the class.
	Class events.Class
	// StartedAfter and StartedBefore bound the start of the block that the verb is
	// about, both exclusive.
	StartedAfter, StartedBefore time.Time
}

func (f Filter) empty() bool { return f == Filter{} }

// Suspend blocks cells by hand. Without a target it blocks "*" of each matching
// account. Suspending again replaces the reason and the end.
type Suspend struct {
	Filter Filter
	Reason string
	// Exactly one of For, Until and Forever.
	For     time.Duration
	Until   time.Time
	Forever bool
	DryRun  bool
}

// Lift ends manual suspensions. Cooldowns and holds stay.
type Lift struct {
	Filter Filter
	Reason string
	DryRun bool
}

// Clear ends cooldowns and holds. Manual suspensions stay.
type Clear struct {
	Filter Filter
	Reason string
	DryRun bool
}

// decide implements Intent.
func (c *Suspend) decide(d *decider) error {
	until, err := c.end(d.now)
	if err != nil {
		return err
	}
	reason := events.Scrub(c.Reason, events.MaxText)
	if reason == "" {
		return refuse(CodeInvalid, "a suspension needs a reason: it is what the next operator reads")
	}
	f, err := d.prepare(c.Filter)
	if err != nil {
		return err
	}
	if a := d.s.Account(f.Account); a != nil {
		if err := d.s.checkTargetOn(a, f.Target); err != nil {
			return err
		}
	}
	d.out.DryRun = c.DryRun
	var accounts []string
	for a := range d.matching(f) {
		target := d.s.targetOn(a, cmp.Or(f.Target, events.TargetAll))
		if !f.wantsAny(a, d.now) || !d.s.servable(a, target) {
			continue
		}
		if _, ok := a.roomFor(target, d.now); !ok {
			return refuse(CodeModelCellsFull, "account %q has %d model cells, all blocked; suspend its group or %q instead",
				a.ID, MaxModelCells, events.TargetAll)
		}
		cell := a.Cell(target)
		d.out.Cells = append(d.out.Cells, events.Cell{Account: a.ID, Target: target})
		accounts = append(accounts, a.ID)
		if s := cell.suspended(d.now); s == nil || s.Reason != reason || !s.Until.Equal(until) {
			d.emit(a.ID, &events.Suspended{Target: target, Reason: reason, Until: until})
		}
	}
	return d.finish(accounts, "nothing matches that can be suspended")
}

// end returns the instant of the end; zero: forever.
func (c *Suspend) end(now time.Time) (time.Time, error) {
	given := 0
	for _, set := range []bool{c.For != 0, !c.Until.IsZero(), c.Forever} {
		if set {
			given++
		}
	}
	switch {
	case given != 1:
		return time.Time{}, refuse(CodeInvalid, "give exactly one of for, until and forever")
	case c.Forever:
		return time.Time{}, nil
	case c.For < 0 || c.For > 366*day:
		return time.Time{}, refuse(CodeInvalid, "for must be positive and at most 366 days; use forever beyond that")
	case c.For > 0:
		return now.Add(c.For), nil
	case !c.Until.After(now):
		return time.Time{}, refuse(CodeInvalid, "until %s is not in the future", c.Until.UTC().Format(time.RFC3339))
	case c.Until.After(now.Add(maxDelay)):
		return time.Time{}, refuse(CodeInvalid, "until is over 100 years ahead; use forever")
	default:
		return c.Until.UTC(), nil
	}
}

// decide implements Intent.
func (c *Lift) decide(d *decider) error {
	d.out.DryRun = c.DryRun
	reason := events.Scrub(c.Reason, events.MaxText)
	return d.end(c.Filter, verb{
		name: "lift", other: "clear", block: "manual suspension", otherBlock: "cooldown or hold",
		does:       func(c *Cell, now time.Time) bool { return c.suspended(now) != nil },
		start:      suspendedSince,
		otherStart: blockedSince,
		event:      func(c *Cell) events.Event { return &events.Lifted{Target: c.Target, Reason: reason} },
	})
}

// decide implements Intent.
func (c *Clear) decide(d *decider) error {
	d.out.DryRun = c.DryRun
	reason := events.Scrub(c.Reason, events.MaxText)
	return d.end(c.Filter, verb{
		name: "clear", other: "lift", block: "cooldown or hold", otherBlock: "manual suspension", models: true,
		does:       func(c *Cell, now time.Time) bool { return c.cooling(now) != nil || c.Held != nil },
		start:      blockedSince,
		otherStart: suspendedSince,
		event: func(c *Cell) events.Event {
			e := &events.CooldownCleared{Target: c.Target, Reason: reason}
			if c.Cooling != nil {
				e.Until = c.Cooling.Until
			}
			return e
		},
	})
}

// verb is what lift and clear have in common.
type verb struct {
	name, other       string
	block, otherBlock string
	models            bool // a group includes its model cells
	does              func(*Cell, time.Time) bool
	start, otherStart func(*Cell) time.Time
	event             func(*Cell) events.Event // nil: it is so already
}

// suspendedSince is when an operator suspended the cell, which is suspended.
func suspendedSince(c *Cell) time.Time { return c.Suspended.Since }

// blockedSince is when the hold or cooldown of the cell began, which has one.
func blockedSince(c *Cell) time.Time {
	if c.Held != nil {
		return c.Held.Since
	}
	return c.Cooling.StartedAt
}

// end ends the matching blocks of one kind. Where only the other kind is found,
// the right verb is named.
func (d *decider) end(filter Filter, v verb) error {
	f, err := d.prepare(filter)
	if err != nil {
		return err
	}
	var accounts []string
	var others []events.Cell
	for a := range d.matching(f) {
		for i := range a.Cells {
			c := &a.Cells[i]
			if !c.blockedAt(d.now) || !d.hits(f, a, c.Target, v.models) {
				continue
			}
			cell := events.Cell{Account: a.ID, Target: c.Target}
			if !v.does(c, d.now) {
				if f.wants(c, v.otherStart(c), d.now) {
					others = append(others, cell)
				}
				continue
			}
			if !f.wants(c, v.start(c), d.now) {
				continue
			}
			if e := v.event(c); e != nil {
				d.emit(a.ID, e)
			}
			d.out.Cells = append(d.out.Cells, cell)
			accounts = append(accounts, a.ID)
		}
	}
	if len(accounts) == 0 && len(others) > 0 {
		return &Error{
			Code: CodeWrongVerb, Cells: others,
			Message: "there is no " + v.block + " here, only a " + v.otherBlock + ": use " + v.other,
		}
	}
	return d.finish(accounts, "no "+v.block+" matches")
}

// finish counts what the command leaves usable, or says that it changes nothing.
func (d *decider) finish(accounts []string, none string) error {
	switch {
	case len(accounts) == 0:
		d.unchanged(none)
	case len(d.out.Drafts) == 0:
		d.unchanged("it is so already")
	}
	d.countUsable(accounts)
	return nil
}

// prepare checks a filter and makes its names canonical. Accounts and groups that
// do not exist are refused rather than matched by nothing.
func (d *decider) prepare(f Filter) (Filter, error) {
	f.Provider = CanonicalProvider(f.Provider)
	f.Target = CanonicalTarget(f.Target)
	if f.empty() {
		return f, refuse(CodeEmptyFilter, "the filter is empty: name at least one of account, provider, target, class and the start")
	}
	if f.Account != "" {
		if _, err := d.account(f.Account); err != nil {
			return f, err
		}
	}
	if f.Provider != "" && !d.s.hasProvider(f.Provider) {
		return f, refuse(CodeUnknownAccount, "no account of provider %q is known", f.Provider)
	}
	if f.Class != "" && !slices.Contains(events.Classes(), f.Class) {
		return f, refuse(CodeInvalid, "class %q is none of %v", f.Class, events.Classes())
	}
	return f, d.s.checkTarget(f.Target)
}

func (s *State) hasProvider(provider string) bool {
	for a := range s.Accounts("") {
		if a.Spec.Provider == provider {
			return true
		}
	}
	return false
}

// checkTarget refuses a target that no cell can have.
func (s *State) checkTarget(target string) error {
	switch {
	case target == "" || target == events.TargetAll:
	case strings.HasPrefix(target, events.ModelTarget):
		if err := CheckID("the model", target[len(events.ModelTarget):]); err != nil {
			return refuse(CodeInvalid, "%v", err)
		}
	case s.groups.Group(target) == nil:
		return refuse(CodeUnknownTarget, "no group %q is defined; targets are a group id, model:NAME or *", target)
	}
	return nil
}

// checkTargetOn refuses a target that no cell of the account can have.
func (s *State) checkTargetOn(a *Account, target string) error {
	if err := s.checkTarget(target); err != nil || s.servable(a, target) {
		return err
	}
	return refuse(CodeUnknownTarget, "group %q is not one of provider %q, which account %q belongs to", target, a.Spec.Provider, a.ID)
}

// matching yields the accounts a filter names.
func (d *decider) matching(f Filter) func(yield func(*Account) bool) {
	return func(yield func(*Account) bool) {
		if f.Account != "" {
			if a := d.s.Account(f.Account); f.Provider == "" || a.Spec.Provider == f.Provider {
				yield(a)
			}
			return
		}
		for a := range d.s.Accounts("") {
			if (f.Provider == "" || a.Spec.Provider == f.Provider) && !yield(a) {
				return
			}
		}
	}
}

// targetOn returns what an operator's target means on the account: a model may be
// named by an alias of the account's provider, and requests block by its target.
func (s *State) targetOn(a *Account, target string) string {
	if m, ok := strings.CutPrefix(target, events.ModelTarget); ok {
		return s.groups.Resolve(a.Spec.Provider, m).ModelTarget
	}
	return target
}

// servable reports whether the target exists on the account: a group only where it
// is defined for the account's provider.
func (s *State) servable(a *Account, target string) bool {
	g := s.groups.Group(target)
	return g == nil || slices.Contains(g.Providers, a.Spec.Provider)
}

// hits reports whether a cell's target is the filter's, or a model of its group.
func (d *decider) hits(f Filter, a *Account, target string, models bool) bool {
	if f.Target == "" || f.Target == target || target == d.s.targetOn(a, f.Target) {
		return true
	}
	return models && strings.HasPrefix(target, events.ModelTarget) &&
		d.s.groups.Resolve(a.Spec.Provider, target[len(events.ModelTarget):]).Group == f.Target
}

// wants matches the class and the start of a block.
func (f Filter) wants(c *Cell, start, now time.Time) bool {
	if !f.StartedAfter.IsZero() && !start.After(f.StartedAfter) || !f.StartedBefore.IsZero() && !start.Before(f.StartedBefore) {
		return false
	}
	if f.Class == "" {
		return true
	}
	k := c.cooling(now)
	return k != nil && k.Class == f.Class || c.Held != nil && c.Held.Class == f.Class
}

// wantsAny reports whether the account may be suspended under the filter: with a
// class or a start it must have an automatic block that matches.
func (f Filter) wantsAny(a *Account, now time.Time) bool {
	if f.Class == "" && f.StartedAfter.IsZero() && f.StartedBefore.IsZero() {
		return true
	}
	return slices.ContainsFunc(a.Cells, func(c Cell) bool {
		k := c.cooling(now)
		return k != nil && f.wants(&c, k.StartedAt, now) || c.Held != nil && f.wants(&c, c.Held.Since, now)
	})
}
