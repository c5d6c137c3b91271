package projection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// fly starts commands that are on their way to the disk together when it returns, too many
// for the writer to append them itself. It must be in a bubble.
func fly(t *testing.T, g *gate, e *Engine, commands ...Command) (done []<-chan error) {
	t.Helper()
	first := start(t.Context(), e, limit("a3", flash, 60)) // stands in the way of the others
	<-g.arrived
	for len(commands) <= few {
		commands = append(commands, commands[0])
	}
	for _, c := range commands {
		done = append(done, start(t.Context(), e, c))
		synctest.Wait()
	}
	g.pass <- struct{}{}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-g.arrived
	return done
}

// ahead runs a test in a bubble, with a batch on its way to a disk that waits and a
// second one decided on top of it.
func ahead(t *testing.T, f func(g *gate, e *Engine, flying, onTop []<-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		first := fly(t, g, e, command(suspend("a1", "*", "first")))
		var second []<-chan error
		for _, c := range []Command{
			command(suspend("a2", "*", "second")),
			command(suspend("a2", "*", "second")), // changes nothing
			command(&Lift{Filter: Filter{Account: "a1"}, Reason: "x"}),
			limit("a3", opus, 600),
		} {
			second = append(second, start(t.Context(), e, c))
			synctest.Wait()
		}
		f(g, e, first, second)
	})
}

// TestRule04CancellationOnTop: what is decided on top of a batch waits for its outcome.
func TestRule04CancellationOnTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		fly(t, g, e, command(suspend("a1", "*", "first")))
		ctx, cancel := context.WithCancel(t.Context())
		onTop := start(ctx, e, limit("a2", opus, 600))
		synctest.Wait()
		cancel()
		synctest.Wait()
		if answered(onTop) {
			t.Fatal("the command that was decided did not wait for its outcome")
		}
		close(g.pass)
		if err := <-onTop; err != nil || e.State().Account("a2").Cell("claude").Cooling == nil {
			t.Errorf("the command that was decided: %v, or it is not visible", err)
		}
	})
}

// TestRule05NothingShowsOfWhatIsAhead: neither batch is visible or answered before it is
// durable, and then both are, in order.
func TestRule05NothingShowsOfWhatIsAhead(t *testing.T) {
	ahead(t, func(g *gate, e *Engine, flying, onTop []<-chan error) {
		before := e.View()
		synctest.Wait()
		if e.View() != before || answered(flying...) || answered(onTop...) {
			t.Fatal("something shows of what is not durable")
		}
		g.pass <- struct{}{}
		<-g.arrived
		synctest.Wait()
		if !answered(flying...) || answered(onTop...) || e.State().Account("a1").Cell("*").Suspended == nil {
			t.Fatal("the first batch is not visible and answered, or the second is answered")
		}
		if a := e.State().Account("a2"); a.Cell("*").Suspended != nil {
			t.Fatal("the second batch is visible before it is durable")
		}
		close(g.pass)
		succeed(t, onTop...)
		if s := e.State(); s.Account("a1").Cell("*").Suspended != nil || s.Account("a2").Cell("*").Suspended == nil {
			t.Error("the second batch is not visible")
		}
		if !bytes.Equal(dump(t, e.State()), refold(t, g.Log)) {
			t.Error("the state is not the fold of the log")
		}
	})
}

// TestRule05FullDiskRejectsWhatIsAhead: what was decided on top of a rejected batch is
// rejected too, and nothing of either remains.
func TestRule05FullDiskRejectsWhatIsAhead(t *testing.T) {
	ahead(t, func(g *gate, e *Engine, flying, onTop []<-chan error) {
		before := dump(t, e.State())
		full := fmt.Errorf("no space left on device: %w", events.ErrFull)
		g.err.Store(&full)
		g.pass <- struct{}{}
		for _, done := range append(flying, onTop...) {
			if err := <-done; !errors.Is(err, events.ErrFull) {
				t.Errorf("answered %v, want ErrFull", err)
			}
		}
		if v := e.View(); !v.Degraded || !bytes.Equal(dump(t, v.State), before) {
			t.Errorf("degraded %t; or something of what was rejected is visible", v.Degraded)
		}
		g.err.Store(nil)
		close(g.pass)
		if out := execute(t, e, command(suspend("a2", "*", "again"))); len(out.Records) != 1 {
			t.Errorf("%d records; the suspension that was rejected stands in the way", len(out.Records))
		}
		if e.View().Degraded || !bytes.Equal(dump(t, e.State()), refold(t, g.Log)) {
			t.Error("still degraded, or the state is not the fold of the log")
		}
	})
}

// TestRule05StoppedBeforeTheDisk: what was decided on top of a batch of unknown outcome
// was certainly not executed.
func TestRule05StoppedBeforeTheDisk(t *testing.T) {
	ahead(t, func(g *gate, e *Engine, flying, onTop []<-chan error) {
		broken := errors.New("input/output error")
		g.err.Store(&broken)
		g.pass <- struct{}{}
		if _, unknown := errors.AsType[*UnknownOutcomeError](<-flying[0]); !unknown {
			t.Error("the outcome of the batch on its way is not unknown")
		}
		for _, done := range onTop {
			err := <-done
			if _, unknown := errors.AsType[*UnknownOutcomeError](err); unknown || !errors.Is(err, ErrStopped) {
				t.Errorf("answered %v, want ErrStopped", err)
			}
		}
	})
}

