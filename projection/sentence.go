package projection

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// sentence is the one-line answer about a cell.
func (x *explainer) sentence(a *Account, c *Cell, out *CellExplanation) string {
	who := fmt.Sprintf("%s on %s", targetName(c.Target), a.ID)
	k, h, s := c.Live(x.now)
	var text string
	switch {
	case a.Spec.Disabled:
		text = fmt.Sprintf("%s is disabled: the account is switched off.", who)
	case s != nil:
		text = fmt.Sprintf("%s is suspended by hand %s, because %q (%s).", who, x.suspendedUntil(s), s.Reason, out.suspendedBy(s))
	case h != nil:
		text = fmt.Sprintf("%s is held until a human acts, because the provider answered %s (record %d).", who, describeSignal(h.Class, h.Reason), h.Started)
	case k != nil:
		text = fmt.Sprintf("%s is frozen %s, because %s (record %d).", who, x.until(k.Until), out.coolingCause(k), k.Decided)
	default:
		return fmt.Sprintf("%s is available: %s.", who, availableCause(out))
	}
	if out.was != "" {
		text += fmt.Sprintf(" It took the place of %s when the groups changed (record %d).", out.was, out.renamed)
	}
	if s != nil && k != nil {
		text += fmt.Sprintf(" A cooldown runs beside it %s.", x.until(k.Until))
	}
	return text
}

func targetName(t string) string {
	if t == events.TargetAll {
		return "everything"
	}
	return t
}

func by(s *Suspension) string { return principal(s.By, s.OnBehalfOf) }

// principal names who did something, and for whom.
func principal(actor, onBehalfOf string) string {
	if onBehalfOf != "" {
		return actor + " for " + onBehalfOf
	}
	return actor
}

func describeSignal(class events.Class, reason string) string {
	if reason == "" {
		return string(class)
	}
	return string(class) + " (" + reason + ")"
}

// suspendedBy says who suspended a cell, and where the record is. Of a suspension that
// was imported the importer is not the one who made it.
func (x *CellExplanation) suspendedBy(s *Suspension) string {
	if e := x.imported(s.Seq); e != nil {
		return fmt.Sprintf("%s, imported by %s, record %d", importedFrom(e, true), by(s), s.Seq)
	}
	return fmt.Sprintf("%s, record %d", by(s), s.Seq)
}

// imported returns the import among the causes that has a seq, or nil.
func (x *CellExplanation) imported(seq events.Seq) *events.Imported {
	for _, cause := range x.Causes {
		if e, ok := cause.Record.Event.(*events.Imported); ok && cause.Record.Seq == seq {
			return e
		}
	}
	return nil
}

func (x *CellExplanation) coolingCause(k *Cooling) string {
	if e := x.imported(k.Decided); e != nil {
		return fmt.Sprintf("it cools in %s: %s", importedFrom(e, false), answeredAs(k.Model, k.Class))
	}
	return coolingCause(k)
}

func answeredAs(model string, class events.Class) string {
	return fmt.Sprintf("%s was answered %s", cmp.Or(model, "a request"), class)
}

func coolingCause(k *Cooling) string {
	what := answeredAs(k.Model, k.Class)
	switch k.Source {
	case SourceLadder:
		what += fmt.Sprintf(" without a reset: step %d of the ladder", k.Step)
	case SourceWindow:
		what += " without a reset: the provider's next one counts"
	default:
		what += ", with the reset that " + k.Source + " gives"
	}
	if k.Clamped {
		what += ", cut to the policy's bound"
	}
	return what
}

// availableCause says why nothing blocks, by the newest record about the cell.
func availableCause(out *CellExplanation) string {
	if len(out.Causes) == 0 {
		return "nothing has ever blocked it"
	}
	r := out.Causes[len(out.Causes)-1].Record
	switch e := r.Event.(type) {
	case *events.Expired:
		return fmt.Sprintf("the block %s (record %d)", expiredAt(e), r.Seq)
	case *events.Lifted:
		return fmt.Sprintf("%s lifted it at %s (record %d)", principal(r.Actor, r.OnBehalfOf), clockTime(r.At), r.Seq)
	case *events.CooldownCleared:
		return fmt.Sprintf("%s cleared it at %s (record %d)", principal(r.Actor, r.OnBehalfOf), clockTime(r.At), r.Seq)
	case *events.Recovered:
		what := "a served request"
		if e.Probe {
			what = "a probe"
		}
		return fmt.Sprintf("%s ended the block at %s (record %d)", what, clockTime(r.At), r.Seq)
	case *events.LimitObserved:
		if !e.Until.IsZero() {
			return fmt.Sprintf("the cooldown ended at %s (record %d)", clockTime(e.Until), r.Seq)
		}
		return fmt.Sprintf("the last answer did not block it: %s (record %d)", cmp.Or(e.Why, string(e.Effect)), r.Seq)
	case *events.Imported:
		return fmt.Sprintf("the cooldown that was imported ended at %s (record %d)", clockTime(e.CoolUntil), r.Seq)
	default:
		return fmt.Sprintf("%s (record %d)", r.Kind(), r.Seq)
	}
}

// until says when, absolutely and relative to now.
func (x *explainer) until(t time.Time) string {
	if t.IsZero() {
		return "without an end"
	}
	return fmt.Sprintf("until %s, in %s", clockTime(t), roundUp(t.Sub(x.now)))
}

// suspendedUntil says when, and of what has no end, which is easily forgotten, how long
// it has lasted.
func (x *explainer) suspendedUntil(s *Suspension) string {
	if !s.Until.IsZero() {
		return x.until(s.Until)
	}
	return fmt.Sprintf("without an end since %s", clockTime(s.Since))
}

