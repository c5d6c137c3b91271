package projection

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// Index is the read side for picks: per provider, the configured accounts in the
// order they are served. It is immutable. What blocks an account is judged by the
// reader at its own now, so the index is exact at the instant of an expiry.
type Index struct {
	pools map[string]*Pool
}

// Pool is the configured accounts of one provider by descending priority, then id.
type Pool struct {
	chunks [][]*Account // all of chunkSize but the last
	tiers  []Tier
	length int
}

// Tier is a run of accounts of one priority: positions Start to End-1 of a pool.
type Tier struct{ Priority, Start, End int }

// chunkSize is how many accounts are copied when one changes.
const chunkSize = 256

// Pool returns the pool of a canonical provider, or nil.
func (x *Index) Pool(provider string) *Pool { return x.pools[provider] }

// Len returns the number of accounts.
func (p *Pool) Len() int { return p.length }

// At returns the account at a position.
func (p *Pool) At(i int) *Account { return p.chunks[i/chunkSize][i%chunkSize] }

// Tiers returns the priority tiers, the highest first.
func (p *Pool) Tiers() []Tier { return p.tiers }

// After returns the position within a tier of the first account whose id is after
// id, and End if there is none.
func (p *Pool) After(t Tier, id string) int {
	lo, hi := t.Start, t.End
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); p.At(mid).ID <= id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (a *Account) before(b *Account) int {
	return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), strings.Compare(a.ID, b.ID))
}

// find returns the position of an account by its order.
func (p *Pool) find(a *Account) (int, bool) {
	lo, hi := 0, p.length
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); p.At(mid).before(a) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < p.length && p.At(lo).ID == a.ID
}

// newIndex builds the index of a state from nothing.
func newIndex(s *State) *Index {
	lists := map[string][]*Account{}
	for a := range s.Accounts("") {
		if a.Spec.Origin == events.OriginConfigured {
			lists[a.Spec.Provider] = append(lists[a.Spec.Provider], a)
		}
	}
	x := &Index{pools: map[string]*Pool{}}
	for provider, list := range lists {
		slices.SortFunc(list, (*Account).before)
		x.pools[provider] = newPool(list)
	}
	return x
}

func newPool(list []*Account) *Pool {
	p := &Pool{length: len(list)}
	for chunk := range slices.Chunk(list, chunkSize) {
		p.chunks = append(p.chunks, slices.Clone(chunk))
	}
	for i, a := range list {
		if n := len(p.tiers); n == 0 || p.tiers[n-1].Priority != a.Spec.Priority {
			p.tiers = append(p.tiers, Tier{a.Spec.Priority, i, i})
		}
		p.tiers[len(p.tiers)-1].End = i + 1
	}
	return p
}

// next returns the index after some accounts changed: pools whose members stayed
// share all chunks but those of the changed; the others are built anew.
func (x *Index) next(was, is *State, changed []string) *Index {
	if len(changed) == 0 {
		return x
	}
	slices.Sort(changed)
	n := indexUpdate{index: &Index{pools: make(map[string]*Pool, len(x.pools))}, own: map[*Pool]map[int]bool{}}
	maps.Copy(n.index.pools, x.pools)
	for _, id := range slices.Compact(changed) {
		if !n.replace(was.Account(id), is.Account(id)) {
			return newIndex(is)
		}
	}
	return n.index
}

// indexUpdate is an index being made from an older one.
type indexUpdate struct {
	index *Index
	// own :: pool of this update → its chunks that are copies already
	own map[*Pool]map[int]bool
}

// replace puts b where a was. It reports false if the order changes.
func (u *indexUpdate) replace(a, b *Account) bool {
	listed := func(a *Account) bool { return a != nil && a.Spec.Origin == events.OriginConfigured }
	if !listed(a) && !listed(b) {
		return true
	}
	if !listed(a) || !listed(b) || a.Spec.Provider != b.Spec.Provider || a.Spec.Priority != b.Spec.Priority {
		return false
	}
	p := u.index.pools[a.Spec.Provider]
	i, ok := p.find(b)
	if !ok {
		return false // unreachable while the index follows the state
	}
	if u.own[p] == nil {
		p = &Pool{chunks: slices.Clone(p.chunks), tiers: p.tiers, length: p.length}
		u.own[p] = map[int]bool{}
		u.index.pools[a.Spec.Provider] = p
	}
	if k := i / chunkSize; !u.own[p][k] {
		p.chunks[k] = slices.Clone(p.chunks[k])
		u.own[p][k] = true
	}
	p.chunks[i/chunkSize][i%chunkSize] = b
	return true
}
