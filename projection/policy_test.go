package projection

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/abeyance/abeyance/events"
)

// policyOf reads a policy as a config file holds it.
func policyOf(t *testing.T, doc string) PolicyConfig {
	t.Helper()
	var c PolicyConfig
	if err := yaml.Unmarshal([]byte(doc), &c); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	return c
}

func TestRule17PolicyOverrides(t *testing.T) {
	x := newScenario(t)
	x.do(&DefinePolicy{Config: policyOf(t, `
quota_exhausted: {bound: {weekly: 1d}}
providers:
  Antigravity: {quota_exhausted: {bound: 1h, jitter: 0s}}
  antigravity/claude_45: {quota_exhausted: {bound: {daily: 30m}}}
  codex: {quota_exhausted: none}
`)})
	x.add("c1", "codex")
	x.add("k1", "claude")
	tests := []struct {
		account, model string
		window         events.Window
		want           time.Duration // 0: not blocked
	}{
		{"a1", opus, events.WindowDaily, 30 * time.Minute}, // the group's
		{"a1", opus, events.WindowWeekly, time.Hour},       // inherited from the provider
		{"a1", pro, events.WindowDaily, time.Hour},
		{"k1", opus, events.WindowWeekly, day},
		{"k1", opus, events.WindowMonthly, 32 * day}, // inherited from the default
		{"c1", "gpt-5", events.WindowDaily, 0},
	}
	for _, test := range tests {
		s := quota(1e9)
		s.Window = test.window
		d, err := x.decide(x.observed(test.account, test.model, s))
		if err != nil {
			t.Fatal(err)
		}
		if got := max(0, d.Report.Until.Sub(x.now)); got != test.want {
			t.Errorf("%s of %s, %q: %s, want %s", test.model, test.account, test.window, got, test.want)
		}
	}
}

func TestRule13PolicyConfigSurvivesItsForms(t *testing.T) {
	c := policyOf(t, `
server_error: {bound: 1m, ladder: [5s, 1m]}
capacity: none
forbidden: {hold: [banned]}
auth: {after: 3, within: 5m}
poison: {accounts: 0}
probe: {mode: off, spacing: 1m}
providers: {codex: {rate_limited: {bound: {5h: 2m, unknown: 1h30m}}}}
`)
	doc, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePolicyConfig(doc)
	if err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	if diff := cmp.Diff(&c, back); diff != "" {
		t.Errorf("as JSON: %s", diff)
	}
	x := newScenario(t)
	x.do(&DefinePolicy{Config: c})
	x.nothing(&DefinePolicy{Config: *back})
	in, err := x.s.Policy().Config()
	if diff := cmp.Diff(back, in); err != nil || diff != "" {
		t.Errorf("the policy in force: %v, %s", err, diff)
	}
	x.nothing(x.observed("a1", opus, capacity(60)))
	e := x.do(x.observed("a1", opus, signal(events.ClassServerError, events.ScopeModel))).Drafts[0].Event.(*events.LimitObserved)
	between(t, "the cooldown", e.Until.Sub(x.now), 5*time.Second, 5*time.Second)
}

func TestRule13BadPoliciesAreRefused(t *testing.T) {
	for doc, reason := range map[string]string{
		"server_error: {jitter: 1s}":                               "bound",
		"server_error: {bound: 1m}":                                "ladder",
		"capacity: {ladder: [1m, 5s]}":                             "ladder",
		"capacity: {ladder: [1m]}":                                 "ladder",
		"capacity: {bound: {daily: 0s}}":                           "bound",
		"auth: {after: -1}":                                        "after",
		"quota_exhausted: {after: 2}":                              "within",
		"poison: {accounts: 1}":                                    "accounts",
		"probe: {mode: sometimes}":                                 "mode",
		"probe: {empty: [1h, 1m]}":                                 "cap",
		"providers: {codex: {capacity: {ladder: [2m, 1m]}}}":       "codex",
		"providers: {'': {capacity: none}}":                        "provider",
		"providers: {'a b': {capacity: none}}":                     "provider",
		"providers: {'codex/': {capacity: none}}":                  "group",
		"providers: {'codex/*': {capacity: none}}":                 "group",
		"providers: {gemini: {}, gemini-api: {capacity: none}}":    "same",
		"providers: {x/claude_45: {}, x/claude: {capacity: none}}": "same",
	} {
		x := newScenario(t)
		if e := x.refused(CodeInvalidPolicy, &DefinePolicy{Config: policyOf(t, doc)}); !strings.Contains(e.Message, reason) {
			t.Errorf("%s: the message %q does not speak of %q", doc, e.Message, reason)
		}
	}
	for _, doc := range []string{
		`{"capacity": "some"}`, `{"capacity": {"bond": "1m"}}`, `{"quota": {}}`, `{"capacity": {"bound": "fast"}}`,
		`{"capacity": {"bound": {"year": "1d"}}}`, `{"capacity": {"bound": "400d"}}`, `{"capacity": {"bound": "-1m"}}`, `{} {}`,
	} {
		if c, err := ParsePolicyConfig([]byte(doc)); err == nil {
			t.Errorf("%s is read as %+v", doc, c)
		}
	}
}

func TestRule13DefinitionsOverAMebibyteAreRefused(t *testing.T) {
	c := GroupsConfig{Bootstrap: PresetNone}
	patterns := slices.Repeat([]string{strings.Repeat("x", events.MaxID)}, 100)
	for i := range 50 {
		c.Groups = append(c.Groups, GroupConfig{ID: odd(i), Providers: []string{"p"}, Patterns: patterns})
	}
	_, err := Decide(NewState(), Command{Do: &DefineGroups{Config: c}}, noon())
	if e, ok := err.(*Error); !ok || e.Code != CodeTooLarge {
		t.Errorf("error %v, want %s", err, CodeTooLarge)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"90m": 90 * time.Minute, "2d": 2 * day, "1w": 7 * day, "1h30m": 90 * time.Minute, "500ms": time.Second / 2} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "-1m", "0s", "1.5h", "367d", "1y2y", "99999999999999999999s", "1 m"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %s, want an error", text, got)
		}
	}
}