// candidates counts accounts that could be picked, as picks see them.
type candidates struct {
	Counts
	total    int
	observed int // offered only to picks that name them
	first    string
	at       Instant // when the first of those that cannot serve can again; Never: none
}

func (c *candidates) add(a *Account, s Standing) {
	if !a.listed() {
		c.observed++
		return
	}
	if c.total == 0 {
		c.at = Never
	}
	c.total++
	c.Counts.add(s.Status, 1)
	if s.Status != StatusAvailable && s.End < c.at {
		c.first, c.at = a.ID, s.End
	}
}

// candidates says how many accounts can serve, what is with the others, and if none can,
// when the first is back.
func (x *explainer) candidates(c *candidates) string {
	who := fmt.Sprintf("%d of %d %s can serve it; ", c.Available, c.total, plural(c.total, "account"))
	if c.Available == 0 {
		who = fmt.Sprintf("none of %d %s can serve it: ", c.total, plural(c.total, "account"))
	}
	var others []string
	for _, o := range []struct {
		n    int
		what string
	}{
		{c.Cooling, "cooling"},
		{c.Held, "held until a human acts"},
		{c.Suspended, "suspended by hand"},
		{c.Disabled, "switched off"},
		{c.observed, "only observed, and not offered"},
	} {
		if o.n > 0 {
			others = append(others, fmt.Sprintf("%d %s", o.n, o.what))
		}
	}
	who = strings.TrimRight(who+strings.Join(others, ", "), ":; ")
	if c.Available == 0 && c.first != "" {
		who += fmt.Sprintf("; the first to come back is %s at %s, in %s", c.first, clockTime(c.at.Time()), roundUp(c.at.Time().Sub(x.now)))
	}
	return who + "."
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// served says what evidence would end a cooldown, and when a probe may bring it.
func (x *explainer) served(probe time.Time) string {
	switch {
	case probe.IsZero():
		return "or a served request"
	case probe.After(x.now):
		return "a served request, or a probe, at " + clockTime(probe)
	default:
		return "a served request, or a probe, which is due: the next request may be one"
	}
}

// roundUp gives a duration in at most two units, never shorter than it is.
func roundUp(d time.Duration) string {
	units := []struct {
		unit  time.Duration
		below time.Duration
	}{{time.Second, 2 * time.Minute}, {time.Minute, 100 * time.Hour}, {time.Hour, 1<<63 - 1}}
	for _, u := range units {
		if d >= u.below {
			continue
		}
		d = (d + u.unit - 1) / u.unit * u.unit
		days, rest := d/day, d%day
		switch {
		case u.unit == time.Hour:
			return fmt.Sprintf("%dd%dh", days, rest/time.Hour)
		case d >= time.Hour:
			return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
		case d >= 2*time.Minute:
			return fmt.Sprintf("%dm", d/time.Minute)
		default:
			return fmt.Sprintf("%ds", d/time.Second)
		}
	}
	return d.String() // unreachable: the last unit has no upper end
}

// causeText says in a line what a record did.
func causeText(r events.Record) string {
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		text := probed(e.Probe) + fmt.Sprintf("HTTP %d for %s read as %s by %s", e.Status, e.Model, describeSignal(e.Class, e.Signal.Reason), e.Signal.Rule)
		switch {
		case e.Effect == events.EffectNone:
			return text + "; nothing blocked: " + e.Why
		case e.Until.IsZero():
			return text + "; " + string(e.Effect)
		default:
			return text + fmt.Sprintf("; %s until %s", e.Effect, clockTime(e.Until))
		}
	case *events.Suspended:
		if e.Until.IsZero() {
			return fmt.Sprintf("suspended without an end: %s", e.Reason)
		}
		return fmt.Sprintf("suspended until %s: %s", clockTime(e.Until), e.Reason)
	case *events.Lifted:
		return withReason("suspension lifted", e.Reason)
	case *events.CooldownCleared:
		return withReason("cooldown cleared", e.Reason)
	case *events.RecheckRequested:
		return withReason("a probe was asked for", e.Reason)
	case *events.Recovered:
		return probed(e.Probe) + fmt.Sprintf("HTTP %d for %s: served", e.Status, e.Model)
	case *events.Expired:
		return expiredAt(e)
	case *events.Imported:
		return "imported " + ImportText(e)
	default:
		return string(r.Kind())
	}
}

// expiredAt says when blocks ended. A record about several has the latest of their ends.
func expiredAt(e *events.Expired) string {
	if len(e.Cells) > 1 {
		return "had expired by " + clockTime(e.Due)
	}
	return "expired at " + clockTime(e.Due)
}

// probed begins the text of what a probe was answered.
func probed(probe bool) string {
	if probe {
		return "a probe: "
	}
	return ""
}

func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// sortBlocking puts first what an operator must know: by status, and within one what
// lasts longest, since the cell that ends first frees nothing alone.
func sortBlocking(cells []CellExplanation) {
	rank := func(c CellExplanation) int { return slices.Index(Statuses(), c.Status) }
	slices.SortStableFunc(cells, func(a, b CellExplanation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), compareEnds(b.Ends, a.Ends))
	})
}

// compareEnds compares when the last of some blocks ends; one without an end is the
// latest.
func compareEnds(a, b []Ending) int {
	last := func(ends []Ending) (at time.Time, never bool) {
		for _, e := range ends {
			never = never || e.At.IsZero()
			at = laterOf(at, e.At)
		}
		return at, never
	}
	at, never := last(a)
	other, otherNever := last(b)
	switch {
	case never && otherNever:
		return 0
	case never:
		return 1
	case otherNever:
		return -1
	default:
		return at.Compare(other)
	}
}

func blocking(cells []CellExplanation) (n int) {
	for _, c := range cells {
		if c.Status != StatusAvailable {
			n++
		}
	}
	return n
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
