package projection

import (
	"time"

	"github.com/abeyance/abeyance/events"
)

// turned is which blocks a batch of records began and ended, for the metrics.
type turned struct {
	began map[begunBlock]int
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

// turn finds out which blocks a batch began and ended, from the views before and after
// it: a block is known by its kind and the record that began it, so that one that is
// extended, or moved to another target, is the same. Each that begins ends once. changed
// lists the accounts that differ, each once.
func (m *metrics) turn(was, is *View, changed []string, records []events.Record) turned {
	x := turning{was: was, is: is, labels: &m.labels}
	for _, id := range changed {
		x.compare(was.State.Account(id), is.State.Account(id))
	}
	for i := range records {
		x.follow(&records[i])
	}
	return x.turned
}

// turning is turned in the making.
type turning struct {
	turned
	was, is *View
	labels  *labels
	// What was labelled last: a storm is about one target.
	provider, target string
	pool             PoolLabels
}

// follow notes the block that a record begins.
func (x *turning) follow(r *events.Record) {
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		switch e.Effect {
		case events.EffectStarted:
			x.begin(r, e.Target, StatusCooling)
		case events.EffectHeld:
			x.begin(r, e.Target, StatusHeld)
		}
	case *events.Suspended:
		x.begin(r, e.Target, StatusSuspended)
	case *events.Imported:
		if x.is.State.Account(r.Account).has(StatusCooling, r.Seq) { // else it extended one
			x.begin(r, e.Target, StatusCooling)
		}
		if e.Suspended {
			x.begin(r, e.Target, StatusSuspended)
		}
	}
}

func (x *turning) begin(r *events.Record, target string, kind Status) {
	a := x.is.State.Account(r.Account)
	if !a.has(kind, r.Seq) {
		x.ended = append(x.ended, endedBlock{kind, 0}) // by a command of the same batch
	}
	if a == nil { // removed by one
		a = x.was.State.Account(r.Account)
	}
	provider := ""
	if a != nil {
		provider = a.Spec.Provider
	}
	if provider != x.provider || target != x.target {
		x.provider, x.target, x.pool = provider, target, x.labels.of(x.is, provider, target)
	}
	if x.began == nil {
		x.began = map[begunBlock]int{}
	}
	x.began[begunBlock{x.pool, kind}]++
}

// compare notes the blocks of an account that are gone.
func (x *turning) compare(was, is *Account) {
	if was == nil {
		return
	}
	for i := range was.Cells {
		c := &was.Cells[i]
		if k := c.Cooling; k != nil && !is.has(StatusCooling, k.Started) {
			x.end(StatusCooling, k.StartedAt, k.Until)
		}
		if h := c.Held; h != nil && !is.has(StatusHeld, h.Started) {
			x.end(StatusHeld, h.Since, time.Time{})
		}
		// Of groups that replace one each may have its suspension, which are one.
		if s := c.Suspended; s != nil && !is.has(StatusSuspended, s.Seq) && !suspendedBy(was.Cells[:i], s.Seq) {
			x.end(StatusSuspended, s.Since, s.Until)
		}
	}
}

// end notes a block that is gone: its own time may have come first.
func (x *turning) end(kind Status, since, until time.Time) {
	end := x.is.State.head.At
	if !until.IsZero() && until.Before(end) {
		end = until
	}
	x.ended = append(x.ended, endedBlock{kind, max(end.Sub(since), 0)})
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
			kind == StatusHeld && c.Held != nil && c.Held.Started == began:
			return true
		}
	}
	return kind == StatusSuspended && suspendedBy(a.Cells, began)
}

func suspendedBy(cells []Cell, began events.Seq) bool {
	for i := range cells {
		if s := cells[i].Suspended; s != nil && s.Seq == began {
			return true
		}
	}
	return false
}
