package projection

import (
	"cmp"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// GroupsPlan says what new definitions change.
type GroupsPlan struct {
	Version uint64 // the version in force afterwards
	// Cells are the live cells that move.
	Cells []CellMove

	was, now *Groups
	known    []ModelName // by cells
}

// ModelChange is a model whose target differs under new definitions.
type ModelChange struct{ Provider, Model, From, To string }

// CellMove is a live cell that moves to another target.
type CellMove struct {
	Account, From, To string
	Merged            bool // the target was blocked already; the later deadline wins
}

// Models returns the models whose target changes, sorted, each once under its canonical
// name. Of all there can be they are those that cells are known by, blocked or not, and
// those that the caller has seen elsewhere: a state does not remember what was asked for.
func (p *GroupsPlan) Models(seen []ModelName) []ModelChange {
	var changes []ModelChange
	looked := map[ModelName]bool{}
	for _, n := range slices.Concat(p.known, seen) {
		if looked[n] {
			continue
		}
		looked[n] = true
		// What is remembered of resolutions has room for what is asked for, and not for this.
		from, to := p.was.resolve(n.Provider, n.Model), p.now.resolve(n.Provider, n.Model)
		if from.Target != to.Target {
			changes = append(changes, ModelChange{from.Provider, CanonicalModel(n.Model), from.Target, to.Target})
		}
	}
	slices.SortFunc(changes, func(a, b ModelChange) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(a.Model, b.Model))
	})
	return slices.Compact(changes)
}

// models lists the models that cells are known by: their target, or what was asked for when
// they were blocked. They are listed while a command is decided: after it the writer's state
// is another.
func (s *State) models() []ModelName {
	var names []ModelName
	listed := map[ModelName]bool{}
	note := func(a *Account, model string) {
		if n := (ModelName{a.Spec.Provider, model}); model != "" && !listed[n] {
			listed[n] = true
			names = append(names, n)
		}
	}
	for a := range s.Accounts("") {
		for i := range a.Cells {
			c := &a.Cells[i]
			if c.Cooling != nil {
				note(a, c.Cooling.Model)
			}
			if c.Held != nil {
				note(a, c.Held.Model)
			}
			if m, ok := strings.CutPrefix(c.Target, events.ModelTarget); ok {
				note(a, m)
			}
		}
	}
	return names
}
