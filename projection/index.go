package projection

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Index is the read side for picks: per provider, the configured accounts in the
// order they are served, and per quota group how each stands. It is immutable; the
// next one shares all that did not change.
//
// It holds from one instant to the next deadline: [Index.Exact] tells. Outside that
// time, for the moment until the next index is published, a reader judges the
// accounts one by one, so that a pick is right at the instant of an expiry.
type Index struct {
	pools map[string]*Pool
	known []*Pool // the pools of Groups.providers, for look-ups without a hash
	epoch uint64  // rises with every index; marks what an update may still change
	// The lanes are those of from, and hold before until; a zero until is never.
	from, until time.Time
	// first and last are the same for picks: the instants that it holds between.
	first, last Instant
}

// Pool is the configured accounts of one provider.
type Pool struct {
	*Roster
	owner uint64 // the epoch that made this copy
	// accounts :: position → account
	accounts paged[*Account]
	// lanes :: Resolution.lane → how the accounts stand towards that group; lane 0 is
	// for models without a group
	lanes []*Lane
	// models :: model target → how they stand towards a model that is blocked on at
	// least one account; other models follow their group's lane
	models map[string]*Lane
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

// Exact reports whether the lanes tell how the accounts stand at now.
func (x *Index) Exact(now time.Time) bool {
	return !now.Before(x.from) && (x.until.IsZero() || now.Before(x.until))
}

// ExactAt is Exact for an instant.
func (x *Index) ExactAt(now Instant) bool { return now >= x.first && now < x.last }

// At returns the account at a position.
func (p *Pool) At(i int) *Account { return p.accounts.at(uint32(i)) }

// Lane returns the lane of a resolution made by the groups of the same view, or nil
// if none tells: an alias may put a blocked model into another group than the
// model's own name does.
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

func (a *Account) listed() bool { return a != nil && a.Spec.Origin == events.OriginConfigured }

// newIndex builds the index of a state from nothing, as of now.
func newIndex(is order, now time.Time) *Index {
	u := indexUpdate{is: judge{is.State, now}}
	u.until, _ = is.next(now)
	return u.anew()
}

// next returns the index after some accounts changed and some time passed, and the
// providers of which something may have become usable.
func (x *Index) next(was *State, is order, changed []string, now time.Time) (*Index, gains) {
	return x.update(was, is, changed, now).finish()
}

// update begins the next index. It asks all that the order of the deadlines tells, so
// that what is left for [indexUpdate.finish] needs nothing that goes on changing.
func (x *Index) update(was *State, is order, changed []string, now time.Time) *indexUpdate {
	u := &indexUpdate{older: x, was: judge{was, x.from}, is: judge{is.State, now}}
	u.until, _ = is.next(now)
	u.changed = slices.Clone(changed)
	if !x.Exact(now) { // else no deadline has passed since: a storm is not looked through again
		u.changed = is.appendBetween(u.changed, x.from, now)
	}
	return u
}

// indexUpdate is an index being made, from nothing or from an older one.
type indexUpdate struct {
	older   *Index
	index   *Index
	was, is judge // how accounts stood in the older index, and how they stand
	changed []string
	until   time.Time // the first deadline after the instant of is
	swaps   []swap
	rebuild []string // the providers whose rosters change
	gains   gains
}

// finish makes the index, and names the providers of which something may have become
// usable. Afterwards u.changed is sorted, without repeats.
func (u *indexUpdate) finish() (*Index, gains) {
	slices.Sort(u.changed)
	u.changed = slices.Compact(u.changed)
	was, is, x := u.was.state, u.is.state, u.older
	if was.groups != is.groups || was.policy != is.policy || u.is.now.Before(x.from) {
		return u.anew(), gains{all: true} // other lanes, or a clock that went back
	}
	u.index = &Index{pools: maps.Clone(x.pools), epoch: x.epoch + 1}
	u.swaps = make([]swap, 0, len(u.changed))
	for _, id := range u.changed {
		k, b := is.accounts.find(id)
		u.swap(was.accountAt(k, id), b)
	}
	u.settle()
	u.close()
	return u.index, u.gains
}

// anew makes the index from nothing.
func (u *indexUpdate) anew() *Index {
	u.index = &Index{pools: map[string]*Pool{}}
	lists := map[string][]*Account{}
	for a := range u.is.state.Accounts("") {
		if a.listed() {
			lists[a.Spec.Provider] = append(lists[a.Spec.Provider], a)
		}
	}
	for provider, list := range lists {
		u.build(provider, list, nil)
	}
	u.close()
	return u.index
}

// swap is an account that changed in its place.
type swap struct {
	pool *Pool
	at   int
	a, b *Account
}

// gains names the providers that may have more to offer than before.
type gains struct {
	all       bool
	providers []string
}

func (g *gains) has(provider string) bool { return g.all || slices.Contains(g.providers, provider) }

func (g *gains) add(provider string) {
	if !slices.Contains(g.providers, provider) {
		g.providers = append(g.providers, provider)
	}
}

// swap puts b where a was, both of one id. Where that changes the roster, the pool is
// to be built anew.
func (u *indexUpdate) swap(a, b *Account) {
	if !a.listed() && !b.listed() {
		if b != nil {
			u.gains.add(b.Spec.Provider) // only picks that name it can tell
		}
		return
	}
	if !a.listed() || !b.listed() || a.Spec.Provider != b.Spec.Provider || a.Spec.Priority != b.Spec.Priority || a.weight() != b.weight() {
		for _, account := range []*Account{a, b} {
			if account.listed() {
				u.rebuild = append(u.rebuild, account.Spec.Provider)
			}
		}
		return
	}
	p := u.own(b.Spec.Provider)
	i, _ := p.Find(b.ID)
	if a != b {
		p.accounts.set(uint32(i), b)
	}
	u.swaps = append(u.swaps, swap{p, i, a, b})
}

// own returns a provider's pool as a copy that this update may change.
func (u *indexUpdate) own(provider string) *Pool {
	p := u.index.pools[provider]
	if p.owner == u.index.epoch {
		return p
	}
	p = &Pool{
		Roster: p.Roster, owner: u.index.epoch, accounts: p.accounts.next(),
		lanes: slices.Clone(p.lanes), models: maps.Clone(p.models),
	}
	u.index.pools[provider] = p
	return p
}

// settle brings the lanes up to the accounts, all of which are in their places.
func (u *indexUpdate) settle() {
	for provider := range u.returnedOf() {
		u.rebuild = append(u.rebuild, provider) // its accounts are due for probes at once
	}
	slices.Sort(u.rebuild)
	u.rebuild = slices.Compact(u.rebuild)
	for _, provider := range u.rebuild {
		u.renew(provider)
		u.gains.add(provider)
	}
	for _, s := range u.swaps {
		if _, found := slices.BinarySearch(u.rebuild, s.b.Spec.Provider); !found {
			placing{u, s.pool, s.at}.move(s.a, s.b)
		}
	}
}

// returnedOf yields the providers of which a probe has found a quota back.
func (u *indexUpdate) returnedOf() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if len(u.is.state.returned) == 0 {
			return
		}
		for p, m := range u.is.state.returned {
			if m.Seq > u.was.state.head.Seq && u.index.pools[p.provider] != nil && !yield(p.provider) {
				return
			}
		}
	}
}

