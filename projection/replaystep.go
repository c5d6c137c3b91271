package projection

import (
	"fmt"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// step lets one record happen in both worlds.
func (x *replayer) step(r events.Record) error {
	x.out.To = r.Seq
	if x.out.From == 0 {
		x.out.From = r.Seq
	}
	x.settlePairs(r)
	before := x.would.head.Seq
	if err := x.again(r); err != nil {
		return fmt.Errorf("replaying record %d: %w", r.Seq, err)
	}
	x.was.apply(r, nil)
	x.place(r, before)
	x.sends.answered(r.Seq)
	x.send(r.Seq)
	return nil
}

// settlePairs looks through the episodes that have ended, before a record happens that is
// later than all before: no block begins any more with a start that is past. But new
// groups move blocks to other targets with the starts that they had, so that as long as
// such a record is to come any episode may still find its like.
func (x *replayer) settlePairs(r events.Record) {
	if head := x.was.head; r.At.After(head.At) && head.Seq >= x.regroup {
		x.pairs.settle(func(key pairKey) bool { return x.was.episodes.goesOn(key) || x.would.episodes.goesOn(key) })
	}
}

// place notes which seq of the other world a record stands for. A command may have led
// to all of its records there with the first.
func (x *replayer) place(r events.Record, before events.Seq) {
	if r.CorrelationID == "" || r.CorrelationID != x.command {
		x.command, x.first = r.CorrelationID, before
	}
	x.first++
	x.mapped = append(x.mapped, min(x.first, x.would.head.Seq))
}

// again decides in the other world what a record tells of.
func (x *replayer) again(r events.Record) error {
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		return x.limit(r, e)
	case *events.Recovered:
		return x.recovered(r, e)
	case *events.CooldownCleared:
		return x.cleared(r, e)
	case *events.Expired:
		return x.would.execute(&Expire{}, dated{e.Due, r.At}, nil)
	case *events.Suspended, *events.Lifted, *events.Imported:
		if x.query.Groups != nil {
			x.elsewhere(r)
			return nil
		}
	case *events.GroupsDefined:
		if x.query.Groups != nil {
			return nil
		}
	case *events.PolicyDefined:
		if x.query.Policy != nil {
			return nil
		}
	case *events.AccountAdded:
		if x.would.Account(r.Account) != nil {
			return nil // made known by a report that was recorded only there
		}
	}
	x.fact(r)
	return nil
}

// fact lets a record happen as it did.
func (x *replayer) fact(r events.Record) {
	r.Seq = x.would.head.Seq + 1
	r.At = laterOf(r.At, x.would.head.At)
	x.would.apply(r, nil)
}

// instead lets another event happen in the other world than the record's.
func (x *replayer) instead(r events.Record, e events.Event) {
	r.Event = e
	x.fact(r)
}

// limit decides an observation again.
func (x *replayer) limit(r events.Record, e *events.LimitObserved) error {
	x.out.Observations++
	if e.Status == 429 {
		x.out.Limits++
	}
	if x.unsent(r.Seq) {
		if e.Status == 429 {
			x.out.Avoided++
		}
		x.differ(r, verdictOf(e), nil)
		return nil
	}
	signal := e.Signal
	signal.Hints, signal.Evidence = hintsOf(e), e.Evidence
	x.report = Report{
		Account: r.Account, Provider: e.Provider, Model: e.Model, Operation: e.Operation, Status: e.Status, Signal: signal,
		RequestID: e.RequestID, StartedAt: e.StartedAt, Lease: x.lease(e.Lease), Probe: e.Probe,
	}
	when := dated{e.ObservedAt, r.At}
	if x.out.First != nil { // what is decided after the first difference is not compared
		return ignoreRefusal(x.would.execute(&x.report, when, nil))
	}
	var verdict *Verdict
	err := x.would.execute(&x.report, when, func(n events.Record) {
		if again, ok := n.Event.(*events.LimitObserved); ok {
			verdict = verdictOf(again)
		}
	})
	if verdict == nil {
		verdict = &Verdict{Effect: events.EffectNone} // no record: nothing was blocked
	}
	x.differ(r, verdictOf(e), verdict)
	return ignoreRefusal(err)
}

// ignoreRefusal: what was accepted may be refused under other rules, which then is the
// difference.
func ignoreRefusal(err error) error {
	if _, refused := err.(*Error); refused {
		return nil
	}
	return err
}

// hintsOf returns the hints of an answer, the chosen one first: of hints that say the
// same the first is chosen. Losing hints that repeat those of the cell's last record are
// not stored, so that an answer that changed nothing is replayed by its chosen hint.
func hintsOf(e *events.LimitObserved) []events.Hint {
	if e.Hint == nil {
		return slices.Clone(e.Lost)
	}
	return append([]events.Hint{*e.Hint}, e.Lost...)
}

