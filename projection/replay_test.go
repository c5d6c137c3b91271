package projection

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// rangeOf yields some records.
func rangeOf(recs []events.Record) recordRange {
	return func() iter.Seq2[events.Record, error] {
		return func(yield func(events.Record, error) bool) {
			for _, r := range recs {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// foldFirst folds the first n of some records.
func foldFirst(recs []events.Record, n int) *State {
	s := NewState()
	s.begin("replay")
	for _, r := range recs[:n] {
		s.Apply(r)
	}
	return s
}

// wantSameReplay replays records under the rules of the time, from the n-th on: nothing
// may differ.
func wantSameReplay(t failer, recs []events.Record, n int, end time.Time) *Replayed {
	t.Helper()
	out, err := replay(Replay{}, foldFirst(recs, n), end, rangeOf(recs[n:]))
	if err != nil {
		t.Fatalf("replaying from record %d: %v", n, err)
	}
	if !out.Same() {
		first := ""
		if d := out.First; d != nil {
			first = fmt.Sprintf("record %d: %s; %+v, %+v", d.Record.Seq, d.Because, d.Recorded, d.Replayed)
		}
		for _, p := range out.Differing {
			first += fmt.Sprintf("\n%+v\n%+v", p.Recorded, p.Replayed)
		}
		t.Fatalf("from record %d: %+v\n%s", n, out, first)
	}
	return out
}

// TestReplayUnderTheSameRules: whatever was recorded, deciding it again under the rules
// of the time gives what is recorded.
func TestReplayUnderTheSameRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t, now: noon()}
		l := &live{s: NewState()}
		l.s.begin("replay")
		for i := range rapid.IntRange(1, 60).Draw(t, "commands") {
			d.tick()
			c := command(d.intent(l.s.Head().Seq))
			c.CorrelationID = fmt.Sprint("c", i)
			if _, err := l.do(c, d.now); err != nil {
				if _, refused := err.(*Error); !refused {
					t.Fatal(err)
				}
			}
		}
		n := rapid.IntRange(0, len(l.recs)).Draw(t, "from")
		wantSameReplay(t, l.recs, n, laterOf(d.now, l.s.Head().At))
	})
}

// TestReplayWithoutProbes: what probes met is avoided without them, and what they found
// is found by nobody.
func TestReplayWithoutProbes(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(21_600))
	x.at(time.Hour)
	x.probe("a1", quota(18_000))
	x.at(3 * time.Hour)
	x.probe("a1", events.Signal{Class: events.ClassOK, Scope: events.ScopeNone})
	end := x.now.Add(4 * time.Hour)
	wantSameReplay(t, x.recs, 0, end)
	off := PolicyConfig{RulesConfig: RulesConfig{Probe: &ProbeConfig{Mode: new(ProbeOff)}}}
	out, err := replay(Replay{Policy: &off}, foldFirst(x.recs, 4), end, rangeOf(x.recs[4:]))
	if err != nil {
		t.Fatal(err)
	}
	if out.Avoided != 1 || out.First == nil || out.First.Record.Seq != 6 || out.DifferingCount != 1 {
		t.Fatalf("%+v, %+v", out, out.First)
	}
	p := out.Differing[0]
	if p.Recorded.How != EndRecovered || p.Recorded.Probes != 1 || p.Replayed.How != EndExpired || p.Replayed.Probes != 0 {
		t.Errorf("recorded %+v\nreplayed %+v", p.Recorded, p.Replayed)
	}
}

// perModel are groups of which no model has one.
func perModel() *GroupsConfig { return &GroupsConfig{Bootstrap: "none"} }

// TestReplayOfRequestsWithoutADate: of a 429 that does not say when its request was sent
// nobody knows whether it would have been met.
func TestReplayOfRequestsWithoutADate(t *testing.T) {
	x := newScenario(t)
	start := len(x.recs)
	x.report("a1", opus, quota(60))
	for i := range 3 {
		x.at(time.Duration(10+10*i) * time.Minute)
		r := x.observed("a1", opus, quota(60))
		if i < 2 {
			r.StartedAt = time.Time{}
		}
		x.do(r)
	}
	long := Duration(time.Hour)
	out, err := replay(Replay{Policy: &PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{Jitter: &long}}}},
		foldFirst(x.recs, start), x.now, rangeOf(x.recs[start:]))
	if err != nil {
		t.Fatal(err)
	}
	if out.Limits != 4 || out.Undated != 2 || out.Avoided != 1 {
		t.Errorf("%+v", out)
	}
}

