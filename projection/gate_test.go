package projection

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

func isOpen(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestGatesWakeWhomTheyConcern(t *testing.T) {
	var g gates
	one, leaveOne := g.wait("p")
	other, leaveOther := g.wait("p")
	third, leaveThird := g.wait("q")
	g.open(gains{providers: []string{"x"}})
	g.open(gains{})
	if isOpen(one) || isOpen(third) {
		t.Error("a gate opened for what does not concern it")
	}
	g.open(gains{providers: []string{"x", "p"}})
	if !isOpen(one) || !isOpen(other) || isOpen(third) {
		t.Error("not those opened that wait for p")
	}
	again, leaveAgain := g.wait("p")
	leaveOne() // of the gate before: nothing to this one
	leaveOther()
	if isOpen(again) || len(g.shut) != 2 {
		t.Errorf("a new wait is over at once, or %d gates are left", len(g.shut))
	}
	g.open(gains{all: true})
	if !isOpen(again) || !isOpen(third) || len(g.shut) != 0 {
		t.Errorf("not all opened, or %d gates are left", len(g.shut))
	}
	leaveAgain()
	leaveThird()
}

// TestGatesAreForgotten when nobody waits any more.
func TestGatesAreForgotten(t *testing.T) {
	var g gates
	_, leaveOne := g.wait("p")
	second, leaveTwo := g.wait("p")
	leaveOne()
	if len(g.shut) != 1 {
		t.Error("a gate is gone that somebody waits at")
	}
	g.open(gains{providers: []string{"p"}})
	if !isOpen(second) {
		t.Error("who stays is not woken")
	}
	leaveTwo()
	_, leave := g.wait("p")
	leave()
	if len(g.shut) != 0 {
		t.Errorf("%d gates are left", len(g.shut))
	}
}

// TestGatesManyAtOnce: whoever waits before a gate opens is woken by it, and nothing is
// left, whatever comes together.
func TestGatesManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gates
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				for range 20 {
					opened, leave := g.wait("p")
					if i%2 == 0 {
						<-opened
					}
					leave()
				}
			})
		}
		done := make(chan struct{})
		go func() {
			all.Wait()
			close(done)
		}()
		for {
			synctest.Wait()
			if isOpen(done) {
				break
			}
			g.open(gains{providers: []string{"p"}})
		}
		if len(g.shut) != 0 {
			t.Errorf("%d gates are left", len(g.shut))
		}
	})
}

// TestWaitIsWokenByGainsAlone: by what makes an account usable or due for a probe, of
// the provider that waits.
func TestWaitIsWokenByGainsAlone(t *testing.T) {
	cell := Filter{Account: "a1", Target: "claude"}
	tests := []struct {
		name  string
		do    Intent
		wakes bool
	}{
		{"a freeze", &Report{Account: "a1", Provider: "antigravity", Model: opus, Status: 429, Signal: quota(3600)}, false},
		{"a longer one", &Report{Account: "a1", Provider: "antigravity", Model: opus, Status: 429, Signal: quota(7200)}, false},
		{"a recheck", &Recheck{Filter: cell}, true},
		{"a suspension", suspend("a1", "claude", "x"), false},
		{"another's freeze", &Report{Account: "a2", Provider: "antigravity", Model: opus, Status: 429, Signal: quota(3600)}, false},
		{"a lift beside a cooldown that is due for a probe", lift("a1", "claude"), true},
		{"another provider's account", &PutAccount{ID: "c1", Spec: events.AccountSpec{Provider: "codex"}}, false},
		{"a clear", clearCell("a1", "claude"), true},
		{"a disabled account", &PatchAccount{ID: "a1", Disabled: new(true)}, false},
		{"an enabled one", &PatchAccount{ID: "a1", Disabled: new(false)}, true},
		{"an account that becomes known", &Report{Account: "seen", Provider: "antigravity", Model: opus, Status: 429, Signal: quota(3600)}, true},
		{"groups", &DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}}, true},
		{"a policy", &DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{Probe: &ProbeConfig{Mode: new(ProbeWhenEmpty)}}}}, true},
	}
	e := open(t, eventstest.New(), withAccounts(3))
	for _, test := range tests {
		opened, leave := e.Wait("antigravity")
		execute(t, e, command(test.do))
		if isOpen(opened) != test.wakes {
			t.Errorf("%s: woken %t, want %t", test.name, isOpen(opened), test.wakes)
		}
		leave()
	}
	if len(e.gates.shut) != 0 {
		t.Errorf("%d gates are left", len(e.gates.shut))
	}
}
