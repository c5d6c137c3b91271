package projection

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Index is the read side for picks: per provider, the configured accounts in the
// order they are served, and per quota group a bitmap of those that are usable. It is
// immutable; the next one shares all that did not change.
//
// The bits hold from one instant to the next deadline: [Index.Exact] tells. Outside
// that time, for the moment until the next index is published, a reader judges the
// accounts one by one, so that a pick is right at the instant of an expiry.
type Index struct {
	pools map[string]*Pool
	known []*Pool // the pools of Groups.providers, for look-ups without a hash
	epoch uint64  // rises with every index; marks what an update may still change
	// The bits are those of from, and hold before until; a zero until is never.
	from, until time.Time
}

// Pool is the configured accounts of one provider by descending priority, then id.
type Pool struct {
	owner  uint64 // the epoch that made this copy
	chunks []*chunk
	tiers  []Tier
	length int
	// lanes :: Resolution.lane → who is usable for that group; lane 0 is for models
	// without a group
	lanes []*Lane
	// models :: model target → who is usable for a model that is blocked on at least
	// one account; other models follow their group's lane
	models map[string]*Lane
}

// Tier is a run of accounts of one priority: positions Start to End-1 of a pool.
type Tier struct{ Priority, Start, End int }

// chunkSize is how many accounts are copied when one changes.
const chunkSize = 256

type chunk struct {
	owner    uint64
	accounts [chunkSize]*Account
}

// Pool returns the pool of a canonical provider, or nil.
func (x *Index) Pool(provider string) *Pool { return x.pools[provider] }

// PoolOf returns the pool of a resolution made by the groups of the same view, or
// nil.
func (x *Index) PoolOf(r *Resolution) *Pool {
	if r.pool >= 0 {
		return x.known[r.pool]
	}
	return x.pools[r.Provider]
}

// Exact reports whether the lanes tell who is usable at now.
func (x *Index) Exact(now time.Time) bool {
	return !now.Before(x.from) && (x.until.IsZero() || now.Before(x.until))
}

// Len returns the number of accounts.
func (p *Pool) Len() int { return p.length }

// At returns the account at a position.
func (p *Pool) At(i int) *Account { return p.chunks[i/chunkSize].accounts[i%chunkSize] }

// Tiers returns the priority tiers, the highest first.
func (p *Pool) Tiers() []Tier { return p.tiers }

// Lane returns who is usable for a resolution made by the groups of the same view,
// or nil if no lane tells: an alias may put a blocked model into another group than
// the model's own name does.
func (p *Pool) Lane(r *Resolution) *Lane {
	if len(p.models) > 0 {
		if l := p.models[r.ModelTarget]; l != nil && l.base == r.lane {
			return l
		} else if l != nil {
			return nil
		}
	}
	return p.lanes[r.lane]
}

func (a *Account) before(b *Account) int {
	return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), strings.Compare(a.ID, b.ID))
}

func (a *Account) listed() bool { return a != nil && a.Spec.Origin == events.OriginConfigured }

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

// After returns the position that follows an account in the order of the pool,
// whether or not it is still there.
func (p *Pool) After(a *Account) int {
	i, ok := p.find(a)
	if ok {
		i++
	}
	return i
}

// newIndex builds the index of a state from nothing, as of now.
func newIndex(s *State, now time.Time) *Index {
	u := indexUpdate{index: &Index{pools: map[string]*Pool{}}, state: s, now: now}
	lists := map[string][]*Account{}
	for a := range s.Accounts("") {
		if a.listed() {
			lists[a.Spec.Provider] = append(lists[a.Spec.Provider], a)
		}
	}
	for provider, list := range lists {
		u.build(provider, list)
	}
	u.close()
	return u.index
}

// indexUpdate is an index being made, from nothing or from an older one.
type indexUpdate struct {
	index *Index
	state *State
	now   time.Time
}

// next returns the index after some accounts changed and some time passed.
func (x *Index) next(was, is *State, changed []string, now time.Time) *Index {
	if was.groups != is.groups || now.Before(x.from) {
		return newIndex(is, now) // other lanes, or a clock that went back
	}
	u := indexUpdate{index: &Index{pools: maps.Clone(x.pools), epoch: x.epoch + 1}, state: is, now: now}
	changed = slices.Clone(changed)
	for id := range is.dueBetween(x.from, now) {
		changed = append(changed, id)
	}
	slices.Sort(changed)
	var rebuild []string
	for _, id := range slices.Compact(changed) {
		a, b := was.Account(id), is.Account(id)
		if !u.replace(a, b, x.from) {
			for _, account := range []*Account{a, b} {
				if account != nil {
					rebuild = append(rebuild, account.Spec.Provider)
				}
			}
		}
	}
	slices.Sort(rebuild)
	for _, provider := range slices.Compact(rebuild) {
		u.rebuild(provider)
	}
	u.close()
	return u.index
}

// close notes the time that the bits hold.
func (u *indexUpdate) close() {
	u.index.from = u.now
	for _, provider := range u.state.groups.providers {
		u.index.known = append(u.index.known, u.index.pools[provider])
	}
	u.index.until, _ = u.state.dueAfter(u.now)
}

