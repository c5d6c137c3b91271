package api

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// CellRef names one cell.
type CellRef struct {
	Account string `json:"account"`
	Target  string `json:"target" doc:"a group id, model:NAME or *"`
}

// CellRow is one row of GET /v1/cells: an account and a target, and what blocks it.
// The three blocks are independent; Status is the first of them in force.
type CellRow struct {
	Account   string          `json:"account"`
	Provider  string          `json:"provider"`
	Target    string          `json:"target" doc:"a group id, model:NAME or *"`
	Status    string          `json:"status" enum:"disabled,suspended,held,cooling,available"`
	Cooling   *CellCooling    `json:"cooling" doc:"an automatic block with a deadline"`
	Held      *CellHeld       `json:"held" doc:"an automatic block until a human acts"`
	Suspended *CellSuspension `json:"suspended" doc:"an operator's block"`
}

// CellCooling is a cooldown in force.
type CellCooling struct {
	Until       Time   `json:"until"`
	Class       string `json:"class" doc:"what the answer that started it meant"`
	StartedAt   Time   `json:"started_at"`
	Source      string `json:"source" doc:"where the deadline comes from: the source of a hint, ladder, window or import"`
	Clamped     bool   `json:"clamped" doc:"the policy's bound cut the deadline"`
	Step        int    `json:"step" doc:"the step of the ladder taken, from 1; 0: a hint decided"`
	NextProbeAt Time   `json:"next_probe_at" doc:"when a request may be let through to see whether the quota is back; in the past: the next one may; null: not before the end"`
	Seq         uint64 `json:"seq" doc:"the record that set the deadline"`
}

// CellHeld is a hold in force.
type CellHeld struct {
	Since  Time   `json:"since"`
	Class  string `json:"class"`
	Reason string `json:"reason" doc:"which act is needed: banned, verification_required, ..."`
	Seq    uint64 `json:"seq" doc:"the record that began it"`
}

// CellSuspension is a manual suspension in force.
type CellSuspension struct {
	Reason     string `json:"reason"`
	By         string `json:"by" doc:"the actor, as operator:NAME or import:NAME"`
	OnBehalfOf string `json:"on_behalf_of"`
	Since      Time   `json:"since"`
	Until      Time   `json:"until" doc:"null: without an end"`
	Seq        uint64 `json:"seq"`
}

// routeCells registers the reads of the present state, which can also be asked of
// the past.
func (s *Server) routeCells() {
	handle(s, huma.Operation{OperationID: "cells", Method: http.MethodGet, Path: "/v1/cells", Summary: "What blocks which account and target"}, listCells)
	handle(s, huma.Operation{OperationID: "summary", Method: http.MethodGet, Path: "/v1/summary", Summary: "The pool at a glance"}, summary)
	handle(s, huma.Operation{OperationID: "why", Method: http.MethodGet, Path: "/v1/why", Summary: "Why a cell is as it is"}, why)
	handle(s, huma.Operation{OperationID: "head", Method: http.MethodGet, Path: "/v1/head", Summary: "The newest record"}, head)
	handle(s, huma.Operation{OperationID: "verify", Method: http.MethodGet, Path: "/v1/verify", Summary: "Check the whole log"}, s.verify)
}

type cellsQuery struct {
	Account   string `query:"account" format:"id"`
	Provider  string `query:"provider" format:"provider"`
	Target    string `query:"target" format:"target" doc:"a group id, model:NAME or *"`
	Status    string `query:"status" enum:"disabled,suspended,held,cooling,available"`
	OlderThan string `query:"older_than" format:"time-span" doc:"only cells with a block that began longer ago: 90m, 2d"`
	At        string `query:"at" format:"moment" doc:"the past: RFC 3339, or seq:N"`
	Paging
}

// listCells lists one row per account and enabled group of its provider, touched or
// not, and the account's other touched cells, bytewise by stored id and target.
func listCells(ctx context.Context, b *Backend, q *cellsQuery) (Page[CellRow], error) {
	var page Page[CellRow]
	f := cellFilter{
		account: b.Identities.Stored(q.Account), provider: projection.CanonicalProvider(q.Provider),
		target: projection.CanonicalTarget(q.Target), status: projection.Status(q.Status),
	}
	from, err := q.after("cells", f.account, f.provider, f.target, q.Status, q.OlderThan, q.At)
	if err != nil {
		return page, err
	}
	v, err := b.viewAt(ctx, q.At)
	if err != nil {
		return page, err
	}
	if err := f.knownIn(v.state, q.Account); err != nil {
		return page, err
	}
	if q.OlderThan != "" {
		d, err := projection.ParseDuration(q.OlderThan)
		if err != nil {
			return page, invalid("older_than: %v", err)
		}
		f.before = v.now.Add(-d)
	}
	page = Page[CellRow]{AsOfSeq: uint64(v.state.Head().Seq), Now: Time{v.now}, Items: []CellRow{}}
	last := from
	for a, c := range f.cells(v, from) {
		if len(page.Items) == q.size() {
			page.NextPageToken = last.token()
			break
		}
		page.Items = append(page.Items, b.cellRow(v, a, &c))
		last.Account, last.Target = a.ID, c.Target
	}
	return page, nil
}

