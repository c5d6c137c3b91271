package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// archive is the log of a stopped daemon, open for reading.
type archive struct {
	*boltlog.Log
	ids *identity.Book
}

// openArchive opens the data directory. replay gets every record in order while the
// log is checked; an error of it ends that.
func (env *environment) openArchive(replay func(events.Record) error) (*archive, error) {
	p := env.newProgress("reading the log")
	log, err := boltlog.Open(env.dataDir, &boltlog.Options{ReadOnly: true, Replay: func(r events.Record) error {
		p.step()
		return replay(r)
	}})
	p.done()
	if err != nil {
		return nil, err
	}
	ids, err := identity.Open(filepath.Join(env.dataDir, identity.FileName))
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &archive{log, ids}, nil
}

// whyOffline folds the log up to the moment asked about and explains that state.
func (env *environment) whyOffline(ctx context.Context, q whyQuestion) (answer *api.WhyAnswer, err error) {
	moment := projection.Moment{At: env.now()}
	if q.at != "" {
		if moment, err = parseAt(q.at); err != nil {
			return nil, err
		}
	}
	state, last := projection.NewState(), events.Record{}
	a, err := env.openArchive(func(r events.Record) error {
		if moment.Seq == 0 && !r.At.After(moment.At) || r.Seq <= moment.Seq {
			state.Apply(r)
			last = r
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	at := moment.At
	if moment.Seq > 0 {
		if moment.Seq > last.Seq {
			return nil, usage("--at: record %d lies beyond the end of the log at %d", moment.Seq, last.Seq)
		}
		at = last.At
	} else if at.After(env.now()) {
		return nil, usage("--at %s lies in the future", at.Format(time.RFC3339))
	}
	x, err := projection.Explain(state, projection.Question{
		Account: a.ids.Stored(q.account), Target: q.target, Provider: q.provider, Model: q.model,
	}, at, func(seq events.Seq) (events.Record, error) { return a.record(ctx, seq) })
	if err != nil {
		return nil, err
	}
	return api.NewWhyAnswer(x, state, at, a.ids), nil
}

func (a *archive) record(ctx context.Context, seq events.Seq) (events.Record, error) {
	for r, err := range a.Records(ctx, seq-1) {
		return r, err
	}
	return events.Record{}, fmt.Errorf("no record %d", seq)
}

// eventsOffline reads the history out of the log.
func (env *environment) eventsOffline(ctx context.Context, q eventQuery) (page *api.Page[api.EventRow], err error) {
	state := projection.NewState()
	a, err := env.openArchive(func(r events.Record) error {
		if r.Kind() == events.KindGroupsDefined {
			state.Apply(r)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	head, err := a.Head(ctx)
	if err != nil {
		return nil, err
	}
	page = &api.Page[api.EventRow]{AsOfSeq: uint64(head.Seq), Now: api.Time{Time: env.now()}, Items: []api.EventRow{}}
	for row, err := range a.rows(ctx, q) {
		if err != nil {
			return nil, err
		}
		if page.Items = append(page.Items, row); q.limit > 0 && len(page.Items) == q.limit {
			break
		}
	}
	if len(page.Items) == 0 {
		return page, a.knows(ctx, q, state.Groups())
	}
	return page, nil
}

// rows yields the records that a query asks for; an error ends them.
func (a *archive) rows(ctx context.Context, q eventQuery) iter.Seq2[api.EventRow, error] {
	return func(yield func(api.EventRow, error) bool) {
		for r, err := range a.History(ctx, events.Query{Account: a.ids.Stored(q.account), Newest: !q.oldest}) {
			row := api.EventRow{}
			if err == nil {
				if row = api.NewEventRow(r, a.ids); !q.wants(r, &row) {
					continue
				}
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// knows refuses an account or a group that no record tells of, as the daemon does: a
// typing error must not look like an empty history. What was removed has one.
func (a *archive) knows(ctx context.Context, q eventQuery, groups *projection.Groups) error {
	if q.account != "" {
		if there, err := a.mentions(ctx, eventQuery{account: q.account}); err != nil || !there {
			return cmp.Or(err, refusal(projection.CodeUnknownAccount, "no account %q is known", q.account))
		}
	}
	anyModel := strings.HasPrefix(q.target, events.ModelTarget)
	if q.target == "" || q.target == events.TargetAll || anyModel || groups.Group(q.target) != nil {
		return nil
	}
	if there, err := a.mentions(ctx, eventQuery{target: q.target}); err != nil || !there {
		return cmp.Or(err, refusal(projection.CodeUnknownTarget, "no group %q is defined; targets are a group id, model:NAME or *", q.target))
	}
	return nil
}

func refusal(code projection.Code, format string, args ...any) error {
	return &projection.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// mentions reports whether the log has a record that a query asks for.
func (a *archive) mentions(ctx context.Context, q eventQuery) (bool, error) {
	for _, err := range a.rows(ctx, q) {
		return err == nil, err
	}
	return false, nil
}

// wants applies the filters that the log itself does not know.
func (q *eventQuery) wants(r events.Record, row *api.EventRow) bool {
	return (q.kind == "" || row.Kind == q.kind) &&
		(q.actor == "" || row.Actor == q.actor) &&
		(q.correlation == "" || row.CorrelationID == q.correlation) &&
		(q.target == "" || hasTarget(row, q.target)) &&
		(q.since.IsZero() || !r.At.Before(q.since)) &&
		(q.until.IsZero() || r.At.Before(q.until))
}

func hasTarget(row *api.EventRow, target string) bool {
	for _, c := range row.Data.Cells {
		if c.Target == target {
			return true
		}
	}
	return row.Data.Target == target
}

func formatSeq(seq uint64) string { return strconv.FormatUint(seq, 10) }
