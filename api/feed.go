package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Bounds of a feed.
const (
	feedFrames = 4096    // the newest frames that are kept
	feedBytes  = 8 << 20 // of their text
	// feedAge is how long a frame is kept at most: it shows account ids as they were
	// given, and those may be forgotten.
	feedAge   = 10 * time.Second
	feedBatch = 256 // frames that are handed on at once
	// feedPause and feedPauseEach, for each reader, are how long a feed waits between two
	// looks at the log. What comes together is written together: to wake a reader and
	// write costs some 20 us, so that all of it takes no more than a fifth of a core.
	feedPause     = 10 * time.Millisecond
	feedPauseEach = 100 * time.Microsecond
	// feedGroups is how many groups of readers there are, woken one after another: a
	// thousand at once would stand before the engine's writer on the processors.
	feedGroups = 64
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
	ctx     context.Context    // ends when nobody reads the feed
	cancel  context.CancelFunc // ends it
	readers atomic.Int64       // changed while feeds is locked
	joined  int                // readers that ever were; guarded by feeds
	buffers sync.Pool          // of *[]byte, to write from
	older   shelf

	mu     sync.RWMutex
	frames []frame         // without a gap; the newest is that of last
	bytes  int             // of their text
	last   events.Seq      // read up to here; changed by follow alone
	grown  []chan struct{} // one a group, closed when last has changed, or the feed has ended
	ended  error           // why it has ended
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

// join returns a feed that begins at the head, or before it, and the group of its new
// reader.
func (f *feeds) join(b *Backend) (x *feed, group int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		ctx, cancel := context.WithCancel(context.Background())
		f.now = &feed{backend: b, ctx: ctx, cancel: cancel, last: b.Engine.State().Head().Seq}
		f.now.buffers.New = func() any { return new(make([]byte, 0, streamPiece)) }
		go f.now.run()
	}
	f.now.readers.Add(1)
	return f.now, f.now.group()
}

// group returns the group of a new reader.
func (f *feed) group() int {
	f.joined++
	if f.joined <= feedGroups {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.grown = append(f.grown, make(chan struct{}))
	}
	return (f.joined - 1) % feedGroups
}

// leave ends a feed that nobody reads any more.
func (f *feeds) leave(x *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x.readers.Add(-1) == 0 {
		x.cancel()
		f.now = nil
	}
}

// run follows the log until nobody reads the feed, or nothing more can come.
func (f *feed) run() {
	err := f.follow()
	f.mu.Lock()
	f.ended = err
	f.mu.Unlock()
	f.wake()
}

func (f *feed) follow() error {
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
			f.keep(nil)
			f.older.forget(time.Now().Add(-feedAge))
			continue
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
		if err := f.read(); err != nil {
			return err
		}
		if stopped {
			return errEngineStopped
		}
		pause.Reset(feedPause + time.Duration(f.readers.Load())*feedPauseEach)
		select {
		case <-pause.C:
		case <-f.ctx.Done():
		}
	}
}

// read makes frames of the records that are new.
func (f *feed) read() error {
	var batch []frame
	q := events.Query{After: f.last, Before: f.backend.Engine.State().Head().Seq + 1}
	for x, err := range f.make(q) {
		if err != nil {
			return err
		}
		if batch = append(batch, x); len(batch) == feedBatch {
			f.add(batch)
			batch = batch[:0]
		}
	}
	f.add(batch)
	return nil
}

// make yields the frames of records, or an error, which ends them.
func (f *feed) make(q events.Query) iter.Seq2[frame, error] {
	return func(yield func(frame, error) bool) {
		for r, err := range f.backend.Engine.History(f.ctx, q) {
			x := frame{record: r, at: time.Now()}
			if err == nil {
				x.text, err = f.backend.appendFrame(nil, r)
			}
			if !yield(x, err) || err != nil {
				return
			}
		}
	}
}

// block returns the frames of the block that a seq is in, or nil if some are still to
// come.
func (f *feed) block(seq events.Seq) *block {
	first := seq - seq%shelfBlock
	if first+shelfBlock > f.backend.Engine.State().Head().Seq+1 {
		return nil
	}
	return f.older.get(first, func(b *block) {
		q := events.Query{Before: first + shelfBlock}
		if first > 0 {
			q.After = first - 1
		}
		for x, err := range f.make(q) {
			if err != nil {
				b.err = err
				return
			}
			b.frames = append(b.frames, x)
		}
	})
}

// add appends frames, drops those that are too many or too old, and wakes the readers.
func (f *feed) add(batch []frame) {
	f.keep(batch)
	if len(batch) > 0 {
		f.wake()
	}
}

func (f *feed) keep(batch []frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames = append(f.frames, batch...)
	for _, x := range batch {
		f.bytes += len(x.text)
		f.last = x.record.Seq
	}
	oldest := time.Now().Add(-feedAge)
	for len(f.frames) > 0 && (len(f.frames) > feedFrames || f.bytes > feedBytes || f.frames[0].at.Before(oldest)) {
		f.bytes -= len(f.frames[0].text)
		f.frames[0] = frame{} // the array behind the slice would keep it
		f.frames = f.frames[1:]
	}
}

// wake wakes the readers, group by group.
func (f *feed) wake() {
	for i := 0; f.wakeGroup(i); i++ {
		runtime.Gosched() // whoever is ready by now goes before the next group
	}
}

// wakeGroup reports whether there is such a group.
func (f *feed) wakeGroup(i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.grown) {
		return false
	}
	close(f.grown[i])
	f.grown[i] = make(chan struct{})
	return true
}

// take appends frames that a reader has not looked at to buf, up to a piece, and moves
// the reader on. If there are no more, it returns a channel that is closed when there
// are. Errors are errBehind, or why there will never be more.
func (f *feed) take(buf []byte, s *subscriber) (piece []byte, more <-chan struct{}, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if s.at >= f.last {
		return buf, f.grown[s.group], f.ended
	}
	first := f.last - events.Seq(len(f.frames)) + 1
	if s.at+1 < first {
		return buf, nil, errBehind
	}
	buf, whole := s.pick(buf, f.frames[s.at+1-first:])
	if !whole {
		return buf, nil, nil
	}
	return buf, f.grown[s.group], nil
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