// lease returns the seq in the other world of a snapshot that a request was sent from.
func (x *replayer) lease(s events.Seq) events.Seq {
	if s < x.start {
		return s
	}
	return x.mapped[min(int(s-x.start), len(x.mapped)-1)]
}

// recovered reports the success again that ended a block. It is recorded once for each
// block that it ended.
func (x *replayer) recovered(r events.Record, e *events.Recovered) error {
	if r.CorrelationID != "" && r.CorrelationID == x.success {
		return nil
	}
	x.success = r.CorrelationID
	x.out.Observations++
	if x.unsent(r.Seq) {
		x.differ(r, &Verdict{Target: e.Target, Class: events.ClassOK, Effect: events.EffectRecovered}, nil)
		return nil
	}
	x.report = Report{
		Account: r.Account, Provider: e.Provider, Model: e.Model, Operation: e.Operation, Status: e.Status,
		Signal:    events.Signal{Class: events.ClassOK, Scope: events.ScopeNone, Rule: "replay"},
		RequestID: e.RequestID, StartedAt: e.StartedAt, Lease: x.lease(e.Lease), Probe: e.Probe,
	}
	return ignoreRefusal(x.would.execute(&x.report, dated{e.ObservedAt, r.At}, nil))
}

// cleared ends, in the other world, the block of the same cell, else the blocks that
// stand there in its place: those of the model that the cell was blocked for.
func (x *replayer) cleared(r events.Record, e *events.CooldownCleared) error {
	a := x.would.Account(r.Account)
	if a == nil {
		return nil
	}
	for _, target := range x.clearable(r, e, a) {
		x.instead(r, &events.CooldownCleared{Target: target, Reason: e.Reason, Until: e.Until})
	}
	return nil
}

func (x *replayer) clearable(r events.Record, e *events.CooldownCleared, a *Account) (targets []string) {
	if c := a.Cell(e.Target); c.Held != nil || c.Cooling != nil { // over or not: the clock may have gone back
		return []string{e.Target}
	}
	was := x.was.Account(r.Account)
	if was == nil {
		return nil
	}
	cell := was.Cell(e.Target)
	model := ""
	switch {
	case cell.Cooling != nil:
		model = cell.Cooling.Model
	case cell.Held != nil:
		model = cell.Held.Model
	}
	res := x.would.groups.Resolve(a.Spec.Provider, model)
	for i := range a.Cells {
		if c := &a.Cells[i]; res.Covers(c.Target) && (c.Held != nil || c.cooling(r.At) != nil) {
			targets = append(targets, c.Target)
		}
	}
	return targets
}

// differ notes the first decision that differs.
func (x *replayer) differ(r events.Record, was, again *Verdict) {
	if x.out.First != nil {
		return
	}
	because := "the request would not have been sent: the account would have been blocked"
	if again != nil {
		if because = was.differs(again); because == "" {
			return
		}
	}
	x.out.First = &Difference{Record: r, Because: because, Recorded: was, Replayed: again}
}

func verdictOf(e *events.LimitObserved) *Verdict {
	return &Verdict{Target: e.Target, Class: e.Class, Effect: e.Effect, Why: e.Why, Until: e.Until, Source: e.Source, Clamp: e.Clamp}
}

// differs says in words what differs first; empty if nothing does.
func (v *Verdict) differs(o *Verdict) string {
	switch {
	case v.Target != o.Target:
		return fmt.Sprintf("it would reach %s instead of %s", orNothing(o.Target), orNothing(v.Target))
	case v.Class != o.Class:
		return fmt.Sprintf("it would be %s instead of %s", o.Class, v.Class)
	case v.Effect != o.Effect || v.Why != o.Why:
		return fmt.Sprintf("its effect would be %s instead of %s", effectText(o), effectText(v))
	case !v.Until.Equal(o.Until):
		return fmt.Sprintf("it would last until %s%s instead of %s%s", clockTime(o.Until), o.clamped(), clockTime(v.Until), v.clamped())
	case v.Source != o.Source:
		return fmt.Sprintf("%s would decide instead of %s", orNothing(o.Source), orNothing(v.Source))
	}
	return ""
}

func effectText(v *Verdict) string {
	if v.Why != "" {
		return string(v.Effect) + " (" + v.Why + ")"
	}
	return string(v.Effect)
}

func (v *Verdict) clamped() string {
	if v.Clamp == nil {
		return ""
	}
	return fmt.Sprintf(" (cut from %s to the bound %s)", time.Duration(v.Clamp.Asked*float64(time.Second)).Round(time.Second), boundText(v.Class, v.Clamp))
}

// boundText says what the bound of a class is for. Quotas have windows, and a bound for
// each; what else blocks has one.
func boundText(class events.Class, c *events.Clamp) string {
	switch {
	case c.Bound != "unknown":
		return "for " + c.Bound
	case class == events.ClassQuotaExhausted:
		return "for an unknown window"
	default:
		return "for " + string(class)
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
