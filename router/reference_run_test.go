package router

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// For longer runs of the comparison, and for one that failed:
//
//	go test ./router -run Reference -steps 1000000 -seed 7
var (
	steps = flag.Int("steps", 0, "steps of the comparison with the reference; 0: 120 000, or 12 000 with the race detector")
	seed  = flag.Uint64("seed", 1, "the first seed of the comparison with the reference")
)

// stepsOf is how long one history is: each has a log of its own, which it starts anew
// from at times.
const stepsOf = 4000

// groupSets are definitions to change between.
func groupSets() []projection.GroupsConfig {
	google := []string{provider, "gemini"}
	return []projection.GroupsConfig{
		{},
		{},
		{Bootstrap: projection.PresetTwoPools},
		{Aliases: map[string]map[string]string{provider: {"nick": opus, "other": pro}, "gemini": {"nick": pro}}},
		// An alias that a group of its own takes from its model's group: no lane tells.
		{
			Aliases: map[string]map[string]string{provider: {"nick": opus, "other": "nick"}, "gemini": {"nick": pro}},
			Groups:  []projection.GroupConfig{{ID: "nicks", Providers: google, Patterns: []string{"nick"}, Priority: new(900)}},
		},
		{Groups: []projection.GroupConfig{{ID: "claude", Enabled: new(false)}}},
		{Groups: []projection.GroupConfig{{ID: "all", Providers: []string{provider, "lonely"}, Patterns: []string{"*"}, Priority: new(1)}}},
		{Bootstrap: projection.PresetNone},
	}
}

// policies are rules to change between.
func policies() []projection.PolicyConfig {
	pair := func(first, limit time.Duration) []projection.Duration {
		return []projection.Duration{projection.Duration(first), projection.Duration(limit)}
	}
	fast := &projection.ProbeConfig{
		Empty: pair(20*time.Second, 2*time.Minute), Background: pair(time.Minute, 20*time.Minute), OnlyLongerThan: new(projection.Duration(5 * time.Minute)),
		Spacing: new(projection.Duration(5 * time.Second)), Claim: new(projection.Duration(20 * time.Second)),
	}
	mode := func(m string) *projection.ProbeConfig { return &projection.ProbeConfig{Mode: &m} }
	with := func(p *projection.ProbeConfig) projection.PolicyConfig {
		return projection.PolicyConfig{RulesConfig: projection.RulesConfig{Probe: p}}
	}
	mixed := with(nil)
	mixed.Providers = map[string]projection.RulesConfig{
		"codex": {Probe: mode(projection.ProbeOff)}, provider + "/claude": {Probe: fast}, "gemini": {Probe: mode(projection.ProbeWhenEmpty)},
	}
	// Probes beside others sooner than alone: an odd wish, but one that can be had.
	odd := with(&projection.ProbeConfig{Empty: pair(time.Hour, time.Hour), Background: pair(time.Minute, time.Minute), OnlyLongerThan: new(projection.Duration(0))})
	return []projection.PolicyConfig{{}, {}, with(fast), with(fast), mixed, odd, with(mode(projection.ProbeOff)), with(mode(projection.ProbeWhenEmpty))}
}

// compare runs histories until one differs, or the steps are done. It returns what
// differed, and how often what happened.
func compare(t *testing.T, seed uint64, steps int, wrong string) (difference string, counts map[string]int) {
	counts = map[string]int{}
	for ; steps > 0 && difference == ""; steps, seed = steps-stepsOf, seed+1 {
		synctest.Test(t, func(t *testing.T) {
			w := newWalk(t, seed)
			defer func() { w.engine.Close() }()
			w.reference.wrong = wrong
			for i := 0; i < min(steps, stepsOf) && difference == ""; i++ {
				if d := w.step(); d != "" {
					difference = fmt.Sprintf("-seed %d, step %d: %s", seed, i, d)
				}
			}
			if d := replayed(w.engine); difference == "" && d != "" {
				difference = fmt.Sprintf("-seed %d, replayed under the same rules: %s", seed, d)
			}
			for what, n := range w.counts {
				counts[what] += n
			}
		})
	}
	return difference, counts
}

func budget() int {
	switch {
	case *steps > 0:
		return *steps
	case raceEnabled:
		return 12_000
	default:
		return 120_000
	}
}

// TestRule29And30And31Reference compares every pick of random histories with the plain
// definition of selection.
func TestRule29And30And31Reference(t *testing.T) {
	t.Logf("%d steps from -seed %d", budget(), *seed)
	difference, counts := compare(t, *seed, budget(), "")
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%7d %s", counts[what], what)
	}
	if difference != "" {
		t.Fatal(difference)
	}
	for what := range strings.SplitSeq(happenings, "\n") {
		if what = strings.TrimSpace(what); what != "" && counts[what] == 0 && budget() >= 12_000 {
			t.Errorf("it never came to: %s", what)
		}
	}
}

// happenings are what histories must come to, that a comparison of them is one of all
// there is.
const happenings = `
	round-robin
	weighted
	fill-first
	sticky
	dry run
	unknown candidate
	background probe
	probe of an empty pool
	probe that failed
	probe that succeeded
	no_accounts
	all_excluded
	all_disabled
	all_suspended
	all_held
	all_cooling
	pick at another instant
	pick while the index is not exact
	pick while degraded
	clock went back
	full disk
	broken disk
	volatile block
	restart
	lease dropped
	lease released
	limit started
	limit extended
	limit kept
	limit held
	limit none
	signal of scope group
	signal of scope model
	signal of scope account
	recorded account_added
	recorded account_changed
	recorded account_removed
	recorded suspended
	recorded lifted
	recorded cooldown_cleared
	recorded recheck_requested
	recorded expired
	recorded recovered
	recorded groups_defined
	recorded policy_defined
`

// TestReferenceFindsMistakes is the proof that the comparison can fail: for each mistake
// that a selection could make it finds one within as many steps.
func TestReferenceFindsMistakes(t *testing.T) {
	for _, wrong := range []string{
		"ignores *", "ignores models", "ignores exclusions", "ignores priorities", "probes holds", "forgets siblings",
		"two in flight", "ignores spacing",
	} {
		t.Run(wrong, func(t *testing.T) {
			difference, _ := compare(t, *seed, budget(), wrong)
			if difference == "" {
				t.Errorf("no difference in %d steps", budget())
			}
			t.Log(difference)
		})
	}
}
