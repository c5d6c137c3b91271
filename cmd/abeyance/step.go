package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// stepQuery is what replay --step walks through.
type stepQuery struct {
	account  string // empty: all
	from, to projection.Moment
}

// step is one record, with the cells of the accounts that it is about before and after.
type step struct {
	Record api.EventRow  `json:"record"`
	Before []api.CellRow `json:"before"`
	After  []api.CellRow `json:"after"`
}

// stepper prints steps, and asks after each whether to go on if somebody is there.
type stepper struct {
	*environment
	answers *bufio.Reader
}

// stepThrough prints a range record by record.
func (env *environment) stepThrough(ctx context.Context, q stepQuery) error {
	c, err := env.reader()
	if err != nil {
		return err
	}
	s := &stepper{env, bufio.NewReader(env.in)}
	if c == nil {
		return s.offline(ctx, q)
	}
	return s.online(ctx, c, q)
}

// online asks the daemon for the records page by page, and for the cells.
func (p *stepper) online(ctx context.Context, c *client, q stepQuery) error {
	last, query := q.to.Seq, params("order", "asc", "account", q.account, "page_size", "100")
	if !q.from.At.IsZero() {
		query.Set("since", q.from.At.Format(time.RFC3339Nano))
	}
	if !q.to.At.IsZero() {
		query.Set("until", q.to.At.Add(1).Format(time.RFC3339Nano))
	}
	for {
		var page api.Page[api.EventRow]
		if err := c.do(ctx, get("/v1/events", query), &page); err != nil {
			return err
		}
		for _, r := range page.Items {
			switch {
			case events.Seq(r.Seq) <= q.from.Seq:
				continue
			case last > 0 && events.Seq(r.Seq) > last:
				return nil
			}
			s := step{Record: r}
			var err error
			if s.Before, err = c.cellsAt(ctx, r, r.Seq-1); err == nil {
				s.After, err = c.cellsAt(ctx, r, r.Seq)
			}
			if err != nil {
				return err
			}
			if more, err := p.show(&s); err != nil || !more {
				return err
			}
		}
		if page.NextPageToken == nil {
			return nil
		}
		query.Set("page_token", *page.NextPageToken)
	}
}

// cellsAt fetches the cells of a record's accounts as of a seq.
func (c *client) cellsAt(ctx context.Context, r api.EventRow, seq uint64) ([]api.CellRow, error) {
	var rows []api.CellRow
	for _, account := range accountsOf(r) {
		if seq == 0 {
			continue
		}
		page, err := pages[api.CellRow](ctx, c, get("/v1/cells", params("account", account, "at", fmt.Sprint("seq:", seq))), 0)
		if e, ok := errors.AsType[*problemError](err); ok && e.Code == api.Code(projection.CodeUnknownAccount) {
			continue // not yet, or no more
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Items...)
	}
	return rows, nil
}

// accountsOf lists the accounts that a row of the history is about.
func accountsOf(r api.EventRow) []string {
	if r.Account != "" {
		return []string{r.Account}
	}
	var list []string
	for _, c := range r.Data.Cells {
		list = append(list, c.Account)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// offline folds the log from record to record.
func (p *stepper) offline(ctx context.Context, q stepQuery) (err error) {
	a, err := p.openArchive(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if q.account != "" {
		if err := a.knows(ctx, eventQuery{account: q.account}, a.past.State.Groups()); err != nil {
			return err
		}
	}
	about := a.ids.Stored(q.account)
	return a.past.Walk(ctx, q.from, q.to, func(w projection.Walked) error {
		if about != "" && !slices.Contains(w.Record.Accounts(), about) {
			return nil
		}
		s := step{Record: api.NewEventRow(w.Record, a.ids)}
		for _, t := range w.Accounts {
			s.Before = append(s.Before, api.NewCellRows(w.GroupsBefore, t.Was, w.Record.At, a.ids)...)
			s.After = append(s.After, api.NewCellRows(w.GroupsAfter, t.Is, w.Record.At, a.ids)...)
		}
		more, err := p.show(&s)
		if err == nil && !more {
			err = projection.ErrEnough
		}
		return err
	})
}

// show prints one step and reports whether to go on.
func (p *stepper) show(s *step) (more bool, err error) {
	if p.output != outputTable {
		return true, p.print(s, nil)
	}
	var b strings.Builder
	r := s.Record
	fmt.Fprintf(&b, "record %d  %s  %s  by %s\n", r.Seq, r.At.UTC().Format(time.RFC3339), r.Kind, plain(actorOf(r)))
	if r.Account != "" {
		fmt.Fprintf(&b, "  %s: ", plain(r.Account))
	} else {
		b.WriteString("  ")
	}
	fmt.Fprintln(&b, plain(r.Text))
	for _, change := range cellChanges(s) {
		fmt.Fprintln(&b, "  "+change)
	}
	if _, err := p.out.Write([]byte(b.String())); err != nil || !p.asks() {
		return true, err
	}
	fmt.Fprint(p.err, "Enter goes on, q ends: ")
	line, err := p.answers.ReadString('\n')
	return err == nil && strings.TrimSpace(line) != "q", nil
}

// cellChanges says what each cell was before a step and is after it, where that
// differs.
func cellChanges(s *step) (lines []string) {
	type key struct{ account, target string }
	was := map[key]string{}
	for _, c := range s.Before {
		was[key{c.Account, c.Target}] = describeCell(c)
	}
	for _, c := range s.After {
		k, is := key{c.Account, c.Target}, describeCell(c)
		before, there := was[k]
		if delete(was, k); is == before || !there && c.Status == string(projection.StatusAvailable) {
			continue
		}
		if !there {
			before = string(projection.StatusAvailable)
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s -> %s", plain(c.Account), plain(c.Target), before, is))
	}
	for k, before := range was {
		if before != string(projection.StatusAvailable) {
			lines = append(lines, fmt.Sprintf("%s %s: %s -> gone", plain(k.account), plain(k.target), before))
		}
	}
	slices.Sort(lines)
	return lines
}

// describeCell says what blocks a cell, all of it.
func describeCell(c api.CellRow) string {
	var parts []string
	if c.Suspended != nil {
		parts = append(parts, "suspended "+untilText(c.Suspended.Until)+" ("+plain(c.Suspended.Reason)+")")
	}
	if c.Held != nil {
		parts = append(parts, "held ("+plain(c.Held.Reason)+")")
	}
	if c.Cooling != nil {
		parts = append(parts, "cooling "+untilText(c.Cooling.Until)+" ("+c.Cooling.Class+")")
	}
	if c.Status == string(projection.StatusDisabled) {
		parts = append(parts, "disabled")
	}
	if parts == nil {
		return string(projection.StatusAvailable)
	}
	return strings.Join(parts, ", ")
}

func untilText(t api.Time) string {
	if t.IsZero() {
		return "without an end"
	}
	return "until " + t.UTC().Format(time.RFC3339)
}
