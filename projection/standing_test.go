package projection

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// TestRule31Standing: how an account stands by its cells of "*", of the group and of the
// model.
func TestRule31Standing(t *testing.T) {
	const h = time.Hour
	cool := func(d time.Duration) Cell { // probed first after 5 min and an hour
		return Cell{Cooling: &Cooling{StartedAt: noon(), Until: noon().Add(d)}}
	}
	timed := func(d time.Duration) Cell { return Cell{Suspended: &Suspension{Until: noon().Add(d)}} }
	forever := Cell{Suspended: &Suspension{}}
	held := Cell{Held: &Held{}}
	both := func(a, b Cell) Cell {
		if b.Cooling != nil {
			a.Cooling = b.Cooling
		}
		if b.Suspended != nil {
			a.Suspended = b.Suspended
		}
		return a
	}
	tests := []struct {
		name              string
		all, group, model Cell
		status            Status
		end               time.Duration // 0: never
		empty, background time.Duration // 0: never
	}{
		{"nothing", Cell{}, Cell{}, Cell{}, StatusAvailable, 0, 0, 0},
		{"a cooldown", Cell{}, cool(7 * h), Cell{}, StatusCooling, 7 * h, 5 * time.Minute, h},
		{"one too short for probes beside others", Cell{}, cool(2 * h), Cell{}, StatusCooling, 2 * h, 5 * time.Minute, 0},
		{"one too short for any", Cell{}, cool(4 * time.Minute), Cell{}, StatusCooling, 4 * time.Minute, 0, 0},
		{"of all", cool(3 * h), Cell{}, Cell{}, StatusCooling, 3 * h, 5 * time.Minute, h},
		{"of the model", Cell{}, Cell{}, cool(3 * h), StatusCooling, 3 * h, 5 * time.Minute, h},
		{"the longer one", cool(h), cool(9 * h), Cell{}, StatusCooling, 9 * h, 5 * time.Minute, h},
		{"a suspension", timed(h), Cell{}, Cell{}, StatusSuspended, h, 0, 0},
		{"without an end", Cell{}, forever, Cell{}, StatusSuspended, 0, 0, 0},
		{"a hold", held, Cell{}, Cell{}, StatusHeld, 0, 0, 0},
		{"over a cooldown", held, cool(9 * h), Cell{}, StatusHeld, 0, 0, 0},
		{"a suspension over it", timed(h), cool(9 * h), Cell{}, StatusCooling, 9 * h, 0, 0},
		{"under it", timed(9 * h), cool(h), Cell{}, StatusSuspended, 9 * h, 0, 0},
		{"in one cell", Cell{}, both(timed(h), cool(9*h)), Cell{}, StatusSuspended, 9 * h, 0, 0},
		{"a hold under a suspension", both(held, timed(h)), Cell{}, Cell{}, StatusHeld, 0, 0, 0},
		{"under one without an end", both(held, forever), Cell{}, Cell{}, StatusSuspended, 0, 0, 0},
		{"what is over", timed(-h), cool(0), Cell{}, StatusAvailable, 0, 0, 0},
	}
	rule := defaultRules().Probe
	for _, test := range tests {
		a := &Account{ID: "a"}
		for target, c := range map[string]Cell{"*": test.all, "g": test.group, "model:m": test.model} {
			c.Target = target
			a = a.with(target, func(x *Cell) { *x = c })
		}
		a = a.with("other", func(c *Cell) { c.Held = new(Held) }) // of another group
		s := NewState()
		s.policy = &Policy{Policy: events.Policy{Default: events.Rules{Probe: rule}}}
		got := s.Standing(a, &Resolution{Provider: "p", Group: "g", ModelTarget: "model:m"}, noon())
		want := Standing{Status: test.status, End: after(test.end), Empty: after(test.empty), Background: after(test.background)}
		if got != want {
			t.Errorf("%s: %+v, want %+v", test.name, got, want)
		}
		disabled := *a
		disabled.Spec.Disabled = true
		if got := s.Standing(&disabled, &Resolution{Group: "g"}, noon()); got != (Standing{StatusDisabled, Never, Never, Never}) {
			t.Errorf("%s, disabled: %+v", test.name, got)
		}
	}
}

// after is an instant after noon; 0: never.
func after(d time.Duration) Instant {
	if d == 0 {
		return Never
	}
	return InstantOf(noon().Add(d))
}

