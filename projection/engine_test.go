package projection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// open starts an engine, which is closed when the test ends.
func open(t testing.TB, log events.Log, o *Options) *Engine {
	t.Helper()
	e, err := Open(t.Context(), log, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// withAccounts are the options of an engine with a1 to aN of antigravity.
func withAccounts(n int) *Options {
	o := new(Options)
	for i := range n {
		o.Accounts = append(o.Accounts, PutAccount{ID: fmt.Sprint("a", i+1), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	return o
}

func command(do Intent) Command {
	return Command{Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}, Do: do}
}

func limit(account, model string, seconds float64) Command {
	return command(&Report{Account: account, Provider: "antigravity", Model: model, Status: 429, Signal: quota(seconds)})
}

func execute(t testing.TB, e *Engine, c Command) Outcome {
	t.Helper()
	out, err := e.Execute(context.Background(), c)
	if err != nil {
		t.Errorf("Execute(%T): %v", c.Do, err)
	}
	return out
}

// refold returns the dump of the fold of a log, read back from its bytes.
func refold(t testing.TB, log events.Log) []byte {
	t.Helper()
	head, err := log.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.begin(head.Log)
	for r, err := range log.Records(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		back, err := events.Open(s.Head(), r.Seq, r.Encoded(), r.Hash)
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(back)
	}
	return dump(t, s)
}

// gate is a log whose appends wait at a gate, or fail.
type gate struct {
	*eventstest.Log
	arrived chan int      // the number of records of each append, as it arrives
	pass    chan struct{} // one append passes per value; closed: all pass
	err     atomic.Pointer[error]
}

func newGate() *gate {
	return &gate{Log: eventstest.New(), arrived: make(chan int, 1<<13), pass: make(chan struct{})}
}

func (g *gate) Append(ctx context.Context, recs []events.Record) error {
	g.arrived <- len(recs)
	<-g.pass
	if err := g.err.Load(); err != nil {
		return *err
	}
	return g.Log.Append(ctx, recs)
}

// gated starts an engine on a log whose gate is shut once the engine runs.
func gated(t *testing.T) (*gate, *Engine) {
	g := newGate()
	opened := make(chan *Engine)
	go func() {
		e, err := Open(context.Background(), g, withAccounts(3))
		if err != nil {
			t.Errorf("Open: %v", err)
		}
		opened <- e
	}()
	for {
		select {
		case <-g.arrived:
			g.pass <- struct{}{}
		case e := <-opened:
			t.Cleanup(func() {
				select {
				case <-g.pass:
				default:
					close(g.pass)
				}
				e.Close()
			})
			return g, e
		}
	}
}

// start executes a command in a goroutine of its own.
func start(ctx context.Context, e *Engine, c Command) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := e.Execute(ctx, c)
		done <- err
	}()
	return done
}

// succeed waits for commands, all of which must succeed.
func succeed(t *testing.T, commands ...<-chan error) {
	t.Helper()
	for _, done := range commands {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// inBubble makes a test run in a bubble, where synctest.Wait returns once the writer has
// taken what it can.
func inBubble(f func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// startMany starts n reports, in a bubble, and returns when the writer has taken what it
// can.
func startMany(ctx context.Context, e *Engine, n int) []<-chan error {
	list := make([]<-chan error, n)
	for i := range list {
		list[i] = start(ctx, e, limit("a2", opus, 600))
	}
	synctest.Wait()
	return list
}

func TestRule01ReadAfterAcknowledgedWrite(t *testing.T) {
	e := open(t, eventstest.New(), withAccounts(1))
	for i := range 50 {
		out := execute(t, e, limit("a1", odd(i), 600))
		if out.AsOf > e.State().Head().Seq || e.State().Account("a1").cell("model:"+odd(i)) == nil {
			t.Fatalf("the write %d is not visible", i)
		}
		if out.Report.Seq != out.Records[len(out.Records)-1].Seq {
			t.Errorf("answer %d names record %d", i, out.Report.Seq)
		}
	}
}

func TestRule05NothingIsVisibleBeforeItIsDurable(t *testing.T) {
	g, e := gated(t)
	before := e.View()
	done := start(t.Context(), e, limit("a1", opus, 600))
	<-g.arrived
	if e.View() != before {
		t.Error("a batch is visible while it is being written")
	}
	select {
	case err := <-done:
		t.Errorf("acknowledged before it was durable: %v", err)
	default:
	}
	g.pass <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if e.View() == before {
		t.Error("an acknowledged batch is not visible")
	}
}

func TestRule05UnknownOutcomeStopsTheEngine(t *testing.T) {
	cause := errors.New("input/output error")
	for name, err := range map[string]error{"io": cause, "conflict": &events.ConflictError{Expected: 9, Actual: 3}} {
		t.Run(name, inBubble(func(t *testing.T) {
			g, e := gated(t)
			head := e.State().Head()
			if e.Err() != nil {
				t.Errorf("Err is %v while the engine runs", e.Err())
			}
			g.err.Store(&err)
			taken := start(t.Context(), e, limit("a1", opus, 600))
			<-g.arrived
			waiting := start(t.Context(), e, limit("a2", opus, 600))
			synctest.Wait()
			g.pass <- struct{}{}

			unknown, ok := errors.AsType[*UnknownOutcomeError](<-taken)
			if !ok || !errors.Is(unknown, err) {
				t.Errorf("the error is %v, want an unknown outcome of %v", unknown, err)
			}
			if e.Err() == nil {
				t.Error("who was told that the outcome is unknown is not told why the engine stopped")
			}
			if err := <-waiting; !errors.Is(err, ErrStopped) {
				t.Errorf("the command that waited: %v, want ErrStopped", err)
			}
			select {
			case <-e.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("Done is not closed")
			}
			if !errors.Is(e.Err(), err) {
				t.Errorf("Err is %v", e.Err())
			}
			if _, err := e.Execute(t.Context(), lateCommand()); !errors.Is(err, ErrStopped) {
				t.Errorf("a later command: %v, want ErrStopped", err)
			}
			if e.State().Head() != head {
				t.Error("what may not be durable is visible")
			}
			if got := e.Close(); !errors.Is(got, err) {
				t.Errorf("Close returns %v", got)
			}
		}))
	}
}

func lateCommand() Command { return limit("a3", opus, 600) }

// A command that appends nothing fails with the batch: it was decided on a state
// that may never have been.
func TestRule05UnknownOutcomeOfANoOp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		first := start(t.Context(), e, limit("a1", opus, 600))
		<-g.arrived
		second := start(t.Context(), e, command(suspend("a2", "*", "x")))
		synctest.Wait()
		noop := start(t.Context(), e, command(suspend("a2", "*", "x")))
		synctest.Wait()
		refused := start(t.Context(), e, command(suspend("nobody", "*", "x")))
		synctest.Wait()
		g.pass <- struct{}{}
		if err := <-first; err != nil {
			t.Error(err)
		}
		<-g.arrived
		err := errors.New("broken")
		g.err.Store(&err)
		g.pass <- struct{}{}
		for _, done := range []<-chan error{second, noop} {
			if _, ok := errors.AsType[*UnknownOutcomeError](<-done); !ok {
				t.Error("a command of the failed batch was answered")
			}
		}
		if _, ok := errors.AsType[*Error](<-refused); !ok {
			t.Error("a refusal stands, whatever the log does")
		}
	})
}

func TestRule04GroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		first := start(t.Context(), e, limit("a1", opus, 600))
		<-g.arrived
		var rest []<-chan error
		const n = 100
		for i := range n {
			rest = append(rest, start(t.Context(), e, limit("a2", odd(i%50), 600)))
		}
		synctest.Wait()
		g.pass <- struct{}{}
		if got := <-g.arrived; got != n {
			t.Errorf("%d records in the second append, want the %d that waited", got, n)
		}
		g.pass <- struct{}{}
		succeed(t, append(rest, first)...)
	})
}

