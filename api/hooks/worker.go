package hooks

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Pacing of a worker.
const (
	// gather is how long it lets come what comes together.
	gather = 100 * time.Millisecond
	// grace is how long after an instant it is told what that brought: a record from
	// before may still be on its way to the disk.
	grace = time.Second
	// lookEvery is how often it looks whether the engine is degraded, and maxIdle how long
	// it sleeps at most: timers follow the monotonic clock, notices the wall clock.
	lookEvery = time.Second
	maxIdle   = 30 * time.Second
	// maxBack is how far the clock may go back unnoticed.
	maxBack = 10 * time.Second
	// saveEvery and saveAfter are how many records, and how much time, go by before a
	// cursor is saved that moved without a delivery.
	saveEvery = 10_000
	saveAfter = time.Minute
	// lastGrace is how long an attempt under way may take when the worker is to stop, and
	// then one that tells of an outage.
	lastGrace = 700 * time.Millisecond
	// logEvery is how many failures in a row go by between two lines in the log.
	logEvery = 12
)

// worker serves one hook: it follows the log, and sends one message at a time.
type worker struct {
	hook    Hook
	parts   *parts
	sender  *sender
	logger  *slog.Logger
	queue   *queue
	fold    *projection.Notices // nil: to be made anew from the base
	outages outages

	base     projection.Position // up to which all was told
	saved    projection.Position
	savedAt  time.Time
	failures int         // in a row
	gone     atomic.Bool // the receiver wants no more

	settled atomic.Uint64 // seq of the base, for the metrics
	pending atomic.Int64
}

// newWorker returns a worker that goes on where the cursor of its hook is, or begins at
// the head.
func newWorker(ctx context.Context, h Hook, p *parts) (*worker, error) {
	w := &worker{hook: h, parts: p, logger: p.logger.With("webhook", h.Name), savedAt: time.Now()}
	w.sender = newSender(&w.hook, p.transport)
	w.queue = newQueue(p.cursors.log, h.wants(projection.NoticeRecovered))
	w.outages.recovered = w.queue.recovered
	c, ok := p.cursors.get(h.Name)
	if ok {
		reached, err := p.engine.Past().Reached(ctx, c.position())
		if err != nil {
			return nil, err
		}
		if ok = reached; !ok {
			w.logger.Warn("the log does not hold the record that the webhook was at: it begins at the head", "seq", uint64(c.Seq))
		}
	}
	if ok {
		w.base = c.position()
		w.queue.restore(c.Told)
		w.saved = w.base
	} else {
		head := p.engine.State().Head()
		w.base = projection.Position{Seq: head.Seq, Hash: head.Hash, At: p.engine.Now().UTC()}
		if err := w.save(); err != nil {
			return nil, err
		}
	}
	w.settled.Store(uint64(w.base.Seq))
	return w, nil
}

// run serves until the context ends.
func (w *worker) run(ctx context.Context) {
	defer w.sender.close()
	for ctx.Err() == nil && !w.gone.Load() {
		w.look()
		if err := w.fill(ctx); err != nil {
			if ctx.Err() == nil {
				w.logger.Error("the log cannot be read for a webhook; trying again", "error", err)
				w.fold = nil
				w.wait(ctx, maxIdle)
			}
			continue
		}
		w.note()
		if items := w.next(); len(items) > 0 {
			w.attempt(ctx, items)
		} else {
			w.saveSometimes()
			w.sleep(ctx)
		}
	}
	if !w.gone.Load() {
		w.lastWord()
	}
	if w.note(); w.base != w.saved {
		if err := w.save(); err != nil {
			w.logger.Error("the cursor of a webhook cannot be saved; what it was told since the last time comes again", "error", err)
		}
	}
}

// look notes whether the engine is degraded.
func (w *worker) look() {
	if !w.hook.wants(projection.NoticeDegraded) {
		return
	}
	e := w.parts.engine
	v := e.View()
	w.outages.look(v.Degraded || e.Err() != nil, projection.Position{Seq: v.State.Head().Seq, At: e.Now().UTC()})
}

// fill brings the queue up to the head and to now, as far as there is room.
func (w *worker) fill(ctx context.Context) error {
	e := w.parts.engine
	head := e.State().Head().Seq
	now := e.Now().UTC() // after the head: no record up to it is of a later instant
	if w.fold == nil || now.Before(w.fold.Position().At.Add(-maxBack)) {
		if err := w.begin(ctx, now); err != nil {
			return err
		}
	}
	if at := w.fold.Position().Seq; at < head && !w.queue.full() {
		for r, err := range e.History(ctx, events.Query{After: at, Before: head + 1}) {
			if err != nil {
				return err
			}
			if err := w.add(w.fold.Apply(ctx, r, now)); err != nil {
				return err
			}
			if w.queue.full() {
				break
			}
		}
	}
	if w.fold.Position().Seq == head && !w.queue.full() {
		if err := w.add(w.fold.Advance(ctx, now.Add(-grace))); err != nil {
			return err
		}
		w.queue.caughtUp()
		w.fold.Adopt(e.State())
	}
	return nil
}

// begin makes the fold anew from the base: at the start, and after the clock went back.
func (w *worker) begin(ctx context.Context, now time.Time) (err error) {
	w.note()
	w.queue.rewind()
	if w.base.At.After(now) {
		w.base.At = now
	}
	w.fold, err = w.parts.engine.Past().Notices(ctx, w.base, w.hook.Filter)
	return err
}

