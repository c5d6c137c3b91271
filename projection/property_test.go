package projection

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// drawn draws commands and instants.
type drawn struct {
	*rapid.T
	now time.Time
}

func pick[T any](d *drawn, label string, of ...T) T { return rapid.SampledFrom(of).Draw(d.T, label) }

// tick moves the clock: mostly on, at times back.
func (d *drawn) tick() {
	d.now = d.now.Add(pick(d, "tick", 0, time.Millisecond, time.Second, 10*time.Second, time.Minute, 20*time.Minute, 3*time.Hour, 30*time.Hour, -time.Minute, -2*time.Hour))
}

func (d *drawn) account() string { return pick(d, "account", "a1", "a2", "a3", "c1", "new") }

func (d *drawn) target() string {
	return pick(d, "target", "", "*", "claude", "gemini-pro", "gemini", "model:"+opus, "model:"+lone, "nope")
}

func (d *drawn) intent(head events.Seq) Intent {
	f := Filter{Account: pick(d, "filter", "", d.account()), Target: d.target(), Class: pick(d, "class", "", "", events.ClassQuotaExhausted)}
	switch pick(d, "intent", "report", "report", "report", "report", "suspend", "lift", "clear", "recheck", "account", "groups", "policy", "import", "expire") {
	case "report":
		return d.report(head)
	case "suspend":
		s := &Suspend{Filter: f, Reason: pick(d, "reason", "x", "y"), DryRun: pick(d, "dry", false, false, true)}
		s.For = pick(d, "for", 0, time.Minute, 2*time.Hour)
		s.Forever = s.For == 0
		return s
	case "lift":
		return &Lift{Filter: f, Reason: "x"}
	case "clear":
		return &Clear{Filter: f}
	case "recheck":
		return &Recheck{Filter: f, Reason: "x"}
	case "account":
		return d.pool()
	case "groups":
		return &DefineGroups{Config: pick(d, "config",
			GroupsConfig{}, GroupsConfig{Bootstrap: PresetTwoPools}, GroupsConfig{Bootstrap: PresetNone},
			GroupsConfig{Aliases: map[string]map[string]string{"antigravity": {lone: opus}}},
			GroupsConfig{Groups: []GroupConfig{{ID: "claude", Enabled: new(false)}, {ID: "all", Providers: []string{"antigravity"}, Patterns: []string{"*"}}}})}
	case "policy":
		return &DefinePolicy{Config: pick(d, "config", PolicyConfig{}, PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{None: true}}})}
	case "import":
		return d.imports()
	default:
		return &Expire{}
	}
}

func (d *drawn) pool() Intent {
	id := d.account()
	switch pick(d, "pool", "put", "put", "patch", "patch", "remove") {
	case "put":
		return &PutAccount{ID: id, Spec: events.AccountSpec{
			Provider: pick(d, "provider", "antigravity", "antigravity", "codex"), Priority: pick(d, "priority", 0, 0, 1),
			CredentialVersion: pick(d, "credential", "", "1", "2"),
		}}
	case "patch":
		return &PatchAccount{
			ID: id, Priority: new(pick(d, "priority", 0, 1)), Disabled: new(pick(d, "disabled", false, false, true)),
			DisableCooling: new(pick(d, "cooling", false, false, true)),
		}
	default:
		return &RemoveAccount{ID: id, Force: pick(d, "force", false, true)}
	}
}

