package ui

import (
	"cmp"
	"html/template"
	"net/url"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// Bounds of a timeline.
const (
	maxBars  = 4000 // episodes drawn
	maxTicks = 5000 // answers drawn; the strip counts more
	maxCount = 20_000
	// maxLooked bounds the answers of a kind that are looked at, of whatever provider.
	maxLooked = 100_000
	minRange  = time.Minute
	strips    = 120 // parts of the density strip
	// maxRows bounds how many overlapping bars of a lane stand below each other.
	maxRows = 20
)

// timeline is what happened in a range, in lanes.
type timeline struct {
	From, To time.Time
	By       string // account or group: what a lane is
	Filter   url.Values
	Lanes    []*lane
	Strip    []strip
	Marks    []mark // of the axis
	Height   int
	Episodes int
	Limits   int
	Together int  // freezes that are drawn as one bar with others
	Cut      bool // there is more than is drawn
	Seq      uint64
	Newest   bool // the range ends now
	now      time.Time
	lanes    map[string]*lane // by name
}

// timeline makes the page.
func (d *Dashboard) timeline(p *page) (any, error) {
	q := p.request.URL.Query()
	t := &timeline{By: cmp.Or(q.Get("by"), "account"), Filter: url.Values{}}
	for _, name := range []string{"provider", "account", "target"} {
		if v := q.Get(name); v != "" {
			t.Filter.Set(name, v)
		}
	}
	if t.By != "account" && t.By != "group" {
		return nil, refusal(p.T("timeline.by"))
	}
	if err := t.span(p); err != nil {
		return nil, err
	}
	list, err := t.episodes(p)
	if err != nil {
		return nil, err
	}
	limits, err := t.answers(p, events.KindLimitObserved, func(api.EventRow) bool { return true })
	if err != nil {
		return nil, err
	}
	served, err := t.answers(p, events.KindRecovered, func(r api.EventRow) bool { return r.Data.Probe })
	if err != nil {
		return nil, err
	}
	t.draw(p, list, limits, served)
	return t, nil
}

// refusal is a problem of the page's own.
func refusal(text string) error {
	return &api.Problem{Status: 422, Code: "invalid", Detail: text}
}

// span reads the range; without one it is the last day.
func (t *timeline) span(p *page) error {
	var head api.SummaryAnswer
	if err := p.get("/v1/summary", nil, &head); err != nil {
		return err
	}
	t.Seq, t.To, t.now = head.AsOfSeq, head.Now.Time, head.Now.Time
	if err := p.instant("to", &t.To); err != nil {
		return err
	}
	t.Newest = !t.To.Before(head.Now.Time)
	t.From = t.To.Add(-24 * time.Hour)
	if err := p.instant("from", &t.From); err != nil {
		return err
	}
	if t.To.Sub(t.From) < minRange {
		return refusal(p.T("timeline.short"))
	}
	t.From, t.To = t.From.UTC(), t.To.UTC()
	return nil
}

// instant reads a time of the page's address; one that is not given stays as it is.
func (p *page) instant(name string, at *time.Time) error {
	text := p.request.URL.Query().Get(name)
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return refusal(p.T("timeline.time", text))
	}
	*at = t
	return nil
}

// ask is a query of the API about the range.
func (t *timeline) ask(from, to string) map[string]string {
	q := map[string]string{from: t.From.Format(time.RFC3339Nano), to: t.To.Format(time.RFC3339Nano), "page_size": "1000"}
	if t.Newest {
		delete(q, to)
	}
	for k := range t.Filter {
		q[k] = t.Filter.Get(k)
	}
	return q
}

// episodes reads the freezes of the range, the oldest first.
func (t *timeline) episodes(p *page) (list []api.EpisodeRow, err error) {
	q := t.ask("from", "to")
	q["order"] = "asc"
	err = eachPage(q, func() (*string, error) {
		var answer api.EpisodePage
		err := p.get("/v1/episodes", q, &answer)
		t.Episodes = answer.Count
		list = append(list, answer.Items...)
		if answer.NextPageToken != nil && len(list) >= maxBars {
			t.Cut, list = true, list[:maxBars]
			return nil, nil
		}
		return answer.NextPageToken, err
	})
	return list, err
}

// answers reads what the upstream answered in the range, the newest first: the records of
// a kind that are wanted.
func (t *timeline) answers(p *page, kind events.Kind, wanted func(api.EventRow) bool) (list []api.EventRow, err error) {
	q := t.ask("since", "until")
	delete(q, "provider")
	q["kind"] = string(kind)
	provider, looked := t.Filter.Get("provider"), 0
	err = eachPage(q, func() (*string, error) {
		var answer api.Page[api.EventRow]
		err := p.get("/v1/events", q, &answer)
		for _, r := range answer.Items {
			if (provider == "" || r.Data.Provider == provider) && wanted(r) {
				list = append(list, r)
			}
		}
		looked += len(answer.Items)
		if answer.NextPageToken != nil && (len(list) >= maxCount || looked >= maxLooked) {
			t.Cut = true
			return nil, nil
		}
		return answer.NextPageToken, err
	})
	return list, err
}

// Move is the query of another range: shifted by a share of this one, and scaled. None
// goes beyond now, where nothing has happened yet.
func (t *timeline) Move(shift, scale float64) template.URL {
	length := t.To.Sub(t.From)
	middle := t.From.Add(length/2 + time.Duration(float64(length)*shift))
	half := max(time.Duration(float64(length)*scale/2), minRange/2)
	if beyond := middle.Add(half).Sub(t.now); beyond > 0 {
		middle = middle.Add(-beyond)
	}
	return query(t.ranged(middle.Add(-half), middle.Add(half)))
}

// Last is the query of the range that ends now.
func (t *timeline) Last(length string) template.URL {
	q := url.Values{"by": {t.By}}
	for k := range t.Filter {
		q.Set(k, t.Filter.Get(k))
	}
	d, err := time.ParseDuration(length)
	if err == nil { // unreachable otherwise: the template gives constants
		q.Set("from", t.now.UTC().Add(-d).Format(time.RFC3339))
	}
	return query(q)
}

// ranged is the query of another range, with the rest as it is. One that ends now has no
// end in its address, and goes on being followed.
func (t *timeline) ranged(from, to time.Time) url.Values {
	q := url.Values{"by": {t.By}, "from": {from.UTC().Format(time.RFC3339)}}
	if to.Before(t.now) {
		q.Set("to", to.UTC().Format(time.RFC3339))
	}
	for k := range t.Filter {
		q.Set(k, t.Filter.Get(k))
	}
	return q
}
