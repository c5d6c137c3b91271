package projection

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// poolOf returns n accounts of random priorities and weights, in no order.
func poolOf(n int) []*Account {
	r := seeded()
	list := make([]*Account, n)
	for i := range list {
		list[i] = &Account{ID: fmt.Sprint("a", r.IntN(1<<30)), Spec: events.AccountSpec{Priority: r.IntN(3) - 1, Weight: 1 + r.IntN(16)}}
	}
	return list
}

func TestRule30RosterIsOrdered(t *testing.T) {
	list := poolOf(300)
	slices.SortFunc(list, (*Account).before)
	r := newRoster(list)
	position := 0
	for k, tier := range r.Tiers() {
		if tier.Start != position || tier.End <= tier.Start || k > 0 && tier.Priority >= r.Tiers()[k-1].Priority {
			t.Fatalf("tier %d is %+v, after position %d", k, tier, position)
		}
		for ; position < tier.End; position++ {
			id := list[position].ID
			if i, ok := r.Find(id); !ok || i != position || r.ID(i) != id || list[i].Spec.Priority != tier.Priority {
				t.Fatalf("%s is found at %d, %t; want %d", id, i, ok, position)
			}
			if r.Hashes(position / 64)[position%64] != Hash64(id) {
				t.Fatalf("position %d has the hash of another", position)
			}
			if position > tier.Start && id <= list[position-1].ID {
				t.Fatalf("%s comes after %s", id, list[position-1].ID)
			}
			if got := r.After(id, tier); got != position+1 {
				t.Fatalf("after %s comes %d, want %d", id, got, position+1)
			}
			if got := r.After(id+"\x00", tier); got != position+1 {
				t.Fatalf("after an id behind %s comes %d, want %d", id, got, position+1)
			}
		}
		if got := r.After("", tier); got != tier.Start {
			t.Errorf("after nothing comes %d, want %d", got, tier.Start)
		}
	}
	if position != r.Len() || r.Len() != 300 {
		t.Errorf("%d positions in tiers, %d in all", position, r.Len())
	}
	if _, ok := r.Find("nobody"); ok {
		t.Error("an account that is not there is found")
	}
}

// TestRule30WheelHasEachWeightsSlots: a tier's wheel serves each account as often as its
// weight says, and its slots are where SlotAfter says.
func TestRule30WheelHasEachWeightsSlots(t *testing.T) {
	list := poolOf(200)
	slices.SortFunc(list, (*Account).before)
	r := newRoster(list)
	if !r.Weighted() {
		t.Fatal("weights that differ make no wheel")
	}
	for _, tier := range r.Tiers() {
		turns := map[int]int{}
		for slot := tier.FirstSlot; slot < tier.EndSlot; slot++ {
			turns[r.Served(slot)]++
		}
		total := 0
		for i := tier.Start; i < tier.End; i++ {
			if turns[i] != list[i].Spec.Weight {
				t.Errorf("%s has %d slots, want %d", list[i].ID, turns[i], list[i].Spec.Weight)
			}
			total += turns[i]
		}
		if total != tier.EndSlot-tier.FirstSlot {
			t.Errorf("%d slots, want %d", tier.EndSlot-tier.FirstSlot, total)
		}
		// Going on from slot to slot by SlotAfter gives the same order.
		point := uint64(0)
		for slot := tier.FirstSlot; slot < tier.EndSlot; slot++ {
			next, least := -1, uint64(math.MaxUint64)
			for i := tier.Start; i < tier.End; i++ {
				if d := list[i].SlotAfter(point) - 1; next < 0 || d < least {
					next, least = i, d
				}
			}
			point += least + 1
			if next != r.Served(slot) {
				t.Fatalf("slot %d serves %s, by SlotAfter %s", slot, r.ID(r.Served(slot)), r.ID(next))
			}
		}
	}
}

// TestRule30SlotAfter compares it with a look at all slots.
func TestRule30SlotAfter(t *testing.T) {
	r := seeded()
	for _, a := range poolOf(100) {
		gap := math.MaxUint64 / uint64(a.Spec.Weight)
		var slots []uint64
		for n := range a.Spec.Weight {
			slots = append(slots, Hash64(a.ID)%gap+uint64(n)*gap)
		}
		points := []uint64{0, 1, math.MaxUint64, r.Uint64(), r.Uint64(), r.Uint64()}
		for _, s := range slots {
			points = append(points, s, s-1, s+1)
		}
		for _, point := range points {
			want := slots[0] // of the next turn
			for _, s := range slots {
				if s > point {
					want = s
					break
				}
			}
			if got := point + a.SlotAfter(point); got != want {
				t.Fatalf("weight %d: after %d comes %d, want %d", a.Spec.Weight, point, got, want)
			}
		}
	}
}

func TestRule30WeightsAreBounded(t *testing.T) {
	for given, want := range map[int]int{-1: 1, 0: 1, 1: 1, 16: 16, 17: 16} {
		a := &Account{Spec: events.AccountSpec{Weight: given}}
		if got := a.weight(); got != want {
			t.Errorf("weight %d counts as %d, want %d", given, got, want)
		}
	}
	even := []*Account{{ID: "a", Spec: events.AccountSpec{Weight: 7}}, {ID: "b", Spec: events.AccountSpec{Weight: 7}}}
	if newRoster(even).Weighted() {
		t.Error("weights that are equal make a wheel")
	}
}
