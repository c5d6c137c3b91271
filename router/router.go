package router

import (
	"errors"
	"fmt"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// MaxNames bounds the candidates and the exclusions of one request.
const MaxNames = 256

// Options configure a [Router]. The zero value is valid.
type Options struct {
	// Identities maps account ids that hold e-mail addresses. Nil: ids are stored as
	// given.
	Identities *identity.Book
	// Origin is what reports are recorded under. Zero: actor "proxy:embedded", via go.
	Origin events.Origin
	// Strategies hold where a request names none.
	Strategies Strategies
}

// Router picks accounts and takes reports. All methods may be called from several
// goroutines. Two routers on one engine have turns and probes of their own: use one.
type Router struct {
	engine  *projection.Engine
	ids     *identity.Book
	memory  *memory
	overlay *overlay
	origin  events.Origin
}

// New returns a router over an engine.
func New(e *projection.Engine, o *Options) *Router {
	if o == nil {
		o = &Options{}
	}
	r := &Router{engine: e, ids: o.Identities, memory: newMemory(o.Strategies), overlay: new(overlay), origin: o.Origin}
	if r.origin.Actor == "" {
		r.origin = events.Origin{Actor: "proxy:embedded", Via: events.ViaGo}
	}
	return r
}

// As returns the same router reporting under another origin. Turns and probes are
// shared.
func (r *Router) As(o events.Origin) *Router {
	c := *r
	c.origin = o
	return &c
}

// SetStrategies puts other strategies in force where a request names none. Turns go on
// from where they are.
func (r *Router) SetStrategies(s Strategies) { r.memory.change(s) }

// Asked returns the models that picks and offers have asked for since the router was made,
// as they named them and in no order: the first 4096 of them.
func (r *Router) Asked() []projection.ModelName { return r.memory.asked() }

// Request asks for an account.
type Request struct {
	Provider string
	Model    string // as the client named it: aliases and thinking suffixes included
	// Candidates restricts the choice to these account ids, as given; empty: the
	// provider's configured accounts. One not known counts as unblocked.
	Candidates []string
	// Exclude lists account ids not to return, such as those tried already.
	Exclude []string
	// Strategy is the one for this request; empty: the provider's.
	Strategy Strategy
	// Session is what Sticky keeps together, such as a conversation's id.
	Session string
	// DryRun leaves the turn as it is, and lets no probe out.
	DryRun bool
	// Now is the instant to judge by; zero: the engine's clock.
	Now time.Time
}

// ErrRequest is wrapped by errors about a malformed request.
var ErrRequest = errors.New("the request is malformed")

// Pick returns a usable account of the highest priority that has one, by the strategy.
// A request may be let through to an account that cools, as a probe: the lease says so.
// Errors are a *BlockedError if nothing is usable, or wrap ErrRequest.
//
// A pick takes no lock, touches no disk, and allocates nothing but its errors.
func (r *Router) Pick(q Request) (l Lease, err error) {
	v := r.engine.View()
	n := r.memory.known(v.State.Groups(), q.Provider, q.Model)
	if n != nil && q.plain() && !q.Now.IsZero() && r.overlay.empty() {
		if account := n.quick(v, &q); account != "" {
			l.Account, l.Provider, l.Model = r.ids.Given(account), n.id.Provider, q.Model
			l.Target, l.Seq = n.id.Target, v.State.Head().Seq
			l.Degraded = v.Degraded
			return l, nil
		}
	}
	return r.pick(v, q)
}

// pick is Pick in all its cases.
func (r *Router) pick(v *projection.View, q Request) (Lease, error) {
	if err := q.check(); err != nil {
		return Lease{}, err
	}
	if q.Now.IsZero() {
		q.Now = r.engine.Now()
	}
	n := r.memory.name(v.State.Groups(), q.Provider, q.Model)
	s := selection{q: q, view: v, id: n.id, ids: r.ids, memory: r.memory, turns: n.turns, strategy: *n.strategy.Load()}
	if q.Strategy != "" {
		s.strategy = q.Strategy
	}
	if !r.overlay.empty() {
		s.volatile = r.overlay.load(r.engine.Now())
	}
	s.locate()
	account := s.choose()
	if account == "" {
		return Lease{}, s.blocked()
	}
	if !s.counted && !q.DryRun {
		s.turns.tally.others.Add(1)
	}
	l := Lease{
		Account: r.ids.Given(account), Provider: s.id.Provider, Model: q.Model, Target: s.id.Target, Seq: v.State.Head().Seq,
		Probe: s.probe, Degraded: v.Degraded,
	}
	if v.ObserveOnly {
		l.WouldBlock = s.wouldBlock(account)
	}
	return l, nil
}

// wouldBlock returns the status that an engine which does more than observe would
// have blocked the account by.
func (s *selection) wouldBlock(account string) projection.Status {
	a := s.view.State.Account(account)
	if a == nil {
		a = &projection.Account{ID: account} // a candidate not known
	}
	if st := s.standing(a); st.Status != projection.StatusAvailable {
		return st.Status
	}
	return ""
}

func (q *Request) check() error {
	switch {
	case q.Provider == "":
		return fmt.Errorf("%w: provider is empty", ErrRequest)
	case q.Model == "" || len(q.Model) > events.MaxID:
		return fmt.Errorf("%w: model must have 1 to %d bytes", ErrRequest, events.MaxID)
	case len(q.Candidates) > MaxNames || len(q.Exclude) > MaxNames:
		return fmt.Errorf("%w: at most %d candidates and %d exclusions", ErrRequest, MaxNames, MaxNames)
	case len(q.Session) > events.MaxID:
		return fmt.Errorf("%w: session has over %d bytes", ErrRequest, events.MaxID)
	case q.Strategy != "":
		_, err := ParseStrategy(string(q.Strategy))
		return err
	}
	return nil
}
