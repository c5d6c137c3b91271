package browser

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// events returns the history's kinds, the newest first, with who did it.
func (s *site) events() (list []string) {
	s.t.Helper()
	for _, item := range s.call(http.MethodGet, "/v1/events", nil)["items"].([]any) {
		e := item.(map[string]any)
		who, _ := e["on_behalf_of"].(string)
		list = append(list, e["kind"].(string)+" "+e["actor"].(string)+" "+e["via"].(string)+" "+who)
	}
	return list
}

// wantEvent fails unless the history has an event.
func (s *site) wantEvent(want string) {
	s.t.Helper()
	if list := s.events(); !strings.Contains(strings.Join(list, "\n")+"\n", want+"\n") {
		s.t.Errorf("no %q in:\n%s", want, strings.Join(list, "\n"))
	}
}

// cellIs is the status that a cell's page shows first.
const cellIs = `document.querySelector('p.sentence .state.s-%s')`

func (b *tab) cellIs(status string) {
	b.t.Helper()
	b.wait(strings.Replace(cellIs, "%s", status, 1))
}

// act presses one of the cell's buttons and fills the dialog in.
func (b *tab) act(verb, reason string) {
	b.t.Helper()
	b.click(`button[data-verb="` + verb + `"]`)
	b.wait("document.getElementById('act').open")
	if reason != "" {
		b.write("#act-reason", reason)
	}
}

// confirm waits until the dialog's button can be pressed, and presses it.
func (b *tab) confirm() {
	b.t.Helper()
	b.wait("!document.getElementById('act-go').disabled")
	b.click("#act-go")
	b.wait("!document.getElementById('act').open")
}

func TestAnOperatorsActs(t *testing.T) {
	s := openPair(t)
	b := s.follow("ui/cell?account=team-1&target=claude")
	b.cellIs("available")

	// A reason and a preview; the page changes when the event arrives.
	b.act("suspend", "maintenance of the card")
	b.wait("document.getElementById('act-preview').innerText.includes('2 usable → 1 of 2')")
	b.confirm()
	b.cellIs("suspended")
	s.wantEvent("suspended operator:admin ui Mia")
	if !eval[bool](b, "document.getElementById('cell').innerText.includes('maintenance of the card')") {
		t.Error("the reason is not shown")
	}

	b.act("lift", "done")
	b.confirm()
	b.cellIs("available")
	s.wantEvent("lifted operator:admin ui Mia")

	// The last account of a group: its name is to be typed.
	s.limit("team-2")
	b.act("suspend", "for good")
	b.wait("!document.getElementById('act-confirm').hidden")
	if !eval[bool](b, "document.getElementById('act-go').disabled") {
		t.Error("the last account could be suspended without typing the group's name")
	}
	b.write("#act-typed", "claude")
	b.confirm()
	b.cellIs("suspended")

	b.visit("ui/cell?account=team-2&target=claude")
	b.live()
	b.cellIs("cooling")
	b.act("recheck", "")
	b.confirm()
	b.wait("document.getElementById('cell').innerText.includes('recheck_requested')")
	s.wantEvent("recheck_requested operator:admin ui Mia")
}

func TestABulkClear(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2", "team-3"} {
		s.account(id, "antigravity")
		s.limit(id)
	}
	b := s.follow("")
	b.write("#filter", "group:claude")
	b.act("clear", "the provider gave them back")
	b.wait("document.getElementById('act-preview').innerText.includes('3 cells')")
	b.confirm()
	for _, id := range []string{"team-1", "team-2", "team-3"} {
		b.wait(status+" === 'available'", id)
	}
	s.wantEvent("cooldown_cleared operator:admin ui Mia")
}

