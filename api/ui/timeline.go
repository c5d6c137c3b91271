package ui

import (
	"cmp"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
)

// Bounds of a timeline.
const (
	maxBars  = 4000 // episodes drawn
	maxTicks = 5000 // 429s drawn; the strip counts more
	maxCount = 20_000
	// maxLooked bounds the 429s that are looked at, of whatever provider.
	maxLooked = 200_000
	minRange  = time.Minute
	strips    = 120 // parts of the density strip
)

// The picture's measures, in the units of its view box.
const (
	picture   = 1200 // its width
	gutter    = 180  // for the names of the lanes
	laneStep  = 20
	barThick  = 12
	stripTop  = 6
	stripHigh = 34
	lanesTop  = stripTop + stripHigh + 26
)

// timeline is what happened in a range, in lanes.
type timeline struct {
	From, To time.Time
	By       string // account or group: what a lane is
	Filter   url.Values
	Lanes    []lane
	Strip    []strip
	Marks    []mark // of the axis
	Height   int
	Episodes int
	Limits   int
	Cut      bool // there is more than is drawn
	Seq      uint64
	Newest   bool // the range ends now
	now      time.Time
}

// lane is one line of the picture.
type lane struct {
	Name  string
	Href  template.URL // the query of its cell; empty: none
	Y     int
	Bars  []bar
	Ticks []tick
}

// bar is one episode.
type bar struct {
	api.EpisodeRow
	X, W float64
	Y    int
}

// tick is one 429, or another answer that limits.
type tick struct {
	X     float64
	Y     int
	Seq   uint64
	Probe bool
	Text  string
}

// strip is a part of the density strip.
type strip struct {
	X, W, Y, H float64
	Count      int
	At         time.Time
}