func (w *worker) add(notices []projection.Notice, err error) error {
	for _, n := range notices {
		w.queue.add(n)
	}
	return err
}

// note notes how far the hook has come.
func (w *worker) note() {
	if w.fold != nil {
		w.base = w.queue.base(w.fold.Position())
	}
	w.settled.Store(uint64(w.base.Seq))
	w.pending.Store(int64(len(w.queue.items) + len(w.outages.items)))
}

// next returns what the next message tells. An outage goes before all else: while there
// is one, nothing else is new.
func (w *worker) next() []*item {
	if len(w.outages.items) > 0 {
		return w.outages.items[:1]
	}
	return w.queue.next(w.parts.engine.Now())
}

// attempt sends a message, and waits if that fails.
func (w *worker) attempt(ctx context.Context, items []*item) {
	a := w.post(ctx, items)
	if a.outcome == outcomeDelivered {
		w.acknowledged(ctx, items)
		return
	}
	if ctx.Err() != nil {
		return
	}
	if a.outcome == outcomeGone {
		w.gone.Store(true)
		w.logger.Error("the receiver of a webhook answered 410 Gone: it is sent nothing until the configuration is loaded again")
		return
	}
	w.failures++
	wait := backoff(w.failures, a.retryAfter)
	if w.failures%logEvery == 1 {
		w.logger.Warn("a webhook cannot be delivered; it is sent again", "result", string(a.outcome), "answer", a.text,
			"failures", w.failures, "again_in", wait.Round(time.Millisecond).String())
	}
	w.wait(ctx, wait)
}

// post makes one attempt, which may end a little after the context does.
func (w *worker) post(ctx context.Context, items []*item) answer {
	writer := w.parts.writer(&w.hook)
	id, body, err := writer.message(items)
	if err != nil {
		return answer{outcome: outcomeFailed, text: err.Error()} // unreachable: everything in it has a form in JSON
	}
	attempt, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastGrace, cancel) })()
	a := w.sender.send(attempt, id, body)
	w.parts.metrics.deliveries.WithLabelValues(w.hook.Name, string(a.outcome)).Inc()
	return a
}

// acknowledged notes that a message was taken, durably, before another is sent.
func (w *worker) acknowledged(ctx context.Context, items []*item) {
	if w.failures > 0 {
		w.logger.Info("a webhook is delivered again", "failures", w.failures)
		w.failures = 0
	}
	if len(w.outages.items) > 0 && items[0] == w.outages.items[0] {
		w.outages.items = w.outages.items[1:]
		return
	}
	w.queue.settle(len(items))
	w.note()
	for n := 1; ; n++ {
		err := w.save()
		if err == nil {
			return
		}
		if n == 1 {
			w.logger.Error("the cursor of a webhook cannot be saved; it is sent nothing until it can", "error", err)
		}
		if w.wait(ctx, backoff(n, 0)); ctx.Err() != nil {
			return
		}
	}
}

// save writes the cursor.
func (w *worker) save() error {
	c := cursor{Seq: w.base.Seq, Hash: w.base.Hash, At: w.base.At, Told: w.queue.toldIDs()}
	if err := w.parts.cursors.put(w.hook.Name, c); err != nil {
		return err
	}
	w.saved, w.savedAt = w.base, time.Now()
	return nil
}

// saveSometimes saves a cursor that moved although nothing was told, so that a restart
// does not read the log from long ago.
func (w *worker) saveSometimes() {
	moved := w.base.Seq - w.saved.Seq
	if moved < saveEvery && (moved == 0 || time.Since(w.savedAt) < saveAfter) {
		return
	}
	if err := w.save(); err != nil {
		w.savedAt = time.Now() // once in a while is enough
		w.logger.Warn("the cursor of a webhook cannot be saved", "error", err)
	}
}

// sleep waits until there is something to do.
func (w *worker) sleep(ctx context.Context) {
	e := w.parts.engine
	idle := maxIdle
	if w.hook.wants(projection.NoticeDegraded) {
		idle = lookEvery
	}
	if next := w.fold.Next(); !next.IsZero() {
		idle = min(idle, max(next.Add(grace).Sub(e.Now()), gather))
	}
	dead := e.Done()
	if e.Err() != nil || !w.hook.wants(projection.NoticeDegraded) {
		dead = nil // it is known by now
	}
	t := time.NewTimer(idle)
	defer t.Stop()
	select {
	case <-e.After(w.fold.Position().Seq):
		w.wait(ctx, gather)
	case <-t.C:
	case <-dead:
		w.wait(ctx, gather)
	case <-ctx.Done():
	}
}

// wait lets time pass, and looks at the engine meanwhile.
func (w *worker) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	var look <-chan time.Time
	if w.hook.wants(projection.NoticeDegraded) {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-t.C:
			return
		case <-look:
			w.look()
		case <-ctx.Done():
			return
		}
	}
}

// lastWord tells of an outage that ends the process.
func (w *worker) lastWord() {
	w.look()
	if w.parts.engine.Err() == nil || len(w.outages.items) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastGrace)
	defer cancel()
	if a := w.post(ctx, w.outages.items[:1]); a.outcome != outcomeDelivered {
		w.logger.Warn("that the log cannot be written could not be told", "result", string(a.outcome), "answer", a.text)
	}
}
