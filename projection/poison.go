package projection

import (
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// suspect is what is known of one request that was refused: one bad request tried
// on account after account must not freeze the pool.
type suspect struct {
	// blamed :: the accounts that gave the class, in the order of the records
	blamed []blame
	// cleared: one of the answers carried a reset or named a quota. A refusal with
	// its own reset is the account's, so this request is never poison.
	cleared bool
}

type blame struct {
	account string
	at      time.Time
}

// suspectKey names what is counted: the answers of one class to one request.
type suspectKey struct {
	request string
	class   events.Class
}

// RepeatMark begins what a request id has more when the request is sent to the same
// account again: another observation (rule 20), of the same request to the poison guard.
const RepeatMark = "~"

func suspectOf(requestID string, class events.Class) suspectKey {
	request, _, _ := strings.Cut(requestID, RepeatMark)
	return suspectKey{request, class}
}

// speaksForItself reports whether an answer names its reset or its quota.
func speaksForItself(hinted bool, reason string) bool {
	return hinted || reason == events.ReasonQuotaNamed
}

// rememberSuspect notes which account gave a request's answer its class. Slices are
// shared with published states, so they are replaced, never changed.
func (s *State) rememberSuspect(r *events.Record, e *events.LimitObserved) {
	if e.RequestID == "" || e.Effect == events.EffectNone && e.Why != events.WhyPoison {
		return
	}
	key := suspectOf(e.RequestID, e.Class)
	x, _ := s.suspects.get(key)
	if speaksForItself(e.Hint != nil, e.Signal.Reason) {
		x.cleared = true
	}
	known := slices.ContainsFunc(x.blamed, func(b blame) bool { return b.account == r.Account })
	if !known && len(x.blamed) < maxBlamed {
		x.blamed = append(slices.Clone(x.blamed), blame{r.Account, e.ObservedAt})
	}
	s.suspects.set(key, x)
}

// maxBlamed bounds the accounts remembered per request: as many as the policy's
// accounts may say.
const maxBlamed = 100

// poisonous reports whether enough accounts gave this class for the same request, so
// that it is the request that is refused.
func (o *observation) poisonous(class events.Class, rule events.PoisonRule) bool {
	if o.RequestID == "" || rule.Accounts == 0 || speaksForItself(o.hinted(), o.Signal.Reason) {
		return false
	}
	x, ok := o.d.s.suspects.get(suspectOf(o.RequestID, class))
	if !ok || x.cleared {
		return false
	}
	others := 0
	for _, b := range x.blamed {
		if b.account != o.Account && o.d.now.Sub(b.at) <= rule.Within {
			others++
		}
	}
	return others >= rule.Accounts
}

// hinted reports whether the answer names a reset that could be a deadline.
func (o *observation) hinted() bool {
	q := question{signal: &o.Signal, now: o.d.now}
	for range q.instants() {
		return true
	}
	return false
}
