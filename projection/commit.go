package projection

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
)

// pending is a command on its way through the writer.
type pending struct {
	command Command
	state   atomic.Int32 // waiting, taken or withdrawn: who wins the swap decides
	outcome Outcome
	err     error
	done    chan struct{} // closed when outcome and err are set
}

const (
	stateWaiting int32 = iota
	stateTaken
	stateWithdrawn
)

func (p *pending) take() bool     { return p.state.CompareAndSwap(stateWaiting, stateTaken) }
func (p *pending) withdraw() bool { return p.state.CompareAndSwap(stateWaiting, stateWithdrawn) }

// UnknownOutcomeError says that an append failed after it had begun: the events
// may or may not be on disk. The engine has stopped; open the log anew to see.
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string {
	return "the outcome is unknown, because writing the log failed: " + e.Err.Error()
}

// Unwrap returns the log's error.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// run is the writer: the only goroutine that touches e.work and appends.
func (e *Engine) run() {
	defer close(e.ended)
	e.err = e.write()
	e.refuse()
	if e.err != nil {
		e.linger()
	}
}

// write takes commands until the engine is closed or an append fails.
func (e *Engine) write() error {
	timer := time.NewTimer(e.untilDue())
	defer timer.Stop()
	for {
		var batch []*pending
		select {
		case p := <-e.queue:
			batch = e.drain(p)
		case <-timer.C:
			batch = e.wake()
		case <-e.stop:
			return nil
		}
		// Not only when idle: with commands coming all the time the timer never fires.
		e.watchClock()
		if err := e.commit(batch); err != nil {
			return err
		}
		timer.Reset(e.untilDue())
	}
}

// degrade marks what is published as the last that is known to be on disk, and goes
// back to it: what was decided since may never have been stored.
func (e *Engine) degrade() {
	old := e.view.Load()
	e.work = old.State.working()
	if old.Degraded {
		return
	}
	e.show(View{State: old.State, Index: old.Index, ObserveOnly: old.ObserveOnly, Degraded: true}, gains{all: true})
}

// linger keeps the index right at each deadline for picks that go on, until the
// engine is closed.
func (e *Engine) linger() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			now := e.now().UTC()
			if !e.view.Load().Index.Exact(now) {
				e.reindex(now)
			}
			wait := maxIdle
			if until := e.view.Load().Index.until; !until.IsZero() {
				wait = min(until.Sub(now), maxIdle)
			}
			timer.Reset(wait)
		case <-e.stop:
			return
		}
	}
}

// refuse answers what is left in the queue. The order matters: senders that come
// after dead is closed withdraw by themselves.
func (e *Engine) refuse() {
	close(e.dead)
	for {
		select {
		case p := <-e.queue:
			if p.take() {
				p.err = ErrStopped
				close(p.done)
			}
		default:
			return
		}
	}
}

// wake is what the writer does when its time has come: it brings the index up to now,
// also after the clock went back, and then has what is over recorded.
func (e *Engine) wake() []*pending {
	now := e.now().UTC()
	if !e.view.Load().Index.Exact(now) {
		e.reindex(now)
	}
	if !e.work.Due(now) || e.pause() > 0 {
		return nil
	}
	return []*pending{e.expiry()}
}

// untilDue is how long to sleep: until the next deadline, or until one that is over may
// be recorded.
func (e *Engine) untilDue() time.Duration {
	wait := e.untilStale()
	if at, ok := e.work.NextDeadline(); ok {
		wait = min(wait, max(at.Sub(e.now()), e.pause(), 0))
	}
	return wait
}

// pause is how long to leave a full disk alone with expiries.
func (e *Engine) pause() time.Duration {
	if !e.view.Load().Degraded {
		return 0
	}
	return fullPause - time.Since(e.full)
}

func (e *Engine) expiry() *pending {
	origin := events.Origin{Actor: ActorExpiry, Via: events.ViaGo, CorrelationID: newCorrelation()}
	return &pending{command: Command{Origin: origin, Do: &Expire{}}, done: make(chan struct{})}
}

