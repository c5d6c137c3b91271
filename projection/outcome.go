package projection

import (
	"context"
	"time"

	"github.com/abeyance/abeyance/events"
)

// repeat answers a command that was executed before from its records.
func (e *Engine) repeat(ctx context.Context, o Outcome) (Outcome, error) {
	use := o.earlier
	o.Repeated, o.Unchanged = true, "it was done before"
	for r, err := range e.log.Records(ctx, use.first-1) {
		if err != nil {
			return Outcome{}, err
		}
		if r.Seq > use.last {
			break
		}
		o.Records = append(o.Records, r)
	}
	o.describe(e.State(), e.now())
	return o, nil
}

// describe fills in what the records of an earlier command say.
func (o *Outcome) describe(s *State, now time.Time) {
	for _, r := range o.Records {
		switch x := r.Event.(type) {
		case *events.LimitObserved:
			o.Report = recall(s, r, x, now)
		case *events.Recovered:
			if o.Report == nil {
				o.Report = &ReportResult{
					Class: events.ClassOK, Scope: events.ScopeNone, Target: x.Target, Effect: events.EffectRecovered,
					Advice: Advice{Action: ActionStop}, Seq: r.Seq,
				}
			}
		case *events.Suspended, *events.Lifted, *events.CooldownCleared, *events.RecheckRequested:
			o.Cells = append(o.Cells, events.Cell{Account: r.Account, Target: r.Target()})
		}
	}
}

// recall is the answer to a report as its record tells it.
func recall(s *State, r events.Record, e *events.LimitObserved, now time.Time) *ReportResult {
	res := &ReportResult{
		Class: e.Class, Scope: e.Signal.Scope, Target: e.Target, Effect: e.Effect, Why: e.Why, Until: e.Until,
		Hint: e.Hint, Seq: r.Seq,
	}
	o := observation{
		Report: &Report{Account: r.Account, Signal: e.Signal}, d: &decider{s: s, now: now},
		id: s.groups.Resolve(e.Provider, e.Model),
	}
	res.Advice = o.advise(res)
	return res
}
