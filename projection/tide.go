package projection

import (
	"sync"

	"github.com/abeyance/abeyance/events"
)

// tide wakes those who follow the log when it has grown.
type tide struct {
	mu    sync.Mutex
	risen chan struct{} // closed at the next rise; nil: nobody waits for it
}

// rise wakes all who wait.
func (t *tide) rise() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.risen != nil {
		close(t.risen)
		t.risen = nil
	}
}

// next returns a channel that is closed at the next rise, or is closed already if what
// is waited for is there: done is asked while no rise can come between.
func (t *tide) next(done func() bool) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if done() {
		over := make(chan struct{})
		close(over)
		return over
	}
	if t.risen == nil {
		t.risen = make(chan struct{})
	}
	return t.risen
}

// After returns a channel that is closed once a record after seq is published, or at
// once if one is: who follows the log waits on it and then reads with [Engine.History],
// in a time of his own. The writer only closes the channel, and waits for nobody; it
// does so after the answers are given, so that the channel may close for a record that
// was seen before After was called: look, and wait again. It stays open when the engine
// stops; see [Engine.Done].
func (e *Engine) After(seq events.Seq) <-chan struct{} {
	return e.tide.next(func() bool { return e.State().head.Seq > seq })
}