// TestRule04HalvesTakeTurns: of many that wait, some are decided while the disk works for
// the others.
func TestRule04HalvesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		first := start(t.Context(), e, limit("a1", opus, 600))
		<-g.arrived
		const n = 3 * halfBatch
		rest := startMany(t.Context(), e, n)
		g.pass <- struct{}{}
		half := <-g.arrived
		if half < halfBatch || half > n-halfBatch {
			t.Errorf("%d records in the second append, of %d that waited", half, n)
		}
		synctest.Wait() // the others are decided
		g.pass <- struct{}{}
		if got := <-g.arrived; got != n-half {
			t.Errorf("%d records in the third append, want the other %d", got, n-half)
		}
		g.pass <- struct{}{}
		succeed(t, append(rest, first)...)
	})
}

// TestOutcomesHoldWhatIsStored: the records that an outcome names are those of the log,
// with their hashes, however many were decided in one batch.
func TestOutcomesHoldWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		first := start(t.Context(), e, limit("a1", opus, 600))
		<-g.arrived
		const n = 3 * halfBatch
		outcomes := make(chan Outcome, n)
		for i := range n {
			go func() {
				out, err := e.Execute(t.Context(), limit("a2", odd(i), 600))
				if err != nil {
					t.Error(err)
				}
				outcomes <- out
			}()
		}
		synctest.Wait()
		close(g.pass)
		succeed(t, first)
		stored := map[events.Seq]events.Hash{}
		for range n {
			for _, r := range (<-outcomes).Records {
				stored[r.Seq] = r.Hash
			}
		}
		for r, err := range g.Log.Records(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if hash, ok := stored[r.Seq]; ok && hash != r.Hash {
				t.Errorf("record %d of an outcome has the hash %s, in the log it is %s", r.Seq, hash, r.Hash)
			}
		}
		if h := e.State().Head(); len(stored) < n || h.Hash != stored[h.Seq] {
			t.Errorf("%d records of %d outcomes; the head is %d %s", len(stored), n, h.Seq, h.Hash)
		}
	})
}

