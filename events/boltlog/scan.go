package boltlog

import (
	"context"
	"runtime"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// chunk is a run of consecutive records on its way through a scan.
type chunk struct {
	rows    []row
	room    []byte // of the bytes of the rows, unless they are kept; used again
	recs    []events.Record
	err     error         // of the first record that is not in recs
	decoded chan struct{} // of capacity 1: recs and err are set
}

// scanner checks records in bulk. One goroutine reads pages, one per processor
// checks and decodes them, and the caller's takes the results in order: a record's
// link can be checked without the records before it, because their hashes are
// stored.
type scanner struct {
	log     *Log
	span    span
	ctx     context.Context // of one scan
	work    chan *chunk
	ordered chan *chunk // the same chunks, in the order of their records
	free    chan *chunk // chunks to use again
}

// span is what a scan reads.
type span struct {
	from events.Head // of the log: the records after it
	last events.Seq
	// seek looks every record up, besides going on from the one before: so it also
	// finds what leads only look-ups astray.
	seek bool
	// keep says that who gets the records keeps them with their bytes, which are
	// overwritten otherwise.
	keep bool
}

// scan checks the records of a span in order, and hands them to each, which must not
// keep the slice, nor, unless the span says so, the bytes of a record. It returns the head it came to.
func (l *Log) scan(ctx context.Context, read span, each func([]events.Record) error) (events.Head, error) {
	ctx, stop := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	s := &scanner{log: l, span: read, ctx: ctx, work: make(chan *chunk), ordered: make(chan *chunk, 2*workers)}
	s.free = make(chan *chunk, cap(s.ordered)+workers+2)
	for range cap(s.free) {
		s.free <- &chunk{decoded: make(chan struct{}, 1)}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(s.read)
	for range workers {
		wg.Go(s.decode)
	}

	head := read.from
	for c := range s.ordered {
		select {
		case <-c.decoded:
		case <-ctx.Done():
			return head, ctx.Err()
		}
		var err error
		if head, err = c.follow(head, each); err != nil {
			return head, l.damaged(err)
		}
		s.free <- c // never full
	}
	return head, ctx.Err()
}

// read reads the records page by page. A page that cannot be read is the last.
func (s *scanner) read() {
	defer close(s.ordered)
	defer close(s.work)
	seqs := make([]events.Seq, 0, pageRows)
	for at := s.span.from.Seq; at < s.span.last; {
		var c *chunk
		select {
		case c = <-s.free:
		case <-s.ctx.Done():
			return
		}
		page := seqRange{first: at + 1, last: s.span.last}.page(seqs[:0])
		f := &fetcher{rows: c.rows[:0], seek: s.span.seek}
		if !s.span.keep {
			f.room = &c.room
			c.room = c.room[:0]
		}
		c.rows, c.err = s.log.copyOut(f, page)
		if c.err == nil {
			at = c.rows[len(c.rows)-1].seq()
		}
		failed := c.err != nil // once sent, c is somebody else's
		// Nobody takes anything any more once the context has ended.
		for _, to := range []chan<- *chunk{s.ordered, s.work} {
			select {
			case to <- c:
			case <-s.ctx.Done():
				return
			}
		}
		if failed {
			return
		}
	}
}

// decode checks and decodes the rows of chunks, as far as they are right.
func (s *scanner) decode() {
	dec := events.NewDecoder()
	for c := range s.work {
		c.recs = c.recs[:0]
		for i, r := range c.rows {
			if i > 0 {
				r.before.At = c.recs[i-1].At
			}
			rec, err := dec.Open(r.before, r.seq(), r.encoded, r.hash)
			if err != nil {
				c.err = err
				break
			}
			c.recs = append(c.recs, rec)
		}
		c.decoded <- struct{}{}
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

// Scan hands out the records after a seq up to last, or the head if last is beyond it,
// in order and in runs, checked as [Log.Records] checks them, but on all processors.
// each must not keep the slice; an error of it ends the scan and is returned.
func (l *Log) Scan(ctx context.Context, after, last events.Seq, each func([]events.Record) error) error {
	if l.closed.Load() {
		return events.ErrClosed
	}
	last = min(last, l.head.Load().Seq)
	from := events.Head{Log: l.base.Log, Seq: max(after, l.base.Seq)}
	if from.Seq >= last {
		return ctx.Err()
	}
	_, err := l.scan(ctx, span{from: from, last: last}, each)
	return err
}