func TestFilterAndOrder(t *testing.T) {
	s := open(t)
	for _, id := range []string{"a-1", "a-2", "b-1"} {
		s.account(id, "antigravity")
	}
	s.account("c-1", "codex")
	s.limit("b-1")
	b := s.enter()
	const shown = `Array.from(document.querySelectorAll('#grid tbody tr:not([hidden])'), r => r.dataset.account).join(' ') === %s`
	for filter, want := range map[string]string{
		"":                           "a-1 a-2 b-1 c-1",
		"a-*":                        "a-1 a-2",
		"1 provider:anti*":           "a-1 b-1",
		"state:cooling":              "b-1",
		"group:claude state:cooling": "b-1",
		"group:claude state:held":    "",
		"?-2":                        "a-2",
		"A-* STATE: Available":       "a-1 a-2",
		"state:cooling provider: x":  "",
		"*-*1":                       "a-1 b-1 c-1",
		"*-*-*":                      "",
		"**?":                        "a-1 a-2 b-1 c-1",
		"b-1*?":                      "",
	} {
		b.visit("?q=" + url.QueryEscape(filter))
		b.wait(shown, want)
	}
	b.visit("?sort=back")
	b.wait(shown, "b-1 a-1 a-2 c-1")
	// A pattern that could be tried in ever so many ways takes no time.
	s.account(strings.Repeat("a", 120), "antigravity")
	b.wait("document.querySelectorAll('#grid tbody tr').length === 5")
	b.write("#filter", strings.Repeat("*a", 12)+"*b")
	b.wait(shown, "")
}

func TestTwoTabs(t *testing.T) {
	s := openPair(t)
	browser := browse(t)
	one := newTab(t, browser, s.url)
	one.login(s.token, "Mia")
	one.live()
	two := newTab(t, one.ctx, s.url) // the same browser: one login
	two.visit("ui/cell?account=team-1&target=claude")
	two.live()
	two.act("suspend", "seen in the other tab")
	two.confirm()
	two.cellIs("suspended")
	one.wait(status+" === 'suspended'", "team-1")
	// Logged out in one tab is logged out in the other.
	one.pardon("401")
	two.pardon("401")
	two.do(chromedp.Click(chromedp.CSS("form[action$='logout'] button")))
	two.wait("location.pathname.endsWith('/ui/login')")
	one.wait("location.pathname.endsWith('/ui/login')")
}

func TestARestartOfTheDaemon(t *testing.T) {
	s := openPair(t)
	b := s.enter()
	b.pardon(away()...)
	b.live()
	eval[any](b, "window.untouched = true")
	s.stop()
	b.wait("document.getElementById('live').dataset.state === 'reconnecting'")
	s.start()
	s.limit("team-1") // perhaps before the page is back
	b.live()
	b.wait(status+" === 'cooling'", "team-1")
	s.limit("team-2")
	b.wait(status+" === 'cooling'", "team-2")
	if !eval[bool](b, "window.untouched === true") {
		t.Error("the page was loaded anew")
	}
}

func TestAWrongTokenAndAnEndedSession(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	b := newTab(t, browse(t), s.url)
	b.pardon("401")
	b.pardon(away()...)
	b.visit("")
	b.wait("location.pathname.endsWith('/ui/login')") // nothing is shown before
	b.write("#token", "aby_wrong")
	b.click("form.login button")
	b.wait("document.querySelector('[role=alert]').innerText.includes('No such token')")

	b.login(s.token, "Mia")
	b.visit("ui/cell?account=team-1&target=claude")
	b.live()
	s.stop()
	end(t, filepath.Join(s.dir, "sessions.json"))
	s.start()
	b.wait("location.pathname.endsWith('/ui/login')")
	b.write("#token", s.token)
	b.click("form.login button")
	b.cellIs("available") // back where it was
}

// end has all sessions be over.
func end(t *testing.T, path string) {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(doc, &f); err != nil {
		t.Fatal(err)
	}
	for _, n := range f["sessions"].([]any) {
		n.(map[string]any)["expires_at"] = time.Now().Add(-time.Minute)
	}
	if doc, err = json.Marshal(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A proxy that strips a prefix: the pages know nothing of it.
func TestBelowAPathPrefix(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = target.Host
	}}
	front := httptest.NewServer(http.StripPrefix("/deep/er", proxy))
	t.Cleanup(front.Close)
	b := newTab(t, browse(t), front.URL+"/deep/er")
	b.login(s.token, "Mia")
	b.live()
	s.limit("team-1")
	b.wait(status+" === 'cooling'", "team-1")
	b.click(`tr[data-account="team-1"] td[data-target="claude"] a`)
	b.cellIs("cooling")
	b.live()
	b.act("clear", "r")
	b.confirm()
	b.cellIs("available")
	for _, page := range []string{"timeline", "replay", "audit", "status"} {
		b.click(`nav a[href$="ui/` + page + `"]`)
		b.wait("document.body.dataset.page === %s", page)
	}
	b.click("a.brand")
	b.wait("document.getElementById('grid')")
}

