package ui

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// The picture's measures, in the units of its view box.
const (
	picture   = 1200 // its width
	gutter    = 180  // for the names of the lanes
	laneHigh  = 20   // of a lane with one row of bars
	rowStep   = 14   // that each further row adds
	barTop    = 4    // from the top of its row
	barThin   = 2    // the least width of a bar: thinner ones could not be pointed at
	stripTop  = 6
	stripHigh = 34
	lanesTop  = stripTop + stripHigh + 26
)

// lane is one line of the picture. Bars that overlap stand below each other, in rows.
type lane struct {
	Name    string
	Href    template.URL // where its name leads, below the root
	Y, High int
	Bars    []bar
	Bundles []bundle
	Ticks   []tick
	// rows are where the last bar of each row ends.
	rows []float64
	// bars :: account and target → the bars of the cell's automatic blocks, the oldest first
	bars map[api.CellRef][]*bar
	// apart is what a page shows of this lane alone, with lanes of the other kind.
	apart url.Values
}

// bar is one episode.
type bar struct {
	api.EpisodeRow
	X, W float64
	Row  int
	Y    int
}

// bundle is a bar for several episodes that no row of the lane has room for.
type bundle struct {
	X, W     float64
	Y        int
	Count    int
	From, To time.Time
	Href     template.URL // shows each, below the root
}

// tick is one answer: a 429, another that limits, or any to a probe.
type tick struct {
	api.EventRow
	X   float64
	Row int
	Y   int
}

// Served: the probe found that the quota is back.
func (k tick) Served() bool { return k.Kind == string(events.KindRecovered) }

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

// x is where an instant stands.
func (t *timeline) x(at time.Time) float64 {
	share := float64(at.Sub(t.From)) / float64(t.To.Sub(t.From))
	return round(gutter + min(max(share, 0), 1)*(picture-gutter))
}

func round(x float64) float64 { return float64(int(x*10+0.5)) / 10 }

// draw works the picture out: of freezes, the oldest first, of the answers that limited,
// and of the probes that were served.
func (t *timeline) draw(p *page, list []api.EpisodeRow, limits, served []api.EventRow) {
	t.Limits = len(limits)
	t.density(limits)
	t.axis()
	answers := slices.Concat(limits, served)
	slices.SortFunc(answers, func(a, b api.EventRow) int { return cmp.Compare(b.Seq, a.Seq) })
	if len(answers) > maxTicks {
		t.Cut, answers = true, answers[:maxTicks]
	}
	// lanes :: name → lane
	lanes := map[string]*lane{}
	for i := range list {
		t.lane(p, lanes, list[i].Account, list[i].Provider, list[i].Target).add(t, list[i])
	}
	for _, r := range answers {
		t.lane(p, lanes, r.Account, r.Data.Provider, r.Data.Target).answer(t, r)
	}
	t.Height = lanesTop
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		l := lanes[name]
		l.place(t.Height)
		for i := range l.Bundles {
			k := &l.Bundles[i]
			k.Href = t.alone(l, k.From, k.To)
		}
		t.Height += l.High
		t.Lanes = append(t.Lanes, l)
	}
	t.Height += 8
}

// lane returns the lane that something belongs to. It is made with the first.
func (t *timeline) lane(p *page, lanes map[string]*lane, account, provider, target string) *lane {
	name := account
	if t.By == "group" {
		name = provider + " " + target
	}
	l := lanes[name]
	if l != nil {
		return l
	}
	l = &lane{Name: name, bars: map[api.CellRef][]*bar{}}
	lanes[name] = l
	if t.By == "group" {
		l.apart = url.Values{"by": {"account"}, "provider": {provider}, "target": {target}}
		l.Href = t.alone(l, t.From, t.To)
	} else {
		l.apart = url.Values{"by": {"group"}, "account": {p.ID(account)}}
		l.Href = "ui/cell?" + query(url.Values{"account": l.apart["account"]})
	}
	return l
}

// alone leads to a part of the range that shows one lane alone, what overlaps in it in
// lanes of its own.
func (t *timeline) alone(l *lane, from, to time.Time) template.URL {
	to = to.Add(time.Second - 1) // addresses have whole seconds
	if short := minRange - to.Sub(from); short > 0 {
		from = from.Add(-short)
	}
	q := t.ranged(from, to)
	maps.Copy(q, l.apart)
	return "ui/timeline?" + query(q)
}

