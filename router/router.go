package router

import (
	"errors"
	"fmt"
	"strconv"
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
}

// Router picks accounts and takes reports. All methods may be called from several
// goroutines. Two routers on one engine have turns of their own.
type Router struct {
	engine *projection.Engine
	ids    *identity.Book
	memory *memory
	origin events.Origin
}

// New returns a router over an engine.
func New(e *projection.Engine, o *Options) *Router {
	if o == nil {
		o = &Options{}
	}
	r := &Router{engine: e, ids: o.Identities, memory: newMemory(), origin: o.Origin}
	if r.origin.Actor == "" {
		r.origin = events.Origin{Actor: "proxy:embedded", Via: events.ViaGo}
	}
	return r
}

// As returns the same router reporting under another origin. Turns are shared.
func (r *Router) As(o events.Origin) *Router {
	c := *r
	c.origin = o
	return &c
}

// Request asks for an account.
type Request struct {
	Provider string
	Model    string // as the client named it: aliases and thinking suffixes included
	// Candidates restricts the choice to these account ids, as given; empty: the
	// provider's configured accounts. One not known counts as unblocked.
	Candidates []string
	// Exclude lists account ids not to return, such as those tried already.
	Exclude []string
	// DryRun leaves the turn as it is.
	DryRun bool
	// Now is the instant to judge by; zero: the engine's clock.
	Now time.Time
}

// Lease is the answer to a pick. It is a value, kept nowhere and not a credential:
// it dates the evidence of the report that follows.
type Lease struct {
	Account  string // the id as given
	Provider string // canonical
	Model    string // as requested
	Target   string // the group, or the model's own target
	Seq      events.Seq
	// WouldBlock is the status that would have kept the account from being picked,
	// if the engine only observes; empty otherwise.
	WouldBlock projection.Status
}

// String returns the form that travels beside a request: the seq.
func (l Lease) String() string { return strconv.FormatUint(uint64(l.Seq), 10) }

// ParseLease reads what Lease.String writes: only the seq is known of it.
func ParseLease(s string) (Lease, error) {
	seq, err := strconv.ParseUint(s, 10, 64)
	if err != nil || seq == 0 || strconv.FormatUint(seq, 10) != s {
		return Lease{}, fmt.Errorf("%q is no lease: it is the number that a pick returned", s)
	}
	return Lease{Seq: events.Seq(seq)}, nil
}

// ErrRequest is wrapped by errors about a malformed request.
var ErrRequest = errors.New("the request is malformed")

// Pick returns a usable account: the highest priority first, within a priority the
// next after the one served last, so that each gets its turn. Errors are a
// *BlockedError if nothing is usable, or wrap ErrRequest.
func (r *Router) Pick(q Request) (Lease, error) {
	if err := q.check(); err != nil {
		return Lease{}, err
	}
	v := r.engine.View()
	if q.Now.IsZero() {
		q.Now = r.engine.Now()
	}
	n := r.memory.name(v.State.Groups(), q.Provider, q.Model)
	s := selection{view: v, id: n.id, ids: r.ids, turns: n.turns, q: q}
	a := s.choose()
	if a == nil {
		return Lease{}, blocked(s)
	}
	l := Lease{
		Account: r.ids.Given(a.ID), Provider: s.id.Provider, Model: q.Model, Target: s.id.Target, Seq: v.State.Head().Seq,
	}
	if v.ObserveOnly {
		if c := a.Blocking(s.id, q.Now); c != nil {
			l.WouldBlock = c.Status(q.Now)
		}
	}
	return l, nil
}

func (q *Request) check() error {
	switch {
	case q.Provider == "":
		return fmt.Errorf("%w: provider is empty", ErrRequest)
	case q.Model == "" || len(q.Model) > events.MaxID:
		return fmt.Errorf("%w: model must have 1 to %d bytes", ErrRequest, events.MaxID)
	case len(q.Candidates) > MaxNames || len(q.Exclude) > MaxNames:
		return fmt.Errorf("%w: at most %d candidates and %d exclusions", ErrRequest, MaxNames, MaxNames)
	}
	return nil
}
