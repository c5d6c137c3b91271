package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// statusQuery is what status is asked for.
type statusQuery struct {
	provider, target, status, olderThan string
	at                                  projection.Moment // zero: now
	cells                               bool              // cell by cell, whatever the rest
	account                             string
}

func newStatusCommand(env *environment) *cobra.Command {
	var q statusQuery
	var at string
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [ACCOUNT]",
		Short: "Show the pool at a glance, or cell by cell",
		Long: `Show, per provider and group, how many accounts are usable, when the next comes back,
when a request is let through to see whether a quota is back early, and what a human
should look at. With ACCOUNT, --cells or a filter, show the cells
themselves: one row per account and target.

With --watch it is shown until Ctrl-C: on a terminal in its place, else again whenever
something has changed (with -o jsonl as one line).`,
		Example: `  abeyance status
  abeyance status a1
  abeyance status --status cooling --provider antigravity -o jsonl
  abeyance status --watch`,
		Args: arguments(0, 1, "at most one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				q.account = args[0]
			}
			if err := among("--status", projection.Status(q.status), projection.Statuses()); err != nil {
				return err
			}
			if q.at, err = parsePoint("--at", at, env.now()); err != nil {
				return err
			}
			if watch {
				return env.watchStatus(cmd.Context(), q)
			}
			p, err := env.status(cmd.Context(), q)
			if err != nil {
				return err
			}
			return p.paint(env, p.at)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.cells, "cells", false, "show every cell")
	f.StringVar(&q.provider, "provider", "", "only cells of this `provider`")
	f.StringVar(&q.target, "target", "", "only cells of this `target`: a group, model:NAME or *")
	f.StringVar(&q.status, "status", "", "only cells that are disabled, suspended, held, cooling or available")
	f.StringVar(&q.olderThan, "older-than", "", "only blocks that have lasted for this `duration`")
	f.StringVar(&at, "at", "", "as it was at this `moment`: RFC 3339, 2h (ago) or seq:N")
	f.BoolVarP(&watch, watchFlag, "w", false, "go on showing it, until Ctrl-C")
	return cmd
}

func (env *environment) watchStatus(ctx context.Context, q statusQuery) error {
	if q.at != (projection.Moment{}) {
		return usage("--watch shows what is, and --at what was: give one of them")
	}
	l := live{env: env, query: params("account", q.account), fetch: func(ctx context.Context) (*picture, error) { return env.status(ctx, q) }}
	return l.run(ctx)
}

// status asks the daemon for the cells, or for the pool at a glance.
func (env *environment) status(ctx context.Context, q statusQuery) (*picture, error) {
	c, err := env.daemon()
	if err != nil {
		return nil, err
	}
	query := params("account", q.account, "provider", q.provider, "target", q.target, "status", q.status, "older_than", q.olderThan, "at", pointText(q.at))
	if len(query) > 0 || q.cells {
		page, err := pages[api.CellRow](ctx, c, get("/v1/cells", query), 0)
		if err != nil {
			return nil, err
		}
		return &picture{answer: page, at: page.Now.Time, paint: func(env *environment, now time.Time) error {
			page.Now.Time = now
			return env.printCells(page)
		}}, nil
	}
	a := new(api.SummaryAnswer)
	if err := c.do(ctx, get("/v1/summary", nil), a); err != nil {
		return nil, err
	}
	return &picture{answer: a, at: a.Now.Time, paint: func(env *environment, now time.Time) error {
		a.Now.Time = now
		return env.printSummary(a)
	}}, nil
}

