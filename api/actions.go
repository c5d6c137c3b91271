package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Filter chooses cells. The members that are set must all match; a filter without
// any is refused.
type Filter struct {
	Account       string `json:"account,omitempty" format:"id" doc:"the account's id, as given or as stored"`
	Provider      string `json:"provider,omitempty" format:"provider"`
	Target        string `json:"target,omitempty" format:"target"`
	Class         string `json:"class,omitempty" format:"class" doc:"of the answer behind a cooldown or hold"`
	StartedAfter  Time   `json:"started_after,omitzero" doc:"of the block, exclusive"`
	StartedBefore Time   `json:"started_before,omitzero" doc:"of the block, exclusive"`
}

// SuspendRequest blocks cells by hand. It needs a reason and exactly one of For,
// Until and Forever. Without a target it blocks everything of each account.
type SuspendRequest struct {
	Filter
	Reason     string `json:"reason" doc:"what the next operator reads; secrets and e-mail addresses are scrubbed, longer text is cut at 1 KiB"`
	For        string `json:"for,omitempty" format:"time-span"`
	Until      Time   `json:"until,omitzero"`
	Forever    bool   `json:"forever,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty" doc:"say what would happen, and do nothing"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// FilterRequest is the body of lift, clear and recheck.
type FilterRequest struct {
	Filter
	Reason     string `json:"reason,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty" doc:"say what would happen, and do nothing"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// ActionAnswer says what suspend, lift, clear or recheck did, or with a dry run would
// do.
type ActionAnswer struct {
	Change
	DryRun bool          `json:"dry_run"`
	Cells  []CellRef     `json:"cells" nullable:"false" doc:"sorted by account and target"`
	Usable []UsableCount `json:"usable" nullable:"false" doc:"per group of the providers concerned"`
}

// UsableCount is how many accounts can serve a group before and after an action.
type UsableCount struct {
	Provider string `json:"provider"`
	Group    string `json:"group"`
	Total    int    `json:"total"`
	Before   int    `json:"before"`
	After    int    `json:"after"`
}

// Change is what every command answers about its records.
type Change struct {
	AsOfSeq uint64 `json:"as_of_seq" doc:"the head that the outcome is visible in"`
	// Seq and LastSeq are the first and last record appended; nil if nothing was.
	Seq           *uint64 `json:"seq"`
	LastSeq       *uint64 `json:"last_seq"`
	CorrelationID string  `json:"correlation_id,omitempty" doc:"of the records appended"`
	Unchanged     string  `json:"unchanged,omitempty" doc:"why nothing was appended"`
	Repeated      bool    `json:"repeated,omitempty" doc:"it was done before, under the same idempotency key"`
}

// routeActions registers the verbs of an operator.
func (s *Server) routeActions() {
	handleBody(s, huma.Operation{OperationID: "suspend", Method: http.MethodPost, Path: "/v1/suspend", Summary: "Block cells by hand"}, suspend)
	handleBody(s, huma.Operation{OperationID: "lift", Method: http.MethodPost, Path: "/v1/lift", Summary: "End manual suspensions"}, lift)
	handleBody(s, huma.Operation{OperationID: "clear", Method: http.MethodPost, Path: "/v1/clear", Summary: "End cooldowns and holds"}, clearCells)
	handleBody(s, huma.Operation{OperationID: "recheck", Method: http.MethodPost, Path: "/v1/recheck", Summary: "Probe cells that cool with the next requests"}, recheck)
}

func suspend(ctx context.Context, b *Backend, _ *none, q *SuspendRequest) (ActionAnswer, error) {
	c := &projection.Suspend{
		Filter: b.filter(ctx, &q.Filter), Reason: q.Reason, Until: q.Until.Time, Forever: q.Forever, DryRun: q.DryRun,
	}
	if q.For != "" {
		var err error
		if c.For, err = projection.ParseDuration(q.For); err != nil {
			return ActionAnswer{}, invalid("for: %v", err)
		}
	}
	return b.act(ctx, q.OnBehalfOf, c)
}

func lift(ctx context.Context, b *Backend, _ *none, q *FilterRequest) (ActionAnswer, error) {
	return b.act(ctx, q.OnBehalfOf, &projection.Lift{Filter: b.filter(ctx, &q.Filter), Reason: q.Reason, DryRun: q.DryRun})
}

func clearCells(ctx context.Context, b *Backend, _ *none, q *FilterRequest) (ActionAnswer, error) {
	return b.act(ctx, q.OnBehalfOf, &projection.Clear{Filter: b.filter(ctx, &q.Filter), Reason: q.Reason, DryRun: q.DryRun})
}

func recheck(ctx context.Context, b *Backend, _ *none, q *FilterRequest) (ActionAnswer, error) {
	return b.act(ctx, q.OnBehalfOf, &projection.Recheck{Filter: b.filter(ctx, &q.Filter), Reason: q.Reason, DryRun: q.DryRun})
}

func (b *Backend) filter(ctx context.Context, f *Filter) projection.Filter {
	out := projection.Filter{
		Provider: f.Provider, Target: f.Target, Class: events.Class(f.Class),
		StartedAfter: f.StartedAfter.Time, StartedBefore: f.StartedBefore.Time,
	}
	if f.Account != "" {
		out.Account = b.stored(ctx, f.Account)
	}
	return out
}

// act runs one of the verbs.
func (b *Backend) act(ctx context.Context, onBehalfOf string, do projection.Intent) (ActionAnswer, error) {
	o, err := b.execute(ctx, onBehalfOf, do)
	if err != nil {
		return ActionAnswer{}, err
	}
	a := ActionAnswer{Change: change(&o), DryRun: o.DryRun, Cells: b.cells(o.Cells), Usable: []UsableCount{}}
	for _, u := range o.Usable {
		a.Usable = append(a.Usable, UsableCount(u))
	}
	return a, nil
}