// add puts a bar for an episode into the first row that has room, or into a bundle. A bar
// of what goes on ends now.
func (l *lane) add(t *timeline, e api.EpisodeRow) {
	end := e.EndedAt.Time
	if end.IsZero() {
		end = t.now
	}
	b := bar{EpisodeRow: e, X: t.x(e.StartedAt.Time)}
	b.W = max(round(t.x(end)-b.X), barThin)
	b.Row = slices.IndexFunc(l.rows, func(taken float64) bool { return taken <= b.X })
	switch {
	case b.Row >= 0:
	case len(l.rows) < maxRows:
		b.Row, l.rows = len(l.rows), append(l.rows, 0)
	default:
		b.Row = maxRows
		t.Together++
		l.bundle(t, b, end)
	}
	if b.Row < maxRows {
		l.rows[b.Row] = b.X + b.W
		l.Bars = append(l.Bars, b)
	}
	if b.Block != string(projection.StatusSuspended) {
		cell := api.CellRef{Account: b.Account, Target: b.Target}
		l.bars[cell] = append(l.bars[cell], &b)
	}
}

// bundle adds a bar to the last bundle if they overlap, or begins another.
func (l *lane) bundle(t *timeline, b bar, end time.Time) {
	n := len(l.Bundles)
	if n == 0 || l.Bundles[n-1].X+l.Bundles[n-1].W < b.X {
		l.Bundles = append(l.Bundles, bundle{X: b.X, From: later(b.StartedAt.Time, t.From)})
		n++
	}
	k := &l.Bundles[n-1]
	k.Count++
	k.W, k.To = max(k.W, round(b.X+b.W-k.X)), later(k.To, end)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// answer puts a tick beside the bar that the answer is about; one that is about none
// stands in the first row.
func (l *lane) answer(t *timeline, r api.EventRow) {
	k := tick{EventRow: r, X: t.x(r.At.Time)}
	for _, b := range slices.Backward(l.bars[api.CellRef{Account: r.Account, Target: r.Data.Target}]) {
		if !b.StartedAt.After(r.At.Time) {
			k.Row = b.Row
			break
		}
	}
	l.Ticks = append(l.Ticks, k)
}

// place gives the lane and what is in it their places, from a height on.
func (l *lane) place(y int) {
	rows := max(len(l.rows), 1)
	if len(l.Bundles) > 0 {
		rows++
	}
	l.Y, l.High = y, laneHigh+(rows-1)*rowStep
	for i := range l.Bars {
		l.Bars[i].Y = y + l.Bars[i].Row*rowStep + barTop
	}
	for i := range l.Bundles {
		l.Bundles[i].Y = y + maxRows*rowStep + barTop
	}
	for i := range l.Ticks {
		l.Ticks[i].Y = y + l.Ticks[i].Row*rowStep
	}
}

// density draws how many answers limited, part by part.
func (t *timeline) density(limits []api.EventRow) {
	counts := make([]int, strips)
	for _, r := range limits {
		share := float64(r.At.Sub(t.From)) / float64(t.To.Sub(t.From))
		counts[min(max(int(share*strips), 0), strips-1)]++
	}
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

// Episode says what a bar is, for those who cannot see it and for the pointer.
func (p *page) Episode(b bar) string {
	parts := []string{b.Account + " · " + b.Target, p.T("block." + b.Block)}
	if b.Class != "" {
		parts = append(parts, p.T("class."+b.Class))
	}
	for _, v := range []string{b.Reason, b.Actor} {
		if v != "" {
			parts = append(parts, v)
		}
	}
	if b.Ended == "" {
		parts = append(parts, p.T("timeline.open", p.Clock(b.StartedAt.Time)))
	} else {
		parts = append(parts, p.T("timeline.closed", p.Clock(b.StartedAt.Time), p.Clock(b.EndedAt.Time), p.T("end."+b.Ended)))
	}
	if b.Limits > 0 {
		parts = append(parts, p.T("timeline.limits", b.Limits))
	}
	return strings.Join(parts, "; ")
}

// Answer says what a tick is.
func (p *page) Answer(k tick) string {
	what := "timeline.limit"
	switch {
	case k.Served():
		what = "timeline.served"
	case k.Data.Probe:
		what = "timeline.probe"
	}
	parts := []string{k.Account + " · " + k.Data.Target, p.T(what), p.T("timeline.at", p.Clock(k.At.Time))}
	parts = append(parts, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", k.Data.Status, k.Data.Model)))
	if k.Data.Class != "" {
		parts = append(parts, p.T("class."+k.Data.Class))
	}
	if k.Data.Effect != "" {
		parts = append(parts, p.T("effect."+k.Data.Effect))
	}
	return strings.Join(parts, "; ")
}

// Bundle says what a bar for several freezes stands for.
func (p *page) Bundle(k bundle) string {
	return p.T("timeline.bundle", k.Count, p.Clock(k.From), p.Clock(k.To))
}
