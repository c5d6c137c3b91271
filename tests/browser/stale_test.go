package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// hold has the page's questions for a part of it wait: the answer is made, and comes when
// window.released is set.
func (b *tab) hold(part string) {
	b.t.Helper()
	eval[any](b, `(() => {
		const real = window.fetch;
		window.held = 0;
		window.fetch = async (address, init) => {
			const answer = await real(address, init);
			if (String(address).includes(%s) && !window.released) {
				const text = await answer.text();
				window.held++;
				await new Promise((go) => { const look = () => (window.released ? go() : setTimeout(look, 5)); look(); });
				return new Response(text, { status: answer.status });
			}
			return answer;
		};
	})(); 1`, part)
}

// A record that comes while the answer about an earlier one is on its way is not lost.
func TestARecordDuringAnAnswerIsNotLost(t *testing.T) {
	s := openPair(t)
	browser := browse(t)
	suspend := func(reason string) {
		s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": "team-1", "target": "claude", "reason": reason, "forever": true})
	}
	lift := func() {
		s.call(http.MethodPost, "/v1/lift", map[string]any{"account": "team-1", "target": "claude"})
	}
	for _, page := range []struct{ path, part, shown string }{
		{"", "ui/rows", fill(status, "team-1") + " === %s"},
		{"ui/status", "ui/status", "document.querySelector('#status dl a').textContent === String(window.newest)"},
	} {
		b := newTab(t, browser, s.url)
		if page.path == "" {
			b.login(s.token, "Mia")
			browser = b.ctx
		}
		b.visit(page.path)
		b.live()
		b.hold(page.part)
		suspend("r " + page.path)
		b.wait("window.held > 0")
		lift()
		time.Sleep(300 * time.Millisecond) // the stream is faster; without this the test could only pass
		eval[any](b, "window.released = true; window.newest = "+fmt.Sprint(s.call(http.MethodGet, "/v1/head", nil)["seq"])+"; 1")
		if strings.Contains(page.shown, "%s") {
			b.wait(page.shown, "available")
		} else {
			b.wait(page.shown)
		}
	}
}

// An account that was removed is gone from the counts too, and from its own page.
func TestARemovedAccountIsGone(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2", "solo"} {
		s.account(id, map[bool]string{true: "codex", false: "antigravity"}[id == "solo"])
	}
	b := s.follow("")
	two := newTab(t, b.ctx, s.url)
	two.pardon("404")
	two.visit("ui/cell?account=team-2&target=claude")
	two.live()
	remove := func(id string) { s.call(http.MethodDelete, "/v1/accounts/"+id, nil) }
	remove("team-2")
	b.wait(`document.querySelector('th[data-group="claude"] .usable').textContent.includes('1 of 1')`)
	two.wait("document.querySelector('[role=alert]')?.textContent.includes('team-2')")
	remove("solo")
	b.wait(`document.querySelector('section[data-provider="codex"]') === null`)
}

// The filter holds also after all tables were made anew, and an address that is typed into
// it is not in the address of the page.
func TestTheFilterStays(t *testing.T) {
	s := open(t)
	s.account("a@example.com", "antigravity")
	s.account("team-1", "antigravity")
	b := s.follow("")
	b.write("#filter", "a@example.com")
	const one = "document.querySelectorAll('#grid tbody tr:not([hidden])').length === 1"
	b.wait(one)
	if address := eval[string](b, "decodeURIComponent(location.href)"); strings.Contains(address, "example.com") {
		t.Errorf("the address of the page is %s", address)
	}
	s.account("team-2", "antigravity")
	b.wait(`document.querySelector('tr[data-account="team-2"]')`)
	b.wait(one)
}

// Two hundred accounts with long ids change at once: the address of one question for all
// of them would be longer than a server takes.
func TestManyLongIDsAtOnce(t *testing.T) {
	s := open(t)
	for i := range 150 {
		s.account(fmt.Sprintf("%s-%03d", strings.Repeat("x", 200), i), "antigravity")
	}
	b := s.follow("")
	s.call(http.MethodPost, "/v1/suspend", map[string]any{"provider": "antigravity", "target": "claude", "reason": "r", "forever": true})
	b.wait(`document.querySelectorAll('td[data-target="claude"][data-status="suspended"]').length === 150`)
	b.live()
}

