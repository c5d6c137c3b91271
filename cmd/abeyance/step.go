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
	first, last, err := c.stepRange(ctx, q)
	if err != nil {
		return err
	}
	query := params("order", oldestFirst, "account", q.account, "page_size", "100")
	if first > 0 { // records are ordered by their times, too
		var r api.EventRow
		if err := c.do(ctx, get(fmt.Sprint("/v1/events/", first), nil), &r); err != nil {
			return err
		}
		query.Set("since", r.At.Format(time.RFC3339Nano))
	}
	for {
		var page api.Page[api.EventRow]
		if err := c.do(ctx, get("/v1/events", query), &page); err != nil {
			return err
		}
		for _, r := range page.Items {
			switch {
			case r.Seq <= first:
				continue
			case r.Seq > last:
				return nil
			}
			if more, err := p.ask(ctx, c, r); err != nil || !more {
				return err
			}
		}
		if page.NextPageToken == nil {
			return nil
		}
		query.Set("page_token", *page.NextPageToken)
	}
}

// stepRange returns the records that a walk is between: it begins after the first, with
// the state at it, and ends with the last.
func (c *client) stepRange(ctx context.Context, q stepQuery) (first, last uint64, err error) {
	var head api.HeadAnswer
	if err = c.do(ctx, get("/v1/head", nil), &head); err == nil {
		first, err = c.seqAt(ctx, q.from, 0)
	}
	if err == nil {
		last, err = c.seqAt(ctx, q.to, head.Seq)
	}
	if err == nil && first > last {
		err = refusal(projection.CodeInvalid, "the range is empty: it begins after its end")
	}
	return first, last, err
}

// seqAt returns the newest record at a moment, which the daemon refuses if it is to come;
// open is that of the zero one.
func (c *client) seqAt(ctx context.Context, m projection.Moment, open uint64) (uint64, error) {
	if m == (projection.Moment{}) {
		return open, nil
	}
	var page api.Page[api.CellRow]
	err := c.do(ctx, get("/v1/cells", params("at", pointText(m), "page_size", "1")), &page)
	return page.AsOfSeq, err
}

// ask shows a record with the cells that the daemon tells of, and reports whether to go on.
func (p *stepper) ask(ctx context.Context, c *client, r api.EventRow) (more bool, err error) {
	s := step{Record: r}
	if s.Before, err = c.cellsAt(ctx, r, r.Seq-1); err == nil {
		s.After, err = c.cellsAt(ctx, r, r.Seq)
	}
	if err != nil {
		return false, err
	}
	return p.show(&s)
}

// cellsAt fetches the cells of a record's accounts as of a seq; new groups may concern all.
func (c *client) cellsAt(ctx context.Context, r api.EventRow, seq uint64) ([]api.CellRow, error) {
	if seq == 0 {
		return nil, nil
	}
	accounts := accountsOf(r)
	if r.Kind == string(events.KindGroupsDefined) {
		accounts = []string{""}
	}
	var rows []api.CellRow
	for _, account := range accounts {
		page, err := pages[api.CellRow](ctx, c, get("/v1/cells", params("account", account, "at", fmt.Sprint("seq:", seq))), 0)
		if e, ok := errors.AsType[*problemError](err); ok && e.Code == api.Code(projection.CodeUnknownAccount) {
			continue // not yet, or no more
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Items...)
	}
	for i := range rows {
		if rows[i].Cooling != nil {
			rows[i].Cooling.NextProbeAt = api.Time{} // what would come of it, the records tell
		}
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
			s.Before = append(s.Before, api.NewCellRows(w.GroupsBefore, t.Was, w.Before, a.ids)...)
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
