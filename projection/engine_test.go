package projection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

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

// queued waits until n commands wait for the writer.
func queued(t *testing.T, e *Engine, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(e.queue) != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d commands wait, want %d", len(e.queue), n)
		}
	}
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
		t.Run(name, func(t *testing.T) {
			g, e := gated(t)
			head := e.State().Head()
			if e.Err() != nil {
				t.Errorf("Err is %v while the engine runs", e.Err())
			}
			g.err.Store(&err)
			taken := start(t.Context(), e, limit("a1", opus, 600))
			<-g.arrived
			waiting := start(t.Context(), e, limit("a2", opus, 600))
			queued(t, e, 1)
			g.pass <- struct{}{}

			unknown, ok := errors.AsType[*UnknownOutcomeError](<-taken)
			if !ok || !errors.Is(unknown, err) {
				t.Errorf("the error is %v, want an unknown outcome of %v", unknown, err)
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
		})
	}
}

func lateCommand() Command { return limit("a3", opus, 600) }

// A command that appends nothing fails with the batch: it was decided on a state
// that may never have been.
func TestRule05UnknownOutcomeOfANoOp(t *testing.T) {
	g, e := gated(t)
	first := start(t.Context(), e, limit("a1", opus, 600))
	<-g.arrived
	second := start(t.Context(), e, command(suspend("a2", "*", "x")))
	queued(t, e, 1)
	noop := start(t.Context(), e, command(suspend("a2", "*", "x")))
	queued(t, e, 2)
	refused := start(t.Context(), e, command(suspend("nobody", "*", "x")))
	queued(t, e, 3)
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
}

func TestRule04GroupCommit(t *testing.T) {
	g, e := gated(t)
	first := start(t.Context(), e, limit("a1", opus, 600))
	<-g.arrived
	var rest []<-chan error
	const n = 100
	for i := range n {
		rest = append(rest, start(t.Context(), e, limit("a2", odd(i%50), 600)))
	}
	queued(t, e, n)
	g.pass <- struct{}{}
	if got := <-g.arrived; got != n {
		t.Errorf("%d records in the second append, want the %d that waited", got, n)
	}
	g.pass <- struct{}{}
	for _, done := range append(rest, first) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRule04BusyWhenTheQueueIsFull(t *testing.T) {
	g, e := gated(t)
	first := start(t.Context(), e, limit("a1", opus, 600))
	<-g.arrived
	var rest []<-chan error
	for range maxQueue {
		rest = append(rest, start(t.Context(), e, limit("a2", opus, 600)))
	}
	queued(t, e, maxQueue)
	if _, err := e.Execute(t.Context(), lateCommand()); !errors.Is(err, ErrBusy) {
		t.Errorf("with %d waiting: %v, want ErrBusy", maxQueue, err)
	}
	close(g.pass)
	for _, done := range append(rest, first) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	execute(t, e, lateCommand())
	for batch := range 4 { // each append takes maxBatch at most
		if n := <-g.arrived; n > maxBatch {
			t.Errorf("append %d has %d records, at most %d", batch, n, maxBatch)
		}
	}
}

func TestRule04CancellationBeforeAndAfterItIsTaken(t *testing.T) {
	g, e := gated(t)
	ctx, cancel := context.WithCancel(t.Context())
	taken := start(ctx, e, limit("a1", opus, 600))
	<-g.arrived
	waiting := start(ctx, e, limit("a2", opus, 600))
	queued(t, e, 1)
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
	if c := e.State().Account("a2").Cell("claude"); c.Cooling != nil {
		t.Error("a withdrawn command was executed")
	}
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

func TestRule33RestartGivesTheSame(t *testing.T) {
	log := eventstest.New()
	e := open(t, log, withAccounts(3))
	execute(t, e, limit("a1", opus, 3600))
	execute(t, e, limit("a2", lone, 3600))
	execute(t, e, command(suspend("a3", "*", "by hand")))
	execute(t, e, command(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}}))
	want := dump(t, e.State())
	e.Close()

	again := open(t, log, nil) // without options what the log holds stays in force
	if !bytes.Equal(want, dump(t, again.State())) {
		t.Error("the state after a restart differs")
	}
	again.Close()

	folded := NewState() // as a caller does while the log is opened
	for r, err := range log.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		folded.Apply(r)
	}
	third := open(t, log, &Options{State: folded})
	if !bytes.Equal(want, dump(t, third.State())) {
		t.Error("the state that the caller folded differs")
	}
	execute(t, third, limit("a1", pro, 60))
	third.Close()

	if _, err := Open(t.Context(), log, &Options{State: stateOf(t, "another", folded)}); err == nil {
		t.Error("a state of another log is taken")
	}
}

