package router

import (
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

// volatiles :: (account, target) → a limit that could not be recorded. The map is
// never changed; nil is empty.
type volatiles map[events.Cell]volatileBlock

type volatileBlock struct{ since, until time.Time }

// blocks returns the block that covers requests of a resolution on an account and
// lasts longest.
func (v volatiles) blocks(account string, id *projection.Resolution, now time.Time) (last volatileBlock, blocked bool) {
	if v == nil {
		return volatileBlock{}, false
	}
	for _, target := range [...]string{events.TargetAll, id.Group, id.ModelTarget} {
		b, ok := v[events.Cell{Account: account, Target: target}]
		if ok && now.Before(b.until) && b.until.After(last.until) {
			last, blocked = b, true
		}
	}
	return last, blocked
}

// overlay is what reports say while the log cannot be written.
type overlay struct{ blocks atomic.Pointer[volatiles] }

func (o *overlay) empty() bool { return o.blocks.Load() == nil }

// load returns the blocks that may be live at now, nil if there are none.
func (o *overlay) load(now time.Time) volatiles {
	p := o.blocks.Load()
	if p == nil {
		return nil
	}
	for _, b := range *p {
		if now.Before(b.until) {
			return *p
		}
	}
	o.blocks.CompareAndSwap(p, nil)
	return nil
}

// block remembers a limit that could not be recorded. A deadline never shrinks, and
// the block that ends first makes room.
func (o *overlay) block(cell events.Cell, b volatileBlock) {
	o.change(func(v volatiles) {
		if old, ok := v[cell]; ok && old.until.After(b.until) {
			return
		}
		v[cell] = b
		if len(v) <= maxVolatile {
			return
		}
		soonest := cell
		for c, x := range v {
			if x.until.Before(v[soonest].until) {
				soonest = c
			}
		}
		delete(v, soonest)
	})
}

// served forgets the blocks that a served request disproves: those that began before
// it was sent.
func (o *overlay) served(account string, id *projection.Resolution, started time.Time) {
	if p := o.blocks.Load(); p == nil || started.IsZero() {
		return
	}
	o.change(func(v volatiles) {
		for _, target := range [...]string{events.TargetAll, id.Group, id.ModelTarget} {
			cell := events.Cell{Account: account, Target: target}
			if b, ok := v[cell]; ok && started.After(b.since) {
				delete(v, cell)
			}
		}
	})
}

func (o *overlay) change(f func(volatiles)) {
	for {
		old := o.blocks.Load()
		next := volatiles{}
		if old != nil {
			next = maps.Clone(*old)
		}
		f(next)
		if len(next) == 0 {
			if o.blocks.CompareAndSwap(old, nil) {
				return
			}
		} else if o.blocks.CompareAndSwap(old, &next) {
			return
		}
	}
}
