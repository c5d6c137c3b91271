package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// dayStart is when the pictures of these tests begin; they are a day long.
func dayStart() time.Time { return time.Date(2026, 9, 14, 0, 0, 0, 0, time.UTC) }

// hours is an instant, in hours from the start.
func hours(n float64) api.Time {
	return api.Time{Time: dayStart().Add(time.Duration(n * float64(time.Hour)))}
}

// freeze is a cooldown of an account's claude.
func freeze(account string, from, to api.Time) api.EpisodeRow {
	e := api.EpisodeRow{Account: account, Provider: "antigravity", Target: "claude", Block: "cooling", StartedAt: from, EndedAt: to, Class: "quota_exhausted"}
	if !to.IsZero() {
		e.Ended = "expired"
	}
	return e
}

// testPage is a page of a dashboard without a pool, in a language.
func testPage(t *testing.T, lang string) *page {
	t.Helper()
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &page{dash: d, Lang: lang}
}

// drawn is the picture of a day with a lane for each account, or group.
func drawn(t *testing.T, by string, now api.Time, list []api.EpisodeRow, limits ...api.EventRow) *timeline {
	t.Helper()
	d := &timeline{By: by, From: dayStart(), To: hours(24).Time, now: now.Time}
	d.draw(testPage(t, defaultLang), list, limits, nil)
	return d
}

// box is what a bar covers.
type box struct {
	x, w float64
	y    int
}

func (l *lane) boxes() (list []box) {
	for _, b := range l.Bars {
		list = append(list, box{b.X, b.W, b.Y})
	}
	return list
}

// wantApart fails if a bar covers another, or leaves its lane.
func wantApart(t *testing.T, d *timeline) {
	t.Helper()
	end := lanesTop
	for _, l := range d.Lanes {
		if l.Y != end {
			t.Errorf("lane %s begins at %d, not %d", l.Name, l.Y, end)
		}
		end = l.Y + l.High
		boxes := l.boxes()
		for i, a := range boxes {
			if a.y < l.Y || a.y+12 > end {
				t.Errorf("a bar of lane %s at %d is not within %d to %d", l.Name, a.y, l.Y, end)
			}
			for _, b := range boxes[:i] {
				if a.x < round(b.x+b.w) && b.x < round(a.x+a.w) && a.y < b.y+12 && b.y < a.y+12 {
					t.Fatalf("lane %s: %+v covers %+v", l.Name, a, b)
				}
			}
		}
	}
	if d.Height < end {
		t.Errorf("the picture is %d high; its lanes end at %d", d.Height, end)
	}
}

func TestBarsDoNotCoverEachOther(t *testing.T) {
	stopped := freeze("a1", hours(4.1), api.Time{})
	stopped.Target, stopped.Block = "gemini-flash", "suspended"
	d := drawn(t, "account", hours(24), []api.EpisodeRow{
		freeze("a1", hours(-3), hours(1)), freeze("a2", hours(1), hours(2)), freeze("a1", hours(4), hours(14)), stopped, freeze("a1", hours(15), hours(16)),
	}, api.EventRow{At: hours(5), Account: "a1", Data: api.EventData{Target: "claude"}}, api.EventRow{At: hours(15.5), Account: "a1", Data: api.EventData{Target: "gemini-flash"}})
	wantApart(t, d)
	if len(d.Lanes) != 2 || len(d.Lanes[0].Bars) != 4 || d.Lanes[0].High != laneHigh+rowStep || d.Lanes[1].High != laneHigh {
		t.Errorf("the lanes: %+v", d.Lanes)
	}
	for i, want := range []int{0, 0, 1, 0} {
		if b := d.Lanes[0].Bars[i]; b.Row != want {
			t.Errorf("bar %d is in row %d, not %d", i, b.Row, want)
		}
	}
}

// An answer is marked on the bar that it is about.
func TestTicksStandBesideTheirBar(t *testing.T) {
	pro := freeze("a1", hours(3), hours(9))
	pro.Target = "gemini-pro"
	answer := func(at float64, target string) api.EventRow {
		return api.EventRow{At: hours(at), Account: "a1", Data: api.EventData{Provider: "antigravity", Target: target}}
	}
	d := drawn(t, "account", hours(24), []api.EpisodeRow{freeze("a1", hours(1), hours(8)), pro}, answer(4, "gemini-pro"), answer(4, "claude"), answer(4, "gemini-flash"))
	l := d.Lanes[0]
	for i, want := range []int{1, 0, 0} {
		if k := l.Ticks[i]; k.Row != want || k.Y != l.Y+want*rowStep {
			t.Errorf("the answer about %s is in row %d, at %d", k.Data.Target, k.Row, k.Y)
		}
	}
}

