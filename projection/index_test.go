package projection

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// TestRule03IndexFollowsAccounts: after random changes of a pool of several chunks
// the index equals one built from scratch, and older ones still say what they said.
func TestRule03IndexFollowsAccounts(t *testing.T) {
	r := seeded()
	s := NewState()
	s.policy = &Policy{Policy: events.Policy{Default: defaultRules()}}
	seq := events.Seq(0)
	cell := func() Cell {
		c := Cell{Target: "*", LastSeq: seq}
		if r.IntN(3) > 0 {
			c.Cooling = &Cooling{StartedAt: noon(), Until: noon().Add(time.Duration(r.IntN(40)) * time.Hour), Probes: r.IntN(3), Probed: noon()}
		}
		return c
	}
	put := func(id string, spec events.AccountSpec) {
		seq++
		s.put(id, &Account{ID: id, Spec: spec, AddedSeq: seq, Cells: []Cell{cell()}})
	}
	spec := func() events.AccountSpec {
		origin := events.OriginConfigured
		if r.IntN(10) == 0 {
			origin = events.OriginObserved
		}
		return events.AccountSpec{Provider: []string{"p", "q"}[r.IntN(2)], Priority: r.IntN(3), Weight: 1 + r.IntN(16), Origin: origin}
	}
	for i := range 1000 {
		put(fmt.Sprintf("a%04d", i), spec())
	}
	last := s.Snapshot()
	index := newIndex(last.order(), noon())
	type kept struct {
		index *Index
		want  []*Account
	}
	var older []kept
	at := noon()
	for range 200 {
		for range 1 + r.IntN(5) {
			id := fmt.Sprintf("a%04d", r.IntN(1100))
			switch a := s.Account(id); {
			case a == nil || r.IntN(20) == 0:
				put(id, spec())
			case r.IntN(30) == 0:
				s.put(id, nil)
			default:
				put(id, a.Spec) // a cell changed
			}
		}
		changed := slices.Clone(s.changed)
		now := s.Snapshot()
		at = at.Add(time.Duration(r.IntN(30)) * time.Minute)
		index, _ = index.next(last, now.order(), changed, at)
		last = now
		sameIndex(t, index, newIndex(now.order(), at))
		k := kept{index: index}
		for i := range index.Pool("p").Len() {
			k.want = append(k.want, index.Pool("p").At(i))
		}
		older = append(older, k)
	}
	for i, k := range older {
		for j, want := range k.want {
			if got := k.index.Pool("p").At(j); got != want {
				t.Fatalf("account %d of index %d changed after it was published", j, i)
			}
		}
	}
}

// TestPublishedTreesAreShared: a snapshot costs no copy of the pool.
func TestPublishedTreesAreShared(t *testing.T) {
	s := NewState()
	for i := range 10_000 {
		id := fmt.Sprint("a", i)
		s.put(id, &Account{ID: id})
	}
	s.Snapshot()
	if n := testing.AllocsPerRun(100, func() { s.Snapshot() }); n > 40 {
		t.Errorf("a snapshot takes %v allocations", n)
	}
}
