package projection

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Past answers questions about what a log holds: states as they were, episodes, and
// replays under other rules. It only reads, and serves a running engine and the log of
// a stopped daemon alike. All methods may be called from several goroutines.
type Past struct {
	Log events.Log
	// State is the fold of the log up to where it is to be known: a published state.
	State *State
	// Now is the present, after which nothing can be asked.
	Now time.Time
	// Checkpoints make moments long past cheap. Nil: everything is folded from the start.
	Checkpoints Checkpoints
	// Logger hears of checkpoints that cannot be used. Nil: nobody does.
	Logger *slog.Logger
}

// Past returns the past as the engine knows it now.
func (e *Engine) Past() *Past {
	return &Past{Log: e.log, State: e.State(), Now: e.now().UTC(), Checkpoints: e.checkpoints.store, Logger: e.logger}
}

// StateAt is the method of [Past], as of now.
func (e *Engine) StateAt(ctx context.Context, m Moment) (*State, error) {
	return e.Past().StateAt(ctx, m)
}

// Record is the method of [Past], as of now.
func (e *Engine) Record(ctx context.Context, seq events.Seq) (events.Record, error) {
	return e.Past().Record(ctx, seq)
}

// History yields records; see events.Log.
func (e *Engine) History(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return e.log.History(ctx, q)
}

// Record returns one record. Errors wrap ErrFuture for one beyond the head.
func (p *Past) Record(ctx context.Context, seq events.Seq) (events.Record, error) {
	if head := p.State.head; seq == 0 || seq > head.Seq {
		return events.Record{}, fmt.Errorf("%w: no record %d; the log ends at %d", ErrFuture, seq, head.Seq)
	}
	for r, err := range p.Log.Records(ctx, seq-1) {
		return r, err
	}
	return events.Record{}, fmt.Errorf("%w: no record %d", ErrFuture, seq) // unreachable below the head
}

// StateAt returns the state as it was at a moment: the nearest checkpoint before it,
// and the records since. Errors wrap ErrFuture for a moment that has not come.
func (p *Past) StateAt(ctx context.Context, m Moment) (*State, error) {
	if err := p.check(m); err != nil {
		return nil, err
	}
	if m.Seq == p.State.head.Seq || m.Seq == 0 && m.reached(p.State.head) {
		return p.State, nil
	}
	return p.fold(ctx, m)
}

// check returns an error for a moment that has not come.
func (p *Past) check(m Moment) error {
	if m.Seq > p.State.head.Seq {
		return fmt.Errorf("%w: record %d, and the log ends at %d", ErrFuture, m.Seq, p.State.head.Seq)
	}
	if m.Seq == 0 && m.At.After(p.Now) {
		return fmt.Errorf("%w: %s", ErrFuture, m)
	}
	return nil
}

// fold returns the state at a moment, to be changed by its caller. The zero Moment is
// before the first record.
func (p *Past) fold(ctx context.Context, m Moment) (*State, error) {
	s := p.nearest(m)
	for r, err := range p.Log.Records(ctx, s.head.Seq) {
		if err != nil {
			return nil, err
		}
		if !m.includes(r) || r.Seq > p.State.head.Seq {
			break
		}
		s.fold(r)
	}
	return s, nil
}

// nearest returns the newest state that a checkpoint holds at or before a moment, to
// be changed by its caller: the empty one if there is none.
func (p *Past) nearest(m Moment) *State {
	empty := NewState()
	empty.begin(p.State.head.Log)
	if p.Checkpoints == nil {
		return empty
	}
	for head, err := range p.Checkpoints.Checkpoints() {
		if err != nil || !m.reached(head) {
			continue
		}
		s, err := loadCheckpoint(p.Checkpoints, head)
		if err == nil {
			return s
		}
		if p.Logger != nil {
			p.Logger.Warn("a checkpoint cannot be used", "seq", uint64(head.Seq), "error", err)
		}
	}
	return empty
}

// SeqAt returns the newest record at or before an instant; 0 if there was none.
func (p *Past) SeqAt(ctx context.Context, at time.Time) (events.Seq, error) {
	return LastBy(at, p.State.head.Seq, func(seq events.Seq) (events.Record, error) { return p.Record(ctx, seq) })
}

// LastBy returns the newest record of a log that ends at head, at or before an instant; 0
// if there was none. It looks up as many records as the logarithm of head.
func LastBy(at time.Time, head events.Seq, lookup Lookup) (events.Seq, error) {
	lo, hi := events.Seq(1), head+1 // the first record after the instant is in [lo, hi]
	for lo < hi {
		mid := lo + (hi-lo)/2
		r, err := lookup(mid)
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
func (p *Past) span(ctx context.Context, from, to Moment) (*span, error) {
	for _, m := range []Moment{from, to} {
		if err := p.check(m); err != nil {
			return nil, err
		}
	}
	x := &span{last: p.State.head.Seq, end: p.Now}
	var err error
	switch {
	case to.Seq > 0:
		var r events.Record
		r, err = p.Record(ctx, to.Seq)
		x.last, x.end = to.Seq, r.At
	case !to.At.IsZero():
		x.last, err = p.SeqAt(ctx, to.At)
		x.end = to.At.UTC()
	}
	if err != nil {
		return nil, err
	}
	if x.start, err = p.fold(ctx, from); err == nil && x.start.head.Seq > x.last {
		err = refuse(CodeInvalid, "the range is empty: it begins after its end")
	}
	return x, err
}

// records yields the records of a span, as often as it is asked.
func (p *Past) records(ctx context.Context, first, last events.Seq) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range p.Log.Records(ctx, first-1) {
			if err == nil && r.Seq > last || !yield(r, err) || err != nil {
				return
			}
		}
	}
}
