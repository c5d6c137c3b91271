package ui

import (
	"cmp"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// grid is what the first page shows: the pool as it is, or was at a moment.
type grid struct {
	Summary api.SummaryAnswer
	Pools   []pool
	Now     time.Time
	Seq     uint64
}

// pool is the accounts of one provider: a table.
type pool struct {
	Provider string
	Columns  []column
	Rows     []row
}

// column is one group of a provider.
type column struct {
	api.GroupSummary
	Now time.Time
}

// Exhausted: no account can serve the group.
func (c column) Exhausted() bool { return c.Usable == 0 && c.Total > 0 }

// Name is the group's label, or else its id.
func (c column) Name() string { return cmp.Or(c.Label, c.Group) }

// row is one account.
type row struct {
	Account  string
	ID       string // as links name it
	Provider string
	Cells    []cell // in the order of the columns
	Other    []cell // what else is blocked: models, and everything, which stands here always if there are no columns
}

// cell is one account and target.
type cell struct {
	api.CellRow
	Now time.Time
	// Everything: nothing blocks the target itself, but everything of the account is
	// blocked, which is what the row then shows.
	Everything bool
	At         string // the moment that the cell is shown as of; empty: now
	ID         string // the account, as links name it
}

// blocked reports whether a block is in force.
func (c cell) blocked() bool { return c.Cooling != nil || c.Held != nil || c.Suspended != nil }

// under returns the cell as a block of everything leaves it.
func (c cell) under(all cell) cell {
	if c.Account == "" || c.blocked() || !all.blocked() {
		return c
	}
	c.Status, c.Cooling, c.Held, c.Suspended, c.Everything = all.Status, all.Cooling, all.Held, all.Suspended, true
	return c
}

// Returns is when the cell comes back by itself; zero: not by itself.
func (c cell) Returns() time.Time {
	if c.Held != nil || c.Suspended != nil && c.Suspended.Until.IsZero() {
		return time.Time{}
	}
	var at time.Time
	if c.Suspended != nil {
		at = c.Suspended.Until.Time
	}
	if c.Cooling != nil && c.Cooling.Until.After(at) {
		at = c.Cooling.Until.Time
	}
	return at
}

// Origin says who or what blocks the cell, as a key of the catalogue.
func (c cell) Origin() string {
	switch {
	case c.Suspended != nil:
		return "origin.manual"
	case c.Held != nil:
		return "origin.hold"
	case c.Cooling != nil && !c.Cooling.NextProbeAt.IsZero() && !c.Cooling.NextProbeAt.After(c.Now):
		return "origin.probe"
	case c.Cooling != nil:
		return "origin.automatic"
	}
	return ""
}

// Probe is when a probe will fall due, by which the origin becomes another without a record;
// zero: it does not.
func (c cell) Probe() time.Time {
	if c.Origin() != "origin.automatic" {
		return time.Time{}
	}
	return c.Cooling.NextProbeAt.Time
}

// Query names the cell in an address.
func (c cell) Query() template.URL {
	q := url.Values{"account": {c.ID}, "target": {c.Target}}
	if c.At != "" {
		q.Set("at", c.At)
	}
	return query(q)
}

// grid makes the first page.
func (d *Dashboard) grid(p *page) (any, error) {
	g := new(grid)
	if err := p.get("/v1/summary", nil, &g.Summary); err != nil {
		return nil, err
	}
	g.since(g.Summary.AsOfSeq)
	list, err := p.pool("", g)
	if err != nil {
		return nil, err
	}
	g.Pools = g.pools(list)
	return g, nil
}

// pool reads what the grid shows of all accounts, or of one: their cells, and of accounts of
// providers without groups that of everything, which the API lists only once it was blocked.
func (p *page) pool(account string, g *grid) ([]cell, error) {
	list, err := p.cells(map[string]string{"account": account}, g)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, c := range list {
		if c.Target == events.TargetAll {
			listed[c.Account] = true
		}
	}
	query := map[string]string{"account": account, "page_size": "1000"}
	err = eachPage(query, func() (*string, error) {
		var answer api.Page[api.AccountRow]
		err := p.get("/v1/accounts", query, &answer)
		for _, a := range answer.Items {
			if !listed[a.Account] && !g.hasGroups(a.Provider) {
				list = append(list, cell{CellRow: everything(a), Now: g.Now, ID: a.Stored})
			}
		}
		return answer.NextPageToken, err
	})
	slices.SortStableFunc(list, func(a, b cell) int { return strings.Compare(a.ID, b.ID) })
	return list, err
}

func (g *grid) hasGroups(provider string) bool {
	return slices.ContainsFunc(g.Summary.Groups, func(s api.GroupSummary) bool { return s.Provider == provider })
}

// everything is the cell of everything of an account, while nothing blocks it.
func everything(a api.AccountRow) api.CellRow {
	status := projection.StatusAvailable
	if a.Disabled {
		status = projection.StatusDisabled
	}
	return api.CellRow{Account: a.Account, Provider: a.Provider, Target: events.TargetAll, Status: string(status)}
}

// cells reads all pages of a query, and notes what they are of.
func (p *page) cells(query map[string]string, g *grid) ([]cell, error) {
	query["page_size"] = "1000"
	var list []cell
	err := eachPage(query, func() (*string, error) {
		var answer api.Page[api.CellRow]
		if err := p.get("/v1/cells", query, &answer); err != nil {
			return nil, err
		}
		g.Now = answer.Now.Time
		g.since(answer.AsOfSeq)
		for _, c := range answer.Items {
			list = append(list, cell{CellRow: c, Now: g.Now, ID: p.ID(c.Account)})
		}
		return answer.NextPageToken, nil
	})
	return list, err
}

// since notes what a part of the page is of. The page is followed from its oldest part
// on: what was recorded between two of them is in one and not in the other.
func (g *grid) since(seq uint64) {
	if g.Seq == 0 || seq < g.Seq {
		g.Seq = seq
	}
}

// pools sorts cells, which come by account, into the tables of their providers.
func (g *grid) pools(list []cell) []pool {
	// by :: provider → its table
	by := map[string]*pool{}
	var order []*pool
	for _, c := range list {
		t := by[c.Provider]
		if t == nil {
			t = &pool{Provider: c.Provider, Columns: g.columns(c.Provider)}
			by[c.Provider], order = t, append(order, t)
		}
		t.add(c)
	}
	slices.SortStableFunc(order, func(a, b *pool) int {
		return cmp.Or(compareBools(b.exhausted(), a.exhausted()), strings.Compare(a.Provider, b.Provider))
	})
	pools := make([]pool, len(order))
	for i, t := range order {
		for j := range t.Rows {
			t.Rows[j].spread()
		}
		pools[i] = *t
	}
	return pools
}

// columns are the groups of a provider, those with nothing usable first.
func (g *grid) columns(provider string) (list []column) {
	for _, s := range g.Summary.Groups {
		if s.Provider == provider {
			list = append(list, column{s, g.Summary.Now.Time})
		}
	}
	slices.SortStableFunc(list, func(a, b column) int { return compareBools(b.Exhausted(), a.Exhausted()) })
	return list
}

func (t *pool) exhausted() bool { return slices.ContainsFunc(t.Columns, column.Exhausted) }

// add puts a cell into the table.
func (t *pool) add(c cell) {
	n := len(t.Rows)
	if n == 0 || t.Rows[n-1].Account != c.Account {
		t.Rows = append(t.Rows, row{Account: c.Account, ID: c.ID, Provider: c.Provider, Cells: make([]cell, len(t.Columns))})
		n++
	}
	r := &t.Rows[n-1]
	if i := slices.IndexFunc(t.Columns, func(k column) bool { return k.Group == c.Target }); i >= 0 {
		r.Cells[i] = c
		return
	}
	if c.blocked() || c.Target == events.TargetAll && len(t.Columns) == 0 {
		r.Other = append(r.Other, c)
	}
}

// spread has a block of everything show on each of the account's groups.
func (r *row) spread() {
	for _, all := range r.Other {
		if all.Target != events.TargetAll {
			continue
		}
		for i := range r.Cells {
			r.Cells[i] = r.Cells[i].under(all)
		}
	}
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// query is a query for a link. It is encoded already: a template must not do it again.
func query(q url.Values) template.URL { return template.URL(q.Encode()) }

// rows makes the rows of some accounts anew, and the heads of all tables: what a script
// puts in the place of those that are shown.
func (d *Dashboard) rows(p *page) (any, error) {
	p.Root = "./" // of the page that they are put into
	g := new(grid)
	if err := p.get("/v1/summary", nil, &g.Summary); err != nil {
		return nil, err
	}
	var list []cell
	for _, account := range p.request.URL.Query()["account"] {
		part, err := p.pool(account, g)
		if isUnknown(err) {
			continue // it was removed: the script finds no row
		}
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
	}
	g.Pools = g.pools(list)
	return g, nil
}
