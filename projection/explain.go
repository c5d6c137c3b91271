package projection

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Question asks why. Set Account, or Provider and Model.
type Question struct {
	Account string // stored id
	Target  string // with Account: one cell; empty: all of the account's that block
	// Provider and Model ask for every account that could serve the model.
	Provider, Model string
}

// Explanation says why a cell, or the cells behind one question, are as they are.
type Explanation struct {
	Sentence string // one plain sentence that answers the question
	Status   Status
	Account  string // with one account
	Provider string
	Target   string // with one cell, and what the model resolves to
	// Cells are explained one by one, those that block first.
	Cells []CellExplanation
	// GroupsVersion and PolicyVersion are in force at the moment asked about.
	GroupsVersion, PolicyVersion uint64
}

// CellExplanation explains one cell.
type CellExplanation struct {
	Account  string
	Target   string
	Status   Status
	Sentence string
	// Causes are the records behind it, oldest first.
	Causes []Cause
	// Ends says what would end each block in force.
	Ends []Ending
}

// Cause is one record behind a cell's state.
type Cause struct {
	Record events.Record
	Text   string
}

// Ending says what would end a block, and when by itself.
type Ending struct {
	Block Status // suspended, held or cooling
	At    time.Time
	How   string
}

// Lookup returns a record by its seq.
type Lookup func(events.Seq) (events.Record, error)

// Why explains from the published state.
func (e *Engine) Why(ctx context.Context, q Question) (*Explanation, error) {
	return Explain(e.State(), q, e.now(), func(seq events.Seq) (events.Record, error) { return e.Record(ctx, seq) })
}

// Explain answers a question about a state as seen at now. It is pure but for what
// lookup reads. Errors are *Error for what is not known, or lookup's.
func Explain(s *State, q Question, now time.Time, lookup Lookup) (*Explanation, error) {
	x := explainer{s: s, now: now.UTC(), lookup: lookup}
	out := &Explanation{GroupsVersion: s.groups.Version, PolicyVersion: s.policy.Version}
	var err error
	switch {
	case q.Account != "":
		err = x.account(out, q)
	case q.Provider != "" && q.Model != "":
		err = x.model(out, q)
	default:
		err = refuse(CodeInvalid, "ask about an account, or about a provider and a model")
	}
	return out, err
}

type explainer struct {
	s      *State
	now    time.Time
	lookup Lookup
}

func (x *explainer) account(out *Explanation, q Question) error {
	a := x.s.Account(q.Account)
	if a == nil {
		return refuse(CodeUnknownAccount, "no account %q is known", q.Account)
	}
	out.Account, out.Provider, out.Target = a.ID, a.Spec.Provider, CanonicalTarget(q.Target)
	if err := x.s.checkTarget(out.Target); err != nil {
		return err
	}
	if a.cell(out.Target) == nil {
		out.Target = x.s.targetOn(a, out.Target)
	}
	for _, target := range x.targets(a, out.Target) {
		cell, err := x.cell(a, target)
		if err != nil {
			return err
		}
		out.Cells = append(out.Cells, cell)
	}
	sortBlocking(out.Cells)
	first := out.Cells[0]
	out.Status, out.Sentence = first.Status, first.Sentence
	if more := blocking(out.Cells) - 1; more > 0 {
		out.Sentence += fmt.Sprintf(" %d more %s of this account %s blocked.", more, plural(more, "cell"), isAre(more))
	}
	return nil
}

// targets lists the cells that a question about an account is about: those that
// cover the target, or all that were ever touched.
func (x *explainer) targets(a *Account, target string) []string {
	var list []string
	if target != "" {
		list = append(list, target)
		if m, ok := strings.CutPrefix(target, events.ModelTarget); ok {
			if g := x.s.groups.Resolve(a.Spec.Provider, m).Group; g != "" {
				list = append(list, g)
			}
		}
		if target != events.TargetAll && a.cell(events.TargetAll) != nil {
			list = append(list, events.TargetAll)
		}
		return list
	}
	for i := range a.Cells {
		list = append(list, a.Cells[i].Target)
	}
	if len(list) == 0 {
		list = append(list, events.TargetAll)
	}
	return list
}

func (x *explainer) model(out *Explanation, q Question) error {
	r := x.s.groups.Resolve(q.Provider, q.Model)
	out.Provider, out.Target = r.Provider, r.Target
	usable, total := 0, 0
	for a := range x.s.Accounts("") {
		if a.Spec.Provider != r.Provider {
			continue
		}
		total++
		target := r.Target
		if c := a.Blocking(r, x.now); c != nil {
			target = c.Target
		} else if !a.Spec.Disabled {
			usable++
		}
		cell, err := x.cell(a, target)
		if err != nil {
			return err
		}
		out.Cells = append(out.Cells, cell)
	}
	sortBlocking(out.Cells)
	out.Status = StatusAvailable
	what := fmt.Sprintf("%q of %s is %s", q.Model, r.Provider, describeTarget(r.Target))
	switch {
	case total == 0:
		out.Sentence = fmt.Sprintf("%s; no account of %s is known.", what, r.Provider)
	case usable == 0:
		out.Status = out.Cells[0].Status
		out.Sentence = fmt.Sprintf("%s; none of %d %s can serve it: %s", what, total, plural(total, "account"), out.Cells[0].Sentence)
	default:
		out.Sentence = fmt.Sprintf("%s; %d of %d %s can serve it.", what, usable, total, plural(total, "account"))
	}
	return nil
}

