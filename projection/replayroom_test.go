package projection

import (
	"fmt"
	"iter"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// otherRules draws rules to replay under.
func (d *drawn) otherRules() (q Replay) {
	bound := Duration(pick(d, "bound", time.Minute, 30*time.Minute, 24*time.Hour))
	shorter := &PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{Bound: &BoundConfig{All: &bound}}}}
	groups := pick(d, "other groups", GroupsConfig{}, GroupsConfig{Bootstrap: PresetTwoPools}, GroupsConfig{Bootstrap: PresetNone})
	switch pick(d, "rules", "shorter", "no probes", "groups", "both", "the same") {
	case "shorter":
		q.Policy = shorter
	case "no probes":
		q.Policy = &PolicyConfig{RulesConfig: RulesConfig{Probe: &ProbeConfig{Mode: new(ProbeOff)}}}
	case "groups":
		q.Groups = &groups
	case "both":
		q.Policy, q.Groups = shorter, &groups
	}
	return q
}

// TestReplayFindsWhatDiffersAsIfAllWereKept: a replay lets go of the episodes that
// nothing can become the like of. It finds what one finds that keeps all until the end.
func TestReplayFindsWhatDiffersAsIfAllWereKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t, now: noon()}
		l := &live{s: NewState()}
		l.s.begin("replay")
		for _, do := range []Intent{&DefinePolicy{}, &DefineGroups{}} {
			if _, err := l.do(command(do), d.now); err != nil {
				t.Fatal(err)
			}
		}
		for i := range rapid.IntRange(1, 100).Draw(t, "commands") {
			before := d.now
			d.tick()
			d.now = laterOf(d.now, before) // a block that goes on after its end, by a clock gone back, is another one
			c := command(d.intent(l.s.Head().Seq))
			c.CorrelationID = fmt.Sprint("c", i)
			if _, err := l.do(c, d.now); err != nil {
				if _, refused := err.(*Error); !refused {
					t.Fatal(err)
				}
			}
		}
		n := rapid.IntRange(2, len(l.recs)).Draw(t, "from")
		x := newReplayer(d.otherRules(), foldFirst(l.recs, n), d.now)
		kept := map[pairKey]EpisodePair{}
		keep := func(world *episodes, side func(*EpisodePair, *Episode)) {
			done := world.done
			world.done = func(e *Episode) {
				p := kept[e.pairKey()]
				side(&p, new(*e))
				kept[e.pairKey()] = p
				done(e)
			}
		}
		keep(&x.was.episodes, func(p *EpisodePair, e *Episode) { p.Recorded = e })
		keep(&x.would.episodes, func(p *EpisodePair, e *Episode) { p.Replayed = e })
		out, err := x.run(rangeOf(l.recs[n:]))
		if _, refused := err.(*Error); refused {
			return // groups that would drop a suspension
		} else if err != nil {
			t.Fatal(err)
		}
		var want []EpisodePair
		for _, p := range kept {
			if p.Recorded == nil || p.Replayed == nil || !p.same() {
				want = append(want, p)
			}
		}
		slices.SortFunc(want, func(a, b EpisodePair) int { return a.first().compare(b.first()) })
		if diff := cmp.Diff(want, out.Differing); diff != "" || out.DifferingCount != len(want) {
			t.Errorf("%d differ, and %d of all that ended (-want +got):\n%s", out.DifferingCount, len(want), diff)
		}
	})
}

// TestReplayWaitsForNewGroups: groups that come into force move a block to another target
// with the start that it had, where its like may be one that is long over.
func TestReplayWaitsForNewGroups(t *testing.T) {
	x := newScenario(t)
	start := len(x.recs)
	x.report("a1", pro, quota(6*3600))
	for _, after := range []time.Duration{40, 41, 42} { // the shorter one is over
		x.at(after * time.Minute)
		x.do(&PatchAccount{ID: "a1", Priority: new(int(after))})
	}
	x.at(time.Hour)
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	x.at(2 * time.Hour)
	x.do(&PatchAccount{ID: "a1", Priority: new(0)})
	bound := Duration(30 * time.Minute)
	out, err := replay(Replay{
		Groups: &GroupsConfig{Bootstrap: PresetTwoPools},
		Policy: &PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{Bound: &BoundConfig{All: &bound}}}},
	}, foldFirst(x.recs, start), x.now, rangeOf(x.recs[start:]))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range out.Differing {
		text := func(e *Episode) string {
			if e == nil {
				return "none"
			}
			return fmt.Sprint(e.Target, " ", e.How)
		}
		got = append(got, text(p.Recorded)+", "+text(p.Replayed))
	}
	want := []string{"gemini , gemini expired"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("episodes that differ (-want +got):\n%s", diff)
	}
}

