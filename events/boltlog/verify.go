package boltlog

import (
	"context"

	"github.com/abeyance/abeyance/events"
)

// Verify checks the whole chain as it is now in the file, up to the newest record,
// and returns the head it found. The error is that of the first bad record.
// progress, unless nil, is called now and then, from the caller's goroutine, with
// the records checked and the records there are.
func (l *Log) Verify(ctx context.Context, progress func(done, total events.Seq)) (events.Head, error) {
	if l.closed.Load() {
		return events.Head{}, events.ErrClosed
	}
	last := l.head.Load().Seq
	return l.scan(ctx, l.base, last, func(recs []events.Record) error {
		if progress != nil {
			progress(recs[len(recs)-1].Seq-l.base.Seq, last-l.base.Seq)
		}
		return nil
	})
}