func describeTarget(t string) string {
	switch {
	case t == events.TargetAll:
		return "everything"
	case strings.HasPrefix(t, events.ModelTarget):
		return "a model of its own"
	default:
		return "in group " + t
	}
}

// cell explains one cell of an account.
func (x *explainer) cell(a *Account, target string) (CellExplanation, error) {
	c := a.Cell(target)
	out := CellExplanation{Account: a.ID, Target: target, Status: a.CellStatus(&c, x.now)}
	for _, seq := range c.seqs(x.now) {
		r, err := x.lookup(seq)
		if err != nil {
			return out, fmt.Errorf("record %d: %w", seq, err)
		}
		out.Causes = append(out.Causes, Cause{Record: r, Text: causeText(r)})
	}
	out.Ends = c.endings(x.now)
	out.Sentence = x.sentence(a, &c, &out)
	return out, nil
}

// seqs lists the records behind the cell: of the blocks in force, else the newest
// about it.
func (c *Cell) seqs(now time.Time) []events.Seq {
	var seqs []events.Seq
	k, h, s := c.Live(now)
	if k != nil {
		seqs = append(seqs, k.Started, k.Decided, k.Last.Seq)
	}
	if h != nil {
		seqs = append(seqs, h.Started, h.Last.Seq)
	}
	if s != nil {
		seqs = append(seqs, s.Seq)
	}
	if len(seqs) == 0 && c.LastSeq > 0 {
		seqs = append(seqs, c.LastSeq)
	}
	if c.Recheck.Seq > 0 {
		seqs = append(seqs, c.Recheck.Seq)
	}
	slices.Sort(seqs)
	return slices.Compact(seqs)
}

func (c *Cell) endings(now time.Time) []Ending {
	var ends []Ending
	k, h, s := c.Live(now)
	if s != nil {
		end := Ending{Block: StatusSuspended, At: s.Until, How: "its time, or a lift"}
		if s.Until.IsZero() {
			end.How = "a lift; it has no end of its own"
		}
		ends = append(ends, end)
	}
	if h != nil {
		ends = append(ends, Ending{Block: StatusHeld, How: "a clear, a served request, or a new credential; it has no end of its own"})
	}
	if k != nil {
		ends = append(ends, Ending{Block: StatusCooling, At: k.Until, How: "its deadline, a clear, or a served request"})
	}
	return ends
}

// sentence is the one-line answer about a cell.
func (x *explainer) sentence(a *Account, c *Cell, out *CellExplanation) string {
	who := fmt.Sprintf("%s on %s", targetName(c.Target), a.ID)
	k, h, s := c.Live(x.now)
	var text string
	switch {
	case a.Spec.Disabled:
		text = fmt.Sprintf("%s is disabled: the account is switched off.", who)
	case s != nil:
		text = fmt.Sprintf("%s is suspended by hand %s, because %q (%s, record %d).", who, x.until(s.Until), s.Reason, by(s), s.Seq)
	case h != nil:
		text = fmt.Sprintf("%s is held until a human acts, because the provider answered %s (record %d).", who, describeSignal(h.Class, h.Reason), h.Started)
	case k != nil:
		text = fmt.Sprintf("%s is frozen %s, because %s (record %d).", who, x.until(k.Until), coolingCause(k), k.Decided)
	default:
		return fmt.Sprintf("%s is available: %s.", who, availableCause(out))
	}
	if s != nil && k != nil {
		text += fmt.Sprintf(" A cooldown runs beside it %s.", x.until(k.Until))
	}
	return text
}

func targetName(t string) string {
	if t == events.TargetAll {
		return "everything"
	}
	return t
}

func by(s *Suspension) string {
	if s.OnBehalfOf != "" {
		return s.By + " for " + s.OnBehalfOf
	}
	return s.By
}

func describeSignal(class events.Class, reason string) string {
	if reason == "" {
		return string(class)
	}
	return string(class) + " (" + reason + ")"
}

func coolingCause(k *Cooling) string {
	what := fmt.Sprintf("%s was answered %s", cmp.Or(k.Model, "a request"), k.Class)
	switch k.Source {
	case sourceLadder:
		what += fmt.Sprintf(" without a reset: step %d of the ladder", k.Step)
	case sourceWindow:
		what += " without a reset: the provider's next one counts"
	default:
		what += ", with the reset that " + k.Source + " gives"
	}
	if k.Clamped {
		what += ", cut to the policy's bound"
	}
	return what
}