// drain takes what waits, up to a batch.
func (e *Engine) drain(first *pending) []*pending {
	batch := []*pending{first}
	for len(batch) < maxBatch {
		select {
		case p := <-e.queue:
			batch = append(batch, p)
		default:
			return batch
		}
	}
	return batch
}

// commit decides a batch one after another, appends all its records at once,
// publishes, and answers. An error ends the writer.
func (e *Engine) commit(batch []*pending) error {
	now := e.now().UTC()
	was := e.work.head
	var recs []events.Record
	taken := batch[:0]
	for _, p := range batch {
		if !p.take() {
			continue
		}
		taken = append(taken, p)
		recs = append(recs, e.decide(p, now)...)
	}
	if len(recs) > 0 {
		began := time.Now()
		err := e.append(recs)
		if errors.Is(err, events.ErrFull) {
			e.reject(err, taken)
			return nil
		}
		if err != nil {
			return e.unknown(err, was, taken)
		}
		e.metrics.appended(recs, time.Since(began), len(taken))
		e.publish(now)
	}
	for _, p := range taken {
		p.outcome.AsOf = e.work.head.Seq
		close(p.done)
	}
	return nil
}

// append writes a batch. A disk may take its time, and deadlines do not: meanwhile the
// index of what is published is kept right.
func (e *Engine) append(recs []events.Record) error {
	done := make(chan error, 1)
	go func() { done <- e.log.Append(context.Background(), recs) }()
	timer := time.NewTimer(e.untilStale())
	defer timer.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-timer.C:
			began := time.Now()
			if now := e.now().UTC(); !e.view.Load().Index.Exact(now) {
				e.reindexOf(e.State(), now) // not of the working state, which is ahead of the disk
			}
			// Without the working state's order this takes a look at all accounts.
			timer.Reset(max(e.untilStale(), 10*time.Since(began)))
		}
	}
}

// untilStale is how long the published index holds, as far as timers tell.
func (e *Engine) untilStale() time.Duration {
	wait := maxIdle
	if until := e.view.Load().Index.until; !until.IsZero() {
		wait = min(wait, until.Sub(e.now()))
	}
	return max(wait, 0)
}

// decide runs one command on the working state.
func (e *Engine) decide(p *pending, now time.Time) []events.Record {
	d, err := Decide(e.work, p.command, now)
	if err != nil {
		p.err = err
		return nil
	}
	recs, err := events.Seal(e.work.head, now, d.Drafts)
	if err != nil {
		p.err = refuse(CodeInvalid, "the command does not fit the log: %v", err)
		return nil
	}
	for _, r := range recs {
		e.work.Apply(r)
	}
	if d.Report != nil && len(recs) > 0 {
		d.Report.Seq = recs[len(recs)-1].Seq
		if d.Report.Effect == events.EffectRecovered {
			d.Report.Seq = recs[0].Seq
		}
	}
	p.outcome = Outcome{Decision: d, Records: recs}
	return recs
}

// unknown answers a batch whose append failed. Commands that had nothing to append
// fail too: they were decided on a state that may not exist.
func (e *Engine) unknown(err error, was events.Head, taken []*pending) error {
	var conflict *events.ConflictError
	if errors.As(err, &conflict) {
		err = fmt.Errorf("the log was written behind the engine's back after record %d: %w", was.Seq, err)
	}
	err = &UnknownOutcomeError{err}
	e.logger.Error("the log cannot be written; the engine stops", "error", err, "seq", uint64(was.Seq))
	e.degrade() // before the callers hear of it
	for _, p := range taken {
		if p.err == nil {
			p.err = err
		}
		close(p.done)
	}
	return err
}