// rebuild makes a provider's pool anew, after its members or their order changed.
func (u *indexUpdate) rebuild(provider string) {
	delete(u.index.pools, provider)
	var list []*Account
	for a := range u.state.Accounts("") {
		if a.listed() && a.Spec.Provider == provider {
			list = append(list, a)
		}
	}
	if len(list) > 0 {
		u.build(provider, list)
	}
}

func (u *indexUpdate) build(provider string, list []*Account) {
	slices.SortFunc(list, (*Account).before)
	p := &Pool{owner: u.index.epoch, length: len(list)}
	for part := range slices.Chunk(list, chunkSize) {
		c := &chunk{owner: u.index.epoch}
		copy(c.accounts[:], part)
		p.chunks = append(p.chunks, c)
	}
	for i, a := range list {
		if n := len(p.tiers); n == 0 || p.tiers[n-1].Priority != a.Spec.Priority {
			p.tiers = append(p.tiers, Tier{a.Spec.Priority, i, i})
		}
		p.tiers[len(p.tiers)-1].End = i + 1
	}
	for range 1 + len(u.state.groups.Of(provider)) {
		p.lanes = append(p.lanes, newLane(len(list), u.index.epoch))
	}
	u.index.pools[provider] = p
	for i, a := range list {
		u.refresh(p, i, a)
	}
	for i, a := range list {
		u.blockModels(p, i, a)
	}
}

// replace puts b where a was, both of one id. It reports false if the order changes.
// The time is that of the older index's bits.
func (u *indexUpdate) replace(a, b *Account, then time.Time) bool {
	if !a.listed() && !b.listed() {
		return true
	}
	if !a.listed() || !b.listed() || a.Spec.Provider != b.Spec.Provider || a.Spec.Priority != b.Spec.Priority {
		return false
	}
	p := u.own(u.index.pools[a.Spec.Provider])
	u.index.pools[a.Spec.Provider] = p
	i, ok := p.find(b)
	if !ok {
		return false // unreachable while the index follows the state
	}
	if a != b {
		c := p.chunks[i/chunkSize]
		if c.owner != u.index.epoch {
			c = &chunk{u.index.epoch, c.accounts}
			p.chunks[i/chunkSize] = c
		}
		c.accounts[i%chunkSize] = b
	}
	u.refresh(p, i, b)
	u.freeModels(p, a, then)
	u.blockModels(p, i, b)
	return true
}

// own returns the pool as a copy that this update may change.
func (u *indexUpdate) own(p *Pool) *Pool {
	if p.owner == u.index.epoch {
		return p
	}
	return &Pool{
		owner: u.index.epoch, chunks: slices.Clone(p.chunks), tiers: p.tiers, length: p.length,
		lanes: slices.Clone(p.lanes), models: maps.Clone(p.models),
	}
}

// refresh sets the bits of the account at a position, in every lane.
func (u *indexUpdate) refresh(p *Pool, i int, a *Account) {
	all := !a.Spec.Disabled && !a.blocks(events.TargetAll, u.now)
	p.lanes[0] = p.lanes[0].set(i, all, u.index.epoch)
	for k, g := range u.state.groups.Of(a.Spec.Provider) {
		p.lanes[k+1] = p.lanes[k+1].set(i, all && !a.blocks(g.ID, u.now), u.index.epoch)
	}
	for target, l := range p.models {
		p.models[target] = l.set(i, p.lanes[l.base].has(i) && !a.blocks(target, u.now), u.index.epoch)
	}
}

// freeModels forgets the models that the account blocked when it was judged last; a
// model that no account blocks loses its lane.
func (u *indexUpdate) freeModels(p *Pool, a *Account, then time.Time) {
	for target := range a.liveModels(then) {
		if l := p.models[target]; l != nil && l.blocked == 1 {
			delete(p.models, target)
		} else if l != nil {
			p.models[target] = l.count(-1, u.index.epoch)
		}
	}
}

// blockModels gives each model that the account at a position blocks now a lane of
// its own, with that account out of it.
func (u *indexUpdate) blockModels(p *Pool, i int, b *Account) {
	for target := range b.liveModels(u.now) {
		l := p.models[target]
		if l == nil {
			base := u.state.groups.Resolve(b.Spec.Provider, target[len(events.ModelTarget):]).lane
			l = p.lanes[base].fork(base, u.index.epoch)
		}
		if p.models == nil {
			p.models = map[string]*Lane{}
		}
		p.models[target] = l.count(1, u.index.epoch).set(i, false, u.index.epoch)
	}
}

// blocks reports whether the account's cell of a target is blocked at now.
func (a *Account) blocks(target string, now time.Time) bool {
	c := a.cell(target)
	return c != nil && c.blockedAt(now)
}

// liveModels yields the model targets that are blocked at now.
func (a *Account) liveModels(now time.Time) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range a.Cells {
			c := &a.Cells[i]
			if strings.HasPrefix(c.Target, events.ModelTarget) && c.blockedAt(now) && !yield(c.Target) {
				return
			}
		}
	}
}