// close notes the time that the index holds.
func (u *indexUpdate) close() {
	u.index.from = u.is.now
	for _, provider := range u.is.state.groups.providers {
		u.index.known = append(u.index.known, u.index.pools[provider])
	}
	u.index.until = u.until
	u.index.first, u.index.last = InstantOf(u.index.from), InstantOf(u.index.until)
}

// renew makes a provider's pool anew, after its members or their order changed.
func (u *indexUpdate) renew(provider string) {
	old := u.index.pools[provider]
	delete(u.index.pools, provider)
	var list []*Account
	for a := range u.is.state.Accounts("") {
		if a.listed() && a.Spec.Provider == provider {
			list = append(list, a)
		}
	}
	if len(list) > 0 {
		u.build(provider, list, old)
	}
}

// build makes a provider's pool from nothing but the roster of an older one, if that
// has the same accounts.
func (u *indexUpdate) build(provider string, list []*Account, old *Pool) {
	slices.SortFunc(list, (*Account).before)
	p := &Pool{owner: u.index.epoch}
	if old != nil && old.holds(list) {
		p.Roster = old.Roster
	} else {
		p.Roster = newRoster(list)
	}
	for i, a := range list {
		p.accounts.set(uint32(i), a)
	}
	p.lanes = append(p.lanes, newLane(kind{probe: u.is.state.probeRule(provider, "")}, p.Roster, u.index.epoch))
	for _, g := range u.is.state.groups.Of(provider) {
		k := kind{group: g.ID, probe: u.is.state.probeRule(provider, g.ID)}
		p.lanes = append(p.lanes, newLane(k, p.Roster, u.index.epoch))
	}
	u.index.pools[provider] = p
	for i, a := range list {
		placing{u, p, i}.move(nil, a)
	}
}