func (d *drawn) report(head events.Seq) *Report {
	r := &Report{
		Account: d.account(), Provider: pick(d, "provider", "antigravity", "antigravity", "antigravity", "codex"),
		Model:     pick(d, "model", opus, sonnet, pro, flash, lone, "gpt-5"),
		Operation: pick(d, "operation", "", "", "", events.OpCountTokens, events.OpUsage),
		RequestID: pick(d, "request", "", "", "r1", "r2", "r3"),
		Lease:     events.Seq(pick(d, "lease", 0, 0, uint64(head), uint64(head)/2)),
	}
	r.Probe = pick(d, "probe", false, false, true)
	if pick(d, "dated", true, true, false) {
		r.StartedAt = d.now.Add(-pick(d, "ago", 0, time.Second, time.Minute, time.Hour, -time.Hour))
	}
	r.Signal = signal(
		pick(d, "class", events.ClassOK, events.ClassOK, events.ClassQuotaExhausted, events.ClassQuotaExhausted, events.ClassRateLimited,
			events.ClassCapacity, events.ClassAuth, events.ClassPayment, events.ClassForbidden, events.ClassServerError),
		pick(d, "scope", events.ScopeGroup, events.ScopeModel, events.ScopeAccount, events.ScopeNone))
	for range pick(d, "hints", 0, 0, 1, 2) {
		h := events.Hint{Source: "h", Seconds: pick(d, "seconds", 0, -1, 0.5, 30, 600, 7200, 1e6, 1e12)}
		if pick(d, "absolute", false, false, true) {
			h = events.Hint{Source: "h", At: d.now.Add(pick(d, "in", -time.Hour, time.Minute, 5*time.Hour, 200*24*time.Hour))}
		}
		r.Signal.Hints = append(r.Signal.Hints, h)
	}
	r.Signal.Window = pick(d, "window", events.WindowUnknown, events.WindowDaily, events.WindowWeekly)
	r.Signal.Reason = pick(d, "reason", "", "", events.ReasonBanned)
	r.Signal.Evidence = pick(d, "evidence", "", "some", "other")
	r.Status = pick(d, "status", 429, 429, 503, 403)
	return r
}

// live is an engine without its goroutine: commands are decided, sealed, applied
// and published as the writer does it.
type live struct {
	s    *State
	recs []events.Record
}

func (l *live) do(c Command, now time.Time) (Decision, error) {
	d, err := Decide(l.s, c, now)
	if err != nil {
		return d, err
	}
	recs, err := events.Seal(l.s.Head(), now, d.Drafts)
	if err != nil {
		return d, fmt.Errorf("Seal: %w", err)
	}
	for _, r := range recs {
		l.s.Apply(r)
	}
	l.recs = append(l.recs, recs...)
	return d, nil
}

// TestRule33AnyCommandsFoldToTheLiveState: for any commands at any instants, the
// fold of the records' bytes is the live state; snapshots published on the way
// never change; Decide changes nothing and answers alike; the index follows.
func TestRule33AnyCommandsFoldToTheLiveState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t, now: noon()}
		l := &live{s: NewState()}
		type published struct {
			s    *State
			dump []byte
		}
		var snapshots []published
		index := newIndex(NewState().order(), noon())
		last := NewState()
		step := func(c Command) {
			if _, err := l.do(c, d.now); err != nil {
				if _, ok := err.(*Error); !ok {
					t.Fatalf("%T: %v", c.Do, err)
				}
			}
			changed := slices.Clone(l.s.changed)
			s := l.s.Snapshot()
			index, _ = index.next(last, s.order(), changed, d.now)
			last = s
		}
		step(command(&DefineGroups{}))
		step(command(&DefinePolicy{}))
		for _, id := range []string{"a1", "a2"} {
			step(command(&PutAccount{ID: id, Spec: events.AccountSpec{Provider: "antigravity"}}))
		}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			d.tick()
			c := command(d.intent(l.s.Head().Seq))
			if k := pick(d, "key", "", "", "", "k1", "k2"); k != "" {
				c.IdempotencyKey, c.RequestHash = k, events.Hash{pick(d, "hash", byte(1), 2)}
			}
			before := dumpOf(t, l.s)
			one, errOne := Decide(l.s, c, d.now)
			two, errTwo := Decide(l.s, c, d.now)
			if fmt.Sprintf("%+v %v", kinds(one), errOne) != fmt.Sprintf("%+v %v", kinds(two), errTwo) || !bytes.Equal(before, dumpOf(t, l.s)) {
				t.Fatalf("%T is not decided purely", c.Do)
			}
			step(c)
			snapshots = append(snapshots, published{last, dumpOf(t, last)})
			sameIndex(t, index, newIndex(last.order(), d.now))
		}
		for i, p := range snapshots {
			if !bytes.Equal(p.dump, dumpOf(t, p.s)) {
				t.Fatalf("the snapshot after command %d changed later", i)
			}
		}
		fold := NewState()
		for _, r := range l.recs {
			back, err := events.Open(fold.Head(), r.Seq, r.Encoded(), r.Hash)
			if err != nil {
				t.Fatal(err)
			}
			fold.Apply(back)
		}
		if !bytes.Equal(dumpOf(t, fold), dumpOf(t, l.s)) {
			t.Fatal("the fold of the records is not the live state")
		}
		if len(fold.due.heap) != len(l.s.due.heap) {
			t.Fatalf("%d accounts with deadlines in the fold, %d live", len(fold.due.heap), len(l.s.due.heap))
		}
		for _, p := range snapshots {
			sameFromDump(t, p.dump, l)
		}
	})
}

