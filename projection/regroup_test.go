package projection

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

func TestRule13AppendedOnlyWhenDifferent(t *testing.T) {
	x := newScenario(t)
	x.nothing(&DefineGroups{})
	x.nothing(&DefinePolicy{})
	config := GroupsConfig{Groups: []GroupConfig{{ID: "mine", Providers: []string{"b", "a"}, Patterns: []string{"m"}}}}
	d := x.do(&DefineGroups{Config: config, DryRun: true})
	if len(d.Drafts) != 0 || d.Plan.Version != 2 {
		t.Errorf("a dry run gives %v, version %d", kinds(d), d.Plan.Version)
	}
	x.wants(x.do(&DefineGroups{Config: config}), events.KindGroupsDefined)
	x.nothing(&DefineGroups{Config: config})
	if v := x.s.Groups().Version; v != 2 {
		t.Errorf("version %d, want 2", v)
	}
	x.wants(x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{Capacity: &ClassConfig{None: true}}}}), events.KindPolicyDefined)
	x.wants(x.do(&DefineGroups{}), events.KindGroupsDefined)
}

// A new binary's defaults differ from those in the log: that is a new definition.
func TestRule13NewDefaultsAreDefined(t *testing.T) {
	x := newScenario(t)
	older := events.GroupsDefined{
		Version: x.s.groups.Version, Preset: PresetDefault, Groups: slices.Clone(x.s.groups.List[:2]), Configured: x.s.groups.Configured,
	}
	seq := x.s.groups.Seq
	x.s.groups = newGroups(&older)
	d, err := Decide(x.s, Command{Do: &DefineGroups{}}, x.now)
	if err != nil || len(d.Drafts) != 1 {
		t.Errorf("drafts %v, error %v; want the new set", kinds(d), err)
	}
	x.s.groups = defined(t, GroupsConfig{})
	x.s.groups.Version, x.s.groups.Seq = older.Version, seq
}

func TestRule13SameIDKeepsCells(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.do(suspend("a2", "claude", "by hand"))
	d := x.do(&DefineGroups{Config: GroupsConfig{Groups: []GroupConfig{{ID: "claude", Patterns: []string{"claude-*", "gpt-oss-*", "odd-*"}}}}})
	if e := d.Drafts[0].Event.(*events.GroupsDefined); e.Kept != 2 || e.Moved != 0 || e.Merged != 0 {
		t.Errorf("kept %d, moved %d, merged %d; want 2, 0, 0", e.Kept, e.Moved, e.Merged)
	}
	x.status("a1", "claude", StatusCooling)
	x.status("a2", "claude", StatusSuspended)
}

func TestRule13CooldownMovesToItsModelsGroup(t *testing.T) {
	x := newScenario(t)
	x.report("a1", pro, quota(7200))
	x.report("a1", flash, quota(600))
	x.report("a2", flash, quota(600))
	late := x.until("a1", "gemini-pro")
	d := x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	if e := d.Drafts[0].Event.(*events.GroupsDefined); e.Moved != 2 || e.Merged != 1 {
		t.Errorf("moved %d, merged %d; want 2 and 1", e.Moved, e.Merged)
	}
	if got := x.until("a1", "gemini"); got != late {
		t.Errorf("the merged cooldown ends at %s, want the later deadline %s", got, late)
	}
	x.status("a2", "gemini", StatusCooling)
	for _, c := range x.s.Account("a1").Cells {
		if c.Target != "gemini" {
			t.Errorf("the cell %s is left behind", c.Target)
		}
	}
	// Back again, to the groups of the models that caused them.
	x.do(&DefineGroups{})
	x.status("a1", "gemini-pro", StatusCooling)
	x.status("a1", "gemini-flash", StatusAvailable)
	x.status("a2", "gemini-flash", StatusCooling)
}

