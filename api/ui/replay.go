package ui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// replayPage is the pool as of a moment of a range that one can move through.
type replayPage struct {
	grid
	From, To    time.Time
	First, Last uint64 // the range's records: the slider's bounds
	Record      *api.EventRow
	present     time.Time
}

// replay makes the page.
func (d *Dashboard) replay(p *page) (any, error) {
	q := p.request.URL.Query()
	r := new(replayPage)
	if err := p.get("/v1/summary", nil, &r.Summary); err != nil {
		return nil, err
	}
	head := r.Summary.Head
	r.present = r.Summary.Now.Time
	at := cmp.Or(q.Get("at"), "seq:"+strconv.FormatUint(head.Seq, 10))
	if err := r.moment(p, at); err != nil {
		return nil, err
	}
	if p.Fragment() { // the script keeps the slider
		return r, nil
	}
	return r, r.bounds(p, head)
}

// moment reads the pool as it was.
func (r *replayPage) moment(p *page, at string) error {
	list, err := p.cells(map[string]string{"at": at}, &r.grid)
	if err != nil {
		return err
	}
	offered, err := p.offered()
	if err != nil {
		return err
	}
	for i := range list {
		list[i].At = at
	}
	r.count(list, offered)
	r.Pools = r.pools(list)
	if r.Seq == 0 {
		return nil // before the first record
	}
	r.Record = new(api.EventRow)
	return p.get("/v1/events/"+strconv.FormatUint(r.Seq, 10), nil, r.Record)
}

// count makes the summary's groups those of the moment, counted as of then. It comes
// before the pools are sorted: groups with nothing usable are first.
func (r *replayPage) count(list []cell, offered map[string]bool) {
	r.Summary.Now = api.Time{Time: r.Now}
	r.Summary.Groups = groupsOf(list, r.Summary.Groups)
	var counted []api.GroupSummary
	for _, t := range r.pools(list) {
		for i, k := range t.Columns {
			counted = append(counted, t.count(i, k.GroupSummary, offered))
		}
	}
	r.Summary.Groups = counted
}

// groupsOf are the groups that the cells of a moment know, which may be others than those
// of now. Their labels and their order are of now; those that are gone come last.
func groupsOf(list []cell, now []api.GroupSummary) (groups []api.GroupSummary) {
	type key struct{ provider, group string }
	known := map[key]bool{}
	for _, c := range list {
		if c.Target != events.TargetAll && !strings.HasPrefix(c.Target, events.ModelTarget) {
			known[key{c.Provider, c.Target}] = true
		}
	}
	add := func(k key, label string) {
		if known[k] {
			groups = append(groups, api.GroupSummary{Provider: k.provider, Group: k.group, Label: label})
			delete(known, k)
		}
	}
	for _, g := range now {
		add(key{g.Provider, g.Group}, g.Label)
	}
	for _, c := range list {
		add(key{c.Provider, c.Target}, "")
	}
	return groups
}

// offered are the accounts that picks without candidates are given. Those only observed
// are not counted as usable.
func (p *page) offered() (map[string]bool, error) {
	offered, query := map[string]bool{}, map[string]string{"page_size": "1000"}
	err := eachPage(query, func() (*string, error) {
		var answer api.Page[api.AccountRow]
		err := p.get("/v1/accounts", query, &answer)
		for _, a := range answer.Items {
			offered[a.Account] = a.Origin != string(events.OriginObserved)
		}
		return answer.NextPageToken, err
	})
	return offered, err
}

// count counts a column from the rows: the summary knows the present alone. Accounts that
// are gone since count as they did then.
func (t *pool) count(column int, g api.GroupSummary, offered map[string]bool) api.GroupSummary {
	for _, r := range t.Rows {
		if is, known := offered[r.Account]; known && !is {
			continue
		}
		g.Total++
		c := r.Cells[column]
		if c.Status == "available" {
			g.Usable++
		}
		if back := c.Returns(); !back.IsZero() && (g.FirstBack.IsZero() || back.Before(g.FirstBack.Time)) {
			g.FirstBack = api.Time{Time: back}
		}
	}
	return g
}

// Grid is the pool, for the parts that show one.
func (r *replayPage) Grid() *grid { return &r.grid }

// bounds finds the range: the one asked for, or the day that ends with the log, or the
// day around the moment.
func (r *replayPage) bounds(p *page, head api.HeadAnswer) error {
	r.To = head.At.Time
	r.From = r.To.Add(-24 * time.Hour)
	if r.Now.Before(r.From) {
		r.From, r.To = r.Now.Add(-12*time.Hour), r.Now.Add(12*time.Hour)
	}
	if err := cmp.Or(p.instant("from", &r.From), p.instant("to", &r.To)); err != nil {
		return err
	}
	if !r.From.Before(r.To) {
		return refusal(p.T("timeline.short"))
	}
	r.From, r.To = r.From.UTC(), r.To.UTC()
	var err error
	if r.First, err = p.edge(map[string]string{"since": r.From.Format(time.RFC3339Nano), "order": "asc"}); err == nil {
		r.Last, err = p.edge(map[string]string{"until": r.To.Add(time.Millisecond).Format(time.RFC3339Nano), "order": "desc"})
	}
	r.First, r.Last = min(cmp.Or(r.First, r.Seq), r.Seq), max(r.Last, r.Seq)
	return err
}

// edge returns the first record of a query; 0: there is none.
func (p *page) edge(query map[string]string) (uint64, error) {
	query["page_size"] = "1"
	var answer api.Page[api.EventRow]
	if err := p.get("/v1/events", query, &answer); err != nil || len(answer.Items) == 0 {
		return 0, err
	}
	return answer.Items[0].Seq, nil
}

// Minute is the moment a minute before or after this one, as the API takes it: none is
// after now.
func (r *replayPage) Minute(n int) string {
	return earlier(r.Now.Add(time.Duration(n)*time.Minute), r.present).UTC().Format(time.RFC3339Nano)
}

// Blocked says how many cells are in which state, in words.
func (p *page) Blocked(g *grid) string {
	// counts :: status → cells
	counts := map[string]int{}
	for _, t := range g.Pools {
		for _, r := range t.Rows {
			for _, c := range r.Cells {
				counts[c.Status]++
			}
		}
	}
	var parts []string
	for _, status := range []string{"available", "cooling", "held", "suspended", "disabled"} {
		if n := counts[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", p.T("state."+status), n))
		}
	}
	return strings.Join(parts, " · ")
}