// sameFromDump: a state that was loaded from a dump has that dump, and with the
// records that came after it is the live state.
func sameFromDump(t *rapid.T, dump []byte, l *live) {
	loaded, err := Load(dump)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dumpOf(t, loaded), dump) {
		t.Fatalf("a state loaded from the dump at %d has another dump", loaded.Head().Seq)
	}
	for _, r := range l.recs[loaded.Head().Seq:] {
		loaded.Apply(r)
	}
	if !bytes.Equal(dumpOf(t, loaded), dumpOf(t, l.s)) || len(loaded.due.heap) != len(l.s.due.heap) {
		t.Fatal("the dump and the tail are not the live state")
	}
}

func dumpOf(t *rapid.T, s *State) []byte {
	b, err := s.Dump()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRule16NoDeadlineShrinks: whatever is reported and commanded, a live deadline
// comes earlier only by the kinds of record that may end it.
func TestRule16NoDeadlineShrinks(t *testing.T) {
	may := []events.Kind{
		events.KindCooldownCleared, events.KindRecovered, events.KindExpired, events.KindGroupsDefined, events.KindAccountRemoved,
	}
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t, now: noon()}
		l := &live{s: NewState()}
		for _, do := range []Intent{&DefineGroups{}, &DefinePolicy{}, &PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity"}}} {
			if _, err := l.do(command(do), d.now); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			d.tick()
			before, first := l.s.Snapshot(), len(l.recs)
			if _, err := l.do(command(d.intent(l.s.Head().Seq)), d.now); err != nil {
				continue
			}
			for a := range before.Accounts("") {
				for i := range a.Cells {
					c := &a.Cells[i]
					k := c.cooling(d.now)
					ended := slices.ContainsFunc(l.recs[first:], func(r events.Record) bool { return slices.Contains(may, r.Kind()) })
					if k == nil || ended {
						continue
					}
					after := l.s.Account(a.ID).Cell(c.Target)
					if after.Cooling == nil || after.Cooling.Until.Before(k.Until) {
						t.Fatalf("%s on %s ended at %s, now %+v, after %v", c.Target, a.ID, k.Until, after.Cooling, l.recs[first:])
					}
				}
			}
		}
	})
}

// TestRule17BoundsHoldForAnyHints: no deadline lies beyond the bound of its class,
// in the past, or before a usable hint within the bound.
func TestRule17BoundsHoldForAnyHints(t *testing.T) {
	rules := defaultRules()
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t, now: noon()}
		r := d.report(0)
		q := question{signal: &r.Signal, rules: &rules, provider: "antigravity", account: "a", target: "t", now: d.now, started: r.StartedAt}
		got := q.rule()
		rule := classRule(&rules, got.class)
		if !rule.Blocks {
			return
		}
		bound, _ := rule.Bound.For(r.Signal.Window)
		if got.until.After(d.now.Add(bound)) || got.until.Before(d.now) {
			t.Fatalf("the deadline is %s from now, the bound %s", got.until.Sub(d.now), bound)
		}
		for _, h := range r.Signal.Hints {
			if at, why := q.instant(&h); why == "" && !at.After(d.now.Add(bound)) && got.until.Before(at) {
				t.Fatalf("the deadline %s is before the hint %s", got.until, at)
			}
		}
		if got.clamp != nil && got.clamp.Given > got.clamp.Asked {
			t.Fatalf("clamp %+v", got.clamp)
		}
		if again := q.rule(); !again.until.Equal(got.until) || again.step != got.step {
			t.Fatal("the same question is answered otherwise")
		}
	})
}

