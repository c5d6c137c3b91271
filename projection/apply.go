package projection

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Apply folds one record into a working state. It is total: what a record says is
// taken as fact, and nothing is decided again. It panics on a record that does not
// follow the state's head, which only a bug in the caller can produce: logs check
// the order of what they yield.
func (s *State) Apply(r events.Record) {
	if r.Seq != s.head.Seq+1 {
		panic(fmt.Sprintf("projection: record %d applied to a state at %d", r.Seq, s.head.Seq))
	}
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		s.applyLimit(&r, e)
	case *events.Recovered:
		s.applyRecovered(&r, e)
	case *events.Suspended:
		s.change(&r, e.Target, func(c *Cell) {
			c.Suspended = &Suspension{
				Reason: e.Reason, By: r.Actor, OnBehalfOf: r.OnBehalfOf, Since: r.At, Until: e.Until, Seq: r.Seq,
			}
		})
	case *events.Lifted:
		s.change(&r, e.Target, func(c *Cell) { c.Suspended, c.Lifted = nil, Mark{r.Seq, r.At} })
	case *events.CooldownCleared:
		s.change(&r, e.Target, func(c *Cell) { c.endAutomatic(&r) })
	case *events.RecheckRequested:
		s.change(&r, e.Target, func(c *Cell) { c.Recheck = Mark{r.Seq, r.At} })
	case *events.Expired:
		s.applyExpired(&r, e)
	case *events.AccountAdded:
		s.put(r.Account, &Account{ID: r.Account, Spec: e.Spec, AddedSeq: r.Seq, AddedAt: r.At})
	case *events.AccountChanged:
		s.applyAccountChanged(&r, e)
	case *events.AccountRemoved:
		s.put(r.Account, nil)
	case *events.GroupsDefined:
		s.applyGroups(&r, e)
	case *events.PolicyDefined:
		s.policy = &Policy{Version: e.Version, Seq: r.Seq, Policy: e.Policy, Configured: e.Configured}
		s.policyEditions = s.policyEditions.with(edition{e.Version, r.Seq})
	case *events.Imported:
		s.applyImported(&r, e)
	}
	s.remember(&r)
	s.head = s.head.Next(r)
}

// begin ties a state to its log. A state that was folded while the log was being
// opened has not heard the log's id yet.
func (s *State) begin(log string) {
	if s.head.Log == "" {
		s.head.Log = log
	}
	if s.head.Seq == 0 {
		s.head.Hash = events.Genesis(log)
	}
}

// remember keeps the ids by which the same command is known again.
func (s *State) remember(r *events.Record) {
	if !s.decides() {
		return
	}
	if r.IdempotencyKey != "" {
		use, ok := s.keys.get(r.IdempotencyKey)
		if !ok || use.last+1 != r.Seq || use.request != r.RequestHash {
			use = keyUse{request: r.RequestHash, first: r.Seq}
		}
		use.last = r.Seq
		s.keys.set(r.IdempotencyKey, use)
	}
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		s.rememberRequest(r, e.RequestID)
		s.rememberSuspect(r, e)
	case *events.Recovered:
		s.rememberRequest(r, e.RequestID)
	case *events.AccountRemoved:
		s.removed.set(r.Account, Mark{r.Seq, r.At})
	}
}

// rememberRequest keeps the first record of an observation: a success may end
// several blocks.
func (s *State) rememberRequest(r *events.Record, id string) {
	if id == "" {
		return
	}
	key := requestKey{r.Account, id}
	if _, known := s.requests.get(key); !known {
		s.requests.set(key, r.Seq)
	}
}

// change applies f to a cell of the record's account, making the cell if it does
// not exist. Records about accounts that are gone change nothing.
func (s *State) change(r *events.Record, target string, f func(*Cell)) {
	s.changeCell(r.Account, target, r, f)
}

