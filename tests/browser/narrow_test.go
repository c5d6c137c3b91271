package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// hidden are the boxes of the grid that reach beyond the cell of the table that they are in.
const hidden = `Array.from(document.querySelectorAll('table.grid :is(td, th)')).filter(e => {
	const right = e.getBoundingClientRect().right + 0.5;
	return e.scrollWidth > e.clientWidth || Array.from(e.querySelectorAll('*')).some(x => x.getBoundingClientRect().right > right);
}).map(e => e.innerText)`

// However narrow the window is, the state of a cell, its countdown and its origin can be
// read, with the longest texts of both languages; and a wide one has them on one line.
func TestStatesAreReadAtAnyWidth(t *testing.T) {
	s := open(t)
	long := strings.Repeat("a-rather-long-account-name-as-proxies-make-them-", 2) + "1"
	for _, id := range []string{long, "team-1", "team-2"} {
		s.account(id, "antigravity")
	}
	s.limit("team-1")
	suspend := func(account, target string) {
		s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": account, "target": target, "reason": "r", "for": "3599s"})
	}
	suspend(long, "*")
	suspend("team-2", "claude")
	suspend("team-2", "model:"+strings.Repeat("claude-opus-4-6-thinking-", 4))
	b := s.enter()
	for _, lang := range []string{"en", "zh-CN"} {
		if eval[string](b, "document.documentElement.lang") != lang {
			b.click(`button[name="lang"]`)
			b.wait("document.documentElement.lang === %s", lang)
		}
		for _, width := range []int{320, 390, 768, 1280} {
			b.do(chromedp.EmulateViewport(int64(width), 844))
			b.visit("")
			b.live()
			b.readable(fmt.Sprintf("%s at %d", lang, width), width)
		}
		for _, text := range eval[[]string](b, `Array.from(document.querySelectorAll('td:not(.other) .cell')).filter(e => e.getBoundingClientRect().height > 30).map(e => e.innerText)`) {
			t.Errorf("%s: more than a line: %s", lang, text)
		}
	}
}

// readable fails for what of the grid is not seen in a window of a width.
func (b *tab) readable(what string, width int) {
	b.t.Helper()
	for _, text := range eval[[]string](b, hidden) {
		b.t.Errorf("%s: not all is seen of %s", what, text)
	}
	if w := eval[int](b, "document.scrollingElement.scrollWidth"); w > width {
		b.t.Errorf("%s: the page is %d wide", what, w)
	}
	if n := eval[int](b, "document.querySelectorAll('td:not(.other) .cell .left, td:not(.other) .cell .origin').length"); n != 2*5 {
		b.t.Errorf("%s: %d countdowns and origins", what, n)
	}
}

// How many accounts of how many can serve a group is read as one on a phone's status page, even
// below a head as short as the Chinese one.
func TestCountsStayTogether(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	b := s.enter()
	b.click(`button[name="lang"]`)
	b.wait("document.documentElement.lang === 'zh-CN'")
	b.do(chromedp.EmulateViewport(320, 844))
	b.visit("ui/status")
	b.live()
	if n := eval[int](b, `(() => { const r = document.createRange(); r.selectNodeContents(document.querySelector('#status tbody td:nth-child(3)')); return r.getClientRects().length; })()`); n != 1 {
		t.Errorf("the count is on %d lines", n)
	}
}
