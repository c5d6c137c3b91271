package projection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

// Groups alone can be replaced: aliases, the bootstrap set and what a group replaces stay
// as they are when the command is decided.
func TestGroupsOnlyKeepsTheRest(t *testing.T) {
	x := newScenario(t)
	x.do(&DefineGroups{Config: GroupsConfig{
		Bootstrap: PresetTwoPools,
		Groups: []GroupConfig{
			{ID: "mine", Providers: []string{"kimi"}, Patterns: []string{"k*"}, Replaces: []string{"old"}},
			{ID: "gone", Providers: []string{"kimi"}, Patterns: []string{"g*"}},
		},
		Aliases: map[string]map[string]string{"kimi": {"x": "k1"}},
	}})
	next := []GroupConfig{{ID: " MINE ", Providers: []string{"kimi"}, Patterns: []string{"m*"}}}
	only := &DefineGroups{Config: GroupsConfig{Bootstrap: PresetNone, Groups: next}, GroupsOnly: true}
	d := x.do(only)
	x.wants(d, events.KindGroupsDefined)
	g := x.s.Groups()
	got, err := g.Config()
	if err != nil {
		t.Fatal(err)
	}
	want := &GroupsConfig{
		Bootstrap: PresetTwoPools, Aliases: map[string]map[string]string{"kimi": {"x": "k1"}},
		Groups: []GroupConfig{{ID: " MINE ", Providers: []string{"kimi"}, Patterns: []string{"m*"}, Replaces: []string{"old"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the operator's part (-want +got):\n%s", diff)
	}
	if g.Group("gone") != nil || g.Group("gemini") == nil || g.Resolve("kimi", "x").Model != "k1" {
		t.Errorf("the groups are %v", g.List)
	}
	if only.Config.Groups[0].Replaces != nil {
		t.Error("the command was changed")
	}
	x.nothing(only)
	// Said outright, what it replaces is what is said.
	next[0].Replaces = []string{}
	x.wants(x.do(only), events.KindGroupsDefined)
	if r := x.s.Groups().Group("mine").Replaces; len(r) != 0 {
		t.Errorf("it replaces %v", r)
	}
}