// availableCause says why nothing blocks, by the newest record about the cell.
func availableCause(out *CellExplanation) string {
	if len(out.Causes) == 0 {
		return "nothing has ever blocked it"
	}
	r := out.Causes[len(out.Causes)-1].Record
	switch e := r.Event.(type) {
	case *events.Expired:
		return fmt.Sprintf("the block expired at %s (record %d)", clockTime(e.Due), r.Seq)
	case *events.Lifted:
		return fmt.Sprintf("%s lifted it at %s (record %d)", r.Actor, clockTime(r.At), r.Seq)
	case *events.CooldownCleared:
		return fmt.Sprintf("%s cleared it at %s (record %d)", r.Actor, clockTime(r.At), r.Seq)
	case *events.Recovered:
		return fmt.Sprintf("a served request ended the block at %s (record %d)", clockTime(r.At), r.Seq)
	case *events.LimitObserved:
		if !e.Until.IsZero() {
			return fmt.Sprintf("the cooldown ended at %s (record %d)", clockTime(e.Until), r.Seq)
		}
		return fmt.Sprintf("the last answer did not block it: %s (record %d)", cmp.Or(e.Why, string(e.Effect)), r.Seq)
	default:
		return fmt.Sprintf("%s (record %d)", r.Kind(), r.Seq)
	}
}

// until says when, absolutely and relative to now.
func (x *explainer) until(t time.Time) string {
	if t.IsZero() {
		return "without an end"
	}
	return fmt.Sprintf("until %s, in %s", clockTime(t), roundUp(t.Sub(x.now)))
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// roundUp gives a duration in at most two units, never shorter than it is.
func roundUp(d time.Duration) string {
	units := []struct {
		unit  time.Duration
		below time.Duration
	}{{time.Second, 2 * time.Minute}, {time.Minute, 100 * time.Hour}, {time.Hour, 1<<63 - 1}}
	for _, u := range units {
		if d >= u.below {
			continue
		}
		d = (d + u.unit - 1) / u.unit * u.unit
		days, rest := d/day, d%day
		switch {
		case u.unit == time.Hour:
			return fmt.Sprintf("%dd%dh", days, rest/time.Hour)
		case d >= time.Hour:
			return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
		case d >= 2*time.Minute:
			return fmt.Sprintf("%dm", d/time.Minute)
		default:
			return fmt.Sprintf("%ds", d/time.Second)
		}
	}
	return d.String() // unreachable: the last unit has no upper end
}

// causeText says in a line what a record did.
func causeText(r events.Record) string {
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		text := fmt.Sprintf("HTTP %d for %s read as %s by %s", e.Status, e.Model, describeSignal(e.Class, e.Signal.Reason), e.Signal.Rule)
		switch {
		case e.Effect == events.EffectNone:
			return text + "; nothing blocked: " + e.Why
		case e.Until.IsZero():
			return text + "; " + string(e.Effect)
		default:
			return text + fmt.Sprintf("; %s until %s", e.Effect, clockTime(e.Until))
		}
	case *events.Suspended:
		if e.Until.IsZero() {
			return fmt.Sprintf("suspended without an end: %s", e.Reason)
		}
		return fmt.Sprintf("suspended until %s: %s", clockTime(e.Until), e.Reason)
	case *events.Lifted:
		return withReason("suspension lifted", e.Reason)
	case *events.CooldownCleared:
		return withReason("cooldown cleared", e.Reason)
	case *events.Recovered:
		return fmt.Sprintf("HTTP %d for %s: served", e.Status, e.Model)
	case *events.Expired:
		return "expired at " + clockTime(e.Due)
	default:
		return string(r.Kind())
	}
}

func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// sortBlocking puts first what an operator must know: by status, and within one what
// lasts longest, since the cell that ends first frees nothing alone.
func sortBlocking(cells []CellExplanation) {
	rank := func(c CellExplanation) int { return slices.Index(Statuses(), c.Status) }
	slices.SortStableFunc(cells, func(a, b CellExplanation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), compareEnds(b.Ends, a.Ends))
	})
}

// compareEnds compares when the last of some blocks ends; one without an end is the
// latest.
func compareEnds(a, b []Ending) int {
	last := func(ends []Ending) (at time.Time, never bool) {
		for _, e := range ends {
			never = never || e.At.IsZero()
			at = laterOf(at, e.At)
		}
		return at, never
	}
	at, never := last(a)
	other, otherNever := last(b)
	switch {
	case never && otherNever:
		return 0
	case never:
		return 1
	case otherNever:
		return -1
	default:
		return at.Compare(other)
	}
}

func blocking(cells []CellExplanation) (n int) {
	for _, c := range cells {
		if c.Status != StatusAvailable {
			n++
		}
	}
	return n
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