func (env *environment) printCells(page *api.Page[api.CellRow]) error {
	now := page.Now.Time
	return listing[api.CellRow]{
		answer: page, items: page.Items, empty: "no cell matches",
		columns: []column[api.CellRow]{
			{"ACCOUNT", func(c api.CellRow) string { return c.Account }},
			{"PROVIDER", func(c api.CellRow) string { return c.Provider }},
			{"TARGET", func(c api.CellRow) string { return c.Target }},
			{"STATUS", func(c api.CellRow) string { return c.Status }},
			{"COOLING", func(c api.CellRow) string {
				if c.Cooling == nil {
					return ""
				}
				return fmt.Sprintf("ends %s (%s)", relative(c.Cooling.Until.Time, now), c.Cooling.Class)
			}},
			{"NEXT PROBE", func(c api.CellRow) string {
				if c.Cooling == nil {
					return ""
				}
				return dueAt(c.Cooling.NextProbeAt.Time, now)
			}},
			{"HELD", func(c api.CellRow) string {
				if c.Held == nil {
					return ""
				}
				return cmp.Or(c.Held.Reason, c.Held.Class)
			}},
			{"SUSPENDED", func(c api.CellRow) string {
				if c.Suspended == nil {
					return ""
				}
				return fmt.Sprintf("%s: %s", endOf(c.Suspended.Until, page.Now), c.Suspended.Reason)
			}},
		},
		status: func(c api.CellRow) string { return c.Status },
	}.print(env)
}

func endOf(until, now api.Time) string {
	if until.IsZero() {
		return "no end"
	}
	return "ends " + relative(until.Time, now.Time)
}

func (env *environment) printSummary(a *api.SummaryAnswer) error {
	if env.output != outputTable {
		return env.print(a, nil)
	}
	now := a.Now.Time
	err := listing[api.GroupSummary]{
		answer: a, items: a.Groups,
		empty: "no accounts: add one with 'abeyance accounts put ACCOUNT --provider PROVIDER'",
		columns: []column[api.GroupSummary]{
			{"PROVIDER", func(g api.GroupSummary) string { return g.Provider }},
			{"GROUP", func(g api.GroupSummary) string { return g.Group }},
			{"USABLE", func(g api.GroupSummary) string { return fmt.Sprintf("%d of %d", g.Usable, g.Total) }},
			{"BLOCKED", blockedCounts},
			{"FIRST BACK", func(g api.GroupSummary) string { return relative(g.FirstBack.Time, now) }},
			{"NEXT PROBE", func(g api.GroupSummary) string { return dueAt(g.NextProbe.Time, now) }},
		},
		status: func(g api.GroupSummary) string {
			switch {
			case g.Usable == 0 && g.Total > 0:
				return "frozen"
			case g.Usable < g.Total:
				return "cooling"
			}
			return ""
		},
	}.table(env)
	if err != nil {
		return err
	}
	return env.summaryNotes(env.out, a)
}

// dueAt says when a probe is due. The next request after it is the probe.
func dueAt(t, now time.Time) string {
	if !t.IsZero() && !t.After(now) {
		return "due"
	}
	return relative(t, now)
}

func blockedCounts(g api.GroupSummary) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{g.Disabled, "disabled"}, {g.Suspended, "suspended"}, {g.Held, "held"}, {g.Cooling, "cooling"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

// summaryNotes writes what does not fit the table: what waits for a human, and the
// state of the daemon.
func (env *environment) summaryNotes(w io.Writer, a *api.SummaryAnswer) error {
	now := a.Now.Time
	var b strings.Builder
	for _, h := range a.Held {
		fmt.Fprintf(&b, "held: %s %s, %s, %s: clear it when that is settled\n", plain(h.Account), plain(h.Target), plain(h.Reason), relative(h.Since.Time, now))
	}
	for _, s := range a.ByHand {
		fmt.Fprintf(&b, "by hand without an end: %s %s, %s, %s\n", plain(s.Account), plain(s.Target), plain(s.Reason), relative(s.Since.Time, now))
	}
	if more := a.HeldCount - len(a.Held) + a.ByHandCount - len(a.ByHand); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	if a.ObserveOnly {
		fmt.Fprintln(&b, "observing only: no pick is blocked")
	}
	if a.Degraded {
		fmt.Fprintln(&b, "DEGRADED: the log cannot be written, nothing is recorded")
	}
	if j := a.ClockJump; j != nil {
		fmt.Fprintf(&b, "the system clock jumped by %.0f s %s\n", j.Seconds, relative(j.At.Time, now))
	}
	fmt.Fprintf(&b, "%s, %d observed only, %d disabled; groups version %d, policy version %d, log at record %d\n",
		counted(a.Accounts.Total, "account"), a.Accounts.Observed, a.Accounts.Disabled, a.GroupsVersion, a.PolicyVersion, a.Head.Seq)
	_, err := io.WriteString(w, b.String())
	return err
}
