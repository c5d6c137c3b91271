package browser

import "testing"

// status is the status that the grid shows of a cell.
const status = `document.querySelector('tr[data-account=' + JSON.stringify(%s) + '] [data-target="claude"]')?.dataset.status`

func TestALiveFreezeAppears(t *testing.T) {
	s := open(t)
	for _, id := range []string{"team-1", "team-2", "team-3"} {
		s.account(id, "antigravity")
	}
	b := s.enter()
	b.live()
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