// TestRule31LanesAddUpStandings: whatever an index was made from step by step, each of
// its lanes says what a look at every account gives.
func TestRule31LanesAddUpStandings(t *testing.T) {
	r := seeded()
	s := NewState()
	s.groups = defined(t, GroupsConfig{})
	s.policy = &Policy{Policy: events.Policy{Default: defaultRules()}}
	const n = 200
	now := noon()
	change := func() {
		id := fmt.Sprintf("a%03d", r.IntN(n))
		a := s.Account(id)
		if a == nil || r.IntN(30) == 0 {
			a = &Account{ID: id, Spec: events.AccountSpec{Provider: "antigravity", Priority: r.IntN(2), Weight: 1 + r.IntN(3), Origin: events.OriginConfigured}}
		}
		b := *a
		b.Spec.Disabled = r.IntN(20) == 0
		target := []string{"*", "claude", "gemini-pro", "gemini-flash", "model:" + opus, "model:" + lone}[r.IntN(6)]
		s.put(id, b.with(target, func(c *Cell) { randomCell(r, c, now) }))
	}
	for range n {
		change()
	}
	last := s.Snapshot()
	index := newIndex(last.order(), now)
	for step := range 300 {
		for range r.IntN(4) {
			change()
		}
		s.head.Seq++
		if r.IntN(20) == 0 { // a probe succeeded
			s.returned = s.returned.with(pool{"antigravity", "claude"}, Mark{s.head.Seq, now})
		}
		changed := append([]string(nil), s.changed...)
		is := s.Snapshot()
		now = now.Add(time.Duration(r.IntN(20)) * time.Minute)
		index, _ = index.next(last, is.order(), changed, now)
		last = is
		for _, model := range []string{opus, sonnet, pro, flash, lone, "nobody"} {
			if !checkLane(t, index, is, s.groups.Resolve("antigravity", model), now) {
				t.Fatalf("at step %d, for %s", step, model)
			}
		}
	}
}

// randomCell changes a cell's blocks. Blocks are shared with older snapshots, so they
// are replaced.
func randomCell(r *rand.Rand, c *Cell, now time.Time) {
	at := now.Add(time.Duration(r.IntN(1000)) * time.Minute)
	c.Cooling, c.Held, c.Suspended = nil, nil, nil
	switch r.IntN(8) {
	case 0:
		c.Held = new(Held)
	case 1:
		c.Suspended = new(Suspension)
	case 2:
		c.Suspended = &Suspension{Until: at}
	case 3, 4:
	default:
		c.Cooling = &Cooling{StartedAt: now, Until: at, Probes: r.IntN(3), Probed: now}
	}
}

// checkLane compares a lane with the standings of all accounts of its pool.
func checkLane(t *testing.T, x *Index, s *State, id *Resolution, now time.Time) bool {
	t.Helper()
	p := x.PoolOf(id)
	lane := p.Lane(id)
	var counts Counts
	end, empty, background := Never, Never, Never
	for i := range p.Len() {
		st := s.Standing(s.Account(p.ID(i)), id, now)
		counts.add(st.Status, 1)
		end, empty, background = min(end, st.End), min(empty, st.Empty), min(background, st.Background)
		if usable := st.Status == StatusAvailable; lane.usable.has(i) != usable || lane.Word(i/64)>>(i%64)&1 == 1 != usable {
			t.Errorf("%s is usable: %t, want %t", p.ID(i), lane.usable.has(i), usable)
		}
		for nobody, due := range map[bool]Instant{true: st.Empty, false: st.Background} {
			if due <= InstantOf(now) && !yields(lane.Due(nobody, now), i) {
				t.Errorf("%s is due for a probe, and not looked at", p.ID(i))
			}
		}
	}
	if lane.Counts() != counts || lane.FirstEnd() != end || lane.ProbeDue(true) != empty || lane.ProbeDue(false) != background {
		t.Errorf("%+v, first at %d, probes at %d and %d; want %+v, %d, %d, %d", lane.Counts(), lane.FirstEnd(), lane.ProbeDue(true),
			lane.ProbeDue(false), counts, end, empty, background)
	}
	return !t.Failed()
}

func yields(list func(yield func(int) bool), want int) bool {
	for i := range list {
		if i == want {
			return true
		}
	}
	return false
}
