package router

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// maxTried bounds what a claim remembers of those before it.
const maxTried = 64

// claim is a probe that was let through to one account of a pool. While it is out, no
// other is. It is the only state of routing that is not in the log: what a probe
// finds is.
type claim struct {
	// What the lease says. The number alone may be one of the process before this one.
	number  uint64
	seq     events.Seq
	account string // the stored id
	at      time.Time
	done    atomic.Bool   // it was reported, or came to nothing
	over    chan struct{} // closed when it is done
	before  []tried
}

// tried is an earlier claim of the pool.
type tried struct {
	account string
	at      time.Time
}

// next returns when another probe may go out.
func (c *claim) next(rule *events.ProbeRule) time.Time {
	if c == nil {
		return time.Time{}
	}
	if c.done.Load() {
		return c.at.Add(rule.Spacing)
	}
	return c.at.Add(max(rule.Claim, rule.Spacing))
}

// clockBack is how far a claim may lie in the future before it counts as one of a
// clock that went back: picks read the clock before they claim, in any order.
const clockBack = 10 * time.Second

// free reports whether another probe may go out.
func (c *claim) free(now time.Time, rule *events.ProbeRule) bool {
	return c == nil || !now.Before(c.next(rule)) || now.Before(c.at.Add(-clockBack))
}

// tried returns when an account was probed last, as far as that is remembered.
func (c *claim) tried(account string) time.Time {
	if c == nil {
		return time.Time{}
	}
	if c.account == account {
		return c.at
	}
	for _, t := range slices.Backward(c.before) {
		if t.account == account {
			return t.at
		}
	}
	return time.Time{}
}

// since returns what is remembered of claims once c is the last of them.
func (c *claim) since() []tried {
	if c == nil {
		return nil
	}
	return append(slices.Clone(c.before[max(0, len(c.before)-maxTried+1):]), tried{c.account, c.at})
}

// prober looks for the account to probe.
type prober struct {
	s      *selection
	nobody bool // nobody else can serve
	now    projection.Instant
	best   *projection.Account
	end    projection.Instant
	last   time.Time // when best was asked last; zero: not yet
}

// offer considers an account: the earliest deadline first of those not asked yet, then
// the one that was asked the longest ago. Else the accounts of a pool that are spent
// would be asked again and again before the others once.
func (p *prober) offer(a *projection.Account, st projection.Standing) {
	due := st.Background
	if p.nobody {
		due = st.Empty
	}
	if due > p.now {
		return
	}
	last := p.s.turns.claim.Load().tried(a.ID)
	if due.Time().After(last) {
		last = a.Asked(p.s.id, p.s.q.Now) // since then it became due anew
	}
	if p.best == nil || last.Before(p.last) || last.Equal(p.last) && st.End < p.end {
		p.best, p.end, p.last = a, st.End, last
	}
}

// claim takes the pool's claim for the best account. It returns nil if there is none,
// or another probe is out or was just now.
func (p *prober) claim() *projection.Account {
	if p.best == nil {
		return nil
	}
	s := p.s
	old := s.turns.claim.Load()
	if !old.free(s.q.Now, s.probeRule()) {
		return nil
	}
	if s.q.DryRun {
		s.probe = s.memory.claims.Add(1) // of no claim: a report of it frees none
		return p.best
	}
	c := &claim{number: s.memory.claims.Add(1), seq: s.view.State.Head().Seq, account: p.best.ID, at: s.q.Now, over: make(chan struct{}), before: old.since()}
	if !s.turns.claim.CompareAndSwap(old, c) {
		return nil
	}
	s.turns.tally.probes.Add(1)
	s.probe = c.number
	return p.best
}

func (s *selection) probeRule() *events.ProbeRule {
	return &s.view.State.Policy().Rules(s.id.Provider, s.id.Group).Probe
}

// probePool lets a request through to a cell that is due for a probe, if any is and
// no other probe is out. Where no lane tells who is due, all are looked at.
func (s *selection) probePool(nobody bool) *projection.Account {
	p := prober{s: s, nobody: nobody, now: projection.InstantOf(s.q.Now)}
	if s.view.Degraded || s.lane != nil && s.lane.ProbeDue(nobody) > p.now || !s.turns.claim.Load().free(s.q.Now, s.probeRule()) {
		return nil
	}
	if s.lane == nil {
		for i := range s.pool.Len() {
			p.look(i)
		}
		return p.claim()
	}
	for i := range s.lane.Due(nobody, s.q.Now) {
		p.look(i)
	}
	return p.claim()
}

// look considers the account at a position of the pool.
func (p *prober) look(i int) {
	if a := p.s.pool.At(i); !p.s.ruledOut(a) {
		p.offer(a, p.s.view.State.Standing(a, p.s.id, p.s.q.Now))
	}
}

// finish frees the claim of a lease, wherever it is: since the pick, other groups may
// have been defined, or the provider may have been asked for another model.
func (r *Router) finish(l Lease) {
	if l.Probe == 0 {
		return
	}
	stored := r.ids.Stored(l.Account)
	for _, t := range r.memory.allTurns() {
		if c := t.claim.Load(); c != nil && c.number == l.Probe && c.seq == l.Seq && c.account == stored {
			c.end()
		}
	}
}

// end frees the claim, and wakes those who wait for it.
func (c *claim) end() {
	if c.done.CompareAndSwap(false, true) {
		close(c.over)
	}
}

// Release says that the request of a lease came to nothing: its client went away, or
// no connection could be made. A probe frees its claim, so that another may go out; any
// other lease costs nothing anyway.
func (r *Router) Release(l Lease) { r.finish(l) }