func (s *State) changeCell(account, target string, r *events.Record, f func(*Cell)) {
	k, a := s.accounts.find(account)
	if a == nil || target == "" {
		return
	}
	if c := a.cell(target); c != nil && a.owner == s.owner {
		f(c)
		c.LastSeq = r.Seq
		s.noteDeadlines(k, a) // and it is among the changed already
		return
	}
	if evict, ok := a.roomFor(target, decidedAt(r)); ok && evict != "" {
		a = a.without(evict)
	}
	b := a.with(target, func(c *Cell) {
		f(c)
		c.LastSeq = r.Seq
	})
	b.owner = s.owner
	s.replace(k, b)
}

// decidedAt is the clock that a record was decided by, as far as it tells. Its date lies
// ahead of that after the clock went back.
func decidedAt(r *events.Record) time.Time {
	if e, ok := r.Event.(*events.LimitObserved); ok {
		return e.ObservedAt
	}
	return r.At
}

func (a *Account) without(target string) *Account {
	b := *a
	b.Cells = nil
	for _, c := range a.Cells {
		if c.Target != target {
			b.Cells = append(b.Cells, c)
		}
	}
	return &b
}

func (s *State) applyLimit(r *events.Record, e *events.LimitObserved) {
	if a := s.Account(r.Account); a == nil || e.Effect == events.EffectNone && e.Why != events.WhyFirstAuth && a.cell(e.Target) == nil {
		return // nothing to remember
	}
	s.change(r, e.Target, func(c *Cell) {
		mark := Mark{r.Seq, r.At}
		switch e.Effect {
		case events.EffectStarted, events.EffectExtended:
			c.cool(r, e)
		case events.EffectHeld:
			c.Held = &Held{
				Since: r.At, Started: r.Seq, Last: mark, Class: e.Class, Reason: e.Signal.Reason,
				Provider: e.Provider, Model: e.Model,
			}
		case events.EffectKept:
			c.keep(mark)
			if k := c.Cooling; k != nil {
				k.Sent = max(k.Sent, sentFrom(r.Seq, e))
				if e.Probe {
					k.probed(*r)
				}
			}
		}
		if e.Why == events.WhyFirstAuth {
			c.Strikes = Strikes{Count: e.Step, Last: e.ObservedAt}
		} else if c.Strikes.Count > 0 && e.Signal.Class == events.ClassAuth {
			c.Strikes.Last = e.ObservedAt
		}
		if d := detail(e); d != 0 {
			c.Detail = d
		}
	})
}

// cool starts or extends the cooldown. The blocks are shared with older snapshots,
// so they are replaced, never changed.
func (c *Cell) cool(r *events.Record, e *events.LimitObserved) {
	k := Cooling{
		Until: e.Until, Reset: e.Reset, StartedAt: r.At, Started: r.Seq, Decided: r.Seq, Last: Mark{r.Seq, r.At},
		Class: e.Class, Source: e.Source, Clamped: e.Clamp != nil, Step: e.Step, Provider: e.Provider, Model: e.Model,
		Sent: sentFrom(r.Seq, e),
	}
	if old := c.Cooling; old != nil && e.Effect == events.EffectExtended {
		k.StartedAt, k.Started, k.Probes, k.Probed = old.StartedAt, old.Started, old.Probes, old.Probed
		k.Sent = max(k.Sent, old.Sent)
		if e.Probe {
			k.probed(*r)
		}
	}
	c.Cooling = &k
	switch {
	case e.Step > 0:
		c.Ladder = Ladder{Class: e.Class, Step: e.Step, Length: e.StepLength, Deadline: e.Until}
	case c.Ladder.Step > 0:
		// A hinted cooldown moves the deadline that the next step is counted from.
		c.Ladder.Deadline = e.Until
	default:
		c.Ladder = Ladder{Class: e.Class, Deadline: e.Until}
	}
}

// sentFrom is the snapshot that a request was sent from.
func sentFrom(record events.Seq, e *events.LimitObserved) events.Seq {
	if e.Lease > 0 {
		return e.Lease
	}
	return record
}

