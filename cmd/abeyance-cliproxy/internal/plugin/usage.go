package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// Bounds of the queue of usage records.
const (
	maxQueued = 4096
	// reporters is how many reports are made at once: the log makes all of a moment
	// durable together.
	reporters = 16
	// tries is how often a report is made that cannot be written, retryPause how long
	// apart.
	tries      = 5
	retryPause = 200 * time.Millisecond
)

// report is a usage record on its way to the log.
type report struct {
	lease       router.Lease
	observation signal.Observation
}

// usage answers usage.handle. Only what can matter is queued, and nothing is waited for.
func (p *Plugin) usage(request []byte) []byte {
	var r usageRecord
	if err := json.Unmarshal(request, &r); err != nil {
		p.metrics.usage(usageInvalid)
		return fail(&failure{Code: codeInvalid, Message: "the usage record cannot be read: " + err.Error()})
	}
	if r.AuthID == "" || r.Provider == "" {
		p.metrics.usage(usageNoAccount) // a request that no account was found for
		return done
	}
	if c := p.core.Load(); c != nil {
		c.learner.met(r.AuthID, r.Provider)
		if !c.matters(&r) {
			p.metrics.usage(usageSuccess)
			return done
		}
	}
	select {
	case p.queue <- r.report():
		p.metrics.usage(usageQueued)
	default:
		p.metrics.usage(usageLost)
		p.losses.count("the queue is full: the log cannot follow")
	}
	return done
}

// done answers a call that has nothing to say.
var done = []byte(`{"ok":true,"result":{}}`)

// met makes an account known that a usage record names.
func (l *learner) met(account, provider string) {
	if len(l.news) > 0 || l.engine.State().Account(l.ids.Stored(account)) != nil {
		return
	}
	select {
	case l.news <- []candidate{{id: account, provider: provider}}:
	default:
	}
}

// matters reports whether a record can change anything: a failure, or a success of an
// account of which something may be over.
func (c *core) matters(r *usageRecord) bool {
	return r.Failed || len(c.probes.all()) > 0 || c.router.AwaitsSuccess(r.AuthID, provider(r.Provider), r.Model)
}

// report is what a record says of the upstream's answer.
func (r *usageRecord) report() report {
	o := signal.Observation{
		Provider: provider(r.Provider), Model: cmp.Or(r.Model, r.Alias), Status: http.StatusOK,
		StartedAt: r.RequestedAt, Header: r.ResponseHeaders,
	}
	if r.Generate != nil && !*r.Generate {
		// It produced nothing: that it went well says nothing of a quota, that it hit
		// one does.
		o.Operation = events.OpCountTokens
	}
	if r.Failed {
		body := r.Failure.Body
		o.Status, o.Body = r.Failure.StatusCode, []byte(body[:min(len(body), signal.MaxBody)])
	}
	return report{router.Lease{Account: r.AuthID}, o}
}

// report makes reports until the context ends, or, once told to drain, until the queue
// is empty.
func (c *core) report(ctx context.Context, p *Plugin) {
	for {
		select { // what ends it comes before the next record
		case <-c.engine.Done():
			return
		case <-ctx.Done():
			return
		default:
		}
		select { // and drain after the last
		case r := <-p.queue:
			c.reportOne(ctx, p, r)
			continue
		default:
		}
		select {
		case r := <-p.queue:
			c.reportOne(ctx, p, r)
		case <-c.drain:
			return
		case <-c.engine.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// reportOne makes one report durable. A panic must not take the host with it.
func (c *core) reportOne(ctx context.Context, p *Plugin, r report) {
	defer p.recovered("report")
	if l, ok := c.probes.take(r.lease.Account, r.observation.StartedAt, c.engine.Now()); ok {
		l.Provider, l.Model = "", "" // the record's
		r.lease = l
	}
	err := c.tryReport(ctx, &r)
	if errors.Is(err, projection.ErrStopped) {
		// It was not made, and the log is going to be opened anew.
		select {
		case p.queue <- r:
			return
		default:
		}
	}
	switch _, refused := errors.AsType[*projection.Error](err); {
	case err == nil:
		p.metrics.usage(usageRecorded)
	case refused:
		p.metrics.usage(usageRefused)
		p.logger.Warn("a usage record was refused", "account", c.ids.Stored(r.lease.Account), "error", err)
	default:
		p.metrics.usage(usageLost)
		p.losses.count("the log cannot be written: " + err.Error())
	}
}

// tryReport makes a report. A busy engine, and a disk that is full, are given a moment.
func (c *core) tryReport(ctx context.Context, r *report) (err error) {
	for n := range tries {
		_, err = c.router.Report(ctx, r.lease, r.observation)
		_, refused := errors.AsType[*projection.Error](err)
		if err == nil || refused || errors.Is(err, projection.ErrStopped) || n == tries-1 {
			return err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return err
		}
	}
	return err
}
