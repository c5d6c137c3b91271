package projection

import (
	"fmt"
	"iter"
	"testing"
	"time"

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
