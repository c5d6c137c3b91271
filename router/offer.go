package router

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// Offer is a request whose proxy has a pool and a strategy of its own: it names the
// accounts that it would use, of one provider or of several, and asks which of them
// may serve.
type Offer struct {
	Model    string // as the client named it
	Accounts []Offered
	// Strategy chooses among the usable; empty: that of the first account's provider.
	Strategy Strategy
	// Session is what Sticky keeps together.
	Session string
	// Now is the instant to judge by; zero: the engine's clock.
	Now time.Time
}

// Offered is an account as the proxy knows it.
type Offered struct {
	Account  string // the id as given; one not known counts as unblocked
	Provider string
	// Priority is the proxy's: of the usable, the highest serves. What the pool says of
	// the account's priority does not count here.
	Priority int
}

// Choice is the answer to an [Offer].
type Choice struct {
	// Blocked counts the accounts that something keeps from serving the request. If it
	// is 0, nobody was picked: every account may serve, and the proxy's own strategy is
	// as good as any.
	Blocked int
	// Lease is for the account picked, under the id as it was offered.
	Lease Lease
}

// Choose picks among the accounts that a proxy offers. It is Pick for a proxy that can
// do without, and one that serves a model by several providers: a usable account of
// any of them will do, and a probe of each may be out. Errors are a *BlockedError about
// the accounts of all providers, or wrap ErrRequest.
//
// Like a pick it takes no lock and touches no disk. There is no bound on the number of
// accounts.
func (r *Router) Choose(o Offer) (Choice, error) {
	if err := o.check(); err != nil {
		return Choice{}, err
	}
	if o.Now.IsZero() {
		o.Now = r.engine.Now()
	}
	c := choosing{r: r, o: &o, view: r.engine.View()}
	if !r.overlay.empty() {
		c.volatile = r.overlay.load(r.engine.Now())
	}
	c.look()
	if c.blocked == 0 {
		return Choice{}, nil
	}
	if a, s := c.pick(); a != nil {
		return Choice{Blocked: c.blocked, Lease: Lease{
			Account: c.offered(a), Provider: s.id.Provider, Model: o.Model, Target: s.id.Target, Seq: c.view.State.Head().Seq,
			Probe: s.probe, Degraded: c.view.Degraded,
		}}, nil
	}
	return Choice{Blocked: c.blocked}, c.refusal()
}

func (o *Offer) check() error {
	if len(o.Accounts) == 0 {
		return fmt.Errorf("%w: no account is offered", ErrRequest)
	}
	for i := range o.Accounts {
		if o.Accounts[i].Account == "" || o.Accounts[i].Provider == "" {
			return fmt.Errorf("%w: an account offered has no id or no provider", ErrRequest)
		}
	}
	q := Request{Provider: o.Accounts[0].Provider, Model: o.Model, Session: o.Session, Strategy: o.Strategy}
	return q.check()
}

// choosing is an offer under way.
type choosing struct {
	r        *Router
	o        *Offer
	view     *projection.View
	volatile *volatiles
	// sides are the providers met, in their order, each with a selection of its own.
	sides []side
	// usable are the accounts that may serve, those of the highest priority met so far.
	usable   []*projection.Account
	of       []int // their sides
	priority int
	blocked  int
}

// side is one provider of an offer.
type side struct {
	provider    string // as offered
	s           selection
	inUse, idle prober // for its accounts that may not serve
}

// look sorts the accounts into those that may serve and the others.
func (c *choosing) look() {
	c.usable = make([]*projection.Account, 0, len(c.o.Accounts))
	c.of = make([]int, 0, len(c.o.Accounts))
	at := -1
	for i := range c.o.Accounts {
		o := &c.o.Accounts[i]
		if at < 0 || c.sides[at].provider != o.Provider {
			at = c.sideOf(o.Provider)
		}
		s := &c.sides[at].s
		a := s.candidate(o.Account)
		if a == nil { // known under another provider, so that nothing is known of this one
			a = &projection.Account{ID: strings.Clone(o.Account)}
		}
		switch _, on := s.volatileBlock(a); {
		case on != "" && !c.view.ObserveOnly:
			c.blocked++
		case s.serves(a):
			c.serves(a, at, o.Priority)
		default:
			c.blocked++
			c.offer(&c.sides[at], a)
		}
	}
}