// TestCloseWithManyWaiting: commands that were decided and not yet sent to the disk, since
// others were to be decided first, are answered.
func TestCloseWithManyWaiting(t *testing.T) {
	for range 20 { // which of two things the writer sees first is chance
		synctest.Test(t, func(t *testing.T) {
			g, e := gated(t)
			first := start(t.Context(), e, limit("a1", opus, 600))
			<-g.arrived
			rest := startMany(t.Context(), e, 3*halfBatch)
			closed := make(chan error, 1)
			go func() { closed <- e.Close() }()
			synctest.Wait()
			before := e.State().Head().Seq
			close(g.pass)
			done := 0
			for _, answer := range append(rest, first) {
				switch err := <-answer; {
				case err == nil:
					done++
				case !errors.Is(err, ErrStopped):
					t.Error(err)
				}
			}
			if err := <-closed; err != nil {
				t.Errorf("Close: %v", err)
			}
			if got := int(e.State().Head().Seq - before); got != done {
				t.Errorf("%d commands succeeded, %d records are visible", done, got)
			}
		})
	}
}

func TestRule04BusyWhenTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		first := start(t.Context(), e, limit("a1", opus, 600))
		<-g.arrived
		rest := startMany(t.Context(), e, maxQueue)
		if _, err := e.Execute(t.Context(), lateCommand()); !errors.Is(err, ErrBusy) {
			t.Errorf("with %d waiting: %v, want ErrBusy", maxQueue, err)
		}
		close(g.pass)
		succeed(t, append(rest, first)...)
		execute(t, e, lateCommand())
		for batch := range 4 { // each append takes maxBatch at most
			if n := <-g.arrived; n > maxBatch {
				t.Errorf("append %d has %d records, at most %d", batch, n, maxBatch)
			}
		}
	})
}

func TestRule04CancellationBeforeAndAfterItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, e := gated(t)
		ctx, cancel := context.WithCancel(t.Context())
		taken := start(ctx, e, limit("a1", opus, 600))
		<-g.arrived
		waiting := start(ctx, e, limit("a3", opus, 600))
		synctest.Wait()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("the command that waited: %v, want the context's error", err)
		}
		select {
		case err := <-taken:
			t.Errorf("the command that was taken did not wait for its outcome: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		g.pass <- struct{}{}
		if err := <-taken; err != nil {
			t.Errorf("the command that was taken: %v", err)
		}
		if _, err := e.Execute(ctx, lateCommand()); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		close(g.pass)
		execute(t, e, limit("a3", pro, 600))
		if c := e.State().Account("a3").Cell("claude"); c.Cooling != nil {
			t.Error("a withdrawn command was executed")
		}
	})
}

