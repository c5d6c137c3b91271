package boltlog

import (
	"context"
	"runtime"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// chunk is a run of consecutive records on its way through a scan.
type chunk struct {
	rows []row
	recs []events.Record
	err  error         // of the first record that is not in recs
	done chan struct{} // closed when recs and err are set
}

// scan checks the records after from up to last, in order, and hands them to each.
// One goroutine reads pages, one per processor checks and decodes them: a record's
// link can be checked without the records before it, because their hashes are
// stored. It returns the head it came to.
func (l *Log) scan(ctx context.Context, last events.Seq, each func([]events.Record) error) (events.Head, error) {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()

	workers := runtime.GOMAXPROCS(0)
	work := make(chan *chunk)
	ordered := make(chan *chunk, 2*workers)
	wg.Go(func() {
		defer close(ordered)
		defer close(work)
		l.readChunks(ctx, last, func(c *chunk) bool {
			return send(ctx, ordered, c) && send(ctx, work, c)
		})
	})
	for range workers {
		wg.Go(func() {
			dec := events.NewDecoder()
			for c := range work {
				c.decode(dec)
			}
		})
	}

	head := l.base
	for c := range ordered {
		select {
		case <-c.done:
		case <-ctx.Done():
			return head, ctx.Err()
		}
		var err error
		if head, err = c.follow(head, each); err != nil {
			return head, l.damaged(err)
		}
	}
	return head, ctx.Err()
}

func send(ctx context.Context, to chan<- *chunk, c *chunk) bool {
	select {
	case to <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// readChunks reads the records up to last page by page. A page that cannot be read
// becomes the last chunk.
func (l *Log) readChunks(ctx context.Context, last events.Seq, emit func(*chunk) bool) {
	seqs := make([]events.Seq, 0, pageRows)
	for at := l.base.Seq; at < last && ctx.Err() == nil; {
		rows, err := l.fetch(seqRange{first: at + 1, last: last}.page(seqs[:0]))
		if !emit(&chunk{rows: rows, err: err, done: make(chan struct{})}) || err != nil {
			return
		}
		at = rows[len(rows)-1].seq()
	}
}

// decode checks and decodes the rows, as far as they are right.
func (c *chunk) decode(dec *events.Decoder) {
	defer close(c.done)
	c.recs = make([]events.Record, 0, len(c.rows))
	for i, r := range c.rows {
		if i > 0 {
			r.before.At = c.recs[i-1].At
		}
		rec, err := dec.Open(r.before, r.seq(), r.encoded, r.hash)
		if err != nil {
			c.err = err
			return
		}
		c.recs = append(c.recs, rec)
	}
}

// follow checks that the chunk follows head, hands it on, and returns the head
// after it.
func (c *chunk) follow(head events.Head, each func([]events.Record) error) (events.Head, error) {
	if len(c.recs) > 0 {
		if first := c.recs[0]; first.At.Before(head.At) {
			return head, &events.ChainError{Seq: first.Seq, Problem: "is dated before the record it follows"}
		}
		if err := each(c.recs); err != nil {
			return head, &callerError{err}
		}
		head = head.Next(c.recs[len(c.recs)-1])
	}
	return head, c.err
}

// callerError is an error of the caller's own function: no damage.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }
