package incident

import (
	"errors"
	"fmt"
	"time"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// clients puts the first requests on the agenda.
func (w *world) clients() { w.at(Begin().Add(20*time.Second), w.arrive) }

// The mean time between two arrivals, by the hour of the day, in seconds: an office in
// Europe, and its colleagues in America.
func meanGap(hour int) int {
	switch {
	case hour < 6:
		return 62
	case hour < 8 || hour >= 20:
		return 38
	case hour >= 9 && hour < 12, hour >= 13 && hour < 17:
		return 14
	default:
		return 22
	}
}

// arrive lets one client begin something: one request, or, as agents do, several.
func (w *world) arrive() {
	provider, model := w.choose()
	n := 1
	switch r := w.rand.IntN(100); {
	case r < 7:
		n = 10 + w.rand.IntN(26)
	case r < 30:
		n = 2 + w.rand.IntN(3)
	}
	for range n {
		w.requests++
		q := &request{id: fmt.Sprintf("req-%06d", w.requests), provider: provider, model: model}
		w.after(w.between(0, 2*time.Second), func() { w.try(q) })
	}
	w.after(w.between(0, 2*time.Duration(meanGap(w.now().Hour()))*time.Second), w.arrive)
}

// insist is what the clients of a model that is short do: they ask for it all the time.
func (w *world) insist() {
	if !w.storm() {
		return
	}
	w.requests++
	q := &request{id: fmt.Sprintf("req-%06d", w.requests), provider: antigravity, model: pro}
	w.try(q)
	w.after(w.between(time.Second, 11*time.Second), w.insist)
}

// choose draws what a client asks for.
func (w *world) choose() (provider, model string) {
	switch r := w.rand.IntN(100); {
	case r < 14:
		return antigravity, opus
	case r < 26:
		return antigravity, sonnet
	case r < 38:
		return antigravity, pro
	case r < 52:
		return antigravity, flash
	case r < 66:
		return claude, sonnet
	case r < 76:
		return claude, opus4
	case r < 94:
		return codex, gpt
	default:
		return codex, spark
	}
}

// request is one request of a client, with its retries.
type request struct {
	id              string
	provider, model string
	tried           []string // accounts that refused it
	waits           int      // for an account
	stubborn        bool     // its client never gives up
}

// How often a request is tried, and waits for an account, before its client gives up.
const (
	maxTries = 3
	maxWaits = 6
	longWait = time.Minute
)

// try picks an account and sends a request.
func (w *world) try(q *request) {
	if w.router == nil {
		return // the proxy has nobody to ask: the client is told so
	}
	if len(q.tried) == 0 && q.waits == 0 {
		w.out.Requests++
	}
	l, err := w.router.Pick(router.Request{Provider: q.provider, Model: q.model, Exclude: q.tried})
	if err != nil {
		w.blocked(q, err)
		return
	}
	began := w.now()
	r, took := w.ask(q, l.Account)
	w.after(took, func() { w.report(q, l, began, r) })
}

// blocked lets a client wait, if it is not for long.
func (w *world) blocked(q *request, err error) {
	full, ok := errors.AsType[*router.BlockedError](err)
	if !ok {
		w.fail(err)
		return
	}
	w.out.Blocked++
	if d := full.RetryAfter(); d > 0 && d <= longWait && q.waits < maxWaits {
		q.waits++
		w.after(d+w.between(0, time.Second), func() { w.try(q) })
	}
}

// report reports an answer and does what the advice says.
func (w *world) report(q *request, l router.Lease, began time.Time, r response) {
	if w.router == nil {
		return // nobody hears of it
	}
	w.out.Answers++
	if r.status == 200 {
		w.out.Served++
	}
	out, err := w.router.Report(w.ctx, l, signal.Observation{
		Status: r.status, Header: r.header, Body: []byte(r.body), StartedAt: began, RequestID: q.id,
	})
	if err != nil {
		w.fail(fmt.Errorf("reporting for %s: %w", l.Account, err))
		return
	}
	switch out.Advice.Action {
	case projection.ActionRetryOther, projection.ActionHuman:
		w.again(q, l, 0)
	case projection.ActionRetrySame:
		w.again(q, l, out.Advice.After)
	case projection.ActionRefreshAuth:
		delete(w.upstream.tokens, l.Account)
		w.again(q, l, time.Second)
	case projection.ActionStop:
		if q.stubborn && r.status != 200 {
			w.again(q, l, 0)
		}
	}
}

// again tries another account, unless the client has had enough.
func (w *world) again(q *request, l router.Lease, after time.Duration) {
	q.tried = append(q.tried, l.Account)
	if len(q.tried) < maxTries || q.stubborn && len(q.tried) < 9 {
		w.after(after+w.between(20*time.Millisecond, 200*time.Millisecond), func() { w.try(q) })
	}
}