func TestCloseAnswersWhatWasTaken(t *testing.T) {
	g, e := gated(t)
	taken := start(t.Context(), e, limit("a1", opus, 600))
	<-g.arrived
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	for !e.once.Load() {
		time.Sleep(time.Millisecond)
	}
	close(g.pass)
	if err := <-taken; err != nil {
		t.Errorf("the command that was taken: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := e.Execute(t.Context(), lateCommand()); !errors.Is(err, ErrStopped) {
		t.Errorf("after Close: %v, want ErrStopped", err)
	}
	if err := e.Close(); err != nil || e.Err() != nil {
		t.Errorf("closing again: %v, Err %v", err, e.Err())
	}
	if !bytes.Equal(dump(t, e.State()), refold(t, g.Log)) {
		t.Error("the last state is not the log's fold")
	}
}

// Commands race with Close: each is answered, and executed if and only if it says
// so.
func TestCloseUnderLoad(t *testing.T) {
	log := eventstest.New()
	e := open(t, log, withAccounts(1))
	head := e.State().Head().Seq
	var done atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				_, err := e.Execute(context.Background(), limit("a1", opus, 600))
				if errors.Is(err, ErrStopped) {
					return
				}
				if err != nil {
					t.Error(err)
				}
				done.Add(1)
			}
		})
	}
	for done.Load() < 200 {
		time.Sleep(time.Millisecond)
	}
	e.Close()
	wg.Wait()
	after, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(after.Seq - head); n != done.Load() {
		t.Errorf("%d records for %d acknowledged commands", n, done.Load())
	}
}

// TestRule06TwoEngines: two engines in one process, each under concurrent limits on
// several groups, lifts, suspensions and reads, never see each other, and no update
// is lost.
func TestRule06TwoEngines(t *testing.T) {
	const accounts, rounds = 6, 25
	logs := []*eventstest.Log{eventstest.NewWithID("one"), eventstest.NewWithID("two")}
	var engines []*Engine
	for _, log := range logs {
		engines = append(engines, open(t, log, withAccounts(accounts)))
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for n, e := range engines {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					v := e.View()
					for a := range v.State.Accounts("") {
						a.Usable(v.State.Groups().Resolve("antigravity", opus), e.Now())
					}
				}
			}
		})
		for i := range accounts {
			id := fmt.Sprint("a", i+1)
			for _, m := range []string{opus, pro, flash} {
				writers.Go(func() {
					for r := range rounds {
						// The first engine's deadlines are even, the second's odd.
						execute(t, e, limit(id, m, float64(600+10*r+n)))
					}
				})
			}
			writers.Go(func() {
				for range rounds {
					execute(t, e, command(suspend(id, "gemini-pro", fmt.Sprint("engine ", n))))
					execute(t, e, command(lift(id, "gemini-pro")))
				}
				execute(t, e, command(suspend(id, "gemini-pro", fmt.Sprint("engine ", n))))
			})
		}
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	for n, e := range engines {
		limits := 0
		for r, err := range logs[n].Records(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if l, ok := r.Event.(*events.LimitObserved); ok {
				limits++
				if l.Hint != nil && int(l.Hint.Seconds)%10 != n {
					t.Errorf("engine %d holds a record of the other", n)
				}
			}
		}
		if want := accounts * 3 * rounds; limits != want {
			t.Errorf("engine %d: %d limits recorded, want %d", n, limits, want)
		}
		for a := range e.State().Accounts("") {
			for _, g := range []string{"claude", "gemini-pro", "gemini-flash"} {
				c := a.Cell(g)
				if k, _, _ := c.Live(e.Now()); k == nil || k.Until.Sub(k.StartedAt) < time.Duration(600+10*(rounds-1))*time.Second-10*time.Second {
					t.Errorf("engine %d: %s on %s has lost a later deadline: %+v", n, g, a.ID, k)
				}
			}
			if s := a.cell("gemini-pro").Suspended; s == nil || s.Reason != fmt.Sprint("engine ", n) {
				t.Errorf("engine %d: the last suspension of %s is %+v", n, a.ID, s)
			}
		}
		if !bytes.Equal(dump(t, e.State()), refold(t, logs[n])) {
			t.Errorf("engine %d: the state is not the log's fold", n)
		}
	}
}