// A thousand accounts that freeze together are one group's lane: it stays low, and says
// what it does not show one by one, and where that is.
func TestAThousandFreezesOfAGroup(t *testing.T) {
	var list []api.EpisodeRow
	for i := range 1000 {
		list = append(list, freeze(fmt.Sprintf("account-%04d", i), hours(1+float64(i)/1000), hours(9)))
	}
	list = append(list, freeze("account-0000", hours(20), hours(21)))
	d := drawn(t, "group", hours(24), list)
	wantApart(t, d)
	l := d.Lanes[0]
	if len(d.Lanes) != 1 || l.High > 300 || len(l.Bars) != maxRows+1 {
		t.Errorf("%d lanes; the first is %d high and has %d bars", len(d.Lanes), l.High, len(l.Bars))
	}
	several := l.Bars[maxRows-1]
	if several.Count != 1000-maxRows+1 || d.Together != several.Count {
		t.Fatalf("%d freezes together: %+v", d.Together, several)
	}
	want := "ui/timeline?by=account&from=2026-09-14T01%3A01%3A08Z&provider=antigravity&target=claude&to=2026-09-14T09%3A00%3A00Z"
	if got := string(several.Href); got != want {
		t.Errorf("they lead to %s, not %s", got, want)
	}
	if got, want := testPage(t, defaultLang).Several(several), "cooldown; 981 freezes from 2026-09-14 01:01:08 to 2026-09-14 09:00:00 UTC: open them to see each"; got != want {
		t.Errorf("they say %q, not %q", got, want)
	}
	// With a lane for each, all have a bar.
	if d := drawn(t, "account", hours(24), list); d.Together != 0 || len(d.Lanes) != 1000 {
		t.Errorf("%d together in %d lanes", d.Together, len(d.Lanes))
	}
}

// Freezes one after another need no rows, however short they are: those too short to be
// told apart are one bar, and a longer one begins behind it.
func TestShortFreezesKeepToOneRow(t *testing.T) {
	var list []api.EpisodeRow
	for i := range 10 {
		list = append(list, freeze("a1", hours(5+float64(i)/100), hours(5+float64(i)/100+0.005)))
	}
	list = append(list, freeze("a1", hours(5.1), hours(8)), freeze("a1", hours(8), hours(9)))
	d := drawn(t, "account", hours(24), list)
	wantApart(t, d)
	l := d.Lanes[0]
	if l.High != laneHigh || len(l.Bars) < 3 || l.Bars[0].Count < 2 {
		t.Fatalf("the lane is %d high: %+v", l.High, l.Bars)
	}
	sum := 0
	for _, b := range l.Bars {
		sum += b.Count
	}
	if last := l.Bars[len(l.Bars)-1]; sum != 12 || last.Count != 1 || last.X != d.x(hours(8).Time) {
		t.Errorf("%d freezes are drawn; the last bar is %+v", sum, last)
	}
	if want := "ui/timeline?account=a1&by=group&from=2026-09-14T05%3A00%3A00Z"; !strings.HasPrefix(string(l.Bars[0].Href), want) {
		t.Errorf("the short ones lead to %s", l.Bars[0].Href)
	}
}

// What goes on is not known to go on tomorrow.
func TestOpenBarsEndNow(t *testing.T) {
	d := drawn(t, "account", hours(6), []api.EpisodeRow{freeze("a1", hours(3), api.Time{})})
	if b := d.Lanes[0].Bars[0]; b.X+b.W != d.x(hours(6).Time) {
		t.Errorf("the bar ends at %v; now is at %v", b.X+b.W, d.x(hours(6).Time))
	}
}

// The links lead to no range that ends after now; one that ends now is followed.
func TestNoRangeGoesBeyondNow(t *testing.T) {
	d := &timeline{By: "account", From: hours(0).Time, To: hours(24).Time, now: hours(30).Time}
	for _, c := range []struct {
		shift, scale float64
		want         string
	}{
		{0.5, 1, "by=account&from=2026-09-14T06%3A00%3A00Z"},
		{0, 2, "by=account&from=2026-09-13T06%3A00%3A00Z"},
		{-0.5, 1, "by=account&from=2026-09-13T12%3A00%3A00Z&to=2026-09-14T12%3A00%3A00Z"},
		{0, 0.5, "by=account&from=2026-09-14T06%3A00%3A00Z&to=2026-09-14T18%3A00%3A00Z"},
	} {
		if got := string(d.Move(c.shift, c.scale)); got != c.want {
			t.Errorf("moved by %v, scaled by %v: %s, not %s", c.shift, c.scale, got, c.want)
		}
	}
}

// What bars and ticks say is in the page's language: each class, end and effect has a
// text.
func TestThePictureSpeaksThePagesLanguage(t *testing.T) {
	p := testPage(t, "zh-CN")
	has := func(key string) {
		t.Helper()
		for _, lang := range languages() {
			if p.dash.texts[lang][key] == "" {
				t.Errorf("%s: there is no text %s", lang, key)
			}
		}
	}
	for _, class := range events.Classes() {
		has("class." + string(class))
	}
	for _, end := range projection.EpisodeEnds() {
		has("end." + string(end))
	}
	for _, effect := range []events.Effect{events.EffectStarted, events.EffectExtended, events.EffectKept, events.EffectHeld, events.EffectNone} {
		has("effect." + string(effect))
	}
	b := bar{EpisodeRow: freeze("a1", hours(1), hours(2))}
	b.Ended = "recovered"
	if got, want := p.Episode(b), "a1 · claude; 冷却; 配额用尽; 2026-09-14 01:00:00 至 2026-09-14 02:00:00 UTC，已恢复"; got != want {
		t.Errorf("a bar says %q, not %q", got, want)
	}
	k := tick{EventRow: api.EventRow{
		At: hours(1), Kind: "limit_observed", Account: "a1", Text: "HTTP 429 for x",
		Data: api.EventData{Target: "claude", Model: "opus", Status: 429, Class: "quota_exhausted", Effect: "started"},
	}}
	if got, want := p.Answer(k), "a1 · claude; 限流响应; 2026-09-14 01:00:00 UTC; HTTP 429 opus; 配额用尽; 开始冻结"; got != want {
		t.Errorf("a tick says %q, not %q", got, want)
	}
}
