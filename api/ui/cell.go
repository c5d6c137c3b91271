package ui

import (
	"html/template"
	"net/url"
	"time"

	"github.com/abeyance/abeyance/api"
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
	// Blocks are the account's cells that are blocked, beside the one asked about.
	Blocks  []cell
	Cell    cell // the one asked about
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
		if one.Target == c.Why.Target {
			c.Cell = one
		} else if one.blocked() {
			c.Blocks = append(c.Blocks, one)
		}
	}
	return c, c.history(p)
}

// maxHistory bounds the records on a cell's page; the audit has them all.
const maxHistory = 50

// history reads the newest records about the cell, up to the moment asked about.
func (c *cellPage) history(p *page) error {
	ask := map[string]string{"account": c.ID, "target": c.Target, "page_size": "50"}
	if c.At != "" {
		ask["until"] = c.Now.Add(time.Millisecond).UTC().Format(time.RFC3339Nano)
	}
	var answer api.Page[api.EventRow]
	err := p.get("/v1/events", ask, &answer)
	c.History = answer.Items
	c.More = answer.NextPageToken != nil || len(c.History) >= maxHistory
	return err
}

// AuditQuery is the address of all records about the cell.
func (c *cellPage) AuditQuery() template.URL {
	q := url.Values{"account": {c.ID}}
	if c.Target != "" {
		q.Set("target", c.Target)
	}
	return query(q)
}

// Verbs are what may be done to the cell as it is, the likeliest first.
func (c *cellPage) Verbs() []string {
	if c.At != "" {
		return nil
	}
	var verbs []string
	k := c.Cell
	if c.Target == "" { // of all cells: whatever fits one of them
		for _, one := range c.Blocks {
			if one.Suspended != nil {
				k.Suspended = one.Suspended
			}
			if one.Cooling != nil {
				k.Cooling = one.Cooling
			}
			if one.Held != nil {
				k.Held = one.Held
			}
		}
	}
	if k.Suspended != nil {
		verbs = append(verbs, "lift")
	}
	if k.Cooling != nil || k.Held != nil {
		verbs = append(verbs, "clear")
	}
	if k.Cooling != nil {
		verbs = append(verbs, "recheck")
	}
	return append(verbs, "suspend")
}
