package projection

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/wire"
)

// TestRule03SnapshotsNeverChange: each way a cell changes leaves the published
// value of it alone.
func TestRule03SnapshotsNeverChange(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.report("a1", opus, banned())
	x.do(suspend("a1", "claude", "by hand"))
	changes := map[string]func(){
		"kept":      func() { x.report("a1", opus, quota(60)) },
		"held":      func() { r := x.observed("a1", opus, banned()); r.Status = 429; x.tell(r) },
		"extended":  func() { x.report("a1", opus, quota(7200)) },
		"suspended": func() { x.do(suspend("a1", "claude", "another reason")) },
		"changed":   func() { x.do(&PatchAccount{ID: "a1", Priority: new(5)}) },
		"defined":   func() { x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}}) },
		"lifted":    func() { x.do(lift("a1", "claude")) },
		"cleared":   func() { x.do(&Clear{Filter: Filter{Account: "a1"}}) },
		"removed":   func() { x.do(&RemoveAccount{ID: "a1"}) },
	}
	for _, name := range []string{"kept", "held", "extended", "suspended", "changed", "defined", "lifted", "cleared", "removed"} {
		published := x.s.Snapshot()
		before := dump(t, published)
		x.at(x.now.Sub(noon()) + time.Second)
		changes[name]()
		if !bytes.Equal(before, dump(t, published)) {
			t.Errorf("%s: the snapshot from before changed", name)
		}
		if bytes.Equal(before, dump(t, x.s)) {
			t.Errorf("%s: nothing changed", name)
		}
	}
}

// TestDumpFormatRisesWithTheEvents: a version that does not know a kind of event must
// not start from a checkpoint behind a record of it. So who adds a kind, or a version
// of a payload, raises DumpFormat, and adds a line here. Lines of released versions
// never change.
func TestDumpFormatRisesWithTheEvents(t *testing.T) {
	first := "account_added account_changed account_removed cooldown_cleared expired groups_defined imported lifted " +
		"limit_observed loss_accepted policy_defined recheck_requested recovered suspended"
	kinds := map[int]string{1: first, 2: first, 3: strings.Replace(first, "suspended", "settings_changed suspended", 1)}
	var known []string
	for _, k := range events.Kinds() {
		known = append(known, string(k))
	}
	slices.Sort(known)
	if got := strings.Join(known, " "); got != kinds[DumpFormat] {
		t.Errorf("the kinds of dump format %d are\n%s, want\n%s", DumpFormat, got, kinds[DumpFormat])
	}
}

// TestRule33NewerDumpsAreNamed: whatever else they hold.
func TestRule33NewerDumpsAreNamed(t *testing.T) {
	whole := dump(t, NewState())
	want := fmt.Sprintf("format %d, and this version of Abeyance reads %d", DumpFormat+1, DumpFormat)
	for name, newer := range map[string][]byte{
		"the same fields": append([]byte{whole[0], DumpFormat + 1}, whole[2:]...),
		"one more":        append([]byte{0xdc, 0, dumpFields + 1, DumpFormat + 1}, append(whole[2:], 0xc0)...),
		"others":          {0x92, DumpFormat + 1, 0xc0},
	} {
		if _, err := Load(newer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that names the formats", name, err)
		}
	}
	if _, err := Load([]byte{0x92, DumpFormat, 0xc0}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("fields that are missing: error %v", err)
	}
}

