package browser

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// faults is a script that looks a page over for what would keep somebody out: it returns
// what it finds, in words. It computes contrast as WCAG 2.1 does.
const faults = `(() => {
  const found = [];
  const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('[hidden]');
  const name = (e) => (e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') && document.getElementById(e.getAttribute('aria-labelledby'))?.textContent) ||
    Array.from(e.labels || [], (l) => l.textContent).join(' ') || e.textContent || e.title || '').trim();
  const tell = (what, e) => found.push(what + ': ' + e.outerHTML.slice(0, 120));

  // Names and roles
  for (const e of document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, dialog, nav, [role=region], [role=group], [role=img], [role=search]')) {
    if (visible(e) && e.getAttribute('role') !== 'search' && !name(e)) tell('has no name', e);
  }
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea')) if (visible(e) && !(e.labels && e.labels.length) && !e.getAttribute('aria-label')) tell('has no label', e);
  for (const e of document.querySelectorAll('table')) {
    if (!e.querySelector('thead th[scope=col]')) tell('has no headers', e);
    for (const r of e.querySelectorAll('tbody tr')) if (!r.querySelector('th[scope=row]')) { tell('has no row header', r); break; }
  }
  for (const e of document.querySelectorAll('[aria-live]')) if (e.getAttribute('aria-live') !== 'polite') tell('is not polite', e);
  for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) tell('changes the order of the focus', e);
  const ids = Array.from(document.querySelectorAll('[id]'), (e) => e.id);
  for (const i of new Set(ids)) if (ids.filter((x) => x === i).length > 1) found.push('the id ' + i + ' is there twice');
  for (const e of document.querySelectorAll('[aria-describedby], [aria-labelledby]')) for (const a of ['aria-describedby', 'aria-labelledby'])
    for (const i of (e.getAttribute(a) || '').split(/\s+/).filter(Boolean)) if (!document.getElementById(i)) tell('names what is not there', e);
  if (document.querySelectorAll('h1').length !== 1) found.push('there are ' + document.querySelectorAll('h1').length + ' h1');
  let level = 0;
  for (const h of document.querySelectorAll('main h1, main h2, main h3, main h4')) {
    if (!visible(h)) continue;
    const n = Number(h.tagName[1]);
    if (n > level + 1) tell('skips a level', h);
    level = n;
  }
  if (!document.documentElement.lang || !document.title.trim()) found.push('language or title are missing');
  if (document.querySelectorAll('main').length !== 1) found.push('there is not one main');

  // Contrast
  const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  let looked = 0;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !visible(e) || seen.has(e) || e.closest('option, title')) continue;
    seen.add(e);
    const style = getComputedStyle(e);
    const ink = e instanceof SVGElement ? style.fill : style.color;
    const a = light(rgb(ink)), b = light(ground(e instanceof SVGElement ? e.closest('svg').parentElement : e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    looked++;
    if (!(ratio >= 4.5)) tell('has a contrast of ' + ratio.toFixed(2), e);
  }
  if (looked < 5) found.push('only ' + looked + ' texts were looked at');
  return found;
})()`

// A page without any of the faults must not be taken for a script that finds none: each
// is put into a page and found.
func TestTheFaultsAreFound(t *testing.T) {
	s := open(t)
	b := s.enter()
	for name, script := range map[string]string{
		"no name":     "document.querySelector('main').append(document.createElement('button'))",
		"no label":    "document.querySelector('main').append(document.createElement('input'))",
		"no headers":  "document.querySelector('main').append(Object.assign(document.createElement('table'), {innerHTML: '<tbody><tr><td>x</td></tr></tbody>'}))",
		"is not pol":  "document.getElementById('live').setAttribute('aria-live', 'assertive')",
		"order of":    "document.querySelector('a').tabIndex = 3",
		"is there tw": "document.querySelector('h1').id = 'live'",
		"not there":   "document.querySelector('h1').setAttribute('aria-describedby', 'nothing')",
		"skips a lev": "document.querySelector('main').append(Object.assign(document.createElement('h4'), {textContent: 'x'}))",
		"a contrast":  "document.styleSheets[0].insertRule('h1 { color: rgb(200, 200, 200) !important; background: white }', document.styleSheets[0].cssRules.length)",
	} {
		b.visit("")
		b.wait("document.querySelector('main h1')")
		eval[any](b, script+"; 1")
		list := eval[[]string](b, faults)
		doc, _ := json.Marshal(list)
		if len(list) == 0 || !strings.Contains(string(doc), name) {
			t.Errorf("%s is not found: %s", name, doc)
		}
	}
}

