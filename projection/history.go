package projection

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/abeyance/abeyance/events"
)

// StateAt returns the state as it was at a moment: the nearest checkpoint before it,
// and the records since. Errors wrap ErrFuture for a moment that has not come.
func (e *Engine) StateAt(ctx context.Context, m Moment) (*State, error) {
	now := e.State()
	if err := e.past(m, now); err != nil {
		return nil, err
	}
	if m.Seq == now.head.Seq || m.Seq == 0 && m.reached(now.head) {
		return now, nil
	}
	return e.foldAt(ctx, m, now)
}

// past returns an error for a moment that has not come.
func (e *Engine) past(m Moment, now *State) error {
	if m.Seq > now.head.Seq {
		return fmt.Errorf("%w: record %d, and the log ends at %d", ErrFuture, m.Seq, now.head.Seq)
	}
	if m.Seq == 0 && m.At.After(e.now()) {
		return fmt.Errorf("%w: %s", ErrFuture, m)
	}
	return nil
}

// foldAt returns the state at a moment, as far as a published one knows of it, to be
// changed by its caller. The zero Moment is before the first record.
func (e *Engine) foldAt(ctx context.Context, m Moment, known *State) (*State, error) {
	s := e.nearest(m)
	for r, err := range e.log.Records(ctx, s.head.Seq) {
		if err != nil {
			return nil, err
		}
		if !m.includes(r) || r.Seq > known.head.Seq {
			break
		}
		s.Apply(r)
		s.changed = nil
	}
	return s, nil
}

// SeqAt returns the newest record at or before an instant; 0 if there was none.
func (e *Engine) SeqAt(ctx context.Context, at time.Time) (events.Seq, error) {
	lo, hi := events.Seq(1), e.State().head.Seq+1 // the first record after the instant is in [lo, hi]
	for lo < hi {
		mid := lo + (hi-lo)/2
		r, err := e.Record(ctx, mid)
		if err != nil {
			return 0, err
		}
		if r.At.After(at) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo - 1, nil
}

// span is a part of the log: the records after the state that it begins with, up to a
// seq, and the instant that it ends at.
type span struct {
	start *State
	last  events.Seq
	end   time.Time
}

// span works out a range. The zero from is the beginning of the log, the zero to now.
func (e *Engine) span(ctx context.Context, from, to Moment) (*span, error) {
	now := e.State()
	for _, m := range []Moment{from, to} {
		if err := e.past(m, now); err != nil {
			return nil, err
		}
	}
	x := &span{last: now.head.Seq, end: e.now().UTC()}
	switch {
	case to.Seq > 0:
		r, err := e.Record(ctx, to.Seq)
		if err != nil {
			return nil, err
		}
		x.last, x.end = to.Seq, r.At
	case !to.At.IsZero():
		last, err := e.SeqAt(ctx, to.At)
		if err != nil {
			return nil, err
		}
		x.last, x.end = last, to.At.UTC()
	}
	var err error
	if x.start, err = e.foldAt(ctx, from, now); err == nil && x.start.head.Seq > x.last {
		err = refuse(CodeInvalid, "the range is empty: it begins after its end")
	}
	return x, err
}

// records yields the records of a span, as often as it is asked.
func (e *Engine) records(ctx context.Context, first, last events.Seq) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range e.log.Records(ctx, first-1) {
			if err == nil && r.Seq > last || !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// History yields records; see events.Log.
func (e *Engine) History(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return e.log.History(ctx, q)
}

// Record returns one record. Errors wrap ErrFuture for one beyond the head.
func (e *Engine) Record(ctx context.Context, seq events.Seq) (events.Record, error) {
	if head := e.State().Head(); seq == 0 || seq > head.Seq {
		return events.Record{}, fmt.Errorf("%w: no record %d; the log ends at %d", ErrFuture, seq, head.Seq)
	}
	for r, err := range e.log.Records(ctx, seq-1) {
		return r, err
	}
	return events.Record{}, fmt.Errorf("%w: no record %d", ErrFuture, seq) // unreachable below the head
}
