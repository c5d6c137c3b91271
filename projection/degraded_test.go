package projection

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// breaking is a log that can break.
type breaking struct {
	*eventstest.Log
	broken atomic.Bool
}

func (l *breaking) Append(ctx context.Context, recs []events.Record) error {
	if l.broken.Load() {
		return errors.New("input/output error")
	}
	return l.Log.Append(ctx, recs)
}

// degraded runs a test on an engine whose log has broken, in a bubble. a1 to a3 cool for
// one to three hours.
func degraded(t *testing.T, now func() time.Time, f func(t *testing.T, e *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &breaking{Log: eventstest.New()}
		o := withAccounts(4)
		o.Now = now
		e, err := Open(t.Context(), log, o)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for i, id := range []string{"a1", "a2", "a3"} {
			execute(t, e, limit(id, opus, float64(i+1)*3600))
		}
		before := dump(t, e.State())
		log.broken.Store(true)
		_, err = e.Execute(t.Context(), limit("a4", opus, 3600))
		if _, unknown := errors.AsType[*UnknownOutcomeError](err); !unknown {
			t.Fatalf("error %v, want one that says the outcome is unknown", err)
		}
		v := e.View() // at once: whoever was told sees it
		if !v.Degraded || !bytes.Equal(dump(t, v.State), before) {
			t.Fatalf("degraded %t; or what may not be on disk is visible", v.Degraded)
		}
		f(t, e)
	})
}

// usableOf counts the accounts that the published index has usable for a model.
func usableOf(e *Engine, model string) int {
	id := e.State().Groups().Resolve("antigravity", model)
	return e.View().Index.PoolOf(id).Lane(id).Counts().Available
}

// TestRule05IndexFollowsDeadlinesWhileDegraded: at each deadline the index is that of
// the accounts as they were published last, and those who wait are woken; nothing is
// taken any more.
func TestRule05IndexFollowsDeadlinesWhileDegraded(t *testing.T) {
	degraded(t, nil, func(t *testing.T, e *Engine) {
		if _, err := e.Execute(t.Context(), limit("a4", opus, 3600)); !errors.Is(err, ErrStopped) {
			t.Errorf("a command is answered by %v, want ErrStopped", err)
		}
		for i, id := range []string{"a1", "a2", "a3"} {
			until := e.State().Account(id).Cell("claude").Cooling.Until
			opened, leave := e.Wait("antigravity")
			time.Sleep(time.Until(until) - 1)
			synctest.Wait()
			if n := usableOf(e, opus); n != i+1 || !e.View().Index.Exact(time.Now()) || isOpen(opened) {
				t.Errorf("%d are usable before %s is, or somebody was woken", n, id)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if n := usableOf(e, opus); n != i+2 || !e.View().Index.Exact(time.Now()) || !isOpen(opened) {
				t.Errorf("%d are usable once %s is; woken %t", n, id, isOpen(opened))
			}
			leave()
			sameIndex(t, e.View().Index, newIndex(e.State().order(), until))
		}
		if e.Err() == nil || !e.View().Degraded {
			t.Errorf("error %v, degraded %t", e.Err(), e.View().Degraded)
		}
	})
}

// TestRule34IndexFollowsTheClockWhileDegraded, also back, within 30 s.
func TestRule34IndexFollowsTheClockWhileDegraded(t *testing.T) {
	var clock jumpy
	degraded(t, clock.now, func(t *testing.T, e *Engine) {
		for _, step := range []struct {
			jump   time.Duration
			usable int
		}{{90 * time.Minute, 2}, {-time.Hour, 1}, {3 * time.Hour, 4}, {-10 * time.Hour, 1}} {
			clock.jump(step.jump)
			time.Sleep(maxIdle)
			synctest.Wait()
			if n := usableOf(e, opus); n != step.usable || !e.View().Index.Exact(clock.now()) {
				t.Errorf("after a jump by %s: %d usable, exact %t; want %d", step.jump, n, e.View().Index.Exact(clock.now()), step.usable)
			}
		}
	})
}

// TestRule07IndexWhileAnAppendStalls: the index of what is published follows each
// deadline, without what is being written; that shows once it is durable, at its own
// time.
func TestRule07IndexWhileAnAppendStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newGate()
		close(log.pass)
		e, err := Open(t.Context(), log, withAccounts(4))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for i, id := range []string{"a1", "a2", "a3"} {
			execute(t, e, limit(id, opus, float64(i+1)*3600))
		}
		pass := make(chan struct{})
		log.pass = pass
		done := start(t.Context(), e, command(&Suspend{Filter: Filter{Account: "a4", Target: "*"}, Reason: "x", Forever: true}))
		for i, id := range []string{"a1", "a2"} {
			time.Sleep(time.Until(e.State().Account(id).Cell("claude").Cooling.Until))
			synctest.Wait()
			if n := usableOf(e, opus); n != i+2 || !e.View().Index.Exact(time.Now()) {
				t.Errorf("%d usable once %s is, exact %t; want %d with a4", n, id, e.View().Index.Exact(time.Now()), i+2)
			}
		}
		pass <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := usableOf(e, opus); n != 2 {
			t.Errorf("%d usable once a4 is suspended, want 2", n)
		}
		close(pass)
		synctest.Wait()
		sameIndex(t, e.View().Index, newIndex(e.State().order(), e.View().Index.from))
		if e.State().Account("a2").Cell("claude").Cooling != nil {
			t.Error("the expiries were not recorded afterwards")
		}
	})
}
