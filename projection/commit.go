package projection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// UnknownOutcomeError says that an append failed after it had begun: the events
// may or may not be on disk. The engine has stopped; open the log anew to see.
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string {
	return "the outcome is unknown, because writing the log failed: " + e.Err.Error()
}

// Unwrap returns the log's error.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// batch is commands that were decided one after another, on their way to the disk
// together.
type batch struct {
	taken   []*pending
	records []events.Record
	before  events.Head // of the state that the first was decided on
	head    events.Head // after the records
	began   time.Time   // when the append began
	took    time.Duration
	here    bool // the writer is to append it itself

	// prepare works out what is published once the records are durable. The first to have
	// time for it does: the writer when nothing waits, or who appends, when that is done.
	prepare func()
	view    View
	gained  gains
	turned  turned
	changed []string // the accounts that the batch changes
}

// run is the writer: the only goroutine that touches e.work and decides.
func (e *Engine) run() {
	defer close(e.ended)
	if e.write() == nil {
		e.end(nil)
	}
	e.refuse()
	if e.err != nil {
		e.linger()
	}
}

// end says that no more commands are taken, and why.
func (e *Engine) end(err error) {
	e.err = err
	close(e.dead)
}

// write takes commands until the engine is closed or an append fails.
//
// One batch at a time is on its way to the disk; meanwhile the next is decided, on a
// working state that is ahead of what is durable and published. Whatever was decided on
// top of a batch that fails, fails with it, so that no answer rests on records that do
// not exist. Of many callers one half is decided while the disk works for the other.
func (e *Engine) write() error {
	timer := time.NewTimer(e.untilDue())
	defer timer.Stop()
	stop := e.stop
	for stop != nil || e.flying != nil {
		var landed *batch
		queue := e.queue
		switch {
		case stop == nil || len(e.deciding.taken) >= maxBatch || len(e.appended) > 0:
			queue = nil
		case e.flying != nil && len(queue) == 0:
			e.flying.prepare() // nobody else has had the time so far
		}
		select {
		case p := <-queue:
			for ; p != nil; p = e.more() {
				e.decide(p)
				e.take()
				e.refresh() // the timer may have to wait for long
			}
			if e.flying != nil {
				continue // the timer waits for what is published, which is as it was
			}
		case err := <-e.appended:
			if landed, err = e.land(err); err != nil {
				return err
			}
		case <-timer.C:
			e.refresh()
		case set := <-e.control:
			set()
		case <-stop:
			stop, e.closing = nil, true
		}
		// Not only when idle: with commands coming all the time the timer never fires.
		e.watchClock()
		e.launch() // before the answers are given: the disk is what all wait for
		landed.answer()
		if landed != nil {
			e.answered = landed.taken
			e.tide.rise() // after the answers: whoever follows the log is in no hurry
		}
		e.appendHere()
		timer.Reset(e.untilDue())
	}
	return nil
}

// linger keeps the index right at each deadline for picks that go on, until the
// engine is closed.
func (e *Engine) linger() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			e.refresh()
			timer.Reset(e.untilStale())
		case set := <-e.control:
			set()
		case <-e.stop:
			return
		}
	}
}

// refuse answers what is left in the queue after the end. The order matters: senders that
// come after dead is closed withdraw by themselves.
func (e *Engine) refuse() {
	for {
		select {
		case p := <-e.queue:
			if p.take() {
				p.err = ErrStopped
				p.settle()
			}
		default:
			return
		}
	}
}

// take decides the commands that wait, up to a batch.
func (e *Engine) take() {
	for len(e.deciding.taken) < maxBatch && len(e.appended) == 0 && !e.ready() {
		select {
		case p := <-e.queue:
			e.decide(p)
		default:
			return
		}
	}
}

// ready reports whether the disk may have what is decided: it is free, and nothing more
// is to be decided first, or so much is decided that the rest is better decided meanwhile.
func (e *Engine) ready() bool {
	waiting := len(e.queue)
	return e.flying == nil && (waiting == 0 || e.closing || len(e.deciding.taken) >= max(waiting, halfBatch))
}

// more lets callers send what they have while a batch is on its way to the disk, which is
// long, and returns a command that came; nil: none. To wait for each by itself would cost
// a switch of goroutines for every command.
func (e *Engine) more() *pending {
	if e.flying == nil || len(e.appended) > 0 || len(e.deciding.taken) >= maxBatch {
		return nil
	}
	runtime.Gosched()
	select {
	case p := <-e.queue:
		return p
	default:
		return nil
	}
}

// decide runs one command on the working state, unless it was withdrawn. The clock is read
// for each: what is decided was not sent later.
func (e *Engine) decide(p *pending) {
	if !p.take() {
		return
	}
	now := e.now().UTC()
	b := e.deciding
	if len(b.taken) == 0 {
		b.before = e.work.head
	}
	b.taken = append(b.taken, p)
	d, err := e.decider.run(e.work, p.command, now)
	if err != nil {
		p.err = err
		return
	}
	defer e.decider.forget()
	from := len(b.records)
	if b.records, err = e.sealer.Encode(b.records, e.work.head, now, d.Drafts); err != nil {
		p.err = refuse(CodeInvalid, "the command does not fit the log: %v", err)
		if _, ok := p.command.Do.(*Expire); ok { // the clock is in a year that the log cannot hold
			e.expireLater()
		}
		return
	}
	recs := b.records[from:]
	for i := range recs {
		e.work.Apply(recs[i])
	}
	if d.Report != nil && len(recs) > 0 {
		d.Report.Seq = recs[len(recs)-1].Seq
		if d.Report.Effect == events.EffectRecovered {
			d.Report.Seq = recs[0].Seq
		}
	}
	d.Drafts = nil // the decider's
	p.outcome, p.from, p.to = Outcome{Decision: d}, from, len(b.records)
}