// What the dialog does is what it showed: while a field changes nothing can be confirmed.
func TestNothingIsDoneThatWasNotShown(t *testing.T) {
	s := openPair(t)
	b := s.follow("")
	b.act("suspend", "r")
	b.write("#act-filter input[name=account]", "team-1")
	b.wait("!document.getElementById('act-go').disabled")
	if !eval[bool](b, `(() => {
		const field = document.querySelector('#act-filter input[name=account]');
		field.value = 'team-*';
		field.dispatchEvent(new Event('input', { bubbles: true }));
		return document.getElementById('act-go').disabled;
	})()`) {
		t.Error("the preview of other cells could be confirmed")
	}
}

// A tab that nobody sees holds no connection, of which a browser has six for all tabs; seen
// again it goes on where it was. One that the browser kept is made anew.
func TestATabThatNobodySees(t *testing.T) {
	s := openPair(t)
	b := s.follow("")
	readers := func(n int) {
		t.Helper()
		text := ""
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if text = s.metrics(); strings.Contains(text, fmt.Sprintf("\nabeyance_subscribers %d\n", n)) {
				return
			}
		}
		t.Fatalf("there are not %d readers", n)
	}
	readers(1)
	b.see(false)
	readers(0)
	s.limit("team-1")
	b.see(true)
	b.wait(status+" === 'cooling'", "team-1")
	readers(1)
	eval[any](b, "window.untouched = true; window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })); 1")
	const anew = "window.untouched === undefined && document.getElementById('live')?.dataset.state === 'live'"
	b.wait(anew)
	// An older log was put in the place of the one that is shown: it can only be shown anew.
	eval[any](b, `window.untouched = true; window.fetch = async () => new Response('{"seq": 1}'); 1`)
	b.see(false)
	b.see(true)
	b.wait(anew)
}

// metrics returns the daemon's figures.
func (s *site) metrics() string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// An answer that comes late does not make a page live that is cut off.
func TestCutOffIsNotLive(t *testing.T) {
	s := openPair(t)
	b := s.enter()
	b.pardon(away()...)
	b.visit("ui/cell?" + url.Values{"account": {"team-1"}, "target": {"claude"}}.Encode())
	b.live()
	b.hold("ui/cell")
	s.limit("team-1")
	b.wait("window.held > 0")
	s.stop()
	b.wait("document.getElementById('live').dataset.state === 'reconnecting'")
	eval[any](b, `window.said = new Set();
		new MutationObserver(() => window.said.add(document.getElementById('live').dataset.state)).observe(document.getElementById('live'), { attributes: true });
		window.released = true; 1`)
	b.cellIs("cooling")
	time.Sleep(200 * time.Millisecond)
	if eval[bool](b, "window.said.has('live')") {
		t.Error("the page said that it was live while the daemon was away")
	}
}

// The history says how many newer records match its filters, and a filter that is typed
// leads to them.
func TestNewerRecordsOfTheFilters(t *testing.T) {
	s := open(t)
	s.account("user@example.com", "antigravity")
	s.account("team-1", "antigravity")
	b := s.follow("ui/audit")
	b.write("input[name=account]", "user@example.com")
	b.click("form.tools button")
	b.wait("new URL(location.href).searchParams.get('account')?.startsWith('acct_')")
	b.live()
	s.limit("team-1")
	s.limit("user@example.com")
	b.wait("document.getElementById('newer').textContent.startsWith('1 newer')")
	b.click("#newer a")
	b.wait("document.querySelector('table.records tbody').innerText.includes('limit_observed')")
}

// A provider that runs out comes first at once, not when somebody loads the page again.
func TestWhatRunsOutComesFirst(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	s.account("solo", "codex")
	b := s.follow("")
	b.wait("document.querySelector('section.pool').dataset.provider === 'antigravity'")
	s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": "solo", "reason": "r", "forever": true})
	b.wait("document.querySelector('section.pool').dataset.provider === 'codex'")
	b.live()
}
