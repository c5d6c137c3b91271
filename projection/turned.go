package projection

import (
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// turned is which blocks a batch of records began and ended, for the metrics.
type turned struct {
	began []begunBlock
	ended []endedBlock
}

type begunBlock struct {
	PoolLabels
	kind Status
}

type endedBlock struct {
	kind   Status
	lasted time.Duration
}

// blockKinds lists what a block can be.
func blockKinds() []Status { return []Status{StatusCooling, StatusHeld, StatusSuspended} }

// turn finds out which blocks a batch began and ended, from the states before and after
// it: a block is known by its kind and the record that began it, so that one that is
// extended, or moved to another target, is the same. Each that begins ends once.
func (m *metrics) turn(was, is *View, changed []string, records []events.Record) (t turned) {
	changed = slices.Clone(changed)
	slices.Sort(changed)
	for _, id := range slices.Compact(changed) {
		t.compare(was.State.Account(id), is.State.Account(id), is.State.head.At)
	}
	for _, r := range records {
		a := is.State.Account(r.Account)
		begin := func(target string, kind Status) {
			if !a.has(kind, r.Seq) {
				t.ended = append(t.ended, endedBlock{kind, 0}) // by a command of the same batch
			}
			owner := a
			if owner == nil { // removed by one
				owner = was.State.Account(r.Account)
			}
			provider := ""
			if owner != nil {
				provider = owner.Spec.Provider
			}
			t.began = append(t.began, begunBlock{m.labels.of(is, provider, target), kind})
		}
		switch e := r.Event.(type) {
		case *events.LimitObserved:
			switch e.Effect {
			case events.EffectStarted:
				begin(e.Target, StatusCooling)
			case events.EffectHeld:
				begin(e.Target, StatusHeld)
			}
		case *events.Suspended:
			begin(e.Target, StatusSuspended)
		case *events.Imported:
			if a.has(StatusCooling, r.Seq) { // else it extended one
				begin(e.Target, StatusCooling)
			}
			if e.Suspended {
				begin(e.Target, StatusSuspended)
			}
		}
	}
	return t
}

// compare notes the blocks of an account that are gone.
func (t *turned) compare(was, is *Account, now time.Time) {
	blocks := blocksOf(was)
	for i := range blocks {
		b := &blocks[i]
		same := func(o block) bool { return o.key.block == b.key.block && o.started == b.started }
		// Groups that replace one may each have a suspension of it, which are one.
		if is.has(b.key.block, b.started) || slices.ContainsFunc(blocks[:i], same) {
			continue
		}
		end := now
		if !b.until.IsZero() && b.until.Before(end) {
			end = b.until // its own time came first
		}
		t.ended = append(t.ended, endedBlock{b.key.block, max(end.Sub(b.since()), 0)})
	}
}

// has reports whether the account has a block that a record began, over or not; nil has
// none.
func (a *Account) has(kind Status, began events.Seq) bool {
	if a == nil {
		return false
	}
	for i := range a.Cells {
		c := &a.Cells[i]
		switch {
		case kind == StatusCooling && c.Cooling != nil && c.Cooling.Started == began,
			kind == StatusHeld && c.Held != nil && c.Held.Started == began,
			kind == StatusSuspended && c.Suspended != nil && c.Suspended.Seq == began:
			return true
		}
	}
	return false
}

// since is when the block began.
func (b *block) since() time.Time {
	switch b.key.block {
	case StatusCooling:
		return b.cell.Cooling.StartedAt
	case StatusHeld:
		return b.cell.Held.Since
	default:
		return b.cell.Suspended.Since
	}
}
