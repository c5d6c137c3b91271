package projection

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

// lookup finds the scenario's records.
func (x *scenario) lookup(seq events.Seq) (events.Record, error) {
	if seq == 0 || int(seq) > len(x.recs) {
		return events.Record{}, fmt.Errorf("no record %d", seq)
	}
	return x.recs[seq-1], nil
}

func (x *scenario) why(q Question) *Explanation {
	x.Helper()
	e, err := Explain(x.s, q, x.now, x.lookup)
	if err != nil {
		x.Fatalf("Explain: %v", err)
	}
	return e
}

// TestWhyGolden pins what an operator reads in situations that occur.
func TestWhyGolden(t *testing.T) {
	account := func(target string) Question { return Question{Account: "a1", Target: target} }
	situations := []struct {
		name string
		q    Question
		do   func(x *scenario)
	}{
		{"never blocked", account("claude"), func(*scenario) {}},
		{"a quota with its reset", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(255600))
		}},
		{"a reset beyond the bound, extended", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(600))
			x.at(time.Minute).report("a1", sonnet, quota(1e7))
		}},
		{"the ladder", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota())
			x.at(6*time.Minute).report("a1", opus, quota())
		}},
		{"the provider's next reset", account("gemini-pro"), func(x *scenario) {
			s := quota()
			s.Window = events.WindowDaily
			x.report("a1", pro, s)
		}},
		{"a hold", account(""), func(x *scenario) { x.report("a1", opus, banned()) }},
		{"suspended by hand, beside a cooldown", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(7200))
			x.origin.OnBehalfOf = "bob"
			x.do(&Suspend{Filter: Filter{Account: "a1", Target: "claude"}, Reason: "billing dispute", For: 48 * time.Hour})
		}},
		{"suspended without an end", account("*"), func(x *scenario) { x.do(suspend("a1", "*", "fraud")) }},
		{"a model whose account is blocked", account("model:" + opus), func(x *scenario) {
			x.report("a1", opus, signal(events.ClassPayment, events.ScopeAccount))
			x.report("a1", opus, capacity(60))
		}},
		{"cleared", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(600))
			x.at(time.Minute).do(clearCell("a1", "claude"))
		}},
		{"lifted for somebody", account("claude"), func(x *scenario) {
			x.do(suspend("a1", "claude", "fraud"))
			x.origin.OnBehalfOf = "bob"
			x.do(&Lift{Filter: Filter{Account: "a1"}})
		}},
		{"expired, and not recorded yet", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(600))
			x.at(time.Hour)
		}},
		{"recovered", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(600))
			x.at(time.Minute).report("a1", opus, ok())
		}},
		{"a recheck, not answered yet", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(255600))
			x.at(time.Minute).do(&Recheck{Filter: Filter{Account: "a1"}, Reason: "the provider promised"})
		}},
		{"a probe that found the quota spent", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(255600))
			x.at(time.Hour).probe("a1", quota(252000))
		}},
		{"a probe that found the quota back", account("claude"), func(x *scenario) {
			x.report("a1", opus, quota(255600))
			x.at(time.Minute).do(&Recheck{Filter: Filter{Account: "a1"}})
			x.at(time.Hour).probe("a1", ok())
		}},
		{"imported, both halves", account("claude"), func(x *scenario) {
			x.origin = events.Origin{Actor: "import:admin", OnBehalfOf: "tess"}
			x.imports(taken(both(cools(2*time.Hour), byHand)), "imported")
		}},
		{"an imported cooldown", account("claude"), func(x *scenario) { x.imports(taken(cools(2*time.Hour)), "imported") }},
		{"an imported cooldown of no known model, extended here", account("*"), func(x *scenario) {
			c := taken(both(cools(time.Hour), on("a1", "*"), func(e *ImportEntry) { e.Model = "" }))
			c.Source = SourceCooldowns
			x.imports(c, "imported")
			x.at(time.Minute).report("a1", opus, signal(events.ClassQuotaExhausted, events.ScopeAccount, 7200))
		}},
		{"an imported suspension without a date", account("claude"), func(x *scenario) {
			c := taken(both(byHand, undated, func(e *ImportEntry) { e.Original = "{}" }))
			x.imports(c, "imported")
		}},
		{"an imported cooldown that is over, and not recorded yet", account("claude"), func(x *scenario) {
			x.imports(taken(cools(2*time.Hour)), "imported")
			x.at(3 * time.Hour)
		}},
		{"switched off", account("claude"), func(x *scenario) { x.do(&PatchAccount{ID: "a1", Disabled: new(true)}) }},
		{"a model that some can serve", Question{Provider: "antigravity", Model: sonnet}, func(x *scenario) {
			x.report("a1", opus, quota(600))
		}},
		{"a model that none can serve", Question{Provider: "antigravity", Model: sonnet}, func(x *scenario) {
			x.report("a1", opus, quota(600))
			x.do(suspend("a2", "*", "fraud"))
		}},
		{"what other groups made another target", account("gemini"), func(x *scenario) {
			x.report("a1", "gemini-3-pro-preview", quota(7200))
			x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
			x.do(suspend("a1", "gemini", "kept"))
		}},
		{"a model of an observed account", Question{Provider: "antigravity", Model: sonnet}, func(x *scenario) {
			x.report("a9", opus, quota(600))
		}},
		{"a model of no provider here", Question{Provider: "codex", Model: "gpt-5"}, func(*scenario) {}},
	}
	var b strings.Builder
	for _, s := range situations {
		x := newScenario(t)
		s.do(x)
		e := x.why(s.q)
		fmt.Fprintf(&b, "%s\n    %s\n", s.name, e.Sentence)
		for _, c := range e.Cells {
			for _, cause := range c.Causes {
				fmt.Fprintf(&b, "    %s %s, record %d: %s\n", c.Account, c.Target, cause.Record.Seq, cause.Text)
			}
			for _, end := range c.Ends {
				fmt.Fprintf(&b, "    %s %s, %s ends by %s\n", c.Account, c.Target, end.Block, end.How)
			}
		}
	}
	golden(t, "why.txt", b.String())
}

