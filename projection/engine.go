package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/events"
)

// Bounds of the writer.
const (
	maxQueue = 4096 // commands waiting; more are refused with ErrBusy
	maxBatch = 1024 // commands decided before one append
	// halfBatch commands are worth an append while as many are waiting to be decided.
	halfBatch = 128
	// maxIdle is the longest the expiry timer sleeps: timers follow the monotonic
	// clock, deadlines the wall clock, which may jump.
	maxIdle = 30 * time.Second
	// maxJump is how far the wall clock may stray from the monotonic one between two
	// looks before it is called a jump.
	maxJump = 10 * time.Second
	// expirePause is how long the expiry loop waits after a full disk, or a clock in a
	// year that no record can have.
	expirePause = time.Second
)

// ErrBusy means the queue is full and the command was not executed; try again in a
// second.
var ErrBusy = errors.New("the engine has too many commands waiting")

// ErrStopped means the engine takes no commands: it was closed, or an append
// failed with an unknown outcome ([Engine.Err] tells). The command was not
// executed, unless it is wrapped by an error that says its outcome is unknown.
var ErrStopped = errors.New("the engine has stopped")

// ErrFuture means a moment lies beyond the head of the log, or after now.
var ErrFuture = errors.New("the moment lies in the future")

// Options configure an [Engine]. The zero value is valid.
type Options struct {
	// Logger receives what goes wrong. Nil: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Nil: none are kept.
	Registerer prometheus.Registerer
	// PerAccountMetrics adds series of each configured account, by its stored id: two for each
	// group. The other metrics have bounded labels.
	PerAccountMetrics bool
	// Folded is how long it took to make State, for the metrics.
	Folded time.Duration
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// State is the fold of the whole log, if the caller has made it while opening
	// the log; the engine takes it over. Nil: Open reads the log.
	State *State
	// Loss is what the log lacks, if an operator let it go on: the first thing to be
	// recorded. Nil: nothing.
	Loss *events.LossAccepted
	// Groups and Policy are the operator's definitions. Nil: what the log holds stays
	// in force, over this binary's defaults.
	Groups *GroupsConfig
	Policy *PolicyConfig
	// Accounts are put into the pool at start. Accounts that are not listed stay, unless
	// WholePool says that Accounts are all that is configured; see [Configure].
	Accounts  []PutAccount
	WholePool bool
	// ObserveOnly decides and records everything, but no pick is ever blocked.
	ObserveOnly bool
	// Checkpoints are where states are kept for later starts and as-of answers. Nil:
	// nowhere.
	Checkpoints Checkpoints
}

// View is a published state with its index. Both are immutable.
type View struct {
	State *State
	Index *Index
	// ObserveOnly: picks are not to be blocked.
	ObserveOnly bool
	// Degraded: the log cannot be written, so that newer limits and recoveries are
	// missing.
	Degraded bool
}

// Engine is the single writer of a log and the source of its published state. All
// methods may be called from several goroutines.
type Engine struct {
	log     events.Log
	metered prometheus.Registerer // nil: no metrics are kept
	logger  *slog.Logger
	now     func() time.Time
	metrics *metrics

	view  atomic.Pointer[View]
	queue chan *pending
	spare sync.Pool     // of pendings that nobody waits for any more
	stop  chan struct{} // closed by Close
	dead  chan struct{} // closed when no more commands are taken
	ended chan struct{} // closed when the engine's goroutine has ended
	gates gates
	tide  tide
	once  atomic.Bool // stop is closed
	err   error       // why the writer ended; read after dead
	jumps atomic.Pointer[ClockJump]

	checkpoints checkpointer

	// The writer's own.
	work     *State
	clock    clock
	began    time.Time     // with a monotonic reading
	retry    time.Duration // after began: until then expiries are left alone
	decider  decider
	sealer   events.Sealer
	deciding *batch     // decided, and not on its way yet
	flying   *batch     // on its way to the disk; nil: none
	last     int        // commands of the batch before
	answered []*pending // commands that were answered last: room for others

	appended chan error // what became of the batch on its way

	control chan func() // run by the writer between two batches
	observe bool        // the writer's own: the next view is of an engine that only observes
	closing bool        // the writer's own: no more commands are taken
}

