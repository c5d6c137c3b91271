package browser

import (
	"net/http"
	"testing"
)

// status is the status that the grid shows of a cell.
const status = `document.querySelector('tr[data-account=' + JSON.stringify(%s) + '] [data-target="claude"]')?.dataset.status`

func TestALiveFreezeAppears(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2", "team-3"} {
		s.account(id, "antigravity")
	}
	b := s.follow("")
	b.wait(status+" === 'available'", "team-1")
	eval[any](b, "window.untouched = document.querySelector('tr[data-account=\"team-2\"] [data-target=\"claude\"]'); 1")
	s.limit("team-1")
	b.wait(status+" === 'cooling'", "team-1")
	if !eval[bool](b, "window.untouched.isConnected") {
		t.Error("a cell of another account was replaced too")
	}
	s.limit("team-2")
	s.limit("team-3")
	b.wait("document.querySelector('th.exhausted[data-group=\"claude\"]')")
	b.shot("grid")
}

// An account of a provider without groups is in the grid, and a change of it replaces its row
// alone.
func TestAnAccountWithoutGroups(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	b := s.follow("")
	s.account("m-1", "myprov")
	everything := `document.querySelector('section[data-provider="myprov"] tr[data-account="m-1"] div[data-target="*"]')?.dataset.status === %s`
	b.wait(everything, "available")
	b.live()
	eval[any](b, `window.untouched = document.querySelector('tr[data-account="team-1"]'); 1`)
	s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": "m-1", "target": "*", "reason": "r", "forever": true})
	b.wait(everything, "suspended")
	s.call(http.MethodPatch, "/v1/accounts/m-1", map[string]any{"priority": 3})
	s.call(http.MethodPost, "/v1/lift", map[string]any{"account": "m-1", "target": "*"})
	b.wait(everything, "available")
	b.live()
	if !eval[bool](b, "window.untouched.isConnected") {
		t.Error("the whole grid was made anew")
	}
}

// That a probe falls due is in no record: the page says it when it is time.
func TestAProbeFallsDue(t *testing.T) {
	s := open(t)
	s.account("team-1", "antigravity")
	s.limit("team-1")
	b := s.follow("")
	const origin = `document.querySelector('tr[data-account="team-1"] td[data-target="claude"] .origin')`
	b.wait(origin + ".innerText === 'automatic'")
	eval[any](b, `const probe = Date.parse(`+origin+`.dataset.probe); Date.now = () => probe + 600_000; 1`)
	b.wait(origin + ".innerText === 'probe due'")
	b.wait(status+" === 'cooling'", "team-1")
}
