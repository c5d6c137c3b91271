package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// Outcome is the answer to a report.
type Outcome struct {
	projection.ReportResult
	// Signal is what the answer was read as.
	Signal events.Signal
	// Repeated: the same account and request id were reported before; the answer is
	// the first one's.
	Repeated bool
	// Volatile: the log cannot be written, and the limit is known to this router alone,
	// for a few minutes.
	Volatile bool
}

// Report says what the upstream answered to the request that a lease was given
// for. What it records is durable when it returns. A success where nothing blocks
// records nothing and returns at once. The claim of a probe is free after it.
//
// The lease's account, provider and model stand in for what the observation leaves
// empty. A lease with only an account is valid: evidence is then dated by
// Observation.StartedAt.
//
// Errors are those of projection.Engine.Execute. Where the log cannot be written the
// outcome is filled in all the same: it says what the answer means, and this router
// keeps the account from being picked for as long, but at most five minutes.
func (r *Router) Report(ctx context.Context, l Lease, o signal.Observation) (Outcome, error) {
	l.Provider = cmp.Or(o.Provider, l.Provider)
	o.Provider, o.Model = l.Provider, cmp.Or(o.Model, l.Model)
	defer r.finish(l)
	if o.ObservedAt.IsZero() {
		o.ObservedAt = r.engine.Now()
	}
	report := r.read(l, o)
	if report.Signal.Class == events.ClassOK && !r.overlay.empty() {
		r.overlay.served(report, r.resolve(report))
	}
	if report.Signal.Class == events.ClassOK && !r.matters(report) {
		if out, err := r.judge(report, r.engine.Now()); err != nil || !out.Repeated {
			return out, err
		}
	}
	if report.Signal.Class != events.ClassOK && r.engine.State().Account(report.Account) == nil {
		// The id must be known before it can stand in the log; that of a report which
		// is going to be refused need not.
		if _, err := r.judge(report, r.engine.Now()); err != nil {
			return Outcome{}, err
		}
		if err := r.ids.Add(l.Account); err != nil {
			return Outcome{}, err
		}
	}
	out, err := r.engine.Execute(ctx, projection.Command{Origin: r.origin, Do: report})
	if err != nil {
		return r.unrecorded(report, err)
	}
	if out.Report == nil { // the origin's idempotency key belongs to a command that is no report
		return Outcome{}, &projection.Error{
			Code:    projection.CodeKeyReused,
			Message: fmt.Sprintf("the idempotency key %q was used for another command; use a new key", r.origin.IdempotencyKey),
		}
	}
	return Outcome{ReportResult: *out.Report, Signal: report.Signal, Repeated: out.Repeated}, nil
}

// unrecorded answers a report that could not be executed. A refusal, and a caller that
// gave up, change nothing; where the log cannot be written the overlay remembers.
func (r *Router) unrecorded(p *projection.Report, err error) (Outcome, error) {
	if _, refused := errors.AsType[*projection.Error](err); refused || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Outcome{}, err
	}
	now := r.engine.Now()
	out, judged := r.judge(p, now)
	if judged != nil || out.Repeated {
		return Outcome{}, err
	}
	switch out.Effect {
	case events.EffectStarted, events.EffectExtended, events.EffectHeld:
		b := volatileBlock{since: now, until: now.Add(volatileTimeout)}
		if out.Effect != events.EffectHeld && out.Until.Before(b.until) {
			b.until = out.Until
		}
		r.overlay.block(events.Cell{Account: p.Account, Target: out.Target}, b)
		out.Until, out.Volatile = b.until, true
	}
	return out, err
}

func (r *Router) resolve(p *projection.Report) *projection.Resolution {
	return r.engine.State().Groups().Resolve(p.Provider, p.Model)
}

// Classify says what an answer would mean for an account, and what the policy would
// do at the time of the observation, by default now. Nothing is recorded. The account
// may be empty.
func (r *Router) Classify(l Lease, o signal.Observation) (Outcome, error) {
	o.Provider, o.Model = cmp.Or(o.Provider, l.Provider), cmp.Or(o.Model, l.Model)
	l.Account = cmp.Or(l.Account, "unknown")
	o.RequestID = "" // what it would mean now, not what it meant when it was reported
	now := o.ObservedAt
	if now.IsZero() {
		now = r.engine.Now()
	}
	return r.judge(r.read(l, o), now)
}

// read turns an observation into a report.
func (r *Router) read(l Lease, o signal.Observation) *projection.Report {
	return &projection.Report{
		Account: r.ids.Stored(l.Account), Provider: o.Provider, Model: o.Model, Operation: o.Operation, Status: o.Status,
		Signal: signal.Classify(o), RequestID: o.RequestID, StartedAt: o.StartedAt, Lease: l.Seq, Probe: l.Probe != 0,
	}
}

// AwaitsSuccess reports whether a success of an account would be news, since something
// may be over: a proxy need not report the others.
func (r *Router) AwaitsSuccess(account, provider, model string) bool {
	return !r.overlay.empty() || r.matters(&projection.Report{Account: r.ids.Stored(account), Provider: provider, Model: model})
}

// matters reports whether a success can end a block: the writer need not see the
// others.
func (r *Router) matters(p *projection.Report) bool {
	s := r.engine.State()
	a := s.Account(p.Account)
	return a != nil && a.Recoverable(r.resolve(p), r.engine.Now())
}

// judge decides a report on the published state without recording it.
func (r *Router) judge(p *projection.Report, now time.Time) (Outcome, error) {
	d, err := projection.Decide(r.engine.State(), projection.Command{Do: p}, now)
	if err != nil {
		return Outcome{}, err
	}
	if d.Report == nil {
		return Outcome{Signal: p.Signal, Repeated: true}, nil
	}
	return Outcome{ReportResult: *d.Report, Signal: p.Signal}, nil
}
