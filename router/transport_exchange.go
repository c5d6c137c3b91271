package router

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// exchange is one request on its way through a Transport. One goroutine owns it.
type exchange struct {
	t         *Transport
	in        *http.Request // the caller's; never changed
	payload   *payload
	query     Request // Exclude grows by the accounts that are done with
	id        string
	operation events.Operation

	sent      []string // the account of each attempt
	same      string   // the account to ask again; empty: the next one's turn
	paused    bool     // an advised wait was waited out: once per request
	refreshed bool     // a credential was renewed: once per request
	short     []string // accounts on which the provider lacked capacity

	// The last answer, whole, or why there is none.
	answer *http.Response
	err    error
}

// run sends the request until an answer stands.
func (x *exchange) run() (*http.Response, error) {
	for {
		l, err := x.pick()
		if err != nil {
			return x.nothing(err)
		}
		if !x.attempt(l) {
			break
		}
	}
	if x.answer != nil {
		return x.answer, nil
	}
	return nil, x.err
}

// pick returns the next account. An account that is asked again is picked again: it
// may have been blocked meanwhile. Its turn was taken the first time.
func (x *exchange) pick() (Lease, error) {
	if x.same != "" {
		q := x.query
		q.Candidates, q.DryRun = []string{x.same}, true
		if l, err := x.t.Router.Pick(q); err == nil && l.Probe == 0 {
			return l, nil
		}
		x.exclude(x.same)
	}
	l, err := x.t.Router.Pick(x.query)
	if _, none := errors.AsType[*BlockedError](err); !none || len(x.sent) > 0 || x.t.MaxWait <= 0 {
		return l, err
	}
	ctx, cancel := context.WithTimeout(x.in.Context(), x.t.MaxWait)
	defer cancel()
	return x.t.Router.PickWait(ctx, x.query)
}

// exclude keeps an account from being asked again. The list may be the caller's, so
// it is replaced.
func (x *exchange) exclude(account string) {
	x.same = ""
	x.query.Exclude = append(slices.Clip(x.query.Exclude), account)
}

// nothing is the answer when no account can be picked.
func (x *exchange) nothing(err error) (*http.Response, error) {
	if x.answer != nil {
		return x.answer, nil
	}
	if why := cmp.Or(x.in.Context().Err(), x.err); why != nil {
		return nil, why
	}
	if b, ok := errors.AsType[*BlockedError](err); ok {
		return unavailable(x.in, b), nil
	}
	if errors.Is(err, ErrRequest) {
		return malformed(x.in, err), nil
	}
	return nil, err
}

// attempt sends the request with one account and reports whether to go on.
func (x *exchange) attempt(l Lease) (more bool) {
	x.sent = append(x.sent, l.Account)
	out, err := x.request(l)
	if err != nil {
		return x.unsent(l, err)
	}
	began := x.t.Router.engine.Now()
	resp, err := x.t.base().RoundTrip(out)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
			return x.unsent(l, err)
		}
		x.t.Router.Release(l)
		x.keep(nil, err)
		return false
	}
	resp.Request = x.in
	return x.take(x.observer(l, resp, began), resp)
}

// request is a copy of the request, authorized for the account, with a body of its
// own.
func (x *exchange) request(l Lease) (*http.Request, error) {
	out := x.in.Clone(x.in.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Del("Accept-Encoding")
	if err := x.payload.attach(out); err != nil {
		return nil, err
	}
	if x.t.Authorize != nil {
		if err := x.t.Authorize(out, l); err != nil {
			if out.Body != nil {
				out.Body.Close()
			}
			return nil, err
		}
	}
	return out, nil
}

// unsent goes on after a request that did not leave: another account may have
// another way out. An answer that came before stands over the error.
func (x *exchange) unsent(l Lease, err error) (more bool) {
	x.t.Router.Release(l)
	x.err = err
	x.exclude(l.Account)
	return x.mayRepeat()
}

// keep replaces the last answer.
func (x *exchange) keep(resp *http.Response, err error) {
	if x.answer != nil {
		x.answer.Body.Close()
	}
	x.answer, x.err = resp, err
}

// mayRepeat reports whether the request may be sent once more at all.
func (x *exchange) mayRepeat() bool {
	return len(x.sent) < cmp.Or(x.t.MaxAttempts, DefaultAttempts) && x.payload.repeatable() &&
		len(x.query.Exclude) < MaxNames && x.in.Context().Err() == nil
}

// take handles an answer and reports whether to look for a better one.
func (x *exchange) take(o *observer, resp *http.Response) (more bool) {
	switch {
	case resp.StatusCode >= 400:
		out := o.report(refusal(resp))
		x.keep(resp, nil)
		return x.mayRepeat() && x.follow(o.lease, out)
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		o.release() // says nothing about a quota
	case resp.Body == http.NoBody:
		o.report(nil)
	default:
		resp.Body = watch(o, resp)
	}
	x.keep(resp, nil)
	return false
}

// follow does what the report of an answer advises: rule 36.
func (x *exchange) follow(l Lease, out Outcome) (more bool) {
	if out.Class == events.ClassCapacity || out.Class == events.ClassOverloaded {
		if !slices.Contains(x.short, l.Account) {
			x.short = append(x.short, l.Account)
		}
	}
	switch out.Advice.Action {
	case projection.ActionStop:
		return false
	case projection.ActionRetrySame:
		if x.pause(out.Advice.After) {
			x.same = l.Account
			return true
		}
	case projection.ActionRefreshAuth:
		if x.refresh(l) {
			x.same = l.Account
			return true
		}
	}
	x.exclude(l.Account)
	return len(x.short) < maxShort && x.in.Context().Err() == nil
}

// pause waits as long as advised and reports whether that was done.
func (x *exchange) pause(d time.Duration) bool {
	if x.paused || d > cmp.Or(x.t.MaxPause, DefaultMaxPause) {
		return false
	}
	x.paused = true
	return sleep(x.in.Context(), d)
}

// refresh renews the account's credential and reports whether that was done.
func (x *exchange) refresh(l Lease) bool {
	if x.refreshed || x.t.Refresh == nil {
		return false
	}
	x.refreshed = true
	return x.t.Refresh(x.in.Context(), l) == nil
}

// sleep waits and reports whether the context lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// observer is what the report of one attempt needs. It outlives the exchange while a
// body passes, and holds nothing of the request's own body.
func (x *exchange) observer(l Lease, resp *http.Response, began time.Time) *observer {
	id, n := x.id, 0
	for _, account := range x.sent {
		if account == l.Account {
			n++
		}
	}
	if n > 1 {
		id += projection.RepeatMark + strconv.Itoa(n)
	}
	return &observer{
		t: x.t, ctx: context.WithoutCancel(x.in.Context()), lease: l, id: x.id,
		// The caller may change the headers of an answer while its body passes.
		seen: signal.Observation{
			Provider: l.Provider, Model: l.Model, Operation: x.operation, Status: resp.StatusCode,
			Header: resp.Header.Clone(), StartedAt: began, RequestID: id,
		},
	}
}
