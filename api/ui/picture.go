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

// lane is one line of the picture. Bars of the same time stand below each other, in rows.
type lane struct {
	Name    string
	Href    template.URL // where its name leads, below the root
	Y, High int
	Bars    []bar
	Ticks   []tick
	// rows are the last bar of each row, by their indexes.
	rows []int
	// blocked :: account and target → the automatic blocks of the cell, the oldest first
	blocked map[api.CellRef][]standing
	// apart is what a page shows of this lane alone, with lanes of the other kind.
	apart url.Values
}

// bar is one episode; or several, if there is no room for each.
type bar struct {
	api.EpisodeRow // of the first
	X, W           float64
	Row            int
	Y              int
	Count          int
	// From and To are its ends. What goes on ends now.
	From, To time.Time
	Href     template.URL // of several: shows each, below the root
}

// standing is the row that an automatic block is in, for the answers about it.
type standing struct {
	from time.Time
	row  int
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
	t.lanes = map[string]*lane{}
	for i := range list {
		t.lane(p, list[i].Account, list[i].Provider, list[i].Target).add(t, list[i])
	}
	for _, r := range answers {
		t.lane(p, r.Account, r.Data.Provider, r.Data.Target).answer(t, r)
	}
	t.Height = lanesTop
	for _, name := range slices.Sorted(maps.Keys(t.lanes)) {
		l := t.lanes[name]
		l.place(t.Height)
		t.gather(l)
		t.Height += l.High
		t.Lanes = append(t.Lanes, l)
	}
	t.Height += 8
}

// gather counts the episodes of a lane that have no bar of their own, and has the bars
// that stand for them lead to where each has one.
func (t *timeline) gather(l *lane) {
	for i := range l.Bars {
		if b := &l.Bars[i]; b.Count > 1 {
			t.Together += b.Count
			b.Href = t.alone(l, b.From, b.To)
		}
	}
}

// lane returns the lane that something belongs to. It is made with the first.
func (t *timeline) lane(p *page, account, provider, target string) *lane {
	name := account
	if t.By == "group" {
		name = provider + " " + target
	}
	if l := t.lanes[name]; l != nil {
		return l
	}
	l := &lane{Name: name, blocked: map[api.CellRef][]standing{}}
	t.lanes[name] = l
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
	// Addresses have whole seconds, and a range has its least length.
	to = earlier(to.Add(time.Second-1), t.now)
	from = earlier(later(from, t.From), to.Add(-minRange))
	q := t.ranged(from, to)
	maps.Copy(q, l.apart)
	return "ui/timeline?" + query(q)
}

// add puts a bar for an episode into the first row where nothing goes on when it begins.
func (l *lane) add(t *timeline, e api.EpisodeRow) {
	b := bar{EpisodeRow: e, X: t.x(e.StartedAt.Time), Count: 1, From: e.StartedAt.Time, To: e.EndedAt.Time}
	if b.To.IsZero() {
		b.To = t.now
	}
	b.W = max(round(t.x(b.To)-b.X), barThin)
	b.Row = slices.IndexFunc(l.rows, func(last int) bool { return !l.Bars[last].To.After(b.From) })
	switch {
	case b.Row >= 0:
		l.follow(b)
	case len(l.rows) < maxRows:
		b.Row, l.rows = len(l.rows), append(l.rows, len(l.Bars))
		l.Bars = append(l.Bars, b)
	default:
		b.Row = maxRows - 1
		l.follow(b)
	}
	if b.Block != string(projection.StatusSuspended) {
		cell := api.CellRef{Account: b.Account, Target: b.Target}
		l.blocked[cell] = append(l.blocked[cell], standing{b.From, b.Row})
	}
}

// follow puts a bar behind the last one of its row, as far as that does not cover it. One
// of which too little is left is drawn with the last one.
func (l *lane) follow(b bar) {
	last := &l.Bars[l.rows[b.Row]]
	end := round(b.X + b.W)
	free := max(b.X, round(last.X+last.W))
	if round(end-free) < barThin || last.To.After(b.From) {
		last.join(b)
		return
	}
	b.X, b.W = free, round(end-free)
	l.rows[b.Row] = len(l.Bars)
	l.Bars = append(l.Bars, b)
}

// join has a bar stand for one more.
func (b *bar) join(next bar) {
	b.Count++
	b.W = max(b.W, round(next.X+next.W-b.X))
	b.To = later(b.To, next.To)
	if b.Block != next.Block {
		b.Block = ""
	}
}

// answer puts a tick beside the bar that the answer is about; one that is about none
// stands in the first row.
func (l *lane) answer(t *timeline, r api.EventRow) {
	k := tick{EventRow: r, X: t.x(r.At.Time)}
	for _, b := range slices.Backward(l.blocked[api.CellRef{Account: r.Account, Target: r.Data.Target}]) {
		if !b.from.After(r.At.Time) {
			k.Row = b.row
			break
		}
	}
	l.Ticks = append(l.Ticks, k)
}

// place gives the lane and what is in it their places, from a height on.
func (l *lane) place(y int) {
	l.Y, l.High = y, laneHigh+max(len(l.rows)-1, 0)*rowStep
	for i := range l.Bars {
		l.Bars[i].Y = y + l.Bars[i].Row*rowStep + barTop
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
	if b.Answers > 0 {
		parts = append(parts, p.T("timeline.limits", b.Answers))
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

// Several says what a bar for several freezes stands for.
func (p *page) Several(b bar) string {
	text := p.T("timeline.several", b.Count, p.Clock(b.From), p.Clock(b.To))
	if b.Block != "" {
		text = p.T("block."+b.Block) + "; " + text
	}
	return text
}