func TestEveryViewIsAccessible(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2"} {
		s.account(id, "antigravity")
		s.limit(id)
	}
	s.call("POST", "/v1/suspend", map[string]any{"account": "team-1", "target": "gemini-pro", "reason": "r", "forever": true})
	s.call("PATCH", "/v1/accounts/team-2", map[string]any{"disabled": true})
	b := newTab(t, browse(t), s.url)
	from := url.Values{"from": {time.Now().UTC().Add(-2 * time.Minute).Format(time.RFC3339)}}.Encode()
	for _, scheme := range []string{"light", "dark"} {
		b.visit("ui/login")
		b.scheme(scheme)
		b.wait("document.querySelector('main h1')")
		b.sound("login " + scheme)
		b.login(s.token, "Mia")
		for _, path := range []string{"", "ui/cell?account=team-1&target=claude", "ui/cell?account=team-2", "ui/timeline?" + from, "ui/replay", "ui/audit?seq=3", "ui/status", "ui/nothing"} {
			if path == "ui/nothing" {
				b.pardon("404")
			}
			b.visit(path)
			b.wait("document.querySelector('main h1')")
			b.sound(path + " " + scheme)
		}
		b.visit("ui/cell?account=team-1&target=claude")
		b.act("suspend", "r")
		b.sound("the dialog " + scheme)
		b.press(kb.Escape)
		b.wait("!document.getElementById('act').open")
		b.do(chromedp.Click(chromedp.CSS("form[action$='logout'] button")))
		b.wait("location.pathname.endsWith('/ui/login')")
	}
}

// sound fails for each fault of the page.
func (b *tab) sound(what string) {
	b.t.Helper()
	for _, f := range eval[[]string](b, faults) {
		b.t.Errorf("%s: %s", what, f)
	}
}

// The focus goes through the page in the order of reading, and what has it is seen.
func TestTheFocusGoesInOrder(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	b := s.follow("")
	last := -1
	for range 12 {
		b.press(kb.Tab)
		at := eval[int](b, "Array.from(document.querySelectorAll('*')).indexOf(document.activeElement)")
		if at <= last {
			t.Errorf("the focus goes back, to %s", eval[string](b, "document.activeElement.outerHTML"))
		}
		if last = at; eval[string](b, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
			t.Errorf("the focus is not seen on %s", eval[string](b, "document.activeElement.outerHTML"))
		}
	}
	// The dialog gives the focus back to the button that opened it.
	b.visit("ui/cell?account=team-1&target=claude")
	b.live()
	eval[any](b, "document.querySelector('button[data-verb]').focus()")
	b.press(kb.Enter)
	b.wait("document.getElementById('act').open && document.activeElement.id === 'act-reason'")
	b.press(kb.Escape)
	b.wait("document.activeElement.dataset.verb === 'suspend'")
}

// A phone shows the grid and a cell without scrolling sideways.
func TestOnAPhone(t *testing.T) {
	s := open(t)
	s.account("a-rather-long-account-name-as-proxies-make-them-of-file-names-1", "antigravity")
	s.limit("a-rather-long-account-name-as-proxies-make-them-of-file-names-1")
	b := newTab(t, browse(t), s.url)
	b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	b.login(s.token, "Mia")
	for _, path := range []string{"", "ui/cell?account=a-rather-long-account-name-as-proxies-make-them-of-file-names-1&target=claude"} {
		b.visit(path)
		b.wait("document.querySelector('main h1')")
		if w := eval[int](b, "document.scrollingElement.scrollWidth"); w > 390 {
			t.Errorf("%q is %d wide on a phone", path, w)
		}
		small := eval[[]string](b, `Array.from(document.querySelectorAll('main button')).filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 24).map(e => e.outerHTML)`)
		for _, e := range small {
			t.Errorf("%q: too small for a finger: %s", path, e)
		}
	}
	b.shot("cell-phone")
	b.visit("")
	b.shot("grid-phone")
}
