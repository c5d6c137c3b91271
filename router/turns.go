package router

import (
	"iter"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/abeyance/abeyance/projection"
)

// maxNames and maxTurns bound what is remembered: model names come from clients. The first
// stands in the API's document, too: see Router.Asked.
const (
	maxNames = 4096
	maxTurns = 4096
)

// memory is what a router remembers between picks: what names stand for, whose turn
// it is, and which probes are out. Reading takes no lock; the tables are replaced
// whole.
type memory struct {
	names atomic.Pointer[map[nameKey]*name]
	// recent are names met lately, each in the slot of its hash: half the time of a
	// pick would else go into the look-up.
	recent [256]atomic.Pointer[name]
	// turns :: (provider, target) → the turns of its tiers
	turns      atomic.Pointer[map[turnKey]*turns]
	overflow   turns         // shared by what does not fit
	claims     atomic.Uint64 // the number of the last claim
	counting   atomic.Bool   // somebody reads the counts of picks
	strategies atomic.Pointer[Strategies]
}

type (
	nameKey struct{ provider, model string }
	turnKey struct{ provider, target string }
)

// name is what a (provider, model) as clients write it stands for under the groups
// that resolved it.
type name struct {
	key      nameKey
	groups   *projection.Groups
	id       *projection.Resolution
	turns    *turns
	strategy atomic.Pointer[Strategy]
	way      atomic.Uint32 // of the strategy
}

// follow makes a name follow the strategies in force. Whoever follows looks again whether
// they still are, so that a name never keeps those before: the table and its slots share
// it.
func (m *memory) follow(n *name) {
	for {
		all := m.strategies.Load()
		s := all.of(n.id.Provider)
		n.strategy.Store(&s)
		n.way.Store(uint32(wayOf(s)))
		if m.strategies.Load() == all {
			return
		}
	}
}

// change puts other strategies in force. Turns stay where they are.
func (m *memory) change(s Strategies) {
	s.Providers = maps.Clone(s.Providers)
	m.strategies.Store(&s)
	for _, n := range *m.names.Load() {
		m.follow(n)
	}
}

// turns are those of one target, a turn for each priority met.
type turns struct {
	list     atomic.Pointer[[]*turn]
	claim    atomic.Pointer[claim] // the last probe; nil: none yet
	counting *atomic.Bool          // the memory's
	_        [cacheLine]byte       // what picks write lies apart from what they read
	tally    pickTally
}

// cacheLine is how much memory processors pass to each other at once.
const cacheLine = 64

// turn is who was served last. Picks among candidates have turns of their own, since
// they may name accounts that are in no pool.
type turn struct {
	priority int
	roster   atomic.Pointer[projection.Roster]  // what the places refer to
	_        [cacheLine]byte                    // what every pick writes lies apart from what it reads
	at, slot atomic.Uint64                      // a place each
	last     atomic.Pointer[projection.Account] // among candidates
	wheel    atomic.Uint64                      // among candidates by weight: the part of the turn that has passed
}

func newMemory(s Strategies) *memory {
	m := &memory{}
	m.strategies.Store(&s)
	m.overflow.counting = &m.counting
	m.names.Store(&map[nameKey]*name{})
	m.turns.Store(&map[turnKey]*turns{})
	return m
}

// known returns what the names stand for under the groups of a view, or nil if that
// is not remembered.
func (m *memory) known(g *projection.Groups, provider, model string) *name {
	recent := &m.recent[slot(provider, model)]
	if n := recent.Load(); n != nil && n.groups == g && n.key.model == model && n.key.provider == provider {
		return n
	}
	if n := (*m.names.Load())[nameKey{provider, model}]; n != nil && n.groups == g {
		recent.Store(n)
		return n
	}
	return nil
}

// slot hashes what tells most names apart: their length and some of their letters.
func slot(provider, model string) uint8 {
	n := len(model)
	if n == 0 || provider == "" {
		return 0
	}
	h := uint(n)
	for _, b := range [...]byte{model[0], model[n/4], model[n/2], model[n-n/4-1], model[n-1], provider[0]} {
		h = h*31 + uint(b)
	}
	return uint8(h)
}

// name resolves a request's names under the groups of a view.
func (m *memory) name(g *projection.Groups, provider, model string) *name {
	if n := m.known(g, provider, model); n != nil {
		return n
	}
	return m.learn(g, provider, model)
}

// learn adds a name, or replaces one that older groups resolved.
func (m *memory) learn(g *projection.Groups, provider, model string) *name {
	id := g.Resolve(provider, model)
	key := nameKey{strings.Clone(provider), strings.Clone(model)}
	n := &name{key: key, groups: g, id: id, turns: m.turnsOf(id)}
	m.follow(n)
	for {
		table := m.names.Load()
		if _, known := (*table)[key]; !known && len(*table) >= maxNames {
			return n
		}
		next := maps.Clone(*table)
		next[key] = n
		if m.names.CompareAndSwap(table, &next) {
			m.follow(n) // they may have changed before it was in the table
			return n
		}
	}
}

// asked lists the names in the table: the first maxNames that were asked for.
func (m *memory) asked() []projection.ModelName {
	table := *m.names.Load()
	list := make([]projection.ModelName, 0, len(table))
	for k := range table {
		list = append(list, projection.ModelName{Provider: k.provider, Model: k.model})
	}
	return list
}

func (m *memory) turnsOf(id *projection.Resolution) *turns {
	return m.turnsAt(turnKey{id.Provider, id.Target})
}

func (m *memory) turnsAt(key turnKey) *turns {
	for {
		table := m.turns.Load()
		if found := (*table)[key]; found != nil {
			return found
		}
		if len(*table) >= maxTurns {
			return &m.overflow
		}
		next := maps.Clone(*table)
		next[key] = &turns{counting: &m.counting}
		if m.turns.CompareAndSwap(table, &next) {
			return next[key]
		}
	}
}

// allTurns yields the turns of every target. Those that are shared have no key.
func (m *memory) allTurns() iter.Seq2[turnKey, *turns] {
	return func(yield func(turnKey, *turns) bool) {
		for key, t := range *m.turns.Load() {
			if !yield(key, t) {
				return
			}
		}
		yield(turnKey{}, &m.overflow)
	}
}

// of returns the turn of a priority.
func (t *turns) of(priority int) *turn {
	for {
		list := t.list.Load()
		if list != nil {
			for _, x := range *list {
				if x.priority == priority {
					return x
				}
			}
		}
		var next []*turn
		if list != nil {
			next = append(next, *list...)
		}
		x := &turn{priority: priority}
		next = append(next, x)
		if t.list.CompareAndSwap(list, &next) {
			return x
		}
	}
}

// from returns the place of a tier that comes after the account served last, whether
// or not that account is still there. It is looked up by its id in a roster that it
// was not served from. Picks of a moment in which two rosters are in use may take a
// place for one of the other, so places are always checked against the tier.
func (t *turn) from(last place, r *projection.Roster, tier projection.Tier) int {
	if old := t.roster.Load(); old != r && old != nil && last.index() >= 0 && last.index() < old.Len() {
		last = placeAt(r.After(old.ID(last.index()), tier) - 1)
	}
	return last.within(tier.Start, tier.End)
}

// serve notes who was served last, and reports false if somebody else was meanwhile.
func (t *turn) serve(last place, i int, r *projection.Roster) bool {
	if !t.at.CompareAndSwap(uint64(last), uint64(last.then(i))) {
		return false
	}
	if t.roster.Load() != r {
		t.roster.Store(r)
	}
	return true
}
