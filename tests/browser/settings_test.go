package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// Who changes the language or the colours stays where they are: with the filter, the order and
// the moment that scripts have noted in the address.
func TestAnotherLanguageKeepsTheView(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	s.account("solo", "codex")
	b := s.follow("")
	b.write("#filter", "provider:codex state:available")
	const shown = "document.querySelectorAll('#grid tbody tr:not([hidden])').length === 1"
	b.wait(shown)
	b.wait("location.search !== ''")
	b.click(`button[name="lang"]`)
	b.wait("document.documentElement.lang === 'zh-CN' && document.getElementById('filter').value === 'provider:codex state:available'")
	b.wait(shown)
	b.click(`button[name="theme"]`)
	b.wait("document.documentElement.dataset.theme === 'light' && document.getElementById('filter').value === 'provider:codex state:available'")

	b.visit("ui/replay")
	at := "document.getElementById('moment')?.dataset.seq === %s"
	b.wait(at, "4")
	b.press(kb.ArrowLeft)
	b.wait(at, "3")
	b.wait("new URL(location.href).searchParams.get('at') === 'seq:3'")
	b.click(`button[name="lang"]`)
	b.wait("document.documentElement.lang === 'en'")
	b.wait(at, "3")
}

// What the API refuses is said in the language of the page, and below as the API said it.
func TestProblemsOfActsInChinese(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	b := s.enter()
	b.pardon("404")
	b.click(`button[name="lang"]`)
	b.wait("document.documentElement.lang === 'zh-CN'")
	b.live()
	b.act("suspend", "r")
	b.write("#act-filter input[name=account]", "nobody")
	b.wait(`document.getElementById('act-wrong').innerText.startsWith('没有这个账号。') && document.querySelector('#act-wrong [lang=en]').innerText.includes('"nobody"')`)
}