// TestRule33AnyCommandsThroughTheEngine is the same through a running engine on each kind
// of log, with commands that come together in batches.
func TestRule33AnyCommandsThroughTheEngine(t *testing.T) {
	for name, kind := range logKinds() {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			rapid.Check(t, func(t *rapid.T) {
				dir := scratch(t, parent)
				defer os.RemoveAll(dir)
				log, err := kind.open(dir)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { log.Close() }()
				v := throughEngine(t, log)
				if log, err = kind.again(dir, log); err != nil {
					t.Fatal(err)
				}
				fold := NewState()
				fold.begin(v.State.Head().Log)
				for r, err := range log.Records(context.Background(), 0) {
					if err != nil {
						t.Fatal(err)
					}
					fold.Apply(r)
				}
				if !bytes.Equal(dumpOf(t, fold), dumpOf(t, v.State)) {
					t.Fatal("the fold of the log is not the live state")
				}
				sameIndex(t, v.Index, newIndex(fold.order(), v.Index.from))
			})
		})
	}
}

// throughEngine executes commands at the same time and returns what the engine published
// last.
func throughEngine(t *rapid.T, log events.Log) *View {
	d := &drawn{T: t, now: noon()}
	e, err := Open(context.Background(), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	done := make(chan error)
	n := rapid.IntRange(1, 30).Draw(t, "commands")
	for range n {
		c := command(d.intent(0))
		go func() {
			_, err := e.Execute(context.Background(), c)
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatal(err)
			}
		}
	}
	e.Close()
	return e.View()
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// sameIndex compares two indexes by their pools, accounts, tiers and lanes.
func sameIndex(t failer, got, want *Index) {
	t.Helper()
	if len(got.pools) != len(want.pools) || !got.from.Equal(want.from) || !got.until.Equal(want.until) {
		t.Fatalf("%d pools from %s until %s, want %d from %s until %s", len(got.pools), got.from, got.until, len(want.pools), want.from, want.until)
	}
	for provider, w := range want.pools {
		g := got.pools[provider]
		if g == nil || g.Len() != w.Len() || !slices.Equal(g.Tiers(), w.Tiers()) || len(g.lanes) != len(w.lanes) || len(g.models) != len(w.models) {
			t.Fatalf("the pool of %s is %+v, want %+v", provider, g, w)
		}
		for i := range w.Len() {
			a, b := g.At(i), w.At(i)
			if a.ID != b.ID || a.Spec != b.Spec || !slices.EqualFunc(a.Cells, b.Cells, func(x, y Cell) bool { return x.Target == y.Target && x.LastSeq == y.LastSeq }) {
				t.Fatalf("position %d of %s holds %+v, want %+v", i, provider, a, b)
			}
		}
		for k := range w.lanes {
			sameLane(t, g.lanes[k], w.lanes[k], w.Len())
		}
		for target := range w.models {
			if g.models[target] == nil {
				t.Fatalf("%s has no lane for %s", provider, target)
			}
			sameLane(t, g.models[target], w.models[target], w.Len())
		}
	}
}

// sameLane compares two lanes of n positions, and what Next finds with what is set.
func sameLane(t failer, got, want *Lane, n int) {
	t.Helper()
	if got.base != want.base || got.blocked != want.blocked || !slices.Equal(got.usable.summary, want.usable.summary) || got.counts != want.counts || got.first != want.first || got.kind.group != want.kind.group || got.kind.model != want.kind.model {
		t.Fatalf("lane %+v, want %+v", got, want)
	}
	for name, m := range map[string][2]*minima{
		"ends": {&got.ends, &want.ends}, "empty": {&got.empty, &want.empty}, "background": {&got.background, &want.background},
	} {
		same := slices.Equal(m[0].tops, m[1].tops)
		for i := range n {
			same = same && m[0].at(i) == m[1].at(i)
		}
		if !same {
			t.Fatalf("%s of %s%s: %v, want %v", name, want.kind.group, want.kind.model, m[0].tops, m[1].tops)
		}
	}
	if !slices.EqualFunc(got.slots.blocks, want.slots.blocks, func(a, b *bitBlock) bool { return a.words == b.words }) {
		t.Fatalf("the slots differ")
	}
	next := -1
	for i := n - 1; i >= 0; i-- {
		if got.usable.has(i) != want.usable.has(i) {
			t.Fatalf("position %d is %v, want %v", i, got.usable.has(i), want.usable.has(i))
		}
		if want.usable.has(i) {
			next = i
		}
		if found := got.Next(i, n); found != next {
			t.Fatalf("after position %d comes %d, want %d", i, found, next)
		}
	}
}
