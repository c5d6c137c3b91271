package router

import (
	"cmp"
	"maps"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// What is remembered while the log cannot be written (rule 5).
const (
	maxVolatile     = 4096            // cells
	volatileTimeout = 5 * time.Minute // how long a block of this kind lasts at most
)

// volatiles are limits that could not be recorded. A value never changes; nil is none.
type volatiles struct {
	cells map[events.Cell]volatileBlock
	last  time.Time // when the last of them ends
}

type volatileBlock struct{ since, until time.Time }

// blocks returns the block that covers requests of a resolution on an account and
// lasts longest, and its target.
func (v *volatiles) blocks(account string, id *projection.Resolution, now time.Time) (last volatileBlock, on string) {
	if v == nil {
		return volatileBlock{}, ""
	}
	for _, target := range [...]string{events.TargetAll, id.Group, id.ModelTarget} {
		b, ok := v.cells[events.Cell{Account: account, Target: target}]
		if ok && now.Before(b.until) && b.until.After(last.until) {
			last, on = b, target
		}
	}
	return last, on
}

// overlay is what reports say while the log cannot be written.
type overlay struct{ blocks atomic.Pointer[volatiles] }

func (o *overlay) empty() bool { return o.blocks.Load() == nil }

// load returns the blocks, or nil if all are over by the clock. The instant that a
// pick asks about is another matter: it may lie anywhere.
func (o *overlay) load(clock time.Time) *volatiles {
	v := o.blocks.Load()
	if v != nil && !clock.Before(v.last) {
		o.blocks.CompareAndSwap(v, nil)
		return nil
	}
	return v
}

// block remembers a limit that could not be recorded. A deadline never shrinks, and
// the block that ends first makes room.
func (o *overlay) block(cell events.Cell, b volatileBlock) {
	o.change(func(cells map[events.Cell]volatileBlock) {
		if old, ok := cells[cell]; ok && old.until.After(b.until) {
			b.until = old.until
		}
		cells[cell] = b
		if len(cells) <= maxVolatile {
			return
		}
		soonest := cell
		for c, x := range cells {
			if x.until.Before(cells[soonest].until) {
				soonest = c
			}
		}
		delete(cells, soonest)
	})
}

// served forgets the blocks that a served request disproves: those whose last evidence
// came before it was sent.
func (o *overlay) served(p *projection.Report, id *projection.Resolution) {
	if p.StartedAt.IsZero() || cmp.Or(p.Operation, events.OpGenerate) != events.OpGenerate {
		return
	}
	o.change(func(cells map[events.Cell]volatileBlock) {
		for _, target := range [...]string{events.TargetAll, id.Group, id.ModelTarget} {
			cell := events.Cell{Account: p.Account, Target: target}
			if b, ok := cells[cell]; ok && p.StartedAt.After(b.since) {
				delete(cells, cell)
			}
		}
	})
}

func (o *overlay) change(f func(map[events.Cell]volatileBlock)) {
	for {
		old := o.blocks.Load()
		next := &volatiles{cells: map[events.Cell]volatileBlock{}}
		if old != nil {
			next.cells = maps.Clone(old.cells)
		}
		f(next.cells)
		for _, b := range next.cells {
			if b.until.After(next.last) {
				next.last = b.until
			}
		}
		if len(next.cells) == 0 {
			next = nil
		}
		if o.blocks.CompareAndSwap(old, next) {
			return
		}
	}
}