// reject answers a batch that found the disk full. Nothing of it is stored, so that
// the engine goes on from where it was, and tries again with the next command.
func (e *Engine) reject(err error, taken []*pending) {
	if !e.view.Load().Degraded {
		e.logger.Error("the disk is full; commands are rejected until there is room", "error", err, "seq", uint64(e.State().Head().Seq))
	}
	e.degrade()
	e.full = time.Now()
	for _, p := range taken {
		if p.err == nil {
			p.err = fmt.Errorf("rejected: disk full; make room and send it again: %w", err)
		}
		close(p.done)
	}
}

// publish makes the working state visible, with an index as of now.
func (e *Engine) publish(now time.Time) {
	old := e.view.Load()
	if now.Before(old.Index.from) {
		now = e.now().UTC() // a deadline passed during the append; or the clock went back
	}
	changed := e.work.changed
	state := e.work.Snapshot()
	// The working state is the snapshot's equal, and has its deadlines in order.
	index, gained := old.Index.next(old.State, e.work, changed, now)
	if old.Degraded {
		e.logger.Info("the log can be written again", "seq", uint64(state.head.Seq))
	}
	e.show(View{State: state, Index: index, ObserveOnly: old.ObserveOnly}, gained)
	e.noteCheckpoint()
}

// reindex publishes the accounts whose time has come, without waiting for the disk to
// record that it has.
func (e *Engine) reindex(now time.Time) { e.reindexOf(e.work, now) }

// reindexOf is reindex by a state that is the published one's equal.
func (e *Engine) reindexOf(is *State, now time.Time) {
	old := e.view.Load()
	index, gained := old.Index.next(old.State, is, nil, now)
	e.show(View{State: old.State, Index: index, ObserveOnly: old.ObserveOnly, Degraded: old.Degraded}, gained)
}

// show makes a view the newest, and wakes those who wait for what it has to offer.
func (e *Engine) show(v View, gained gains) {
	e.view.Store(&v)
	e.gates.open(gained)
}

// repeat answers a command that was executed before from its records.
func (e *Engine) repeat(ctx context.Context, o Outcome) (Outcome, error) {
	use := o.earlier
	o.Repeated, o.Unchanged = true, "it was done before"
	for r, err := range e.log.Records(ctx, use.first-1) {
		if err != nil {
			return Outcome{}, err
		}
		if r.Seq > use.last {
			break
		}
		o.Records = append(o.Records, r)
	}
	o.describe(e.State(), e.now())
	return o, nil
}

// describe fills in what the records of an earlier command say.
func (o *Outcome) describe(s *State, now time.Time) {
	for _, r := range o.Records {
		switch x := r.Event.(type) {
		case *events.LimitObserved:
			o.Report = recall(s, r, x, now)
		case *events.Recovered:
			if o.Report == nil {
				o.Report = &ReportResult{
					Class: events.ClassOK, Scope: events.ScopeNone, Target: x.Target, Effect: events.EffectRecovered,
					Advice: Advice{Action: ActionStop}, Seq: r.Seq,
				}
			}
		case *events.Suspended:
			o.Cells = append(o.Cells, events.Cell{Account: r.Account, Target: x.Target})
		case *events.Lifted:
			o.Cells = append(o.Cells, events.Cell{Account: r.Account, Target: x.Target})
		case *events.CooldownCleared:
			o.Cells = append(o.Cells, events.Cell{Account: r.Account, Target: x.Target})
		case *events.RecheckRequested:
			o.Cells = append(o.Cells, events.Cell{Account: r.Account, Target: x.Target})
		}
	}
}

// recall is the answer to a report as its record tells it.
func recall(s *State, r events.Record, e *events.LimitObserved, now time.Time) *ReportResult {
	res := &ReportResult{
		Class: e.Class, Scope: e.Signal.Scope, Target: e.Target, Effect: e.Effect, Why: e.Why, Until: e.Until,
		Hint: e.Hint, Seq: r.Seq,
	}
	o := observation{
		Report: &Report{Account: r.Account, Signal: e.Signal}, d: &decider{s: s, now: now},
		id: s.groups.Resolve(e.Provider, e.Model),
	}
	res.Advice = o.advise(res)
	return res
}