// ClockJump is the last jump of the wall clock against the monotonic one.
type ClockJump struct {
	At    time.Time
	By    time.Duration
	Count int // jumps since the start
}

// Outcome is what a command led to.
type Outcome struct {
	Decision
	// Records are those appended, or, if Repeated, those of the first time.
	Records []events.Record
	// Repeated: the command was executed before, under the same idempotency key or
	// as the same observation. Of the decision only Report and Cells are filled.
	Repeated bool
	// AsOf is the head that the outcome is visible in.
	AsOf events.Seq
}

// Open folds the log, puts the definitions in force and starts the writer. The log
// stays the caller's to close, after [Engine.Close].
func Open(ctx context.Context, log events.Log, o *Options) (*Engine, error) {
	if o == nil {
		o = &Options{}
	}
	e := &Engine{
		log: log, logger: o.Logger, now: o.Now, work: o.State,
		queue: make(chan *pending, maxQueue), stop: make(chan struct{}), dead: make(chan struct{}),
		ended: make(chan struct{}), appended: make(chan error, 1), control: make(chan func()), observe: o.ObserveOnly,
		deciding: new(batch),
	}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now
	}
	began := time.Now()
	if err := e.fold(ctx); err != nil {
		return nil, err
	}
	state := e.work.Snapshot()
	e.view.Store(&View{State: state, Index: newIndex(e.work.order(), e.now().UTC()), ObserveOnly: o.ObserveOnly})
	e.metrics = newMetrics(e, o.PerAccountMetrics)
	e.metrics.folded = o.Folded + time.Since(began)
	e.findCheckpoint(o.Checkpoints)
	if e.metered = o.Registerer; e.metered != nil {
		if err := o.Registerer.Register(e.metrics); err != nil {
			return nil, fmt.Errorf("registering the engine's metrics: %w", err)
		}
	}
	e.began = time.Now()
	e.clock.look(e.now(), 0)
	if e.checkpoints.store != nil {
		go e.keepCheckpoints()
	}
	go e.run()
	if err := e.configure(ctx, o); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// fold brings the working state to the head of the log.
func (e *Engine) fold(ctx context.Context) error {
	head, err := e.log.Head(ctx)
	if err != nil {
		return err
	}
	if e.work == nil {
		e.work = NewState()
	}
	e.work.begin(head.Log)
	for r, err := range e.log.Records(ctx, e.work.head.Seq) {
		if err != nil {
			return err
		}
		e.work.Apply(r)
	}
	if h := e.work.head; h.Seq != head.Seq || h.Hash != head.Hash || h.Log != head.Log {
		return fmt.Errorf("the state given is of record %d of log %s, not of the log's head %d of %s", h.Seq, h.Log, head.Seq, head.Log)
	}
	return nil
}

// configure appends the definitions and accounts that differ from those in force.
func (e *Engine) configure(ctx context.Context, o *Options) error {
	s := e.State() // the working state is the writer's by now
	groups, policy := o.Groups, o.Policy
	var err error
	if groups == nil {
		if groups, err = s.groups.Config(); err != nil {
			return fmt.Errorf("the groups of record %d: %w", s.head.Seq, err)
		}
	}
	if policy == nil {
		if policy, err = s.policy.Config(); err != nil {
			return fmt.Errorf("the policy of record %d: %w", s.head.Seq, err)
		}
	}
	var intents []Intent
	if o.Loss != nil {
		intents = append(intents, &acceptLoss{*o.Loss})
	}
	intents = append(intents, &Configure{Groups: groups, Policy: policy, Accounts: o.Accounts, WholePool: o.WholePool})
	for _, do := range intents {
		origin := events.Origin{Actor: ActorConfig, Via: events.ViaGo}
		if _, err := e.Execute(ctx, Command{Origin: origin, Do: do}); err != nil {
			return err
		}
	}
	return nil
}

