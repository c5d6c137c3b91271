package projection

import (
	"hash/maphash"
	"iter"

	"github.com/tidwall/btree"
)

// slot is the place of an account in a working state and its snapshots, from when it
// is added until it is removed. Slots of other states have nothing to do with it.
type slot uint32

// accounts holds the pool. It is copy-on-write like all of the state, and made so
// that a change of an account, which is what happens all the time, writes one slot:
// what finds and orders the slots changes only when an account comes or goes.
type accounts struct {
	slots paged[*Account] // :: slot → account; nil: free
	// table is an open hash table with linear probing: 1 + the slot of an account, 0
	// where there is none. Its size is a power of two, at least twice the accounts.
	table paged[slot]
	size  uint32
	seed  maphash.Seed
	order *btree.Map[string, slot] // :: id → slot
	free  []slot                   // the working state's own
}

func newAccounts() accounts {
	return accounts{seed: maphash.MakeSeed(), order: btree.NewMap[string, slot](0)}
}

// share returns the present value, which later changes do not touch.
func (x *accounts) share() accounts {
	shared := *x
	shared.slots, shared.table, shared.order, shared.free = x.slots.share(), x.table.share(), x.order.Copy(), nil
	return shared
}

func (x *accounts) len() int { return x.order.Len() }

// from yields the accounts whose id is at or after an id, bytewise by id.
func (x *accounts) from(id string) iter.Seq2[slot, *Account] {
	return func(yield func(slot, *Account) bool) {
		x.order.Ascend(id, func(_ string, k slot) bool { return yield(k, x.at(k)) })
	}
}

// at returns the account in a slot.
func (x *accounts) at(k slot) *Account { return x.slots.at(uint32(k)) }

// find returns an account and its slot; nil if there is none.
func (x *accounts) find(id string) (slot, *Account) {
	if x.size == 0 {
		return 0, nil
	}
	for i := x.home(id); ; i = x.next(i) {
		k := x.table.at(i)
		if k == 0 {
			return 0, nil
		}
		if a := x.at(k - 1); a.ID == id {
			return k - 1, a
		}
	}
}

// home is where in the table the search for an id begins, next where it goes on.
func (x *accounts) home(id string) uint32 {
	return uint32(maphash.String(x.seed, id)) & (x.size - 1)
}

func (x *accounts) next(i uint32) uint32 { return (i + 1) & (x.size - 1) }

// set changes the account in a slot.
func (x *accounts) set(k slot, a *Account) { x.slots.set(uint32(k), a) }

// add gives an account whose id is new a slot.
func (x *accounts) add(a *Account) slot {
	k := slot(x.len())
	if n := len(x.free); n > 0 {
		k, x.free = x.free[n-1], x.free[:n-1]
	}
	x.set(k, a)
	x.order.Set(a.ID, k)
	if 2*x.len() > int(x.size) {
		x.rehash()
	} else {
		x.enter(k, a.ID)
	}
	return k
}

// enter makes a slot found by its account's id.
func (x *accounts) enter(k slot, id string) {
	i := x.home(id)
	for x.table.at(i) != 0 {
		i = x.next(i)
	}
	x.table.set(i, k+1)
}

// rehash makes a table of twice the size.
func (x *accounts) rehash() {
	x.size = max(2*x.size, pageSize)
	x.table = paged[slot]{}
	for i := range x.size {
		x.table.set(i, 0)
	}
	for k, a := range x.from("") {
		x.enter(k, a.ID)
	}
}

// remove frees a slot.
func (x *accounts) remove(k slot) {
	id := x.at(k).ID
	i := x.home(id)
	for x.table.at(i) != k+1 {
		i = x.next(i)
	}
	x.close(i)
	x.order.Delete(id)
	x.set(k, nil)
	x.free = append(x.free, k)
}

// close empties a place of the table, and moves up what would no longer be found
// behind it.
func (x *accounts) close(hole uint32) {
	for i := x.next(hole); x.table.at(i) != 0; i = x.next(i) {
		// An entry may move to the hole if its search passes there.
		mask := x.size - 1
		if home := x.home(x.at(x.table.at(i) - 1).ID); (i-home)&mask >= (i-hole)&mask {
			x.table.set(hole, x.table.at(i))
			hole = i
		}
	}
	x.table.set(hole, 0)
}
