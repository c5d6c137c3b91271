package projection

import (
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// nextProbe is how long after noon a cell is probed; -1: no probe is planned.
func (x *scenario) nextProbe(account, target string) time.Duration {
	x.Helper()
	at := NewOutlook(x.s, x.now).NextProbe(x.s.Account(account), target)
	if at.IsZero() {
		return -1
	}
	return at.Sub(noon())
}

func TestRule23NextProbeFollowsTheScheduleThatHolds(t *testing.T) {
	x := newScenario(t)
	expect := func(what, account, target string, want time.Duration) {
		t.Helper()
		if got := x.nextProbe(account, target); got != want {
			t.Errorf("%s: %s on %s is probed after %s, want %s", what, target, account, got, want)
		}
	}
	expect("nothing cools", "a1", "claude", -1)
	x.report("a1", opus, quota(7*24*3600))
	expect("another can serve", "a1", "claude", time.Hour)
	expect("another group", "a1", "gemini-pro", -1)
	x.report("a2", opus, quota(3*60))
	expect("nobody can serve", "a1", "claude", 5*time.Minute)
	expect("it is back before a probe", "a2", "claude", -1)
	x.at(time.Minute).do(&Recheck{Filter: Filter{Account: "a2"}})
	expect("an operator asked", "a2", "claude", time.Minute)
	x.do(suspend("a2", "claude", "by hand"))
	expect("suspended beside", "a2", "claude", -1)
	x.do(&PatchAccount{ID: "a1", Disabled: new(true)})
	expect("switched off", "a1", "claude", -1)
}

func TestRule23NextProbeOfEverythingIsThatOfTheFirstGroup(t *testing.T) {
	x := newScenario(t)
	x.add("c1", "cursor")
	for _, id := range []string{"a1", "c1"} {
		s := signal(events.ClassPayment, events.ScopeAccount, 24*3600)
		x.report(id, opus, s)
	}
	if got := x.nextProbe("a1", events.TargetAll); got != time.Hour {
		t.Errorf("while a2 serves every group, everything on a1 is probed after %s", got)
	}
	x.report("a2", flash, quota(24*3600))
	if got := x.nextProbe("a1", events.TargetAll); got != 5*time.Minute {
		t.Errorf("while nobody serves a group, everything on a1 is probed after %s", got)
	}
	if got := x.nextProbe("c1", events.TargetAll); got != 5*time.Minute {
		t.Errorf("without groups everything is probed after %s", got)
	}
}

func TestRule23NextProbeOfAModel(t *testing.T) {
	x := newScenario(t)
	x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{Probe: &ProbeConfig{
		Empty: []Duration{Duration(time.Second), Duration(time.Minute)},
	}}}})
	x.report("a1", opus, capacity(60))
	if got := x.nextProbe("a1", "model:"+opus); got != -1 {
		t.Errorf("while a2 serves it, a model of a short cooldown is probed after %s", got)
	}
	x.report("a2", opus, quota(300))
	if got := x.nextProbe("a1", "model:"+opus); got != time.Second {
		t.Errorf("while nobody serves it, it is probed after %s", got)
	}
	x.report("a1", opus, quota(300))
	if got := x.nextProbe("a1", "model:"+opus); got != time.Second {
		t.Errorf("with its group blocked too it is probed after %s", got)
	}
	x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{Probe: &ProbeConfig{Mode: new(ProbeOff)}}}})
	for _, target := range []string{"claude", "model:" + opus} {
		if got := x.nextProbe("a1", target); got != -1 {
			t.Errorf("with probes off %s is probed after %s", target, got)
		}
	}
}
