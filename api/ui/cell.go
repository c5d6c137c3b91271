package ui

import (
	"cmp"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// cellPage explains one cell, or all cells of an account.
type cellPage struct {
	ID      string // of the account, as links name it
	Account string // as it was given
	Target  string // empty: all of the account
	At      string // the moment asked about; empty: now
	Why     api.WhyAnswer
	Now     time.Time
	Seq     uint64
	Blocked []cell // the account's cells that are blocked
	History []api.EventRow
	More    bool // there are older records
}

// cell makes the page of a cell.
func (d *Dashboard) cell(p *page) (any, error) {
	q := p.request.URL.Query()
	c := &cellPage{ID: p.ID(q.Get("account")), Target: q.Get("target"), At: q.Get("at")}
	if err := p.get("/v1/why", map[string]string{"account": c.ID, "target": c.Target, "at": c.At}, &c.Why); err != nil {
		return nil, err
	}
	c.Account = c.Why.Account
	g := new(grid)
	list, err := p.cells(map[string]string{"account": c.ID, "at": c.At}, g)
	if err != nil {
		return nil, err
	}
	c.Now, c.Seq = g.Now, min(g.Seq, c.Why.AsOfSeq)
	for _, one := range list {
		if one.blocked() {
			c.Blocked = append(c.Blocked, one)
		}
	}
	return c, c.history(p)
}

// Blocks are the account's cells that are blocked and that the page does not explain.
func (c *cellPage) Blocks() (list []cell) {
	for _, one := range c.Blocked {
		if !slices.ContainsFunc(c.Why.Cells, func(w api.WhyCell) bool { return w.Target == one.Target }) {
			list = append(list, one)
		}
	}
	return list
}

// under reports whether the cell is one that a block of everything blocks too.
func (c *cellPage) under() bool { return c.Why.Target != "" && c.Why.Target != events.TargetAll }

// maxHistory bounds the records on a cell's page; the audit has them all.
const maxHistory = 50

// history reads the newest records about the cell, and about everything of its account, up to
// the moment asked about.
func (c *cellPage) history(p *page) error {
	targets := []string{c.Target}
	if c.under() {
		targets = append(targets, events.TargetAll)
	}
	for _, target := range targets {
		ask := map[string]string{"account": c.ID, "target": target, "page_size": strconv.Itoa(maxHistory)}
		if c.At != "" {
			ask["until"] = c.Now.Add(time.Millisecond).UTC().Format(time.RFC3339Nano)
		}
		var answer api.Page[api.EventRow]
		if err := p.get("/v1/events", ask, &answer); err != nil {
			return err
		}
		c.History = append(c.History, answer.Items...)
		c.More = c.More || answer.NextPageToken != nil
	}
	slices.SortFunc(c.History, func(a, b api.EventRow) int { return cmp.Compare(b.Seq, a.Seq) })
	c.History = slices.CompactFunc(c.History, func(a, b api.EventRow) bool { return a.Seq == b.Seq })
	if len(c.History) > maxHistory {
		c.History, c.More = c.History[:maxHistory], true
	}
	return nil
}

// Query is the address of a cell of the account as of a moment; empty: now.
func (c *cellPage) Query(target, at string) template.URL {
	q := url.Values{"account": {c.ID}}
	if target != "" {
		q.Set("target", target)
	}
	if at != "" {
		q.Set("at", at)
	}
	return query(q)
}

// action is what may be done, and to which target; empty: to all that the account has.
type action struct{ Verb, Target string }

// Actions are what may be done to the cell as it is, the likeliest first. What ends a block of
// everything is among them: it blocks the cell too.
func (c *cellPage) Actions() (list []action) {
	if c.At != "" {
		return nil
	}
	for _, verb := range c.ends(c.Why.Target) {
		list = append(list, action{verb, c.Target})
	}
	if c.under() {
		for _, verb := range c.ends(events.TargetAll) {
			list = append(list, action{verb, events.TargetAll})
		}
	}
	return append(list, action{"suspend", c.Target})
}

// ends are the verbs that end what blocks a target; of all targets if it is empty.
func (c *cellPage) ends(target string) (verbs []string) {
	var suspended, cooling, held bool
	for _, one := range c.Blocked {
		if target == "" || target == one.Target {
			suspended, cooling, held = suspended || one.Suspended != nil, cooling || one.Cooling != nil, held || one.Held != nil
		}
	}
	if suspended {
		verbs = append(verbs, "lift")
	}
	if cooling || held {
		verbs = append(verbs, "clear")
	}
	if cooling {
		verbs = append(verbs, "recheck")
	}
	return verbs
}