func TestCloseAnswersWhatIsAhead(t *testing.T) {
	ahead(t, func(g *gate, e *Engine, flying, onTop []<-chan error) {
		go e.Close()
		synctest.Wait()
		close(g.pass)
		<-e.Done()
		for _, done := range append(flying, onTop...) {
			if err := <-done; err != nil {
				t.Errorf("a command that was taken: %v", err)
			}
		}
		if !bytes.Equal(dump(t, e.State()), refold(t, g.Log)) {
			t.Error("the last state is not the fold of the log")
		}
	})
}

// answered reports whether all of them have an answer, which it puts back.
func answered(commands ...<-chan error) bool {
	for _, done := range commands {
		if len(done) == 0 {
			return false
		}
	}
	return true
}

// TestRule07IndexOfWhatIsPublishedWhileMoreIsDecided: at each deadline the published
// index is that of the published accounts, although the working state, by whose order of
// deadlines it is found, has other deadlines, and other accounts, by then.
func TestRule07IndexOfWhatIsPublishedWhileMoreIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newGate()
		close(log.pass)
		e, err := Open(t.Context(), log, withAccounts(6))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for i, id := range []string{"a1", "a2", "a3", "a4"} {
			execute(t, e, limit(id, opus, float64(i+1)*3600))
		}
		for len(log.arrived) > 0 {
			<-log.arrived
		}
		log.pass = make(chan struct{})
		defer close(log.pass)
		fly(t, log, e, limit("a1", opus, 9*3600))
		for _, c := range []Command{
			limit("a2", opus, 9*3600),
			command(&RemoveAccount{ID: "a3"}),
			command(&PutAccount{ID: "new", Spec: withAccounts(1).Accounts[0].Spec}), // in the slot of a3
			limit("new", opus, 1800),
			limit("a6", opus, 1800),
		} {
			go e.Execute(t.Context(), c)
			synctest.Wait()
		}
		published := e.State()
		for i, id := range []string{"a1", "a2", "a3", "a4"} {
			time.Sleep(time.Until(published.Account(id).Cell("claude").Cooling.Until))
			synctest.Wait()
			v := e.View()
			if n := usableOf(e, opus); n != i+3 || !v.Index.Exact(time.Now()) || v.State != published {
				t.Errorf("%d usable once %s is, exact %t; want %d", n, id, v.Index.Exact(time.Now()), i+3)
			}
			sameIndex(t, v.Index, newIndex(published.order(), v.Index.from))
		}
	})
}

// steady is a log that takes a millisecond for each append.
type steady struct{ *eventstest.Log }

func (l *steady) Append(ctx context.Context, recs []events.Record) error {
	time.Sleep(time.Millisecond)
	return l.Log.Append(ctx, recs)
}

// TestRule07ExpiryUnderLoad: with commands coming all the time, so that a batch is always
// on its way, what is over is recorded with the next.
func TestRule07ExpiryUnderLoad(t *testing.T) {
	for _, writers := range []int{1, few, 3 * few} {
		t.Run(fmt.Sprint(writers), inBubble(func(t *testing.T) { expiryUnderLoad(t, writers) }))
	}
}

func expiryUnderLoad(t *testing.T, writers int) {
	e, err := Open(t.Context(), &steady{eventstest.New()}, withAccounts(3))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	execute(t, e, limit("a1", opus, 60))
	until := e.State().Account("a1").Cell("claude").Cooling.Until
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range writers {
		go func() {
			for ctx.Err() == nil {
				if _, err := e.Execute(t.Context(), limit("a2", pro, 600)); err != nil && !errors.Is(err, ErrStopped) {
					t.Error(err)
				}
			}
		}()
	}
	time.Sleep(time.Until(until) + 4*time.Millisecond)
	if e.State().Account("a1").Cell("claude").Cooling != nil {
		t.Error("the expiry is not recorded")
	}
	if n := e.State().Head().Seq; n < 10_000 {
		t.Errorf("%d records; the load was none", n)
	}
}

// TestDecidedAfterItWasSent: what comes while a batch is on its way is decided by the clock
// as it is then, not as it was when the first of it came.
func TestDecidedAfterItWasSent(t *testing.T) {
	var ticks atomic.Int64
	now := func() time.Time { return noon().Add(time.Duration(ticks.Add(1)) * time.Microsecond) }
	o := withAccounts(1)
	o.Now = now
	e, err := Open(t.Context(), &steady{eventstest.New()}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var wg sync.WaitGroup
	for caller := range 100 {
		wg.Go(func() {
			for range 20 {
				sent := now()
				out, err := e.Execute(t.Context(), limit("a1", odd(caller%50), 600))
				if err != nil {
					t.Error(err)
					return
				}
				if at := out.Records[0].Event.(*events.LimitObserved).ObservedAt; at.Before(sent) {
					t.Errorf("a report was decided %s before it was sent", sent.Sub(at))
				}
			}
		})
	}
	wg.Wait()
}

// TestDraftsAreForgotten: a large command does not stay in memory.
func TestDraftsAreForgotten(t *testing.T) {
	for _, n := range []int{3, 2 * maxBatch} {
		d, do := new(decider), &Configure{Accounts: withAccounts(n).Accounts}
		out, err := d.run(NewState(), command(do), noon())
		if err != nil || len(out.Drafts) < n {
			t.Fatalf("%d drafts: %v", len(out.Drafts), err)
		}
		d.forget()
		kept := d.out.Drafts[:cap(d.out.Drafts)]
		if len(kept) > maxBatch || slices.ContainsFunc(kept, func(x events.Draft) bool { return x.Event != nil }) {
			t.Errorf("after %d drafts room for %d is kept, or what was in it", n, len(kept))
		}
	}
}