// TestRule33DumpHoldsEverything: states that differ in one field have different
// dumps. The head's hash, which would tell them apart too, is the same here.
func TestRule33DumpHoldsEverything(t *testing.T) {
	build := func(change func(s *State, a *Account, c *Cell)) []byte {
		s := NewState()
		a := &Account{ID: "a", Cells: []Cell{{Target: "t", Cooling: &Cooling{}, Held: &Held{}, Suspended: &Suspension{}}}}
		change(s, a, &a.Cells[0])
		s.put(a.ID, a)
		return dump(t, s)
	}
	at, m := noon(), Mark{3, noon()}
	cell := map[string]func(c *Cell){
		"target": func(c *Cell) { c.Target = "u" }, "not cooling": func(c *Cell) { c.Cooling = nil },
		"not held": func(c *Cell) { c.Held = nil }, "not suspended": func(c *Cell) { c.Suspended = nil },
		"ladder class": func(c *Cell) { c.Ladder.Class = "x" }, "ladder step": func(c *Cell) { c.Ladder.Step = 1 },
		"ladder length": func(c *Cell) { c.Ladder.Length = 1 }, "ladder deadline": func(c *Cell) { c.Ladder.Deadline = at },
		"strikes": func(c *Cell) { c.Strikes.Count = 1 }, "last strike": func(c *Cell) { c.Strikes.Last = at },
		"ended": func(c *Cell) { c.Ended = m }, "recheck": func(c *Cell) { c.Recheck = m },
		"detail": func(c *Cell) { c.Detail = 1 }, "last seq": func(c *Cell) { c.LastSeq = 1 },
		"until": func(c *Cell) { c.Cooling.Until = at }, "reset": func(c *Cell) { c.Cooling.Reset = at },
		"started at": func(c *Cell) { c.Cooling.StartedAt = at }, "started": func(c *Cell) { c.Cooling.Started = 1 },
		"decided": func(c *Cell) { c.Cooling.Decided = 1 }, "last": func(c *Cell) { c.Cooling.Last = m },
		"class": func(c *Cell) { c.Cooling.Class = "x" }, "source": func(c *Cell) { c.Cooling.Source = "x" },
		"clamped": func(c *Cell) { c.Cooling.Clamped = true }, "step": func(c *Cell) { c.Cooling.Step = 1 },
		"provider": func(c *Cell) { c.Cooling.Provider = "x" }, "model": func(c *Cell) { c.Cooling.Model = "x" },
		"held since": func(c *Cell) { c.Held.Since = at }, "held started": func(c *Cell) { c.Held.Started = 1 },
		"held last": func(c *Cell) { c.Held.Last = m }, "held class": func(c *Cell) { c.Held.Class = "x" },
		"held reason": func(c *Cell) { c.Held.Reason = "x" }, "held provider": func(c *Cell) { c.Held.Provider = "x" },
		"held model": func(c *Cell) { c.Held.Model = "x" },
		"reason":     func(c *Cell) { c.Suspended.Reason = "x" }, "by": func(c *Cell) { c.Suspended.By = "x" },
		"on behalf of": func(c *Cell) { c.Suspended.OnBehalfOf = "x" }, "since": func(c *Cell) { c.Suspended.Since = at },
		"suspended until": func(c *Cell) { c.Suspended.Until = at }, "suspended seq": func(c *Cell) { c.Suspended.Seq = 1 },
	}
	seen := map[string]string{string(build(func(*State, *Account, *Cell) {})): "nothing"}
	check := func(name string, dump []byte) {
		if other, twice := seen[string(dump)]; twice {
			t.Errorf("%s: the dump is that of %s", name, other)
		}
		seen[string(dump)] = name
	}
	for name, change := range cell {
		check("cell, "+name, build(func(_ *State, _ *Account, c *Cell) { change(c) }))
	}
	for name, change := range map[string]func(s *State, a *Account){
		"id": func(_ *State, a *Account) { a.ID = "b" }, "added seq": func(_ *State, a *Account) { a.AddedSeq = 1 },
		"added at": func(_ *State, a *Account) { a.AddedAt = at }, "spec": func(_ *State, a *Account) { a.Spec.Weight = 2 },
		"no cells":        func(_ *State, a *Account) { a.Cells = nil },
		"groups":          func(s *State, _ *Account) { s.groups = defined(t, GroupsConfig{}) },
		"policy":          func(s *State, _ *Account) { s.policy = &Policy{Version: 1} },
		"requests":        func(s *State, _ *Account) { s.requests.set(requestKey{"a", "r"}, 1) },
		"keys":            func(s *State, _ *Account) { s.keys.set("k", keyUse{request: events.Hash{1}}) },
		"key uses":        func(s *State, _ *Account) { s.keys.set("k", keyUse{request: events.Hash{1}, first: 1}) },
		"groups before":   func(s *State, _ *Account) { s.groupsEditions = editions{{1, 2}} },
		"policies before": func(s *State, _ *Account) { s.policyEditions = editions{{1, 2}} },
		"removed":         func(s *State, _ *Account) { s.removed.set("a", m) },
		"log":             func(s *State, _ *Account) { s.head.Log = "x" },
		"seq":             func(s *State, _ *Account) { s.head.Seq = 1 },
		"hash":            func(s *State, _ *Account) { s.head.Hash[0] = 1 },
		"at":              func(s *State, _ *Account) { s.head.At = at },
	} {
		check(name, build(func(s *State, a *Account, _ *Cell) { change(s, a) }))
	}
}

func TestRule35ReasonsAreScrubbed(t *testing.T) {
	x := newScenario(t)
	secret := "ask bob@example.com, key sk-aaaaaaaaaaaaaaaaaaaaaaaa\x1b[31m"
	x.report("a1", opus, quota(600))
	x.do(suspend("a1", "*", secret))
	x.do(&Lift{Filter: Filter{Account: "a1"}, Reason: secret})
	x.do(&Clear{Filter: Filter{Account: "a1"}, Reason: secret})
	x.do(&RemoveAccount{ID: "a2", Reason: secret})
	for _, r := range x.recs {
		for _, part := range []string{"bob@", "sk-aaaa", "\x1b[31m"} {
			if bytes.Contains(r.Encoded(), []byte(part)) {
				t.Errorf("record %d (%s) holds %q", r.Seq, r.Kind(), part)
			}
		}
	}
}

// TestRule33PackedDumps are the same states in less room, and are read whole or not at
// all.
func TestRule33PackedDumps(t *testing.T) {
	x := newScenario(t)
	for i := range 50 {
		x.report("a1", fmt.Sprint(opus, i%40), quota(600))
	}
	whole := dump(t, x.s)
	small, err := x.s.Pack()
	if err != nil || len(small) >= len(whole) {
		t.Fatalf("%d bytes are packed into %d: %v", len(whole), len(small), err)
	}
	back, err := Load(small)
	if err != nil || !bytes.Equal(dump(t, back), whole) {
		t.Fatalf("a packed dump is read as another state: %v", err)
	}
	for n := range small {
		if _, err := Load(small[:n]); err == nil {
			t.Fatalf("%d of %d packed bytes are a state", n, len(small))
		}
	}
}