// stateOf returns an empty state of another log.
func stateOf(t *testing.T, log string, _ *State) *State {
	t.Helper()
	s := NewState()
	s.begin(log)
	recs, err := events.Seal(s.Head(), noon(), []events.Draft{{Account: "x", Event: &events.AccountAdded{Spec: events.AccountSpec{Provider: "p", Weight: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Apply(recs[0])
	return s
}

func TestRule13OptionsAreAppendedOnlyWhenDifferent(t *testing.T) {
	log := eventstest.New()
	o := withAccounts(2)
	o.Groups = &GroupsConfig{Bootstrap: PresetTwoPools}
	o.Policy = &PolicyConfig{RulesConfig: RulesConfig{Capacity: &ClassConfig{None: true}}}
	e := open(t, log, o)
	head := e.State().Head()
	e.Close()
	e = open(t, log, o)
	if e.State().Head() != head {
		t.Errorf("opening again with the same options appended %d records", e.State().Head().Seq-head.Seq)
	}
	if r, err := e.Record(t.Context(), 1); err != nil || r.Actor != ActorConfig {
		t.Errorf("record 1 is by %q, %v", r.Actor, err)
	}
	e.Close()
	if _, err := Open(t.Context(), log, &Options{Groups: &GroupsConfig{Bootstrap: "bad"}}); err == nil {
		t.Error("a bad definition is taken")
	}
}

func TestStateAtAnyMoment(t *testing.T) {
	var clock atomic.Pointer[time.Time]
	set := func(d time.Duration) { clock.Store(new(noon().Add(d))) }
	set(0)
	o := withAccounts(2)
	o.Now = func() time.Time { return *clock.Load() }
	e := open(t, eventstest.New(), o)
	dumps := map[events.Seq][]byte{e.State().Head().Seq: dump(t, e.State())}
	instants := map[time.Time]events.Seq{noon(): e.State().Head().Seq}
	for i := range 5 {
		set(time.Duration(i+1) * time.Minute)
		execute(t, e, limit("a1", odd(i), 3600))
		dumps[e.State().Head().Seq] = dump(t, e.State())
		instants[e.Now().Add(30*time.Second)] = e.State().Head().Seq
	}
	set(time.Hour)
	for seq, want := range dumps {
		s, err := e.StateAt(t.Context(), Moment{Seq: seq})
		if err != nil || !bytes.Equal(dump(t, s), want) {
			t.Errorf("the state at record %d differs, or %v", seq, err)
		}
	}
	for at, seq := range instants {
		s, err := e.StateAt(t.Context(), Moment{At: at})
		if err != nil || !bytes.Equal(dump(t, s), dumps[seq]) {
			t.Errorf("the state at %s is not that of record %d, or %v", at, seq, err)
		}
	}
	for _, m := range []Moment{{Seq: e.State().Head().Seq + 1}, {At: noon().Add(time.Hour + 1)}} {
		if _, err := e.StateAt(t.Context(), m); !errors.Is(err, ErrFuture) {
			t.Errorf("the state at %s: %v, want ErrFuture", m, err)
		}
	}
	if s, err := e.StateAt(t.Context(), Moment{At: noon().Add(-1)}); err != nil || s.Head().Seq != 0 {
		t.Errorf("before the first record: %v", err)
	}
}

func TestRule20RepeatsAreAnsweredAlike(t *testing.T) {
	e := open(t, eventstest.New(), withAccounts(2))
	keyed := command(&Suspend{Filter: Filter{Provider: "antigravity"}, Reason: "x", Forever: true})
	keyed.IdempotencyKey, keyed.RequestHash = "k", events.Hash{1}
	observed := limit("a1", opus, 600)
	observed.Do.(*Report).RequestID = "r"
	success := command(&Report{Account: "a1", Provider: "antigravity", Model: opus, Status: 200, Signal: ok(), StartedAt: time.Now().Add(time.Hour), RequestID: "s"})
	ignore := cmp.Options{
		cmpopts.IgnoreUnexported(Decision{}, events.Record{}), cmpopts.IgnoreFields(Decision{}, "Drafts", "Unchanged", "Usable"),
		cmpopts.IgnoreFields(Outcome{}, "Repeated", "AsOf"), cmpopts.EquateApproxTime(0),
		cmp.Comparer(func(a, b Advice) bool { return a.Action == b.Action && (a.After-b.After).Abs() < time.Minute }),
	}
	for _, c := range []Command{keyed, observed, success} {
		first := execute(t, e, c)
		head := e.State().Head()
		second := execute(t, e, c)
		if !second.Repeated || e.State().Head() != head {
			t.Errorf("%T again: repeated %t, %d records appended", c.Do, second.Repeated, e.State().Head().Seq-head.Seq)
		}
		if diff := cmp.Diff(first, second, ignore); diff != "" {
			t.Errorf("%T again: %s", c.Do, diff)
		}
	}
}

// A config file may list thousands of accounts: they are one command.
func TestManyAccountsAtStart(t *testing.T) {
	log := eventstest.New()
	began := time.Now()
	e := open(t, log, withAccounts(5_000))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("opening took %s", took)
	}
	if n := e.View().Index.Pool("antigravity").Len(); n != 5_000 {
		t.Errorf("%d accounts in the pool", n)
	}
	e.Close()
	twice := withAccounts(1)
	twice.Accounts = append(twice.Accounts, twice.Accounts[0])
	if _, err := Open(t.Context(), log, twice); err == nil {
		t.Error("an account given twice is taken")
	}
}

func TestCommandsCarryTheirOrigin(t *testing.T) {
	e := open(t, eventstest.New(), withAccounts(1))
	c := command(suspend("a1", "*", "x"))
	c.OnBehalfOf = "bob@example.com\x00"
	r := execute(t, e, c).Records[0]
	if len(r.CorrelationID) != 36 || r.OnBehalfOf != "[email]" {
		t.Errorf("correlation %q, on behalf of %q", r.CorrelationID, r.OnBehalfOf)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	o := withAccounts(2)
	o.Registerer = reg
	e := open(t, eventstest.New(), o)
	execute(t, e, limit("a1", opus, 600))
	execute(t, e, command(suspend("a2", "*", "x")))
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var name strings.Builder
			name.WriteString(f.GetName())
			for _, l := range m.GetLabel() {
				name.WriteString("/" + l.GetValue())
			}
			got[name.String()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"abeyance_usable_accounts/claude/antigravity": 0, "abeyance_usable_accounts/gemini-pro/antigravity": 1,
		"abeyance_accounts/claude/antigravity": 2, "abeyance_cells/cooling": 1, "abeyance_cells/suspended": 1,
		"abeyance_log_seq": float64(e.State().Head().Seq), "abeyance_observations_total/quota_exhausted/started": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	// A second engine in the process has a registry of its own.
	other := *o
	other.Registerer = prometheus.NewRegistry()
	open(t, eventstest.New(), &other)
}
