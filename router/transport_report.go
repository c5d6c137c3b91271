package router

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// Reports that the engine has no room for are made again, after pauses that double.
// The client waits meanwhile, for 350 ms at most.
const (
	busyTries = 4
	busyPause = 50 * time.Millisecond
)

// observer makes the one report of an attempt. A client that goes away takes nothing
// back of what the provider said, so the context does not end with the request's.
type observer struct {
	t     *Transport
	ctx   context.Context
	lease Lease
	id    string // of the request; seen's tells attempts apart
	seen  signal.Observation
}

// report says what the answer was. An error is logged and is not the client's
// affair; the outcome then holds the advice all the same.
func (o *observer) report(body []byte) Outcome {
	o.seen.Body, o.seen.ObservedAt = body, o.t.Router.engine.Now()
	out, err := o.send()
	if err == nil && out.Repeated {
		// Another request of this id met the account before: this answer is news.
		if fresh, failed := uuid.NewV7(); failed == nil {
			o.seen.RequestID = o.id + projection.RepeatMark + fresh.String()
			out, err = o.send()
		}
	}
	if err != nil {
		o.release()
		o.t.logger().ErrorContext(o.ctx, "an upstream answer could not be recorded", "account", o.t.Router.ids.Stored(o.lease.Account),
			"target", o.lease.Target, "status", o.seen.Status, "class", string(out.Class), "error", err)
	}
	if out.Advice.Action == "" {
		out.Advice.Action = unadvised(o.seen.Status)
	}
	return out
}

// send hands the report over, again while the engine is busy.
func (o *observer) send() (out Outcome, err error) {
	for try := range busyTries {
		out, err = o.t.Router.Report(o.ctx, o.lease, o.seen)
		if !errors.Is(err, projection.ErrBusy) || try == busyTries-1 {
			break
		}
		sleep(o.ctx, busyPause<<try)
	}
	return out, err
}

// release says that the request came to nothing.
func (o *observer) release() { o.t.Router.Release(o.lease) }

// unadvised is what to do where a report was refused, such as that of an account
// which was removed meanwhile.
func unadvised(status int) projection.Action {
	switch {
	case status >= 500, status == 401, status == 402, status == 403, status == 429:
		return projection.ActionRetryOther
	}
	return projection.ActionStop
}