// mark is a time on the axis.
type mark struct {
	X    float64
	Text string
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
	limits, err := t.limits(p)
	if err != nil {
		return nil, err
	}
	t.draw(p, list, limits)
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

// limits reads the answers that limited something in the range, the newest first.
func (t *timeline) limits(p *page) (list []api.EventRow, err error) {
	q := t.ask("since", "until")
	delete(q, "provider")
	q["kind"] = "limit_observed"
	want, looked := t.Filter.Get("provider"), 0
	err = eachPage(q, func() (*string, error) {
		var answer api.Page[api.EventRow]
		err := p.get("/v1/events", q, &answer)
		for _, r := range answer.Items {
			if want == "" || r.Data.Provider == want {
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

// x is where an instant stands.
func (t *timeline) x(at time.Time) float64 {
	share := float64(at.Sub(t.From)) / float64(t.To.Sub(t.From))
	return round(gutter + min(max(share, 0), 1)*(picture-gutter))
}

func round(x float64) float64 { return float64(int(x*10+0.5)) / 10 }

// draw works the picture out.
func (t *timeline) draw(p *page, list []api.EpisodeRow, limits []api.EventRow) {
	lanes := t.lanes(p, list, limits)
	for i := range list {
		l := lanes[t.laneOf(list[i].Account, list[i].Provider, list[i].Target)]
		end := list[i].EndedAt.Time
		if end.IsZero() {
			end = t.To
		}
		x := t.x(list[i].StartedAt.Time)
		l.Bars = append(l.Bars, bar{EpisodeRow: list[i], X: x, W: max(round(t.x(end)-x), 2), Y: l.Y + (laneStep-barThick)/2})
	}
	counts := make([]int, strips)
	for i, r := range limits {
		share := float64(r.At.Sub(t.From)) / float64(t.To.Sub(t.From))
		counts[min(max(int(share*strips), 0), strips-1)]++
		if i < maxTicks {
			l := lanes[t.laneOf(r.Account, r.Data.Provider, r.Data.Target)]
			l.Ticks = append(l.Ticks, tick{X: t.x(r.At.Time), Y: l.Y, Seq: r.Seq, Probe: r.Data.Probe, Text: r.Text})
		}
	}
	t.Limits = len(limits)
	t.Cut = t.Cut || len(limits) > maxTicks
	t.density(counts)
	t.axis()
	for _, l := range lanes {
		t.Lanes = append(t.Lanes, *l)
	}
	slices.SortFunc(t.Lanes, func(a, b lane) int { return cmp.Compare(a.Y, b.Y) })
	t.Height = lanesTop + len(lanes)*laneStep + 8
}

// laneOf is the name of the lane that something belongs to.
func (t *timeline) laneOf(account, provider, target string) string {
	if t.By == "account" {
		return account
	}
	return provider + " " + target
}

// lanes makes the lanes that something happened in, by name.
func (t *timeline) lanes(p *page, list []api.EpisodeRow, limits []api.EventRow) map[string]*lane {
	// lanes :: name → lane
	lanes := map[string]*lane{}
	add := func(account, id, provider, target string) {
		name := t.laneOf(account, provider, target)
		if lanes[name] == nil {
			l := &lane{Name: name}
			if t.By == "account" {
				l.Href = query(url.Values{"account": {id}})
			}
			lanes[name] = l
		}
	}
	for i := range list {
		add(list[i].Account, p.ID(list[i].Account), list[i].Provider, list[i].Target)
	}
	for i := range min(len(limits), maxTicks) {
		add(limits[i].Account, p.ID(limits[i].Account), limits[i].Data.Provider, limits[i].Data.Target)
	}
	var names []string
	for name := range lanes {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		lanes[name].Y = lanesTop + i*laneStep
	}
	return lanes
}

// density draws how many 429s there were, part by part.
func (t *timeline) density(counts []int) {
	most := max(slices.Max(counts), 1)
	width := float64(picture-gutter) / strips
	for i, n := range counts {
		if n == 0 {
			continue
		}
		h := max(round(float64(n)/float64(most)*stripHigh), 1)
		t.Strip = append(t.Strip, strip{
			X: round(gutter + float64(i)*width), W: round(width - 1), Y: stripTop + stripHigh - h, H: h, Count: n,
			At: t.From.Add(t.To.Sub(t.From) / strips * time.Duration(i)),
		})
	}
}

// axis marks round times.
func (t *timeline) axis() {
	steps := []time.Duration{
		time.Second * 10, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour,
	}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if t.To.Sub(t.From)/s <= 9 {
			step = s
			break
		}
	}
	form := "15:04"
	switch {
	case step < time.Minute:
		form = "15:04:05"
	case step >= 24*time.Hour:
		form = time.DateOnly
	case t.To.Sub(t.From) > 24*time.Hour:
		form = "01-02 15:04"
	}
	for at := t.From.Truncate(step).Add(step); at.Before(t.To) && len(t.Marks) < 50; at = at.Add(step) {
		t.Marks = append(t.Marks, mark{X: t.x(at), Text: at.Format(form)})
	}
}

// Middle is where the axis' texts stand.
func (t *timeline) Middle() int { return lanesTop - 10 }

// Move is the query of another range: shifted by a share of this one, and scaled.
func (t *timeline) Move(shift, scale float64) template.URL {
	length := t.To.Sub(t.From)
	middle := t.From.Add(length/2 + time.Duration(float64(length)*shift))
	half := max(time.Duration(float64(length)*scale/2), minRange/2)
	return t.link(middle.Add(-half), middle.Add(half))
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

func (t *timeline) link(from, to time.Time) template.URL {
	q := url.Values{"by": {t.By}, "from": {from.UTC().Format(time.RFC3339)}, "to": {to.UTC().Format(time.RFC3339)}}
	for k := range t.Filter {
		q.Set(k, t.Filter.Get(k))
	}
	return query(q)
}

// Range is how long the range is, in milliseconds, for scripts.
func (t *timeline) Range() int64 { return t.To.Sub(t.From).Milliseconds() }

// Episode says what a bar is, for those who cannot see it and for the pointer.
func (p *page) Episode(b bar) string {
	var parts []string
	parts = append(parts, b.Account+" · "+b.Target, p.T("block."+b.Block))
	for _, v := range []string{b.Class, b.Reason, b.Actor} {
		if v != "" {
			parts = append(parts, v)
		}
	}
	if b.Ended == "" {
		parts = append(parts, p.T("timeline.open", p.Clock(b.StartedAt.Time)))
	} else {
		parts = append(parts, p.T("timeline.closed", p.Clock(b.StartedAt.Time), p.Clock(b.EndedAt.Time), b.Ended))
	}
	if b.Answers > 0 {
		parts = append(parts, p.T("timeline.limits", b.Answers))
	}
	return strings.Join(parts, "; ")
}
