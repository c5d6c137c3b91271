package projection

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Report says what an upstream answer meant for an account.
type Report struct {
	Account   string // the stored id
	Provider  string
	Model     string // as the client named it
	Operation events.Operation
	Status    int
	Signal    events.Signal
	RequestID string
	StartedAt time.Time  // when the request was sent; zero: unknown
	Lease     events.Seq // of the snapshot the account was picked from; 0: none
	Probe     bool

	// normal is true once normalize has succeeded, which leaves in named the model before
	// it was scrubbed for the log.
	normal bool
	named  string
}

// ReportResult is the answer to a report.
type ReportResult struct {
	Class  events.Class
	Scope  events.Scope
	Target string // empty if the answer reaches no cell
	Effect events.Effect
	Why    string // with events.EffectNone
	Until  time.Time
	Hint   *events.Hint // the one the deadline follows
	Advice Advice
	// Seq is the first record of the observation; 0 if nothing was appended. It is
	// known once the command is executed.
	Seq events.Seq
}

// decide implements Intent.
func (c *Report) decide(d *decider) error {
	if !c.normal {
		d.report = *c // a command is its sender's
		c = &d.report
		if err := c.normalize(); err != nil {
			return err
		}
	}
	if c.Lease > d.s.head.Seq {
		return refuse(CodeInvalid, "the lease names record %d, but the log ends at %d: it is of another log", c.Lease, d.s.head.Seq)
	}
	if c.StartedAt.Year() < 2000 || c.StartedAt.After(d.now) {
		// A clock that is wrong dates no evidence, and costs no record of a 429.
		c.StartedAt = time.Time{}
	}
	if c.RequestID != "" {
		if seq, ok := d.s.requests.get(requestKey{c.Account, c.RequestID}); ok {
			d.out.earlier = keyUse{first: seq, last: seq}
			return nil
		}
	}
	if m, ok := d.s.removed.get(c.Account); ok && c.before(m, d.now) {
		return refuse(CodeAccountRemoved, "account %q was removed (record %d) after this request was sent", c.Account, m.Seq)
	}
	o := observation{Report: c, d: d, id: d.s.groups.Resolve(c.Provider, c.named), account: d.s.Account(c.Account)}
	if o.account != nil && o.account.Spec.Provider != o.id.Provider {
		return refuse(CodeProviderMismatch, "account %q belongs to provider %q, not %q", c.Account, o.account.Spec.Provider, o.id.Provider)
	}
	if c.Signal.Class == events.ClassOK {
		o.success()
		return nil
	}
	return o.limit()
}

// normalize does with a copy of a report what can be done without a state, so that its
// sender does and not the writer.
func (c *Report) normalize() error {
	c.Operation = cmp.Or(c.Operation, events.OpGenerate)
	if err := c.check(); err != nil {
		return err
	}
	c.named = c.Model
	c.Model, c.RequestID = events.Scrub(c.Model, events.MaxID), opaque(c.RequestID)
	c.normal = true
	return nil
}

// check refuses what no state can make right.
func (c *Report) check() error {
	if err := CheckID("the account", c.Account); err != nil {
		return refuse(CodeInvalid, "%v", err)
	}
	if err := checkProvider(CanonicalProvider(c.Provider)); err != nil {
		return refuse(CodeInvalid, "%v", err)
	}
	if c.Model != "" {
		if err := CheckID("the model", c.Model); err != nil {
			return refuse(CodeInvalid, "%v", err)
		}
	}
	if c.RequestID != "" {
		if err := CheckID("the request id", c.RequestID); err != nil {
			return refuse(CodeInvalid, "%v", err)
		}
	}
	switch {
	case !slices.Contains(events.Operations(), c.Operation):
		return refuse(CodeInvalid, "operation %q is none of %v", c.Operation, events.Operations())
	case c.Status < 0 || c.Status > 999:
		return refuse(CodeInvalid, "status %d is no HTTP status", c.Status)
	}
	return nil
}

// before reports whether the request is known to have been sent before a mark. A mark
// far ahead of the clock was dated before that went back, and dates no request.
func (c *Report) before(m Mark, now time.Time) bool {
	if c.Lease > 0 {
		return c.Lease < m.Seq
	}
	return !c.StartedAt.IsZero() && c.StartedAt.Before(m.At) && m.At.Sub(now) <= maxJump
}

// since reports whether the request is known to have been sent after a mark.
func (c *Report) since(m Mark) bool {
	if c.Lease > 0 {
		return c.Lease >= m.Seq
	}
	return c.StartedAt.After(m.At)
}

// observation is one report being decided.
type observation struct {
	*Report
	d       *decider
	id      *Resolution
	account *Account // nil: not known yet
}

// answer completes the answer to the report.
func (o *observation) answer(r *ReportResult) {
	r.Class, r.Scope = o.Signal.Class, o.Signal.Scope
	r.Advice = o.advise(r)
	o.d.out.Report = r
}

