package projection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tidwall/match"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// defined returns the groups that a configuration puts in force.
func defined(t testing.TB, c GroupsConfig) *Groups {
	t.Helper()
	e, err := c.define()
	if err != nil {
		t.Fatalf("define: %v", err)
	}
	return newGroups(e)
}

func TestRule09ResolutionIsDeterministic(t *testing.T) {
	group := func(id string, priority int, enabled bool, patterns ...string) GroupConfig {
		return GroupConfig{ID: id, Providers: []string{"p"}, Patterns: patterns, Priority: &priority, Enabled: &enabled}
	}
	config := GroupsConfig{
		Bootstrap: PresetNone,
		Groups: []GroupConfig{
			group("low", 1, true, "*"), group("b", 5, true, "m-*"), group("a", 5, true, "m-?"),
			group("off", 9, false, "*"), group("raw", 7, true, "nick"),
		},
		Aliases: map[string]map[string]string{"P": {" Nick ": "M-1(high)", "short": "m-long"}, "other": {"m-1": "x"}},
	}
	tests := []struct{ name, provider, model, group, target string }{
		{"the same priority goes by id", "p", "m-1", "a", "m-1"},
		{"the first that matches", "p", "m-long", "b", "m-long"},
		{"trimmed and lower-cased", " P ", "\tM-1 ", "a", "m-1"},
		{"without a thinking suffix", "p", "m-1(8192)", "a", "m-1"},
		{"a space before the suffix", "p", "m-1 (high)", "a", "m-1"},
		{"the alias target", "p", "short", "b", "m-long"},
		{"the name itself, though its alias matches too", "p", "nick", "raw", "m-1"},
		{"an alias with a suffix", "p", "Nick(low)", "raw", "m-1"},
		{"aliases are per provider", "p", "m-1", "a", "m-1"},
		{"a disabled group is skipped", "p", "zzz", "low", "zzz"},
		{"no group of that provider", "other", "m-1", "", "x"},
		{"only a suffix is a name", "other", "(high)", "", "(high)"},
	}
	g := defined(t, config)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := g.Resolve(test.provider, test.model)
			want := &Resolution{
				Provider: CanonicalProvider(test.provider), Model: test.target, Group: test.group,
				Target: test.group, ModelTarget: "model:" + test.target,
			}
			if want.Group == "" {
				want.Target = want.ModelTarget
			}
			if diff := cmp.Diff(want, r, cmpopts.IgnoreUnexported(Resolution{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The cache of resolutions is full after maxResolved names and must not change an
// answer, whatever came before.
func TestRule09CacheChangesNoAnswer(t *testing.T) {
	g := defined(t, GroupsConfig{})
	known := map[ModelName]*Resolution{}
	for i := range maxResolved - 1 {
		name := fmt.Sprintf("claude-%d", i)
		known[ModelName{"antigravity", name}] = g.resolve("antigravity", name)
	}
	g.resolved.Store(&known)
	for i := range 10 {
		g.Resolve("antigravity", fmt.Sprintf("gemini-%d", i))
	}
	if n := len(*g.resolved.Load()); n != maxResolved {
		t.Errorf("%d names remembered, want %d", n, maxResolved)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`(claude-|gemini-|GPT-)?[a-z0-9-]{0,6}(flash|pro)?(\([a-z]*\))?`).Draw(t, "model")
		provider := rapid.SampledFrom([]string{"antigravity", " Gemini", "codex", "nobody"}).Draw(t, "provider")
		if diff := cmp.Diff(g.resolve(provider, name), g.Resolve(provider, name), cmpopts.IgnoreUnexported(Resolution{})); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRule10Wildcards(t *testing.T) {
	tests := []struct {
		pattern, model string
		want           bool
	}{
		{"claude-*", "claude-opus", true},
		{"claude-*", "claude-", true},
		{"claude-*", "claude", false},
		{"claude-*", "my-claude-opus", false}, // the whole name
		{"*pro*", "gemini-pro", true},
		{"gemini-?-pro", "gemini-3-pro", true},
		{"gemini-?-pro", "gemini-31-pro", false},
		{"?", "é", true}, // a character, not a byte
		{"Claude-*", "CLAUDE-Opus", true},
		{"kimi-k3[1m]", "kimi-k3[1m]", true},
		{"kimi-k3[1m]", "kimi-k31", false},
		{"openai/*", "openai/gpt-5", true},
		{"@cf/*", "@cf/meta/llama", true},
		{"m(x)y", "m(x)y", true},
		{"*:free", "qwen/qwen3:free", true},
		{"a**b", "ab", true},
	}
	for _, test := range tests {
		g := defined(t, GroupsConfig{Bootstrap: PresetNone, Groups: []GroupConfig{{ID: "g", Providers: []string{"p"}, Patterns: []string{test.pattern}}}})
		if got := g.Resolve("p", test.model).Group == "g"; got != test.want {
			t.Errorf("%q matches %q: %t, want %t", test.pattern, test.model, got, test.want)
		}
	}
}

// A name of the greatest length against the worst pattern that is accepted: the
// writer and the picks resolve names that clients choose.
func TestRule10MatchingIsBounded(t *testing.T) {
	g := defined(t, GroupsConfig{Bootstrap: PresetNone, Groups: []GroupConfig{
		{ID: "g", Providers: []string{"p"}, Patterns: []string{"*a*a*a*a*a*a*ab?", "*a?*a?*a?*a?*a?*a?b?*"}},
	}})
	began := time.Now()
	g.Resolve("p", strings.Repeat("a", events.MaxID))
	if took := time.Since(began); took > time.Second {
		t.Errorf("resolving took %s", took)
	}
}

func TestRule10MatchingEqualsTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab\[é?*]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab\[é]{0,10}`).Draw(t, "name")
		if got, want := matchWildcards(name, pattern), match.Match(name, pattern); got != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, name, got, want)
		}
	})
}

func TestRule10BadDefinitionsAreRefused(t *testing.T) {
	good := func() GroupConfig { return GroupConfig{ID: "g", Providers: []string{"p"}, Patterns: []string{"m"}} }
	change := func(f func(*GroupConfig)) GroupsConfig {
		g := good()
		f(&g)
		return GroupsConfig{Groups: []GroupConfig{g}}
	}
	tests := []struct {
		name   string
		config GroupsConfig
		reason string
	}{
		{"an unknown preset", GroupsConfig{Bootstrap: "all"}, "bootstrap"},
		{"no id", change(func(g *GroupConfig) { g.ID = "" }), "id"},
		{"an id with a space", change(func(g *GroupConfig) { g.ID = "a b" }), "id"},
		{"an id that is too long", change(func(g *GroupConfig) { g.ID = strings.Repeat("a", 65) }), "id"},
		{"an id that begins with a dash", change(func(g *GroupConfig) { g.ID = "-a" }), "id"},
		{"everything as an id", change(func(g *GroupConfig) { g.ID = "*" }), "id"},
		{"no providers", change(func(g *GroupConfig) { g.Providers = nil }), "providers"},
		{"a provider with a slash", change(func(g *GroupConfig) { g.Providers = []string{"a/b"} }), "provider"},
		{"no patterns", change(func(g *GroupConfig) { g.Patterns = []string{} }), "patterns"},
		{"an empty pattern", change(func(g *GroupConfig) { g.Patterns = []string{" "} }), "pattern"},
		{"a backslash", change(func(g *GroupConfig) { g.Patterns = []string{`a\*`} }), "backslash"},
		{"a control character", change(func(g *GroupConfig) { g.Patterns = []string{"a\x00"} }), "control"},
		{"too many stars", change(func(g *GroupConfig) { g.Patterns = []string{strings.Repeat("*a", 9)} }), "stars"},
		{"a long pattern", change(func(g *GroupConfig) { g.Patterns = []string{strings.Repeat("a", 257)} }), "bytes"},
		{"a priority beyond 32 bits", change(func(g *GroupConfig) { g.Priority = new(1 << 40) }), "priority"},
		{"a replaced id that is none", change(func(g *GroupConfig) { g.Replaces = []string{"*"} }), "replaces"},
		{"the same id twice", GroupsConfig{Groups: []GroupConfig{good(), good()}}, "twice"},
		{"a legacy id and its own", GroupsConfig{Groups: []GroupConfig{{ID: "claude"}, {ID: "claude_45"}}}, "twice"},
		{"an empty alias", GroupsConfig{Aliases: map[string]map[string]string{"p": {"a": " "}}}, "alias"},
		{"an alias given twice", GroupsConfig{Aliases: map[string]map[string]string{"p": {"a": "x", "A": "y"}}}, "twice"},
		{"an alias given twice by provider", GroupsConfig{Aliases: map[string]map[string]string{"gemini": {"a": "x"}, "gemini-api": {"a": "y"}}}, "twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newScenario(t)
			if e := x.refused(CodeInvalidGroups, &DefineGroups{Config: test.config}); !strings.Contains(e.Message, test.reason) {
				t.Errorf("the reason %q does not speak of %q", e.Message, test.reason)
			}
		})
	}
}

func TestRule11NoMatchIsTheModelItself(t *testing.T) {
	x := newScenario(t)
	r := x.report("a1", " Tab-Complete-1(high)", quota(600))
	if r.Target != "model:"+lone {
		t.Errorf("target %q, want the normalised model", r.Target)
	}
	x.usable(lone, "a2")
	x.usable("tab-complete-2", "a1", "a2")
	x.usable(opus, "a1", "a2")
}

func TestRule11ModelOfTheAliasTarget(t *testing.T) {
	x := newScenario(t)
	x.do(&DefineGroups{Config: GroupsConfig{Aliases: map[string]map[string]string{"antigravity": {"fast": lone}}}})
	if r := x.report("a1", "fast", quota(600)); r.Target != "model:"+lone {
		t.Errorf("target %q, want the alias target", r.Target)
	}
	x.usable(lone, "a2")
}

// An operator may name a model as clients do: requests block by the alias target.
func TestRule11SuspensionOfAnAliasBlocks(t *testing.T) {
	x := newScenario(t)
	x.do(&DefineGroups{Config: GroupsConfig{Aliases: map[string]map[string]string{"antigravity": {"fast": lone}}}})
	x.do(suspend("a1", "model:Fast", "by hand"))
	x.usable("fast", "a2")
	x.usable(lone, "a2")
	x.wants(x.do(lift("a1", "model:fast")), events.KindLifted)
	x.usable("fast", "a1", "a2")
}

func odd(i int) string { return fmt.Sprintf("odd-%02d", i) }

func TestRule11ModelCellsAreBounded(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600)) // group cells do not count
	for i := range MaxModelCells {
		x.report("a1", odd(i), capacity(60))
	}
	r := x.report("a1", "one-more", capacity(60))
	x.effect(r, events.EffectNone, events.WhyModelCellsFull)
	x.refused(CodeModelCellsFull, suspend("a1", "model:one-more", "by hand"))
	// A class that is only counted at first needs a cell as well.
	x.effect(x.report("a1", "one-more", signal(events.ClassAuth, events.ScopeModel)), events.EffectNone, events.WhyModelCellsFull)
	if n := len(x.s.Account("a1").Cells); n != MaxModelCells+1 {
		t.Errorf("%d cells, want %d", n, MaxModelCells+1)
	}

	// One of them is heard of again, and all but that and a suspended one end: the
	// unblocked one with the lowest last seq makes room.
	x.at(30 * time.Second)
	x.do(suspend("a1", "model:"+odd(0), "keep this"))
	x.report("a1", odd(1), capacity(120))
	x.at(70 * time.Second)
	x.effect(x.report("a1", "one-more", capacity(60)), events.EffectStarted)
	a := x.s.Account("a1")
	for target, want := range map[string]bool{odd(0): true, odd(1): true, odd(2): false, odd(3): true, "one-more": true} {
		if got := a.cell("model:"+target) != nil; got != want {
			t.Errorf("the cell of %s is there: %t, want %t", target, got, want)
		}
	}
	if n := len(a.Cells); n != MaxModelCells+1 {
		t.Errorf("%d cells, want %d", n, MaxModelCells+1)
	}
}

func TestRule12Bootstrap(t *testing.T) {
	tests := []struct{ preset, provider, model, group string }{
		{"", "antigravity", opus, "claude"},
		{"", "antigravity", "gpt-oss-120b-medium", "claude"},
		{"", "antigravity", pro, "gemini-pro"},
		{"", "antigravity", "gemini-pro-latest", "gemini-pro"},
		{"", "antigravity", flash, "gemini-flash"},
		{"", "antigravity", "gemini-2.5-flash-lite", "gemini-flash"},
		{"", "gemini", "gemini-2.5-pro", "gemini-pro"},
		{"", "gemini-api", "gemini-2.5-pro", "gemini-pro"},
		{"", "gemini-cli", "gemini-2.5-flash", "gemini-flash"},
		{"", "gemini-cli", "gemini-embedding", ""},
		{"", "codex", "gpt-5.2-codex", "codex-main"},
		{"", "codex", "gpt-5-spark-preview", "codex-spark"},
		{"", "claude", "claude-opus-4-6", "claude-opus-weekly"},
		{"", "claude", "claude-haiku-4-5", ""}, // only the shared windows: "*"
		{"", "openrouter", "qwen/qwen3:free", "openrouter-free"},
		{"two-pools", "antigravity", pro, "gemini"},
		{"two-pools", "antigravity", flash, "gemini"},
		{"two-pools", "antigravity", opus, "claude"},
		{"none", "antigravity", opus, ""},
	}
	for _, test := range tests {
		g := defined(t, GroupsConfig{Bootstrap: test.preset})
		if got := g.Resolve(test.provider, test.model).Group; got != test.group {
			t.Errorf("preset %q: %s of %s is in group %q, want %q", test.preset, test.model, test.provider, got, test.group)
		}
	}
	if n := len(defined(t, GroupsConfig{Bootstrap: PresetNone}).List); n != 0 {
		t.Errorf("the preset none has %d groups", n)
	}
	priorities := map[string]int{}
	for _, g := range defined(t, GroupsConfig{}).Of("antigravity") {
		priorities[g.ID] = g.Priority
	}
	if diff := cmp.Diff(map[string]int{"claude": 300, "gemini-pro": 200, "gemini-flash": 100}, priorities); diff != "" {
		t.Error(diff)
	}
}

func TestRule12OverridesInherit(t *testing.T) {
	base := defined(t, GroupsConfig{})
	g := defined(t, GroupsConfig{Groups: []GroupConfig{
		{ID: "google-gemini-pro", Priority: new(7)}, // a legacy id names the same group
		{ID: "gemini-flash", Enabled: new(false)},
		{ID: "mine", Providers: []string{"Gemini"}, Patterns: []string{"Gemma-*"}},
	}})
	want := *base.Group("gemini-pro")
	want.Priority = 7
	if diff := cmp.Diff(want, *g.Group("gemini-pro")); diff != "" {
		t.Errorf("what is omitted is inherited: %s", diff)
	}
	if got := g.Resolve("antigravity", flash); got.Group != "" {
		t.Errorf("a disabled group resolves to %q", got.Group)
	}
	if diff := cmp.Diff(events.Group{ID: "mine", Providers: []string{"gemini-api"}, Patterns: []string{"gemma-*"}, Enabled: true}, *g.Group("mine")); diff != "" {
		t.Errorf("enabled omitted means true: %s", diff)
	}
}

func TestRule12LegacyIDs(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	for _, id := range []string{"claude_45", "google-claude", " Claude "} {
		if d := x.do(&Clear{Filter: Filter{Target: id}, DryRun: true}); len(d.Cells) != 1 {
			t.Errorf("%q finds %v, want the cell of claude", id, d.Cells)
		}
	}
	legacy := map[string]string{
		"claude_45": "claude", "google-claude": "claude", "g3_pro": "gemini-pro", "google-gemini-pro": "gemini-pro",
		"g3_flash": "gemini-flash", "google-gemini-flash": "gemini-flash", "else": "else",
	}
	for from, to := range legacy {
		if got := CanonicalGroup(from); got != to {
			t.Errorf("CanonicalGroup(%q) = %q, want %q", from, got, to)
		}
	}
}
