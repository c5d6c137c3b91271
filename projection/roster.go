package projection

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Roster is who is in a pool and in which order: what changes only when an account
// comes, goes, or gets another priority or weight. Indexes share it, so that a place
// in it stays good while the pointer is the same.
type Roster struct {
	ids    []string // stored ids by descending priority, then id
	hashes []uint64 // of the ids
	// places :: id → position
	places map[string]int32
	tiers  []Tier
	// wheel holds the slots of weighted turns; nil if the weights are equal.
	wheel *wheel
}

// Tier is a run of accounts of one priority: positions Start to End-1 of a pool, and
// slots FirstSlot to EndSlot-1 of its wheel.
type Tier struct{ Priority, Start, End, FirstSlot, EndSlot int }

// wheel gives each account as many slots of a turn as its weight says, spread evenly.
type wheel struct {
	at []int32 // slot → position
	// slots of position i are list[first[i]:first[i+1]].
	first, list []int32
}

func newRoster(accounts []*Account) *Roster {
	r := &Roster{
		ids: make([]string, len(accounts)), hashes: make([]uint64, len(accounts)),
		places: make(map[string]int32, len(accounts)),
	}
	weighted := false
	for i, a := range accounts {
		r.ids[i], r.hashes[i] = a.ID, Hash64(a.ID)
		r.places[a.ID] = int32(i)
		weighted = weighted || a.weight() != accounts[0].weight()
		if n := len(r.tiers); n == 0 || r.tiers[n-1].Priority != a.Spec.Priority {
			r.tiers = append(r.tiers, Tier{Priority: a.Spec.Priority, Start: i})
		}
		r.tiers[len(r.tiers)-1].End = i + 1
	}
	if weighted {
		r.wheel = newWheel(accounts, r)
	}
	return r
}

// weight is from 1 to maxWeight; an account of an import may have none.
func (a *Account) weight() int { return min(max(a.Spec.Weight, 1), maxWeight) }

// maxWeight is the largest weight of an account.
const maxWeight = 16

// Hash64 is the hash that sticky choices use: xxHash64 of the text, the same in every
// process.
func Hash64(text string) uint64 { return xxhash.Sum64String(text) }

// newWheel places the slots of each tier. Those of one account are as far from each
// other as its weight allows; where they begin is a matter of its hash, so that
// accounts of one weight do not come in a row.
func newWheel(accounts []*Account, r *Roster) *wheel {
	type slot struct {
		turn uint64 // the part of the turn that has passed, of 2^64
		at   int32
	}
	w := &wheel{first: make([]int32, len(accounts)+1)}
	for i, a := range accounts {
		w.first[i+1] = w.first[i] + int32(a.weight())
	}
	w.list = make([]int32, w.first[len(accounts)])
	filled := slices.Clone(w.first)
	for k := range r.tiers {
		t := &r.tiers[k]
		t.FirstSlot = len(w.at)
		var list []slot
		for i := t.Start; i < t.End; i++ {
			begin, gap := slots64(r.hashes[i], accounts[i].weight())
			for n := range accounts[i].weight() {
				list = append(list, slot{begin + uint64(n)*gap, int32(i)})
			}
		}
		slices.SortFunc(list, func(a, b slot) int { return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.at, b.at)) })
		for _, s := range list {
			w.list[filled[s.at]] = int32(len(w.at))
			filled[s.at]++
			w.at = append(w.at, s.at)
		}
		t.EndSlot = len(w.at)
	}
	return w
}

// slots64 returns where in a turn of 2^64 the first slot of an account lies, and how
// far its slots are apart.
func slots64(hash uint64, weight int) (begin, gap uint64) {
	gap = math.MaxUint64 / uint64(weight)
	return hash % gap, gap
}

// SlotAfter returns how far the account's next slot lies after a point of the turn,
// from 1 to 2^64, which is 0.
func (a *Account) SlotAfter(point uint64) uint64 {
	begin, gap := slots64(Hash64(a.ID), a.weight())
	if point >= begin {
		if n := (point-begin)/gap + 1; n < uint64(a.weight()) {
			begin += n * gap
		}
	}
	return begin - point // of the next turn if it wraps
}

// Len returns the number of accounts.
func (r *Roster) Len() int { return len(r.ids) }

// ID returns the stored id of the account at a position.
func (r *Roster) ID(i int) string { return r.ids[i] }

// Hashes returns the Hash64 of the ids at the 64 positions from 64*w on, or as many as
// there are.
func (r *Roster) Hashes(w int) []uint64 { return r.hashes[w*64 : min(w*64+64, len(r.hashes))] }

// Find returns the position of an account.
func (r *Roster) Find(id string) (int, bool) {
	i, ok := r.places[id]
	return int(i), ok
}

// Tiers returns the priority tiers, the highest first.
func (r *Roster) Tiers() []Tier { return r.tiers }

// Weighted reports whether the accounts differ in weight.
func (r *Roster) Weighted() bool { return r.wheel != nil }

// Served returns the position that a slot of the wheel serves.
func (r *Roster) Served(slot int) int { return int(r.wheel.at[slot]) }

// After returns the position of a tier that follows an id, whether or not it is in
// the roster.
func (r *Roster) After(id string, t Tier) int {
	i, ok := slices.BinarySearch(r.ids[t.Start:t.End], id)
	if ok {
		i++
	}
	return t.Start + i
}

func (a *Account) before(b *Account) int {
	return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), strings.Compare(a.ID, b.ID))
}