// success ends the automatic blocks that the served request disproves.
func (o *observation) success() {
	r := &ReportResult{Effect: events.EffectNone, Why: events.WhyNothingBlocked}
	if o.account == nil || o.Operation != events.OpGenerate {
		if o.Operation != events.OpGenerate {
			r.Why = events.WhyOperation
		}
		o.d.unchanged(r.Why)
		o.answer(r)
		return
	}
	for i := range o.account.Cells {
		c := &o.account.Cells[i]
		last, blocked := c.evidence(o.d.now)
		if !blocked || !o.id.Covers(c.Target) {
			continue
		}
		if !o.since(last) {
			r.Target, r.Why = c.Target, events.WhyOlderSuccess
			continue
		}
		r.Effect = events.EffectRecovered
		o.d.emit(o.Account, &events.Recovered{
			Target: c.Target, Provider: o.id.Provider, Model: o.Model, Operation: o.Operation, Status: o.Status,
			RequestID: o.RequestID, StartedAt: o.StartedAt, ObservedAt: o.d.now, Lease: o.Lease, Probe: o.Probe,
			GroupsVersion: o.d.s.groups.Version, PolicyVersion: o.d.s.policy.Version,
		})
	}
	if r.Effect == events.EffectRecovered {
		r.Target, r.Why = o.d.out.Drafts[0].Event.(*events.Recovered).Target, ""
	} else {
		o.d.unchanged(r.Why)
	}
	o.answer(r)
}

// evidence returns the newest evidence of an automatic block in force at now.
func (c *Cell) evidence(now time.Time) (last Mark, blocked bool) {
	if k := c.cooling(now); k != nil {
		last, blocked = k.Last, true
	}
	if c.Held != nil {
		last, blocked = later(last, c.Held.Last), true
	}
	return last, blocked
}

// limit decides what an answer that limits does, and records it if it is a 429 or
// changes something.
func (o *observation) limit() error {
	// The event and the answer live as long as each other.
	room := new(struct {
		event  events.LimitObserved
		answer ReportResult
	})
	e := &room.event
	*e = events.LimitObserved{
		Provider: o.id.Provider, Model: o.Model, Target: o.target(), Operation: o.Operation, Status: o.Status,
		Signal: o.Signal, Class: o.Signal.Class, RequestID: o.RequestID, StartedAt: o.StartedAt, ObservedAt: o.d.now,
		Lease: o.Lease, Probe: o.Probe, GroupsVersion: o.d.s.groups.Version, PolicyVersion: o.d.s.policy.Version,
	}
	e.Signal.Hints, e.Signal.Evidence = nil, ""
	var cell Cell
	if o.account != nil {
		cell = o.account.Cell(e.Target)
	}
	news := o.rule(e, &cell)
	o.attach(e, &cell)
	if !news && o.Status != 429 {
		o.d.unchanged(string(e.Effect))
	} else {
		if err := o.admit(); err != nil {
			return err
		}
		o.d.emit(o.Account, e)
	}
	room.answer = ReportResult{Target: e.Target, Effect: e.Effect, Why: e.Why, Until: e.Until, Hint: e.Hint}
	o.answer(&room.answer)
	room.answer.Class = e.Class
	return nil
}

// admit makes an unknown account known, in the same commit.
func (o *observation) admit() error {
	if o.account != nil {
		return nil
	}
	if err := checkPlain(o.Account); err != nil {
		return err
	}
	if o.d.s.Len() >= MaxAccounts {
		return refuse(CodePoolFull, "the pool has %d accounts, the most there can be", MaxAccounts)
	}
	o.d.emit(o.Account, &events.AccountAdded{Spec: events.AccountSpec{
		Provider: o.id.Provider, Weight: 1, Origin: events.OriginObserved,
	}})
	return nil
}

// target names the cell that the signal's scope reaches.
func (o *observation) target() string {
	scope := o.Signal.Scope
	if o.Signal.Class == events.ClassCapacity && scope != events.ScopeNone {
		scope = events.ScopeModel // the provider's shortage is never the group's
	}
	switch scope {
	case events.ScopeAccount:
		return events.TargetAll
	case events.ScopeModel:
		return o.id.ModelTarget
	case events.ScopeGroup:
		return o.family()
	default:
		return ""
	}
}

// family names the group that the answer named, else the requested model's. A
// family that no group stands for blocks the requested model alone.
func (o *observation) family() string {
	named := o.Signal.Family
	switch {
	case named == "":
		return o.id.Target
	case strings.HasPrefix(named, events.ModelTarget):
		return o.d.s.groups.Resolve(o.id.Provider, named[len(events.ModelTarget):]).Target
	case o.d.s.groups.serves(CanonicalGroup(named), o.id.Provider):
		return CanonicalGroup(named)
	default:
		return o.id.ModelTarget
	}
}

// groupOf returns the target if it is a group.
func (o *observation) groupOf(target string) string {
	if o.d.s.groups.Group(target) != nil {
		return target
	}
	return ""
}

