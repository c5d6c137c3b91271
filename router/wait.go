package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// maxWait is the longest a waiting pick sleeps: timers follow the monotonic clock,
// deadlines the wall clock, which may jump.
const maxWait = 30 * time.Second

// PickWait is Pick, but where nothing is usable it waits until something is: an
// expiry, a lift, a clear, a recovery, a new account, or a probe that is due. When the
// context ends first, the error wraps both the last *BlockedError and the context's.
// Request.Now is not used: time passes.
func (r *Router) PickWait(ctx context.Context, q Request) (Lease, error) {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	provider := projection.CanonicalProvider(q.Provider)
	for {
		// The gate comes first: what opens it after the pick is not missed.
		opened, leave := r.engine.Wait(provider)
		q.Now = r.engine.Now()
		l, err := r.Pick(q)
		blocked, ok := errors.AsType[*BlockedError](err)
		if !ok {
			leave()
			return l, err
		}
		timer.Reset(blocked.wait())
		select {
		case <-opened:
		case <-blocked.probed():
		case <-timer.C:
		case <-ctx.Done():
			leave()
			return Lease{}, fmt.Errorf("%w; waited until: %w", err, ctx.Err())
		}
		leave()
	}
}

// wait is how long to sleep. What the log records wakes a waiter by itself; a probe
// that becomes due, and a block of the overlay that ends, do not.
func (e *BlockedError) wait() time.Duration {
	wait := maxWait
	if next := e.next(); !next.IsZero() {
		wait = min(wait, next.Sub(e.s.q.Now))
	}
	return max(wait, time.Millisecond)
}

// probed returns a channel that is closed when the probe is over that is out, so that
// the next may go out earlier; nil if none is.
func (e *BlockedError) probed() <-chan struct{} {
	if c := e.s.turns.claim.Load(); c != nil && !c.done.Load() {
		return c.over
	}
	return nil
}