// TestReplayKeepsSuspensionsOfGroupsThatAreGone: what an operator suspended stays so under
// groups that do not have the target, from the start of the range and within it.
func TestReplayKeepsSuspensionsOfGroupsThatAreGone(t *testing.T) {
	x := newScenario(t)
	suspend := func(account string) {
		x.do(&Suspend{Filter: Filter{Account: account, Target: "claude"}, Reason: "invoice " + account, Forever: true})
	}
	suspend("a1")
	start := len(x.recs)
	x.at(time.Minute)
	suspend("a2")
	for i, account := range []string{"a1", "a2"} {
		x.at(time.Duration(2+i) * time.Minute)
		x.report(account, opus, quota(60)) // sent before, or past the suspension
		x.report(account, sonnet, quota(60))
		x.report(account, flash, quota(60))
	}
	x.at(time.Hour)
	x.do(&Lift{Filter: Filter{Account: "a2", Target: "claude"}})
	x.at(2 * time.Hour)
	x.do(&PatchAccount{ID: "a1", Priority: new(1)})
	out, err := replay(Replay{Groups: perModel()}, foldFirst(x.recs, start), x.now, rangeOf(x.recs[start:]))
	if err != nil {
		t.Fatal(err)
	}
	// Both are suspended in both worlds for as long, for the models that they are asked for.
	same := func() {
		t.Helper()
		if out.ExtraFree != 0 || out.ExtraBlocked > time.Minute { // cooldowns of other targets have another jitter
			t.Errorf("free for %s longer, blocked for %s", out.ExtraFree, out.ExtraBlocked)
		}
	}
	same()
	ends := map[string]int{}
	for _, p := range out.Differing {
		if e := p.Replayed; e != nil && e.Block == StatusSuspended {
			ends[fmt.Sprint(e.Account, " ", e.Target, " ", e.How, " ", e.EndedAt.Sub(e.StartedAt).Round(time.Minute), " ", e.Reason)]++
		}
	}
	want := map[string]int{
		"a2 model:" + opus + " lifted 59m0s invoice a2": 1, "a2 model:" + sonnet + " lifted 59m0s invoice a2": 1,
	}
	for key := range ends {
		if strings.HasPrefix(key, "a1 ") { // those go on
			delete(ends, key)
		}
	}
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Errorf("suspensions of the other world (-want +got):\n%s", diff)
	}
	// Groups that replace the one that is gone have it whole.
	groups := &GroupsConfig{Bootstrap: "none", Groups: []GroupConfig{
		{ID: "anthropic", Providers: []string{"antigravity"}, Patterns: []string{"claude-*"}, Replaces: []string{"claude"}},
	}}
	if out, err = replay(Replay{Groups: groups}, foldFirst(x.recs, start), x.now, rangeOf(x.recs[start:])); err != nil {
		t.Fatal(err)
	}
	same()
}

// episodesOf returns the episodes of a scenario.
func episodesOf(x *scenario) (list []Episode) {
	w := world{State: foldFirst(x.recs, 0)}
	w.episodes.done = func(e *Episode) { list = append(list, *e) }
	w.episodes.begin(w.State, noon())
	for _, r := range x.recs {
		w.apply(r, nil)
	}
	w.episodes.finish(x.now)
	slices.SortFunc(list, func(a, b Episode) int { return a.compare(&b) })
	return list
}

// TestAFreezeThatNewGroupsMoveIsOneEpisode: it is one row, from its start to its end, with
// what was answered under either name.
func TestAFreezeThatNewGroupsMoveIsOneEpisode(t *testing.T) {
	x := newScenario(t)
	x.report("a1", pro, quota(6*3600))
	x.do(&Suspend{Filter: Filter{Account: "a2", Target: "gemini-flash"}, Reason: "x", Forever: true})
	x.at(time.Minute)
	x.report("a1", pro, quota(6*3600))
	x.report("a1", flash, quota(60)) // another quota, which is merged with the first
	x.at(90 * time.Second)
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	x.at(time.Hour)
	x.report("a1", pro, quota(6*3600))
	x.at(2 * time.Hour)
	x.do(&Clear{Filter: Filter{Account: "a1", Target: "gemini"}})
	x.do(&Lift{Filter: Filter{Account: "a2", Target: "gemini"}})
	var got []string
	for _, e := range episodesOf(x) {
		got = append(got, fmt.Sprint(e.Account, " ", e.Block, " ", e.MovedFrom, ">", e.Target, " ", e.EndedAt.Sub(e.StartedAt), " ", e.How, " ", e.Answers))
	}
	want := []string{
		"a1 cooling gemini-pro>gemini 2h0m0s cleared 3",
		"a2 suspended gemini-flash>gemini 2h0m0s lifted 0",
		"a1 cooling >gemini-flash 30s regrouped 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("episodes (-want +got):\n%s", diff)
	}
}

// TestEpisodesCountWhatWasAnswered: all answers, and of those the 429s, also while the
// cell or the whole account is suspended.
func TestEpisodesCountWhatWasAnswered(t *testing.T) {
	x := newScenario(t)
	x.do(&Suspend{Filter: Filter{Account: "a1", Target: "*"}, Reason: "x", Forever: true})
	x.do(&Suspend{Filter: Filter{Account: "a1", Target: "claude"}, Reason: "x", Forever: true})
	busy := x.observed("a1", opus, events.Signal{
		Class: events.ClassCapacity, Scope: events.ScopeModel, Rule: "test/capacity", Classifier: 1, Hints: []events.Hint{{Source: "h", Seconds: 30}},
	})
	busy.Status = 503
	x.do(busy)
	x.report("a1", opus, quota(600))
	x.report("a1", flash, quota(600))
	var got []string
	for _, e := range episodesOf(x) {
		got = append(got, fmt.Sprint(e.Block, " ", e.Target, " ", e.Answers, " ", e.Limits))
	}
	want := []string{
		"suspended * 3 2", "suspended claude 1 1", "cooling model:" + opus + " 1 0", "cooling claude 1 1", "cooling gemini-flash 1 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("episodes (-want +got):\n%s", diff)
	}
}

// TestEpisodesTellWhatWasAskedFor: hints about windows that are not spent ask for nothing.
func TestEpisodesTellWhatWasAskedFor(t *testing.T) {
	x := newScenario(t)
	s := quota(7200)
	s.Hints = append(s.Hints, events.Hint{Source: "other window", Seconds: 600_000, Lost: events.LostUnrelated})
	x.report("a1", opus, s)
	var got []Episode
	w := world{State: foldFirst(x.recs, 4)}
	w.episodes.done = func(e *Episode) { got = append(got, *e) }
	w.episodes.begin(w.State, x.now)
	w.apply(x.recs[4], nil)
	w.episodes.finish(x.now)
	if len(got) != 1 || got[0].LongestHint != 2*time.Hour {
		t.Errorf("%+v", got)
	}
}
