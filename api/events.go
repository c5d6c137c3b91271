package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// routeEvents registers the history.
func (s *Server) routeEvents() {
	handle(s, huma.Operation{OperationID: "events", Method: http.MethodGet, Path: "/v1/events", Summary: "The history"}, listEvents)
	handle(s, huma.Operation{OperationID: "event", Method: http.MethodGet, Path: "/v1/events/{seq}", Summary: "One record"}, getEvent)
}

type eventPath struct {
	Seq uint64 `path:"seq" minimum:"1" maximum:"9007199254740991"`
}

func getEvent(ctx context.Context, b *Backend, in *eventPath) (EventRow, error) {
	r, err := b.Engine.Record(ctx, events.Seq(in.Seq))
	if errors.Is(err, projection.ErrFuture) {
		return EventRow{}, newProblem(CodeUnknownEvent, err.Error())
	}
	if err != nil {
		return EventRow{}, err
	}
	row := NewEventRow(r, b.Identities)
	return row, row.Data.define(r.Event)
}

// define adds the whole definition that an event put in force.
func (d *EventData) define(event events.Event) error {
	switch e := event.(type) {
	case *events.GroupsDefined:
		all, err := groupsDefinition(e)
		d.DefinedGroups = &all
		return err
	case *events.PolicyDefined:
		all, err := policyDefinition(e)
		d.DefinedPolicy = &all
		return err
	}
	return nil
}

type eventsQuery struct {
	Account       string `query:"account" format:"id" doc:"records about the account, expiries included"`
	Target        string `query:"target" format:"target"`
	Kind          string `query:"kind" format:"kind"`
	Actor         string `query:"actor" format:"name"`
	CorrelationID string `query:"correlation_id" format:"id"`
	Since         string `query:"since" format:"instant" doc:"RFC 3339; not before it"`
	Until         string `query:"until" format:"instant" doc:"RFC 3339; before it"`
	Order         string `query:"order" enum:"asc,desc" default:"desc"`
	Paging
}

// maxScan bounds the records that one page looks at: a rare filter over a long log
// gives short pages, each with a token for the next.
const maxScan = 20_000

// listEvents lists records that match all filters, newest first unless asked
// otherwise. A token holds the seq of the last record looked at, so that pages stay
// as they are while the log grows.
func listEvents(ctx context.Context, b *Backend, q *eventsQuery) (Page[EventRow], error) {
	var page Page[EventRow]
	f, err := b.eventFilter(q)
	if err != nil {
		return page, err
	}
	from, err := q.after("events", f.Account, f.Target, q.Kind, q.Actor, q.CorrelationID, q.Since, q.Until, q.Order)
	if err != nil {
		return page, err
	}
	if from.Seq == 0 { // later pages belong to a filter that was looked at
		if err := b.knows(ctx, f.Filter, q.Account); err != nil {
			return page, err
		}
	}
	head := b.Engine.State().Head()
	query, err := b.window(ctx, q, head.Seq)
	if err != nil {
		return page, err
	}
	query.Account = f.Account
	if from.Seq > 0 {
		if query.Newest {
			query.Before = min(query.Before, events.Seq(from.Seq))
		} else {
			query.After = max(query.After, events.Seq(from.Seq))
		}
	}
	page = Page[EventRow]{AsOfSeq: uint64(head.Seq), Now: Time{b.Engine.Now()}, Items: []EventRow{}}
	err = b.fill(ctx, &page, scan{query: query, filter: &f, size: q.size(), last: from})
	return page, err
}

// eventFilter reads the filters of a query that are no times.
func (b *Backend) eventFilter(q *eventsQuery) (eventFilter, error) {
	f := eventFilter{
		Filter: events.Filter{Account: b.Identities.Stored(q.Account), Target: projection.CanonicalTarget(q.Target), Kind: events.Kind(q.Kind)},
		actor:  q.Actor, correlation: q.CorrelationID,
	}
	if f.Kind != "" && !slices.Contains(events.Kinds(), f.Kind) {
		return f, invalid("kind: %q is none of %v", q.Kind, events.Kinds())
	}
	return f, nil
}

// scan is one page of history to read.
type scan struct {
	query  events.Query
	filter *eventFilter
	size   int
	last   cursor
}

// fill reads a page.
func (b *Backend) fill(ctx context.Context, page *Page[EventRow], s scan) error {
	looked := 0
	if s.query.After+1 >= s.query.Before {
		return nil
	}
	for r, err := range b.Engine.History(ctx, s.query) {
		if err != nil {
			return err
		}
		if looked == maxScan || len(page.Items) == s.size {
			page.NextPageToken = s.last.token()
			break
		}
		looked++
		s.last.Seq = uint64(r.Seq)
		if s.filter.matches(r) {
			page.Items = append(page.Items, NewEventRow(r, b.Identities))
		}
	}
	return nil
}

// window turns the times of a query into seqs: records are ordered by both. Both
// ends of the result are exclusive, and Before is set.
func (b *Backend) window(ctx context.Context, q *eventsQuery, head events.Seq) (events.Query, error) {
	w := events.Query{Before: head + 1, Newest: q.Order != "asc"}
	for _, bound := range []struct {
		name, text string
		set        func(first events.Seq)
	}{
		{"since", q.Since, func(first events.Seq) { w.After = first - 1 }},
		{"until", q.Until, func(first events.Seq) { w.Before = first }},
	} {
		if bound.text == "" {
			continue
		}
		t, err := parseTime(bound.text)
		if err != nil {
			return w, invalid("%s: %v", bound.name, err)
		}
		first, err := b.firstSince(ctx, t, head)
		if err != nil {
			return w, err
		}
		bound.set(first)
	}
	return w, nil
}

// firstSince returns the seq of the first record at or after an instant, or the one
// after head.
func (b *Backend) firstSince(ctx context.Context, t time.Time, head events.Seq) (events.Seq, error) {
	last, err := b.Engine.Past().SeqAt(ctx, t.Add(-1)) // times are whole nanoseconds
	return min(last, head) + 1, err
}

// eventFilter is what GET /v1/events is asked for. Empty fields match everything.
type eventFilter struct {
	events.Filter
	actor, correlation string
}

func (f *eventFilter) matches(r events.Record) bool {
	return f.Matches(r) && (f.actor == "" || r.Actor == f.actor) && (f.correlation == "" || r.CorrelationID == f.correlation)
}