// holds reports whether the accounts are those of the pool, in the same order.
func (p *Pool) holds(list []*Account) bool {
	if p.Len() != len(list) {
		return false
	}
	for i, b := range list {
		if a := p.At(i); a.ID != b.ID || a.Spec.Priority != b.Spec.Priority || a.weight() != b.weight() {
			return false
		}
	}
	return true
}

// placing is one account of a pool being judged anew.
type placing struct {
	*indexUpdate
	pool *Pool
	at   int
}

// move brings all lanes from what a was to what b is; a is nil where nobody was.
func (x placing) move(a, b *Account) {
	for k, l := range x.pool.lanes {
		x.pool.lanes[k] = x.place(l, x.before(a, &l.kind), x.is.stand(b, &l.kind))
	}
	for target, l := range x.pool.models {
		x.pool.models[target] = x.place(l, x.before(a, &l.kind), x.is.stand(b, &l.kind))
	}
	if a != nil {
		x.freeModels(a)
	}
	x.blockModels(b)
}

// before is how an account stood in the older index.
func (x placing) before(a *Account, k *kind) Standing {
	if a == nil {
		return absent
	}
	return x.was.stand(a, k)
}

// place notes in a lane how the account stood and stands.
func (x placing) place(l *Lane, was, is Standing) *Lane {
	if was == is {
		return l
	}
	epoch := x.index.epoch
	l = l.own(epoch)
	l.counts.add(was.Status, -1)
	l.counts.add(is.Status, 1)
	usable := is.Status == StatusAvailable
	if usable != (was.Status == StatusAvailable) {
		l.usable.set(x.at, usable, epoch)
		if w := x.pool.wheel; w != nil {
			for _, slot := range w.list[w.first[x.at]:w.first[x.at+1]] {
				l.slots.set(int(slot), usable, epoch)
			}
		}
	}
	l.ends.set(x.at, is.End, epoch)
	l.empty.set(x.at, is.Empty, epoch)
	l.background.set(x.at, is.Background, epoch)
	first := firsts{l.ends.earliest(), l.empty.earliest(), l.background.earliest()}
	// It may be the only one that a waiting pick may get, so that its own probe counts,
	// not the first of the pool. While it was available nobody had to wait for it.
	if usable || was.Status != StatusAvailable && is.Empty < was.Empty {
		x.gains.add(x.pool.At(x.at).Spec.Provider)
	}
	l.first = first
	return l
}

// freeModels forgets the models that the account blocked when it was judged last; a
// model that no account blocks loses its lane.
func (x placing) freeModels(a *Account) {
	p := x.pool
	for target := range a.liveModels(x.was.now) {
		if l := p.models[target]; l != nil && l.blocked == 1 {
			delete(p.models, target)
		} else if l != nil {
			p.models[target] = l.count(-1, x.index.epoch)
		}
	}
}

// blockModels gives each model that the account blocks now a lane of its own.
func (x placing) blockModels(b *Account) {
	p := x.pool
	for target := range b.liveModels(x.is.now) {
		l := p.models[target]
		if l == nil {
			base := x.is.state.groups.Resolve(b.Spec.Provider, target[len(events.ModelTarget):]).lane
			group := p.lanes[base]
			l = group.fork(base, target, x.index.epoch)
			l = x.place(l, x.is.stand(b, &group.kind), x.is.stand(b, &l.kind))
		}
		if p.models == nil {
			p.models = map[string]*Lane{}
		}
		p.models[target] = l.count(1, x.index.epoch)
	}
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