func TestReplayBySliderAndKeyboard(t *testing.T) {
	s := openPair(t)
	s.limit("team-1") // record 5
	s.limit("team-2") // record 6
	b := s.enter()
	b.visit("ui/replay")
	at := "document.getElementById('moment').dataset.seq === %s"
	b.wait(at, "6")
	b.press(kb.ArrowLeft)
	b.wait(at, "5")
	b.wait(status+" === 'available'", "team-2")
	b.wait(`document.querySelector('tr[data-account="team-2"] td.changed')`)
	b.press(kb.ArrowLeft)
	b.wait(at, "4")
	b.wait(status+" === 'available'", "team-1")
	b.do(chromedp.SetValue(chromedp.CSS("#slider"), "5"))
	eval[any](b, "document.getElementById('slider').dispatchEvent(new Event('input'))")
	b.wait(at, "5")
	b.wait(status+" === 'cooling'", "team-1")
	b.wait("new URL(location.href).searchParams.get('at') === 'seq:5'")
	b.press(kb.Home)
	b.wait(at, "1")
	b.click("#play")
	b.wait(at, "6") // by itself
	b.wait("document.getElementById('play').getAttribute('aria-pressed') === 'false'")
	if eval[int](b, "document.querySelectorAll('button[data-verb]').length") != 0 {
		t.Error("the past has buttons to act with")
	}
	// A minute on would be the future: it is now.
	eval[any](b, "window.before = document.getElementById('moment'); 1")
	b.press(kb.PageDown)
	b.wait("document.getElementById('moment') !== window.before")
	b.wait(at, "6")
	if !eval[bool](b, "document.getElementById('problem').hidden") {
		t.Error("a minute on from this minute is a problem")
	}
	b.visit("ui/replay?at=seq:5") // the deep link
	b.wait(at, "5")
}

func TestTimelineOpensTheRecord(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	s.limit("team-1")
	b := s.enter()
	b.visit("ui/timeline?" + url.Values{"from": {time.Now().UTC().Add(-2 * time.Minute).Format(time.RFC3339)}}.Encode())
	b.wait("document.querySelector('svg.timeline rect.b-cooling')")
	eval[any](b, "document.querySelector('svg.timeline g.lane a:has(rect)').focus()")
	b.wait("document.getElementById('words').innerText.includes('team-1')")
	b.press(kb.Enter)
	b.wait("document.getElementById('json')?.innerText.includes('limit_observed')")
	eval[any](b, "history.back()")
	b.wait("document.querySelector('svg.timeline rect.b-cooling')")
	at := eval[[]float64](b, "(() => { const r = document.querySelector('svg.timeline g.lane rect.b-cooling').getBoundingClientRect(); return [r.right - 0.5, r.top + 1]; })()")
	b.do(chromedp.MouseClickXY(at[0], at[1]))
	b.wait("document.getElementById('json')?.innerText.includes('limit_observed')")
	// The keys move and zoom, and the range is in the address.
	eval[any](b, "history.back()")
	b.wait("document.querySelector('svg.timeline rect.b-cooling')")
	b.live() // by then the script hears keys
	before := eval[string](b, "location.search")
	b.press("-")
	b.wait("location.search !== %s && document.getElementById('timeline')", before)
}

// Every bar of a lane can be pointed at, whatever overlaps it, and a name as long as an
// address keeps to its gutter.
func TestTimelineBarsAreNotCovered(t *testing.T) {
	s := open(t)
	long := "antigravity-a.very.long.name@a-company-with-a-long-name.example.com.json"
	for _, id := range []string{"team-1", long} {
		s.account(id, "antigravity")
		s.limit(id)
		s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": id, "target": "gemini-flash", "reason": "r", "forever": true})
	}
	b := s.enter()
	for _, by := range []string{"account", "group"} {
		b.visit("ui/timeline?" + url.Values{"by": {by}, "from": {time.Now().UTC().Add(-2 * time.Minute).Format(time.RFC3339)}}.Encode())
		b.wait("document.querySelectorAll('g.lane rect[class^=b-]').length === 4")
		covered := eval[[]string](b, `Array.from(document.querySelectorAll('g.lane rect[class^=b-]')).flatMap(r => {
			const q = r.getBoundingClientRect();
			const hit = document.elementFromPoint(q.right - 1, q.top + q.height / 2);
			return hit?.closest('a') === r.closest('a') ? [] : [r.closest('a').textContent.trim()];
		})`)
		for _, text := range covered {
			t.Errorf("by %s: a bar is covered: %s", by, text)
		}
	}
	b.visit("ui/timeline?" + url.Values{"from": {time.Now().UTC().Add(-2 * time.Minute).Format(time.RFC3339)}}.Encode())
	b.wait("document.querySelector('g.lane text.name')")
	at := eval[[]string](b, `(() => {
		const name = Array.from(document.querySelectorAll('text.name')).find(e => e.textContent.length > 40).getBoundingClientRect();
		const svg = document.querySelector('svg.timeline').getBoundingClientRect();
		return [100, 190].map(x => document.elementFromPoint(svg.left + x * svg.width / 1200, name.top + name.height / 2).getAttribute('class') || '');
	})()`)
	if at[0] != "name" || at[1] == "name" {
		t.Errorf("the name is seen as %q in its gutter, and as %q beside it", at[0], at[1])
	}
	eval[any](b, "Array.from(document.querySelectorAll('text.name')).find(e => e.textContent.length > 40).closest('a').focus()")
	b.wait("document.getElementById('words').innerText === %s", long)
}

