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
	ids  *identity.Book
	past *projection.Past
}

// openArchive opens the data directory and folds its log.
func (env *environment) openArchive(ctx context.Context) (*archive, error) {
	f := projection.NewFolding()
	a, err := env.openUnfolded(ctx, f.Restore, f.Apply)
	if err != nil {
		return nil, err
	}
	a.past = &projection.Past{Log: a.Log, State: f.State.Snapshot(), Now: env.now().UTC(), Checkpoints: a.Log}
	return a, nil
}

// openRecords opens the data directory, and folds nothing: for whoever reads records, each of
// which is checked as it is read.
func (env *environment) openRecords(ctx context.Context) (*archive, error) {
	a, err := env.openUnfolded(ctx, func(events.Head, []byte) error { return nil }, func(events.Record) {})
	if err != nil {
		return nil, err
	}
	a.past = &projection.Past{State: projection.NewState()}
	return a, nil
}

// openUnfolded opens the data directory, and hands out the state of a checkpoint and the
// records after it, as [boltlog.Options] say. The archive has no past yet.
func (env *environment) openUnfolded(ctx context.Context, restore func(events.Head, []byte) error, apply func(events.Record)) (*archive, error) {
	p := env.newProgress("reading the log")
	log, err := boltlog.Open(env.dataDir, &boltlog.Options{ReadOnly: true, Restore: restore, Replay: func(r events.Record) error {
		p.step()
		apply(r)
		return ctx.Err()
	}})
	p.done()
	if err != nil {
		return nil, err
	}
	ids, err := identity.Open(filepath.Join(env.dataDir, identity.FileName))
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &archive{Log: log, ids: ids}, nil
}

// whyOffline explains the state of a stopped daemon, or one of its past.
func (env *environment) whyOffline(ctx context.Context, q whyQuestion) (answer *api.WhyAnswer, err error) {
	a, err := env.openArchive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	state, at, err := a.at(ctx, q.at)
	if err != nil {
		return nil, err
	}
	x, err := projection.Explain(state, projection.Question{
		Account: a.ids.Stored(q.account), Target: q.target, Provider: q.provider, Model: q.model, Limit: q.limit,
	}, at, func(seq events.Seq) (events.Record, error) { return a.past.Record(ctx, seq) })
	if err != nil {
		return nil, err
	}
	return api.NewWhyAnswer(x, state, at, a.ids), nil
}

// at returns the state at a moment, the zero one being now, and the instant to judge it
// by: as of a seq, that of the record.
func (a *archive) at(ctx context.Context, m projection.Moment) (*projection.State, time.Time, error) {
	if m == (projection.Moment{}) {
		return a.past.State, a.past.Now, nil
	}
	state, err := a.past.StateAt(ctx, m)
	if err != nil {
		return nil, time.Time{}, usage("--at: %v", err)
	}
	if m.Seq != 0 {
		m.At = state.Head().At
	}
	return state, m.At, nil
}

// eventsOffline reads the history out of the log. more tells that there are records beyond
// the limit.
func (env *environment) eventsOffline(ctx context.Context, q eventQuery) (page *api.Page[api.EventRow], more bool, err error) {
	a, err := env.openArchive(ctx)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	page = &api.Page[api.EventRow]{AsOfSeq: uint64(a.past.State.Head().Seq), Now: api.Time{Time: env.now()}, Items: []api.EventRow{}}
	for row, err := range a.rows(ctx, q) {
		if err != nil {
			return nil, false, err
		}
		if q.limit > 0 && len(page.Items) == q.limit {
			return page, true, nil
		}
		page.Items = append(page.Items, row)
	}
	if len(page.Items) == 0 {
		return page, false, a.knows(ctx, q, a.past.State.Groups())
	}
	return page, false, nil
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