// launch sends what was decided to the disk, with what is over by now, unless a batch
// is on its way or more is to be decided first.
func (e *Engine) launch() {
	if e.flying != nil {
		return
	}
	if e.work.Due(e.now().UTC()) && e.pause() == 0 {
		e.take() // a storm of deadlines holds up no command for longer than one turn
		e.decide(e.expiry())
	}
	if n := len(e.deciding.taken); n == 0 || n < maxBatch && !e.ready() {
		return
	}
	b := e.deciding
	e.deciding = &batch{taken: e.answered[:0], records: nextRecords(b.records)}
	b.records = slices.Clip(b.records) // behind them are those of the next
	e.answered = nil
	if len(b.records) == 0 {
		b.head = e.work.head // nothing that they rest on is on its way
		b.answer()
		return
	}
	e.plan(b)
	b.head, b.began = e.work.head, time.Now()
	b.here = e.last <= few && len(b.taken) <= few && len(e.queue) == 0
	e.last, e.flying = len(b.taken), b
	if b.here {
		return
	}
	go func() { e.appended <- e.append(b) }()
}

// append stores a batch, and works out what is to be published unless the writer has.
func (e *Engine) append(b *batch) error {
	err := e.log.Append(context.Background(), b.records)
	b.took = time.Since(b.began)
	if err == nil {
		b.prepare()
	}
	return err
}

// nextRecords returns room for the records of a batch: what is left behind those of the
// batch before, so that none is thrown away, or new room for some such batches.
func nextRecords(before []events.Record) []events.Record {
	n := len(before)
	if cap(before)-n >= n {
		return before[n:n]
	}
	return make([]events.Record, 0, min(4*n, 2*maxBatch))
}

// few commands at a time are appended by the writer itself: to hand them to another
// goroutine takes longer than what could be decided meanwhile.
const few = 4

// appendHere appends the batch on its way, unless another goroutine does.
func (e *Engine) appendHere() {
	b := e.flying
	if b == nil || !b.here {
		return
	}
	b.here = false
	end := e.keepRight()
	err := e.append(b)
	end()
	e.appended <- err
}

func (e *Engine) expiry() *pending {
	origin := events.Origin{Actor: ActorExpiry, Via: events.ViaGo, CorrelationID: newCorrelation()}
	return e.pend(Command{Origin: origin, Do: &Expire{}})
}

// land publishes the batch whose append has returned, and returns it to be answered. An
// error ends the writer.
func (e *Engine) land(err error) (*batch, error) {
	b := e.flying
	if errors.Is(err, events.ErrFull) {
		e.reject(b, err)
		return nil, nil
	}
	if err != nil {
		return nil, e.unknown(b, err)
	}
	e.flying = nil
	e.metrics.appended(b, b.took)
	e.publish(b)
	return b, nil
}

// answer answers the commands of a batch whose outcomes stand; nil has none.
func (b *batch) answer() {
	if b == nil {
		return
	}
	for _, p := range b.taken {
		if p.outcome.AsOf = b.head.Seq; p.to > p.from {
			p.outcome.Records = b.records[p.from:p.to:p.to]
		}
		p.settle()
	}
}

// fail answers a batch that is not on disk, or may not be. A refusal stands if it
// follows from what is, and not from a command before it.
func (e *Engine) fail(b *batch, err error) {
	s, now := e.State(), e.now().UTC()
	for _, p := range b.taken {
		if p.err != nil {
			_, p.err = Decide(s, p.command, now)
		}
		if p.err == nil {
			p.err = err
		}
		p.settle()
	}
}

// unknown answers a batch whose append failed, and the one that was decided on top of
// it and never reached the disk. Commands that had nothing to append fail too: they
// were decided on a state that may not exist.
func (e *Engine) unknown(b *batch, err error) error {
	if _, conflict := errors.AsType[*events.ConflictError](err); conflict {
		err = fmt.Errorf("the log was written behind the engine's back after record %d: %w", b.before.Seq, err)
	}
	err = &UnknownOutcomeError{err}
	e.logger.Error("the log cannot be written; the engine stops", "error", err, "seq", uint64(b.before.Seq))
	after := e.abandon()
	e.end(err) // before any caller hears of it: Err tells them why
	e.fail(b, err)
	e.fail(after, ErrStopped)
	return err
}

// reject answers a batch that found the disk full, and the one that was decided on top
// of it. Nothing of them is stored, so that the engine goes on from where it was, and
// tries again with the next command.
func (e *Engine) reject(b *batch, err error) {
	if !e.view.Load().Degraded {
		e.logger.Error("the disk is full; commands are rejected until there is room", "error", err, "seq", uint64(b.before.Seq))
	}
	after := e.abandon()
	e.expireLater()
	err = fmt.Errorf("rejected: disk full; make room and send it again: %w", err)
	e.fail(b, err)
	e.fail(after, err)
}

// abandon goes back to what is published, marked degraded, before any caller hears of
// it. It returns what was being decided.
func (e *Engine) abandon() (deciding *batch) {
	deciding, e.flying = e.deciding, nil
	e.degrade()
	return deciding
}
