package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Bounds of a feed.
const (
	feedFrames = 4096    // the newest frames that are kept
	feedBytes  = 8 << 20 // of their text
	// feedAge is how long a frame is kept at most: it shows account ids as they were
	// given, and those may be forgotten.
	feedAge = 10 * time.Second
	// feedPause is how long a feed waits between two looks at the log: what comes
	// together is written together.
	feedPause = 10 * time.Millisecond
	feedBatch = 256 // frames that are handed on at once
)

var (
	errBehind        = errors.New("the reader is behind the frames that are kept")
	errEngineStopped = errors.New("the engine has stopped") // no more records will come
)

// feed follows the log for all streams of a server: it reads and encodes each record
// once, and keeps the newest of these frames. Who falls behind them reads the log
// itself. So the engine waits for no feed, and a feed for no reader.
type feed struct {
	backend *Backend
	cancel  context.CancelFunc // ends follow
	readers int                // guarded by feeds
	buffers sync.Pool          // of *[]byte, to write from

	mu     sync.RWMutex
	frames []frame       // without a gap; the newest is that of last
	bytes  int           // of their text
	last   events.Seq    // read up to here; changed by follow alone
	grown  chan struct{} // closed when last changes, or the feed ends
	ended  error         // why it has ended
}

// frame is a record as it is sent.
type frame struct {
	record events.Record
	text   []byte
	at     time.Time // when it was made
}

// feeds is the feed of a server, which is there as long as somebody reads it.
type feeds struct {
	mu  sync.Mutex
	now *feed
}

// join returns a feed that begins at the head, or before it.
func (f *feeds) join(b *Backend) *feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		ctx, cancel := context.WithCancel(context.Background())
		f.now = &feed{backend: b, cancel: cancel, last: b.Engine.State().Head().Seq, grown: make(chan struct{})}
		f.now.buffers.New = func() any { return new(make([]byte, 0, streamPiece)) }
		go f.now.run(ctx)
	}
	f.now.readers++
	return f.now
}

// leave ends a feed that nobody reads any more.
func (f *feeds) leave(x *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x.readers--; x.readers == 0 {
		x.cancel()
		f.now = nil
	}
}

// run follows the log until nobody reads the feed, or nothing more can come.
func (f *feed) run(ctx context.Context) {
	err := f.follow(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = err
	close(f.grown)
}

func (f *feed) follow(ctx context.Context) error {
	tick := time.NewTicker(feedAge)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		stopped := false
		select {
		case <-f.backend.Engine.After(f.last):
		case <-f.backend.Engine.Done():
			stopped = true
		case <-tick.C:
			f.add(nil)
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := f.read(ctx); err != nil {
			return err
		}
		if stopped {
			return errEngineStopped
		}
		pause.Reset(feedPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// read makes frames of the records that are new.
func (f *feed) read(ctx context.Context) error {
	var batch []frame
	q := events.Query{After: f.last, Before: f.backend.Engine.State().Head().Seq + 1}
	for r, err := range f.backend.Engine.History(ctx, q) {
		if err != nil {
			return err
		}
		text, err := f.backend.appendFrame(nil, r)
		if err != nil {
			return err
		}
		batch = append(batch, frame{r, text, time.Now()})
		if len(batch) == feedBatch {
			f.add(batch)
			batch = batch[:0]
		}
	}
	f.add(batch)
	return nil
}

// add appends frames, drops those that are too many or too old, and wakes the readers.
func (f *feed) add(batch []frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames = append(f.frames, batch...)
	for _, x := range batch {
		f.bytes += len(x.text)
	}
	oldest := time.Now().Add(-feedAge)
	for len(f.frames) > 0 && (len(f.frames) > feedFrames || f.bytes > feedBytes || f.frames[0].at.Before(oldest)) {
		f.bytes -= len(f.frames[0].text)
		f.frames[0] = frame{} // the array behind the slice would keep it
		f.frames = f.frames[1:]
	}
	if n := len(batch); n > 0 {
		f.last = batch[n-1].record.Seq
		close(f.grown)
		f.grown = make(chan struct{})
	}
}

// take appends frames that a reader has not looked at to buf, up to a piece, and moves
// the reader on. If there are no more, it returns a channel that is closed when there
// are. Errors are errBehind, or why there will never be more.
func (f *feed) take(buf []byte, s *subscriber) (piece []byte, more <-chan struct{}, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if s.at >= f.last {
		return buf, f.grown, f.ended
	}
	first := f.last - events.Seq(len(f.frames)) + 1
	if s.at+1 < first {
		return buf, nil, errBehind
	}
	for _, x := range f.frames[s.at+1-first:] {
		if len(buf) > 0 && len(buf)+len(x.text) > streamPiece {
			return buf, nil, nil
		}
		s.at = x.record.Seq
		if s.filter.wants(x.record) {
			buf, s.told = append(buf, x.text...), s.at
		}
	}
	return buf, f.grown, nil
}

// appendFrame appends a record as a stream sends it. The data is one line whatever is in
// the record: JSON escapes the ends of lines.
func (b *Backend) appendFrame(dst []byte, r events.Record) ([]byte, error) {
	w := bytes.NewBuffer(dst)
	fmt.Fprintf(w, "id: %d\ndata: ", r.Seq)
	err := encode(w, NewEventRow(r, b.Identities))
	w.WriteByte('\n')
	return w.Bytes(), err
}