// rule fills in the effect and the deadline, and reports whether the observation
// is worth a record although it may be no 429.
func (o *observation) rule(e *events.LimitObserved, cell *Cell) (news bool) {
	rules := o.d.s.policy.Rules(o.id.Provider, cmp.Or(o.groupOf(e.Target), o.id.Group))
	rule := classRule(rules, e.Class)
	if why := o.exempt(e, cell, rule); why != "" {
		e.Effect, e.Why = events.EffectNone, why
		return false
	}
	if o.account != nil {
		// Counting needs a cell too, so this comes first.
		if _, ok := o.account.roomFor(e.Target, o.d.now); !ok {
			e.Effect, e.Why = events.EffectNone, events.WhyModelCellsFull
			return true
		}
	}
	hold := holds(rules, e.Signal.Reason)
	if !hold && o.strike(e, cell, rule) {
		return true
	}
	if o.account != nil && o.account.Spec.DisableCooling {
		e.Effect, e.Why = events.EffectNone, events.WhyCoolingOff
		return true
	}
	if hold {
		e.Effect = events.EffectHeld
		if cell.Held != nil {
			e.Effect = events.EffectKept
		}
		return cell.Held == nil
	}
	return o.cool(e, cell, rules)
}

// exempt says why the answer blocks nothing, whatever the cell; empty if it may.
func (o *observation) exempt(e *events.LimitObserved, cell *Cell, rule events.ClassRule) string {
	switch {
	case !rule.Blocks || o.Signal.Scope == events.ScopeNone:
		return events.WhyNotBlocking
	case e.Target == "":
		return events.WhyNoModel
	case !o.operationBlocks(e.Class):
		return events.WhyOperation
	case cell.Ended.Seq > 0 && o.before(cell.Ended, o.d.now):
		return events.WhyStale
	case o.poisonous(e.Class, o.d.s.policy.Rules(o.id.Provider, o.id.Group).Poison):
		return events.WhyPoison
	}
	return ""
}

// operationBlocks: only generate requests speak for the quota; the others block
// only by a refused credential, and count_tokens by a 429.
func (o *observation) operationBlocks(class events.Class) bool {
	switch o.Operation {
	case events.OpGenerate:
		return true
	case events.OpCountTokens:
		if o.Status == 429 {
			return true
		}
	}
	return class == events.ClassAuth || class == events.ClassForbidden
}

// strike counts a signal of a class that blocks only when repeated. It reports
// whether this one only counts.
func (o *observation) strike(e *events.LimitObserved, cell *Cell, rule events.ClassRule) bool {
	if rule.After <= 1 || cell.cooling(o.d.now) != nil {
		return false
	}
	n := 1
	if cell.Strikes.Count > 0 && o.d.now.Sub(cell.Strikes.Last) <= rule.Within {
		n = cell.Strikes.Count + 1
	}
	if n >= rule.After {
		return false
	}
	e.Effect, e.Why, e.Step = events.EffectNone, events.WhyFirstAuth, n
	return true
}

// cool sets the deadline: it starts a cooldown, extends the one in force, or keeps
// it, and never shortens it.
func (o *observation) cool(e *events.LimitObserved, cell *Cell, rules *events.Rules) bool {
	q := question{
		signal: &o.Signal, rules: rules, provider: o.id.Provider, account: o.Account, target: e.Target,
		now: o.d.now, started: o.StartedAt, ladder: cell.Ladder,
	}
	k := cell.cooling(o.d.now)
	r := q.rule()
	e.Class, e.Hint, e.Lost, e.Clamp, e.Reset = r.class, r.hint, r.lost, r.clamp, r.reset
	switch {
	case k != nil && (r.source == SourceLadder || !r.until.After(k.Until)):
		// A hintless answer while the cell cools says nothing new.
		e.Effect, e.Until, e.Clamp = events.EffectKept, k.Until, nil
		return false
	case r.until.IsZero():
		e.Effect, e.Why = events.EffectNone, events.WhyBurst
		return false
	}
	e.Effect, e.Until, e.Source, e.Step, e.StepLength = events.EffectStarted, r.until, r.source, r.step, r.length
	if k != nil {
		e.Effect = events.EffectExtended
	}
	return true
}

// attach adds the evidence and the losing hints where they are news.
func (o *observation) attach(e *events.LimitObserved, cell *Cell) {
	if e.Hint == nil && e.Lost == nil {
		e.Lost = slices.Clone(o.Signal.Hints[:min(len(o.Signal.Hints), events.MaxLost)])
	}
	for i := range e.Lost {
		// The record holds finite numbers and near instants only; the raw text keeps
		// what was sent.
		if s := e.Lost[i].Seconds; math.IsNaN(s) || math.IsInf(s, 0) || s == 0 {
			e.Lost[i].Seconds = 0
		}
		if e.Lost[i].At.Sub(o.d.now).Abs() > maxDelay {
			e.Lost[i].At = time.Time{}
		}
	}
	e.Evidence = events.Scrub(o.Signal.Evidence, events.MaxText)
	switch e.Effect {
	case events.EffectStarted, events.EffectExtended, events.EffectHeld:
		return
	}
	if d := digest(e.Evidence, e.Lost); d == 0 || d == cell.Detail {
		e.Evidence, e.Lost = "", nil
	}
}
