package projection

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Checkpoints keeps dumps of states beside a log, each with the head it is of. They
// are caches: without them everything is folded from the start of the log. What is
// read back must be what was written, for a head that lies on the log's chain.
type Checkpoints interface {
	WriteCheckpoint(ctx context.Context, head events.Head, dump []byte) error
	// Checkpoints yields the heads, newest first.
	Checkpoints() iter.Seq2[events.Head, error]
	ReadCheckpoint(head events.Head) ([]byte, error)
}

const (
	// checkpointEvery is how many records apart checkpoints are made: what a start
	// has to fold at most. At two microseconds a record that is 20 ms.
	checkpointEvery = 10_000
	// checkpointAtEnd is how many records make one worth while when the engine closes.
	checkpointAtEnd = 1000
)

// checkpointer makes checkpoints, off the writer's path: from published states, which
// never change.
type checkpointer struct {
	store Checkpoints // nil: none are kept
	last  events.Seq  // of the newest checkpoint, or the last that was tried
	// newest is that of the newest checkpoint; nil: there is none.
	newest atomic.Pointer[events.Head]
	due    chan struct{}
	ended  chan struct{}
}

// findCheckpoint prepares to keep checkpoints, from the newest that there is on.
func (e *Engine) findCheckpoint(store Checkpoints) {
	c := &e.checkpoints
	c.store, c.due, c.ended = store, make(chan struct{}, 1), make(chan struct{})
	if store == nil {
		close(c.ended)
		return
	}
	for head, err := range store.Checkpoints() {
		if err == nil {
			c.last = head.Seq
			c.newest.Store(&head)
			break
		}
	}
}

// noteCheckpoint says that a state was published. It never waits.
func (e *Engine) noteCheckpoint() {
	if e.checkpoints.store == nil {
		return
	}
	select {
	case e.checkpoints.due <- struct{}{}:
	default:
	}
}

func (e *Engine) keepCheckpoints() {
	defer close(e.checkpoints.ended)
	for {
		select {
		case <-e.checkpoints.due:
			e.checkpoint(checkpointEvery)
		case <-e.dead:
			e.checkpoint(checkpointAtEnd)
			return
		}
	}
}

// checkpoint writes the published state if enough records came since the last one.
// Failing is no more than a slower start the next time.
func (e *Engine) checkpoint(every events.Seq) {
	c := &e.checkpoints
	v := e.view.Load()
	if v.Degraded || v.State.head.Seq < c.last+every {
		return
	}
	began := time.Now()
	dump, err := v.State.Pack()
	if err == nil {
		err = c.store.WriteCheckpoint(context.Background(), v.State.head, dump)
	}
	c.last = v.State.head.Seq // tried; the next is due as far on
	if err != nil {
		e.logger.Warn("no checkpoint could be written; the next start reads more of the log", "seq", uint64(c.last), "error", err)
		return
	}
	c.newest.Store(new(v.State.head))
	e.logger.Debug("checkpoint written", "seq", uint64(c.last), "bytes", len(dump), "took", time.Since(began).String())
}

// loadCheckpoint returns the state that a checkpoint holds.
func loadCheckpoint(store Checkpoints, head events.Head) (*State, error) {
	dump, err := store.ReadCheckpoint(head)
	if err != nil {
		return nil, err
	}
	return loadAt(head, dump)
}

// reached reports whether all records up to a head had happened at the moment.
func (m Moment) reached(h events.Head) bool {
	if m.Seq != 0 {
		return h.Seq <= m.Seq
	}
	return !h.At.After(m.At)
}