// The actors of the engine's own commands.
const (
	ActorConfig = "system:config"
	ActorExpiry = "system:expiry"
)

// View returns the newest published state and index: one atomic load.
func (e *Engine) View() *View { return e.view.Load() }

// State returns the newest published state: one atomic load.
func (e *Engine) State() *State { return e.view.Load().State }

// Wait returns a channel that is closed when, after this call, accounts of a canonical
// provider may have become usable, or due for a probe. Call leave when done with it.
func (e *Engine) Wait(provider string) (changed <-chan struct{}, leave func()) {
	return e.gates.wait(provider)
}

// SetObserveOnly turns on or off that everything is decided and recorded, and no pick is
// ever blocked; see [Options]. It holds when the method returns. The error is ErrStopped
// or the context's.
func (e *Engine) SetObserveOnly(ctx context.Context, on bool) error {
	done := make(chan struct{})
	set := func() {
		defer close(done)
		e.observe = on
		v := *e.view.Load()
		v.ObserveOnly = on
		e.show(v, gains{all: true})
	}
	select {
	case e.control <- set:
		<-done
		return nil
	case <-e.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Now returns the engine's clock.
func (e *Engine) Now() time.Time { return e.now() }

// Done is closed when the engine takes no more commands.
func (e *Engine) Done() <-chan struct{} { return e.dead }

// Err returns why the engine stopped: nil while it runs and after Close, an error
// after a failed append.
func (e *Engine) Err() error {
	select {
	case <-e.dead:
		return e.err
	default:
		return nil
	}
}

// ClockJump returns the last jump of the clock, or nil.
func (e *Engine) ClockJump() *ClockJump { return e.jumps.Load() }

// Close answers the commands already taken, refuses the others with ErrStopped and
// ends the writer. It returns Err. Closing again does nothing.
func (e *Engine) Close() error {
	if e.once.CompareAndSwap(false, true) {
		close(e.stop)
	}
	<-e.ended
	<-e.checkpoints.ended
	if e.metered != nil {
		e.metered.Unregister(e.metrics) // another engine may follow on the same registry
	}
	return e.err
}

// Execute runs one command and returns when its events are durable and visible. A
// context that ends before the writer takes the command withdraws it; after that
// Execute waits for the outcome. Errors are *Error for a refused command, ErrBusy,
// ErrStopped, the context's, an *UnknownOutcomeError, or wrap events.ErrFull: the disk
// was full, nothing was stored, and the engine goes on.
func (e *Engine) Execute(ctx context.Context, c Command) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	if c.CorrelationID == "" {
		c.CorrelationID = newCorrelation()
	}
	c.Actor, c.OnBehalfOf = events.Scrub(c.Actor, events.MaxName), events.Scrub(c.OnBehalfOf, events.MaxID)
	select {
	case <-e.dead:
		return Outcome{}, ErrStopped
	default:
	}
	p := e.pend(c)
	select {
	case e.queue <- p:
	default:
		return Outcome{}, ErrBusy
	}
	out, err := e.wait(ctx, p)
	if err == nil && out.earlier.first > 0 {
		return e.repeat(ctx, out)
	}
	return out, err
}

// wait returns what becomes of a command that is in the queue.
func (e *Engine) wait(ctx context.Context, p *pending) (Outcome, error) {
	select {
	case <-e.dead: // before the writer looks into the queue a last time: it may have been sent too late
		if p.withdraw() {
			return Outcome{}, ErrStopped
		}
	default:
	}
	select {
	case <-p.done:
		return e.leave(p)
	case <-ctx.Done():
		if p.withdraw() {
			return Outcome{}, ctx.Err()
		}
	}
	<-p.done
	return e.leave(p)
}