// serves notes an account that may serve.
func (c *choosing) serves(a *projection.Account, side, priority int) {
	if len(c.usable) > 0 && priority < c.priority {
		return
	}
	if priority > c.priority || len(c.usable) == 0 {
		c.usable, c.of, c.priority = c.usable[:0], c.of[:0], priority
	}
	c.usable, c.of = append(c.usable, a), append(c.of, side)
}

// offer notes an account that may not, but may be due for a probe.
func (c *choosing) offer(d *side, a *projection.Account) {
	if c.view.Degraded {
		return
	}
	// The selections lie in a list that grows, so that nothing may point to one for long.
	d.inUse.s, d.idle.s = &d.s, &d.s
	st := c.view.State.Standing(a, d.s.id, c.o.Now)
	d.inUse.offer(a, st)
	d.idle.offer(a, st)
}

// sideOf returns the place of a provider's side, which is made if it is new.
func (c *choosing) sideOf(provider string) int {
	if i := slices.IndexFunc(c.sides, func(d side) bool { return d.provider == provider }); i >= 0 {
		return i
	}
	n := c.r.memory.name(c.view.State.Groups(), provider, c.o.Model)
	now := projection.InstantOf(c.o.Now)
	d := side{provider: provider, inUse: prober{now: now}, idle: prober{now: now, nobody: true}}
	d.s = selection{
		q:    Request{Provider: provider, Model: c.o.Model, Session: c.o.Session, Now: c.o.Now},
		view: c.view, id: n.id, ids: c.r.ids, memory: c.r.memory, turns: n.turns, volatile: c.volatile, strategy: *n.strategy.Load(),
	}
	if c.o.Strategy != "" {
		d.s.strategy = c.o.Strategy
	}
	c.sides = append(c.sides, d)
	return len(c.sides) - 1
}

// pick returns the account to serve and the selection it is of: a probe that is due,
// else one of the usable.
func (c *choosing) pick() (*projection.Account, *selection) {
	for i := range c.sides {
		d := &c.sides[i]
		d.inUse.s, d.idle.s = &d.s, &d.s
		p := &d.inUse
		if len(c.usable) == 0 {
			p = &d.idle
		}
		if a := p.claim(); a != nil {
			return a, &d.s
		}
	}
	if len(c.usable) == 0 {
		return nil, nil
	}
	// Of several providers a turn goes through the accounts of all.
	turns := c.sides[0].s.turns
	if len(c.sides) > 1 {
		turns = c.r.memory.turnsAt(turnKey{target: strings.Clone(c.o.Model)})
	}
	a := c.sides[0].s.oneOf(c.usable, turns.of(c.priority))
	return a, &c.sides[c.of[slices.Index(c.usable, a)]].s
}

// offered returns the id under which an account was offered.
func (c *choosing) offered(a *projection.Account) string {
	given := c.r.ids.Given(a.ID)
	for i := range c.o.Accounts {
		if o := &c.o.Accounts[i]; o.Account == given || c.r.ids.Stored(o.Account) == a.ID {
			return o.Account
		}
	}
	return given // unreachable: it was offered
}

// refusal says why none of the accounts may serve.
func (c *choosing) refusal() *BlockedError {
	var list []*BlockedError
	for i := range c.sides {
		d := &c.sides[i]
		for k := range c.o.Accounts {
			if o := &c.o.Accounts[k]; o.Provider == d.provider {
				d.s.q.Candidates = append(d.s.q.Candidates, strings.Clone(o.Account))
			}
		}
		list = append(list, d.s.blocked())
	}
	if len(list) == 1 {
		return list[0]
	}
	return combined(list)
}

// combined is one answer for several providers.
func combined(list []*BlockedError) *BlockedError {
	e := &BlockedError{Model: list[0].Model, Target: list[0].Target, s: list[0].s, of: list}
	for i, of := range list {
		if i > 0 {
			e.Provider += ", "
		}
		e.Provider += of.Provider
		e.Counts = e.Counts.plus(of.Counts)
		e.EarliestEnd = earlier(e.EarliestEnd, of.EarliestEnd)
		e.NextProbe = earlier(e.NextProbe, of.NextProbe)
	}
	if !e.EarliestEnd.IsZero() && e.EarliestEnd.Before(e.NextProbe) {
		e.NextProbe = time.Time{}
	}
	e.Code = e.code()
	return e
}

// earlier returns the earlier of two instants, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (c Counts) plus(d Counts) Counts {
	return Counts{c.Excluded + d.Excluded, c.Disabled + d.Disabled, c.Suspended + d.Suspended, c.Held + d.Held, c.Cooling + d.Cooling}
}
