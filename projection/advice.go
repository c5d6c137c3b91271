package projection

import (
	"time"

	"github.com/abeyance/abeyance/events"
)

// Action is what a proxy does best after an answer.
type Action string

// The actions.
const (
	ActionRetrySame   Action = "retry_same"   // wait, then the same account
	ActionRetryOther  Action = "retry_other"  // another account now
	ActionStop        Action = "stop"         // served, or refused whoever asks: pass the answer on
	ActionRefreshAuth Action = "refresh_auth" // renew the credential, then the same account
	ActionHuman       Action = "human"        // another account now; an operator must act on this one
)

// Advice goes with every answer to a report. Abeyance itself never cancels or
// retries a request it did not make.
type Advice struct {
	Action Action
	// After is how long the account is best left alone; 0: not at all, or unknown.
	After time.Duration
}

// advise says what to do after an answer. It looks only at the signal and at what
// it did.
func (o *observation) advise(r *ReportResult) Advice {
	after := o.wait(r)
	if r.Why == events.WhyPoison {
		return Advice{Action: ActionStop}
	}
	switch o.Signal.Class {
	case events.ClassOK, events.ClassBadRequest, events.ClassNotFound:
		return Advice{Action: ActionStop}
	case events.ClassOverloaded:
		return Advice{ActionRetrySame, max(after, time.Second)}
	case events.ClassServerError:
		return Advice{ActionRetryOther, 0}
	case events.ClassAuth:
		if r.Why == events.WhyFirstAuth {
			return Advice{Action: ActionRefreshAuth}
		}
	case events.ClassPayment, events.ClassForbidden:
		if o.Signal.Scope == events.ScopeNone {
			return Advice{Action: ActionStop}
		}
	case events.ClassRateLimited:
		if o.Signal.Scope == events.ScopeNone {
			return Advice{ActionRetrySame, max(after, time.Second)}
		}
	}
	if holds(o.d.s.policy.Rules(o.id.Provider, o.id.Group), o.Signal.Reason) {
		return Advice{Action: ActionHuman}
	}
	return Advice{ActionRetryOther, after}
}

// wait is the time until the deadline, else the first usable hint's.
func (o *observation) wait(r *ReportResult) time.Duration {
	if r.Until.After(o.d.now) {
		return r.Until.Sub(o.d.now)
	}
	q := question{signal: &o.Signal, now: o.d.now}
	for at := range q.instants() {
		return at.Sub(o.d.now)
	}
	return 0
}