// probe reports the answer to a probe of a Claude model.
func (x *scenario) probe(account string, s events.Signal) {
	x.Helper()
	r := x.observed(account, opus, s)
	r.Lease, r.Probe = x.s.Head().Seq, true
	x.tell(r)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if it should, run go test -update: %s", path, diff)
	}
}

func TestWhyNamesVersionsAndAllThatBlocks(t *testing.T) {
	x := newScenario(t)
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	x.report("a1", opus, quota(600))
	x.report("a1", opus, capacity(60))
	e := x.why(Question{Account: "a1"})
	if e.GroupsVersion != 2 || e.PolicyVersion != 1 || len(e.Cells) != 2 || e.Status != StatusCooling {
		t.Errorf("versions %d and %d, %d cells, %s", e.GroupsVersion, e.PolicyVersion, len(e.Cells), e.Status)
	}
	if !strings.Contains(e.Sentence, "1 more cell of this account is blocked") {
		t.Errorf("the sentence %q does not count the other cell", e.Sentence)
	}
}

func TestWhyRefusals(t *testing.T) {
	x := newScenario(t)
	for _, test := range []struct {
		q    Question
		code Code
	}{
		{Question{}, CodeInvalid},
		{Question{Provider: "antigravity"}, CodeInvalid},
		{Question{Account: "nobody"}, CodeUnknownAccount},
		{Question{Account: "a1", Target: "claud"}, CodeUnknownTarget},
		{Question{Account: "a1", Target: "codex-main"}, CodeUnknownTarget},
	} {
		_, err := Explain(x.s, test.q, x.now, x.lookup)
		if e, ok := err.(*Error); !ok || e.Code != test.code {
			t.Errorf("%+v: error %v, want %s", test.q, err, test.code)
		}
	}
}

// TestWhyExplainsACellOfAGroupThatLeft: a block of a group that serves the account's
// provider no more is still there, and is explained.
func TestWhyExplainsACellOfAGroupThatLeft(t *testing.T) {
	x := newScenario(t)
	x.do(suspend("a1", "claude", "fraud"))
	x.do(&DefineGroups{Config: GroupsConfig{Groups: []GroupConfig{{ID: "claude", Providers: []string{"claude"}, Patterns: []string{"claude-*"}}}}})
	if e := x.why(Question{Account: "a1", Target: "claude"}); e.Status != StatusSuspended {
		t.Errorf("it is %s: %s", e.Status, e.Sentence)
	}
	if _, err := Explain(x.s, Question{Account: "a2", Target: "claude"}, x.now, x.lookup); err == nil {
		t.Error("a cell that never was is explained")
	}
}

func TestRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1: "1s", time.Second: "1s", 119*time.Second + 1: "2m", 90*time.Minute + 1: "1h31m", 99*time.Hour + 59*time.Minute + 1: "100h0m", 170 * time.Hour: "7d2h",
	} {
		if got := roundUp(d); got != want {
			t.Errorf("roundUp(%s) = %q, want %q", d, got, want)
		}
	}
}
