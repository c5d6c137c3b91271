package linear

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// clients work at once.
const clients = 8

// Each account is the only one of its provider, so that a pick for the provider is one
// for the account. The providers have the same groups.
func accounts() []string { return []string{"antigravity-1", "gemini-api-1", "gemini-cli-1"} }

// spare is an account that no client is interested in.
const spare = "codex-1"

func provider(account string) string { return account[:len(account)-len("-1")] }

// model returns a model of a group.
func model(target int) string {
	return [...]string{targetClaude: "claude-sonnet-4-6", targetPro: "gemini-3-pro-preview"}[target]
}

// What became of commands that were not executed, as it is counted.
const (
	notFull      = "not executed: disk full"
	notBusy      = "not executed: queue full"
	notStopped   = "not executed: engine stopped"
	notWithdrawn = "not executed: caller gave up"
)

// client is one of those who work at once.
type client struct {
	*world
	*rand.Rand
	number int
	before map[call]answer // picks as they were answered before: of a cheat
}

// work goes on until the history is as long as it is to be.
func (c *client) work() {
	for c.told.Load() < int64(c.length) && !c.lost.Load() {
		n := c.tries.Add(1)
		c.strike(n, c.Rand)
		c.revive(n, c.Int64N(12))
		busy := c.of(notBusy)
		c.do(c.next())
		if c.of(notBusy) > busy {
			time.Sleep(5 * time.Millisecond) // as whoever is told so should, but shorter
		}
	}
}

// do makes a call and notes what was answered.
func (c *client) do(q call) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	called := c.tick()
	var r answer
	told := true
	switch q.verb {
	case verbPick:
		r = c.pick(q)
	case verbLook:
		r = c.look(q)
	case verbLimit, verbBan, verbServe:
		r, told = c.report(called, q)
	default:
		r, told = c.execute(q)
	}
	if told {
		c.note(c.number, called, q, r)
	}
	if r.pending && q.id > 0 {
		c.ids[q.account].owe(q.id)
	}
}

// pick asks for the account, by its name or by its provider's. Half of the picks say
// what time it is: they may take the short way.
func (c *client) pick(q call) answer {
	request := router.Request{Provider: provider(q.account), Model: model(q.target)}
	if q.named {
		request.Candidates = []string{q.account}
	}
	if c.IntN(2) == 0 {
		request.Now = noon()
	}
	if c.engine.View().Degraded {
		c.count("pick while degraded")
	}
	l, err := c.router.Pick(request)
	r := answer{what: "available", seq: uint64(l.Seq)}
	if err != nil {
		r = c.blocked(err)
	} else if l.Account != q.account || l.Probe != 0 {
		c.Errorf("picked %+v, want %s", l, q.account)
	}
	if c.cheat == cheatStale {
		if old, ok := c.before[q]; ok && c.IntN(8) == 0 {
			return old
		}
		c.before[q] = r
	}
	return r
}

func (c *client) blocked(err error) answer {
	b, ok := errors.AsType[*router.BlockedError](err)
	if !ok {
		c.Errorf("Pick: %v", err)
		return answer{}
	}
	reasons := slices.Collect(b.Reasons())
	switch len(reasons) {
	case 0:
		return answer{what: "none"}
	case 1:
		return answer{what: reasons[0].Status, volatile: reasons[0].Volatile}
	default:
		c.Errorf("a pick for one account is blocked for %+v", reasons)
		return answer{}
	}
}

// look reads the published state.
func (c *client) look(q call) answer {
	s := c.engine.State()
	r := answer{what: "look", seq: uint64(s.Head().Seq)}
	a := s.Account(q.account)
	if a == nil {
		return r
	}
	r.seen.present, r.seen.observed, r.seen.disabled = true, a.Spec.Origin == events.OriginObserved, a.Spec.Disabled
	for i := range a.Cells {
		is, see := &a.Cells[i], &r.seen.cells[targetOf(a.Cells[i].Target)]
		cooling, held, suspended := is.Live(noon())
		if cooling != nil {
			see.hours = int(cooling.Until.Sub(noon()).Hours()) // and a few seconds
		}
		see.held = held != nil
		if suspended != nil {
			fmt.Sscanf(suspended.Reason, "reason %d", &see.reason)
		}
	}
	return r
}

func targetOf(name string) int {
	return slices.IndexFunc([]int{targetAll, targetClaude, targetPro}, func(t int) bool { return targetName(t) == name })
}

// patience returns the context of a command: some callers give up soon.
func (c *client) patience() (context.Context, context.CancelFunc) {
	if c.IntN(25) > 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(c.IntN(2000))*time.Microsecond)
}

// report sends what a provider answered.
func (c *client) report(called int64, q call) (answer, bool) {
	o := observation(q)
	if q.id > 0 {
		o.RequestID = fmt.Sprint("request-", q.id)
	}
	ctx, cancel := c.patience()
	defer cancel()
	l := router.Lease{Account: q.account, Provider: provider(q.account), Model: model(q.target), Seq: events.Seq(q.lease)}
	out, err := c.router.Report(ctx, l, o)
	if out.Volatile {
		unrecorded := call{verb: verbUnrecorded, account: q.account}
		c.note(c.number, called, unrecorded, answer{what: "remembered", cells: 1 << targetOf(out.Target)})
	}
	if err != nil {
		return c.failed(err)
	}
	r := answer{what: string(out.Effect), why: out.Why, seq: uint64(out.Seq), repeated: out.Repeated}
	if out.Effect != events.EffectNone {
		r.cells = 1 << targetOf(out.Target)
	}
	return r, true
}

