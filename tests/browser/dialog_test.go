package browser

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// suspend blocks the claude group of an account, as somebody else does.
func (s *site) suspend(account string) {
	s.t.Helper()
	s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": account, "target": "claude", "reason": "r", "forever": true})
}

// see has the page believe that somebody sees it, or that nobody does: then it hears of no
// record.
func (b *tab) see(seen bool) {
	b.t.Helper()
	eval[any](b, `Object.defineProperty(document, 'hidden', { value: !%s, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); 1`, seen)
}

// last says that the dialog asks to type the group's name, and why.
const last = `!document.getElementById('act-confirm').hidden && document.getElementById('act-go').disabled &&
	document.getElementById('act-preview').innerText.includes('1 usable → 0 of 2') && document.getElementById('act-wrong').innerText.includes('The pool has changed')`

// While a dialog is open somebody else takes the last other account: it says so at once, and
// asks for what it asks before a group loses its last one.
func TestTheDialogFollowsThePool(t *testing.T) {
	s := openPair(t)
	b := s.follow("ui/cell?account=team-1&target=claude")
	b.act("suspend", "r")
	b.wait("!document.getElementById('act-go').disabled")
	s.suspend("team-2")
	b.wait(last)
	b.write("#act-typed", "claude")
	b.confirm()
	b.cellIs("suspended")
}

// A page that has not heard of it looks before it acts, and stops.
func TestTheDialogLooksBeforeItActs(t *testing.T) {
	s := openPair(t)
	b := s.follow("ui/cell?account=team-1&target=claude")
	b.act("suspend", "of team-1")
	b.wait("!document.getElementById('act-go').disabled")
	b.see(false)
	s.suspend("team-2")
	b.click("#act-go")
	b.wait(last)
	if doc := strings.Join(s.events(), "\n"); strings.Contains(doc, " ui ") {
		t.Errorf("it was done unseen:\n%s", doc)
	}
	b.see(true)
	b.write("#act-typed", "claude")
	b.confirm()
	b.cellIs("suspended")
}

// What the grid shows fewer cells by, and the dialog has no field for, is named, and the
// action waits until somebody says that all the cells are meant.
func TestTheDialogNamesWhatItLeavesOut(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2", "team-3"} {
		s.account(id, "antigravity")
	}
	s.suspend("team-1")
	b := s.enter()
	for filter, want := range map[string][3]string{
		"provider:antigravity state: suspended team-1": {"antigravity", "", "state:suspended team-1"},
		"Provider:antigravity group:claude":            {"antigravity", "claude", ""},
		"group:claude group:gemini-pro":                {"", "claude", "group:gemini-pro"},
		"provider:anti* group:claude":                  {"", "claude", "provider:anti*"},
	} {
		b.visit("?q=" + url.QueryEscape(filter))
		b.live()
		b.act("lift", "")
		const field = "document.querySelector('#act-filter input[name=%s]').value === "
		b.wait(strings.Replace(field, "%s", "provider", 1)+"%s", want[0])
		b.wait(strings.Replace(field, "%s", "target", 1)+"%s", want[1])
		b.wait("document.getElementById('act-preview').innerText.includes('1 cells')")
		if want[2] == "" {
			b.wait("document.getElementById('act-wider').hidden && !document.getElementById('act-go').disabled")
		} else {
			b.wait("document.getElementById('act-wider').innerText.includes(': ' + %s + ' cannot')", want[2])
			if !eval[bool](b, "document.getElementById('act-go').disabled") {
				t.Errorf("%q: more than the filter shows could be done unasked", filter)
			}
			b.click("#act-meant")
			b.wait("!document.getElementById('act-go').disabled")
		}
	}
}