// incidents makes a log of a few accounts that are refused, refused for longer and served
// at last, over and over, and returns its end.
func incidents(t *testing.T, accounts, rounds int) (recs []events.Record, end time.Time) {
	t.Helper()
	l := &live{s: NewState()}
	l.s.begin("replay")
	now := noon()
	do := func(intent Intent) {
		t.Helper()
		if _, err := l.do(command(intent), now); err != nil {
			t.Fatal(err)
		}
	}
	do(&DefinePolicy{})
	do(&DefineGroups{})
	for i := range accounts {
		do(&PutAccount{ID: fmt.Sprint("a", i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	for n := range accounts * rounds {
		now = now.Add(time.Minute)
		do(&Expire{})
		signal, status := [...]events.Signal{quota(5 * 3600), quota(6 * 3600), ok()}[n/accounts%3], 429
		if signal.Class == events.ClassOK {
			status = 200
		}
		do(&Report{
			Account: fmt.Sprint("a", n%accounts), Provider: "antigravity", Model: opus, Status: status, Signal: signal,
			RequestID: fmt.Sprint("r", n), StartedAt: now.Add(-time.Second), Lease: l.s.Head().Seq,
		})
	}
	return l.recs, now
}

// TestReplayRoom: what a replay keeps grows with the pool, and by a few bytes for each
// record of its range.
func TestReplayRoom(t *testing.T) {
	const accounts, perRecord = 60, 64
	short, long := roomOf(t, accounts, 60), roomOf(t, accounts, 360)
	if short.differing < 2*MaxDiffering || long.records < 4*short.records {
		t.Fatalf("too few records, or too few episodes that differ, to tell: %+v, %+v", short, long)
	}
	if grown := (long.bytes - short.bytes) / (long.records - short.records); grown > perRecord {
		t.Errorf("%d bytes a record of the range: %+v, %+v", grown, short, long)
	}
	if most := max(short.waiting, long.waiting); most == 0 || most > 2*accounts {
		t.Errorf("%d episodes wait for their like, of %d accounts with a cell each", most, accounts)
	}
}

// room is what a replay kept when it came to the end of its range.
type room struct{ records, bytes, differing, waiting int }

func roomOf(t *testing.T, accounts, rounds int) (used room) {
	t.Helper()
	recs, end := incidents(t, accounts, rounds)
	first := accounts + 2
	bound := Duration(30 * time.Minute)
	q := Replay{Policy: &PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{Bound: &BoundConfig{All: &bound}}}}}
	x := newReplayer(q, foldFirst(recs, first), end)
	before := liveBytes()
	out, err := x.run(func() iter.Seq2[events.Record, error] {
		return func(yield func(events.Record, error) bool) {
			for _, r := range recs[first:] {
				if !yield(r, nil) {
					return
				}
				used.waiting = max(used.waiting, len(x.pairs.waiting))
			}
			used.bytes = liveBytes() - before // of the second reading, which is the last
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(recs)
	used.records, used.differing = len(recs)-first, out.DifferingCount
	if !slices.IsSortedFunc(out.Differing, func(a, b EpisodePair) int {
		return a.first().StartedAt.Compare(b.first().StartedAt)
	}) || len(out.Differing) != min(MaxDiffering, out.DifferingCount) {
		t.Errorf("%d of %d episodes that differ, or out of order", len(out.Differing), out.DifferingCount)
	}
	return used
}

// liveBytes is what the heap holds that is in use.
func liveBytes() int {
	runtime.GC()
	runtime.GC() // what the first one freed the last reference to
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