func TestRule13CooldownMovesToItsModel(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	d := x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetNone}, DryRun: true})
	models, cells := []ModelChange{{"antigravity", opus, "claude", "model:" + opus}}, []CellMove{{"a1", "claude", "model:" + opus, false}}
	if diff := cmp.Diff(cells, d.Plan.Cells) + cmp.Diff(models, d.Plan.Models(nil)); diff != "" || d.Plan.Version != 2 {
		t.Errorf("version %d: %s", d.Plan.Version, diff)
	}
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetNone}})
	x.usable(opus, "a2")
	x.usable(sonnet, "a1", "a2")
	// An expired cooldown moves nowhere, a hold does.
	x.at(time.Hour)
	if d := x.do(&DefineGroups{DryRun: true}); len(d.Plan.Cells) != 0 {
		t.Errorf("plan %v, want no cells", d.Plan.Cells)
	}
}

// Blocked, held, over, or seen elsewhere: a model is listed once, under one name.
func TestRule13PlanListsModelsSeen(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.at(time.Hour)
	x.report("a2", pro, events.Signal{Class: events.ClassForbidden, Scope: events.ScopeGroup, Reason: "VALIDATION_REQUIRED"})
	plan := x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetNone}, DryRun: true}).Plan
	change := func(model, from string) ModelChange {
		return ModelChange{"antigravity", model, from, "model:" + model}
	}
	known := []ModelChange{change(opus, "claude"), change(pro, "gemini-pro")}
	if diff := cmp.Diff(known, plan.Models(nil)); diff != "" {
		t.Error(diff)
	}
	seen := []ModelName{
		{"antigravity", flash}, {" Antigravity", strings.ToUpper(flash) + " (high)"}, {"antigravity", opus}, {"antigravity", "of-no-group"}, {"antigravity", ""},
	}
	if diff := cmp.Diff([]ModelChange{known[0], change(flash, "gemini-flash"), known[1]}, plan.Models(seen)); diff != "" {
		t.Error(diff)
	}
}

func TestRule13SuspensionMovesAlongReplaces(t *testing.T) {
	x := newScenario(t)
	x.do(suspend("a1", "gemini-pro", "the first"))
	x.at(time.Minute).do(&Suspend{Filter: Filter{Account: "a1", Target: "gemini-flash"}, Reason: "an hour", For: time.Hour})
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	c := x.s.Account("a1").Cell("gemini")
	if s := c.Suspended; s == nil || s.Reason != "the first" || !s.Until.IsZero() {
		t.Errorf("the suspension is %+v, want the one without an end", s)
	}
	// What one group covered is split over two: both replace it.
	x.do(&DefineGroups{})
	x.status("a1", "gemini-flash", StatusSuspended)
	x.status("a1", "gemini-pro", StatusSuspended)
}

func TestRule13DroppingASuspensionIsRefused(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.do(suspend("a1", "claude", "by hand"))
	x.do(&Suspend{Filter: Filter{Account: "a2", Target: "claude"}, Reason: "an hour", For: time.Hour})
	want := []events.Cell{{Account: "a1", Target: "claude"}, {Account: "a2", Target: "claude"}}
	successor := func(g GroupConfig) GroupsConfig {
		g.ID, g.Patterns = "next", []string{"claude-*"}
		return GroupsConfig{Bootstrap: PresetNone, Groups: []GroupConfig{g}}
	}
	anti := []string{"antigravity"}
	for name, config := range map[string]GroupsConfig{
		"nothing replaces it":         successor(GroupConfig{Providers: anti}),
		"of another provider":         successor(GroupConfig{Providers: []string{"codex"}, Replaces: []string{"claude"}}),
		"by one that is switched off": successor(GroupConfig{Providers: anti, Replaces: []string{"claude"}, Enabled: new(false)}),
	} {
		for _, dry := range []bool{false, true} {
			e := x.refused(CodeSuspensionLive, &DefineGroups{Config: config, DryRun: dry})
			if diff := cmp.Diff(want, e.Cells); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	// One whose time is over is dropped without a word.
	x.do(lift("a1", "claude"))
	x.at(2 * time.Hour)
	x.do(&DefineGroups{Config: successor(GroupConfig{Providers: anti})})
	x.usable(opus, "a1", "a2")
}
