package router

import (
	"maps"
	"strings"
	"sync/atomic"

	"github.com/abeyance/abeyance/projection"
)

// maxNames and maxTurns bound what is remembered: model names come from clients.
const (
	maxNames = 4096
	maxTurns = 4096
)

// memory is what a router remembers between picks: what names stand for, and whose
// turn it is. Reading takes no lock; the tables are replaced whole.
type memory struct {
	names atomic.Pointer[map[nameKey]*name]
	// turns :: (provider, target) → the turns of its tiers
	turns    atomic.Pointer[map[turnKey]*turns]
	overflow turns // shared by what does not fit
}

type (
	nameKey struct{ provider, model string }
	turnKey struct{ provider, target string }
)

// name is what a (provider, model) as clients write it stands for under the groups
// that resolved it.
type name struct {
	groups *projection.Groups
	id     *projection.Resolution
	turns  *turns
}

// turns are those of one target, a turn for each priority met.
type turns struct {
	list atomic.Pointer[[]*turn]
}

// turn is who was served last.
type turn struct {
	priority int
	last     atomic.Pointer[projection.Account]
	// hint is the position the account had in its pool. It may be wrong: whoever uses
	// it compares the account.
	hint atomic.Int64
}

func newMemory() *memory {
	m := new(memory)
	m.names.Store(&map[nameKey]*name{})
	m.turns.Store(&map[turnKey]*turns{})
	return m
}

// name resolves a request's names under the groups of a view.
func (m *memory) name(g *projection.Groups, provider, model string) *name {
	table := m.names.Load()
	if n := (*table)[nameKey{provider, model}]; n != nil && n.groups == g {
		return n
	}
	return m.learn(g, provider, model)
}

// learn adds a name, or replaces one that older groups resolved.
func (m *memory) learn(g *projection.Groups, provider, model string) *name {
	id := g.Resolve(provider, model)
	n := &name{groups: g, id: id, turns: m.turnsOf(id)}
	key := nameKey{strings.Clone(provider), strings.Clone(model)}
	for {
		table := m.names.Load()
		if _, known := (*table)[key]; !known && len(*table) >= maxNames {
			return n
		}
		next := maps.Clone(*table)
		next[key] = n
		if m.names.CompareAndSwap(table, &next) {
			return n
		}
	}
}

func (m *memory) turnsOf(id *projection.Resolution) *turns {
	key := turnKey{id.Provider, id.Target}
	for {
		table := m.turns.Load()
		if found := (*table)[key]; found != nil {
			return found
		}
		if len(*table) >= maxTurns {
			return &m.overflow
		}
		next := maps.Clone(*table)
		next[key] = new(turns)
		if m.turns.CompareAndSwap(table, &next) {
			return next[key]
		}
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
		next = append(next, &turn{priority: priority})
		if t.list.CompareAndSwap(list, &next) {
			return next[len(next)-1]
		}
	}
}

// after returns the position in a tier that comes after the one served last.
func (t *turn) after(last *projection.Account, p *projection.Pool, tier projection.Tier) int {
	if last == nil {
		return tier.Start
	}
	if i := int(t.hint.Load()); i >= tier.Start && i < tier.End && p.At(i).ID == last.ID {
		return i + 1
	}
	return min(max(p.After(last), tier.Start), tier.End)
}