// The tab key stops once in each lane; the arrows reach every mark of it, in the order of
// time.
func TestTimelineByKeyboard(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2"} {
		s.account(id, "antigravity")
		for range 3 {
			s.limit(id)
		}
	}
	b := s.enter()
	b.visit("ui/timeline?" + url.Values{"from": {time.Now().UTC().Add(-2 * time.Minute).Format(time.RFC3339)}}.Encode())
	b.live() // by then the script hears keys
	b.wait("document.querySelectorAll('g.lane a').length === 10 && document.querySelectorAll('g.lane a[tabindex=\"0\"]').length === 2")
	words := "document.getElementById('words').innerText"
	eval[any](b, "document.querySelector('.scroll').focus()")
	b.press(kb.Tab)
	b.wait(words+" === %s", "team-1")
	seen := eval[int](b, "window.seen = new Set([document.activeElement]); 1")
	for range 4 {
		b.press(kb.ArrowRight)
		seen = eval[int](b, "window.seen.add(document.activeElement); window.seen.size")
	}
	if seen != 5 {
		t.Errorf("the arrows reach %d of the 5 marks of a lane", seen)
	}
	search := eval[string](b, "location.search")
	b.press(kb.ArrowRight) // at the end of the lane the range stays
	b.press(kb.Home)
	b.wait(words+" === %s", "team-1")
	b.press(kb.End)
	b.wait(words + ".includes('quota spent')")
	b.press(kb.ArrowLeft)
	b.press(kb.Tab)
	b.wait(words+" === %s", "team-2")
	b.press(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)) // back to where it was
	b.wait(words + ".startsWith('team-1 ')")
	if got := eval[string](b, "getComputedStyle(document.activeElement.querySelector('path, rect')).strokeWidth"); got != "3px" && got != "2px" {
		t.Errorf("the focus on a mark is not seen: its line is %s wide", got)
	}
	if now := eval[string](b, "location.search"); now != search {
		t.Errorf("the arrows moved the range from %s to %s", search, now)
	}
	b.press(kb.Enter)
	b.wait("document.getElementById('json')?.innerText.includes('limit_observed')")
}

func TestChinese(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	s.limit("team-1")
	b := newTab(t, browse(t), s.url)
	b.login(s.token, "美亚")
	b.click(`button[name="lang"]`)
	b.wait("document.documentElement.lang === 'zh-CN'")
	b.wait("document.querySelector('.s-cooling').innerText.includes('冷却中')")
	b.live()
	b.wait("document.getElementById('live').innerText.includes('实时')")
	b.shot("grid-zh")
	b.visit("ui/cell?account=team-1&target=claude")
	b.wait("document.querySelector('button[data-verb=\"clear\"]').innerText === '清除'")
}

func TestDark(t *testing.T) {
	s := open(t)
	b := s.enter()
	ground := "getComputedStyle(document.body).backgroundColor === %s"
	b.scheme("light")
	b.wait(ground, "rgb(255, 255, 255)")
	b.scheme("dark")
	b.wait(ground, "rgb(18, 22, 28)")
	b.click(`button[name="theme"]`) // light, whatever the system has
	b.wait(ground, "rgb(255, 255, 255)")
	b.scheme("light")
	b.click(`button[name="theme"]`) // dark
	b.wait(ground, "rgb(18, 22, 28)")
}