// keep notes newer evidence for blocks that stay as they are.
func (c *Cell) keep(m Mark) {
	if c.Cooling != nil {
		k := *c.Cooling
		k.Last = m
		c.Cooling = &k
	}
	if c.Held != nil {
		h := *c.Held
		h.Last = m
		c.Held = &h
	}
}

// endAutomatic ends a cooldown or hold by a clear or a recovery.
func (c *Cell) endAutomatic(r *events.Record) {
	c.Cooling, c.Held, c.Ladder, c.Strikes = nil, nil, Ladder{}, Strikes{}
	c.Ended = Mark{r.Seq, r.At}
}

func (s *State) applyRecovered(r *events.Record, e *events.Recovered) {
	s.change(r, e.Target, func(c *Cell) { c.endAutomatic(r) })
	if e.Probe {
		s.returned = s.returned.with(pool{e.Provider, e.Target}, Mark{r.Seq, r.At})
	}
}

func (s *State) applyExpired(r *events.Record, e *events.Expired) {
	for _, cell := range e.Cells {
		s.changeCell(cell.Account, cell.Target, r, func(c *Cell) {
			if e.Dimension == events.DimensionSuspended {
				c.Suspended, c.Lifted = nil, Mark{r.Seq, r.At}
			} else {
				c.Cooling = nil
			}
		})
	}
}

func (s *State) applyAccountChanged(r *events.Record, e *events.AccountChanged) {
	a := s.Account(r.Account)
	if a == nil {
		return
	}
	b := *a
	// Settings that say nothing of the credential do not say that it is new.
	renewed := e.Spec.CredentialVersion != "" && a.Spec.CredentialVersion != e.Spec.CredentialVersion
	b.Spec = e.Spec
	for _, c := range a.Cells {
		if renewed && c.Held != nil {
			b = *b.with(c.Target, func(c *Cell) {
				c.Held, c.LastSeq = nil, r.Seq
				c.Ended = Mark{r.Seq, r.At}
			})
		}
	}
	s.put(r.Account, &b)
}

func (s *State) applyImported(r *events.Record, e *events.Imported) {
	s.change(r, e.Target, func(c *Cell) {
		if !e.CoolUntil.IsZero() {
			c.coolImported(r, e)
		}
		if e.Suspended {
			c.Suspended = &Suspension{Reason: e.Reason, By: r.Actor, OnBehalfOf: r.OnBehalfOf, Since: r.At, Seq: r.Seq}
		}
	})
}

// coolImported starts or extends the cooldown as another system has it.
func (c *Cell) coolImported(r *events.Record, e *events.Imported) {
	k := Cooling{
		Until: e.CoolUntil, StartedAt: r.At, Started: r.Seq, Decided: r.Seq, Last: Mark{r.Seq, r.At},
		Class: e.Class, Source: sourceImport, Provider: e.Provider, Model: e.Model, Sent: r.Seq,
	}
	if old := c.cooling(r.At); old != nil {
		k.StartedAt, k.Started, k.Probes, k.Probed = old.StartedAt, old.Started, old.Probes, old.Probed
	}
	c.Cooling = &k
	if c.Ladder.Step == 0 {
		c.Ladder.Class = e.Class
	}
	c.Ladder.Deadline = e.CoolUntil
}

// detail digests what a record says beyond its decision; 0 if it says nothing.
func detail(e *events.LimitObserved) uint64 {
	return digest(e.Evidence, e.Lost)
}

// digest is FNV-1a over the evidence and the hints' raw texts. A collision costs
// one excerpt that is not stored again.
func digest(evidence string, lost []events.Hint) uint64 {
	if evidence == "" && len(lost) == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(evidence))
	for _, l := range lost {
		h.Write([]byte("\x00" + l.Source + "\x00" + l.Raw))
	}
	return h.Sum64() | 1
}