// cellFilter is what GET /v1/cells is asked for, in canonical form. Empty fields
// match everything.
type cellFilter struct {
	account, provider, target string
	status                    projection.Status
	before                    time.Time // a block began earlier; zero: any
}

// cells yields the matching cells after a cursor.
func (f *cellFilter) cells(v *view, from cursor) iter.Seq2[*projection.Account, projection.Cell] {
	return func(yield func(*projection.Account, projection.Cell) bool) {
		for a := range v.state.Accounts(max(from.Account, f.account)) {
			if f.account != "" && a.ID != f.account {
				return
			}
			if f.provider != "" && a.Spec.Provider != f.provider {
				continue
			}
			for _, target := range shownTargets(v.state.Groups(), a) {
				if a.ID == from.Account && target <= from.Target {
					continue
				}
				if c := a.Cell(target); f.wants(a, &c, v.now) && !yield(a, c) {
					return
				}
			}
		}
	}
}

func (f *cellFilter) wants(a *projection.Account, c *projection.Cell, now time.Time) bool {
	return (f.target == "" || f.target == c.Target) &&
		(f.status == "" || f.status == a.CellStatus(c, now)) &&
		(f.before.IsZero() || began(c, now, f.before))
}

// began reports whether a block in force began before an instant.
func began(c *projection.Cell, now, before time.Time) bool {
	k, h, s := c.Live(now)
	return k != nil && k.StartedAt.Before(before) || h != nil && h.Since.Before(before) || s != nil && s.Since.Before(before)
}

// shownTargets lists the targets of an account's rows, sorted.
func shownTargets(defined *projection.Groups, a *projection.Account) []string {
	groups := defined.Of(a.Spec.Provider)
	targets := make([]string, 0, len(groups)+len(a.Cells))
	for i := range groups {
		targets = append(targets, groups[i].ID)
	}
	for i := range a.Cells {
		targets = append(targets, a.Cells[i].Target)
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

func (b *Backend) cellRow(v *view, a *projection.Account, c *projection.Cell) CellRow {
	row := newCellRow(a, c, v.now, b.Identities)
	if row.Cooling != nil {
		row.Cooling.NextProbeAt = v.nextProbe(a, c.Target)
	}
	return row
}

// NewCellRows renders the cells of an account, touched or not, as seen at now under the
// groups of the time, with ids as given. Probes are not foretold. No account has none.
func NewCellRows(groups *projection.Groups, a *projection.Account, now time.Time, ids *identity.Book) (rows []CellRow) {
	if a == nil {
		return nil
	}
	for _, target := range shownTargets(groups, a) {
		c := a.Cell(target)
		rows = append(rows, newCellRow(a, &c, now, ids))
	}
	return rows
}

func newCellRow(a *projection.Account, c *projection.Cell, now time.Time, ids *identity.Book) CellRow {
	row := CellRow{Account: ids.Given(a.ID), Provider: a.Spec.Provider, Target: c.Target, Status: string(a.CellStatus(c, now))}
	k, h, m := c.Live(now)
	if k != nil {
		row.Cooling = &CellCooling{
			Until: Time{k.Until}, Class: string(k.Class), StartedAt: Time{k.StartedAt}, Source: k.Source, Clamped: k.Clamped,
			Step: k.Step, Seq: uint64(k.Decided),
		}
	}
	if h != nil {
		row.Held = &CellHeld{Since: Time{h.Since}, Class: string(h.Class), Reason: h.Reason, Seq: uint64(h.Started)}
	}
	if m != nil {
		row.Suspended = &CellSuspension{
			Reason: m.Reason, By: m.By, OnBehalfOf: m.OnBehalfOf, Since: Time{m.Since}, Until: Time{m.Until}, Seq: uint64(m.Seq),
		}
	}
	return row
}
