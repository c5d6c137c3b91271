package projection

import (
	"slices"
	"sync"
	"time"
)

// degrade marks what is published as the last that is known to be on disk, and goes
// back to it: what was decided since may never have been stored.
func (e *Engine) degrade() {
	old := e.view.Load()
	e.work = old.State.working()
	e.deciding = new(batch)
	if old.Degraded {
		return
	}
	e.show(View{State: old.State, Index: old.Index, ObserveOnly: old.ObserveOnly, Degraded: true}, gains{all: true})
}

// plan takes what is needed to work out what is to be published once a batch is durable:
// later the working state is ahead of it.
func (e *Engine) plan(b *batch) {
	old := e.view.Load()
	b.changed = e.work.changed
	b.view = View{State: e.work.Snapshot(), ObserveOnly: old.ObserveOnly}
	u := old.Index.update(old.State, e.work.orderOf(b.view.State, nil), b.changed, e.now().UTC())
	b.prepare = sync.OnceFunc(func() {
		b.view.Index, b.gained = u.finish()
		if e.metered != nil {
			b.turned = e.metrics.turn(old, &b.view, u.changed, b.records)
		}
	})
}

// publish makes a durable batch visible.
func (e *Engine) publish(b *batch) {
	if e.view.Load().Degraded {
		e.logger.Info("the log can be written again", "seq", uint64(b.view.State.head.Seq))
	}
	// Known since the records are stored: what is decided meanwhile needs no hash.
	b.view.State.head.Hash = b.records[len(b.records)-1].Hash
	b.view.ObserveOnly = e.observe // it may have been turned since the view was prepared
	e.show(b.view, b.gained)
	e.refresh() // a deadline passed during the append; or the clock went back
	e.noteCheckpoint()
}

// refresh brings the published index up to now, also after the clock went back: the
// accounts whose time has come show, without waiting for the disk to record that it has.
func (e *Engine) refresh() {
	old, now := e.view.Load(), e.now().UTC()
	if old.Index.Exact(now) {
		return
	}
	index, gained := old.Index.next(old.State, e.published(), nil, now)
	e.show(View{State: old.State, Index: index, ObserveOnly: old.ObserveOnly, Degraded: old.Degraded}, gained)
}

// keepRight refreshes the published index at each deadline until end is called: a disk may
// take its time, and deadlines do not. Until then the writer must touch nothing.
func (e *Engine) keepRight() (end func()) {
	var mu sync.Mutex // the one who holds it stands for the writer
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(e.untilStale(), func() {
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			e.refresh()
			timer.Reset(e.untilStale())
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		timer = nil
	}
}

// published is the order of the deadlines of the published state, which the working
// state is ahead of by what has not landed yet.
func (e *Engine) published() order {
	ahead := slices.Clone(e.work.changed)
	if e.flying != nil {
		ahead = append(ahead, e.flying.changed...)
	}
	return e.work.orderOf(e.State(), ahead)
}

// show makes a view the newest, and wakes those who wait for what it has to offer.
func (e *Engine) show(v View, gained gains) {
	e.view.Store(&v)
	e.gates.open(gained)
}

// untilDue is how long to sleep: until the published index holds no more, or until a
// deadline that is over may be recorded. While a batch is on its way to the disk
// nothing more is: the next one has what is over then.
func (e *Engine) untilDue() time.Duration {
	wait := e.untilStale()
	if at, ok := e.work.NextDeadline(); ok && e.flying == nil {
		wait = min(wait, max(at.Sub(e.now()), e.pause()))
	}
	return wait
}

// untilStale is how long the published index holds, as far as timers tell.
func (e *Engine) untilStale() time.Duration {
	wait := maxIdle
	if until := e.view.Load().Index.until; !until.IsZero() {
		wait = min(wait, until.Sub(e.now()))
	}
	return max(wait, 0)
}

// pause is how long to leave expiries alone after they could not be recorded.
func (e *Engine) pause() time.Duration { return max(e.retry-time.Since(e.began), 0) }

func (e *Engine) expireLater() { e.retry = time.Since(e.began) + expirePause }