// observation is what the provider answers.
func observation(q call) signal.Observation {
	switch q.verb {
	case verbLimit:
		return signal.Observation{Status: 429, Body: fmt.Appendf(nil, `{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
			{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetDelay": "%dh"}}]}}`, q.hours)}
	case verbBan:
		return signal.Observation{Status: 403, Body: []byte(`{"error": {"code": 403, "status": "PERMISSION_DENIED",
			"message": "Gemini has been disabled in this account for violation of Terms of Service."}}`)}
	default:
		return signal.Observation{Status: 200}
	}
}

// execute runs an operator's command.
func (c *client) execute(q call) (answer, bool) {
	x := command(intent(q))
	if q.id > 0 {
		x.IdempotencyKey, x.RequestHash = fmt.Sprint(q.account, "-", q.id), sha256.Sum256(fmt.Append(nil, q))
	}
	ctx, cancel := c.patience()
	defer cancel()
	out, err := c.cheating(ctx, q, x)
	if err != nil {
		return c.failed(err)
	}
	r := answer{what: "unchanged", repeated: out.Repeated}
	if len(out.Records) > 0 {
		r.what, r.seq = string(out.Records[0].Kind()), uint64(out.Records[0].Seq)
		for _, cell := range out.Cells {
			r.cells |= 1 << targetOf(cell.Target)
		}
	}
	return r, true
}

func intent(q call) projection.Intent {
	filter := projection.Filter{Account: q.account}
	if q.target != everyTarget {
		filter.Target = targetName(q.target)
	}
	switch q.verb {
	case verbSuspend:
		return &projection.Suspend{Filter: filter, Reason: fmt.Sprint("reason ", q.reason), Forever: true}
	case verbLift:
		return &projection.Lift{Filter: filter}
	case verbClear:
		return &projection.Clear{Filter: filter}
	case verbPut:
		return &projection.PutAccount{ID: q.account, Spec: events.AccountSpec{Provider: provider(q.account), Disabled: q.disabled}}
	default:
		return &projection.RemoveAccount{ID: q.account, Force: q.force}
	}
}

// failed reads an error: a refusal is an answer, an unknown outcome is one that is
// still pending, and what was not executed is none.
func (c *client) failed(err error) (answer, bool) {
	if refused, ok := errors.AsType[*projection.Error](err); ok {
		return answer{what: string(refused.Code)}, true
	}
	if _, ok := errors.AsType[*projection.UnknownOutcomeError](err); ok {
		return answer{what: "unknown", pending: true, before: uint64(c.engine.State().Head().Seq)}, true
	}
	switch {
	case errors.Is(err, events.ErrFull):
		c.count(notFull)
	case errors.Is(err, projection.ErrBusy):
		c.count(notBusy)
	case errors.Is(err, projection.ErrStopped):
		c.count(notStopped)
	case errors.Is(err, context.DeadlineExceeded):
		c.count(notWithdrawn)
	default:
		c.Errorf("an error that promises nothing: %v", err)
	}
	return answer{}, false
}

// next chooses a call.
func (c *client) next() call {
	q := c.fresh()
	if q.verb == verbPick || q.verb == verbLook || c.once || c.IntN(6) > 0 {
		return q
	}
	return c.ids[q.account].identify(q, c.Rand)
}

// fresh chooses a call without an id.
func (c *client) fresh() call {
	q := call{account: accounts()[c.IntN(len(accounts()))], target: targetClaude + c.IntN(2)}
	for n := c.IntN(100); ; q.verb++ {
		if n -= [...]int{28, 9, 16, 2, 15, 6, 9, 7, 6, 2}[q.verb]; n < 0 {
			break
		}
	}
	switch q.verb {
	case verbPick:
		q.named = c.IntN(2) == 0
	case verbLimit:
		q.hours = 1 + c.IntN(2)
	case verbSuspend:
		q.target, q.reason = c.IntN(targets), 1+c.IntN(3)
	case verbLift, verbClear:
		q.target = c.IntN(everyTarget + 1)
	case verbLook:
		q.target = everyTarget
	case verbPut:
		q.target, q.disabled = everyTarget, c.IntN(5) == 0
	case verbRemove:
		q.target, q.force = everyTarget, c.IntN(2) == 0
	}
	if q.verb.reports() {
		// As of now, as of some time ago, or of no known time.
		switch c.IntN(10) {
		case 0, 1:
		case 2, 3, 4, 5, 6:
			q.lease = c.lease(0)
		default:
			q.lease = c.lease(c.IntN(40))
		}
	}
	return q
}

// issued are the calls of one account that were made under an id, which are made again
// now and then.
type issued struct {
	mu    sync.Mutex
	calls []call // guarded by mu: the id is the position and 1
	owed  []int  // guarded by mu: ids of those whose outcome is unknown
}

// owe lets the next call under an id be one whose outcome is unknown, again.
func (s *issued) owe(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = append(s.owed, id)
}

// identify gives a call a new id, or that of an earlier one, or returns an earlier one.
func (s *issued) identify(q call, chance *rand.Rand) call {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.owed) > 0:
		id := s.owed[0]
		s.owed = s.owed[1:]
		return s.calls[id-1]
	case len(s.calls) == 0 || len(s.calls) < maxIDs-1 && chance.IntN(2) == 0:
		q.id = len(s.calls) + 1
		s.calls = append(s.calls, q)
		return q
	}
	old := s.calls[chance.IntN(len(s.calls))]
	if chance.IntN(2) > 0 || old.verb.reports() != q.verb.reports() {
		return old
	}
	q.id = old.id
	return q
}
