package router

import (
	"maps"
	"strings"
	"sync/atomic"

	"github.com/abeyance/abeyance/projection"
)

// maxTurns bounds the turns remembered: model names come from clients.
const maxTurns = 4096

// turns remembers, per target and priority, who was served last. Finding one takes
// no lock.
type turns struct {
	table    atomic.Pointer[map[turnKey]*turn]
	overflow turn // shared by what does not fit
}

type turnKey struct {
	provider, target string
	priority         int
}

type turn struct {
	last atomic.Pointer[projection.Account]
}

func newTurns() *turns {
	t := new(turns)
	t.table.Store(&map[turnKey]*turn{})
	return t
}

func (t *turns) of(id *projection.Resolution, priority int) *turn {
	key := turnKey{id.Provider, id.Target, priority}
	for {
		table := t.table.Load()
		if found := (*table)[key]; found != nil {
			return found
		}
		if len(*table) >= maxTurns {
			return &t.overflow
		}
		key.provider, key.target = strings.Clone(key.provider), strings.Clone(key.target)
		next := maps.Clone(*table)
		next[key] = new(turn)
		if t.table.CompareAndSwap(table, &next) {
			return next[key]
		}
	}
}
