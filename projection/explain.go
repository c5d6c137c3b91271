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
	// Skip and Limit choose among the cells of the answer, in their order; 0: from the
	// first on, and all. The sentence is of all of them.
	Skip, Limit int
}

// Explanation says why a cell, or the cells behind one question, are as they are.
type Explanation struct {
	Sentence string // one plain sentence that answers the question
	Status   Status
	Account  string // with one account
	Provider string
	Target   string // with one cell, and what the model resolves to
	// Cells are explained one by one, those that block first; Count is how many there are,
	// chosen or not.
	Cells []CellExplanation
	Count int
	// GroupsVersion and PolicyVersion are in force at the moment asked about, GroupsSeq
	// and PolicySeq the records that defined them.
	GroupsVersion, PolicyVersion uint64
	GroupsSeq, PolicySeq         events.Seq
}

// CellExplanation explains one cell.
type CellExplanation struct {
	Account  string
	Target   string
	Status   Status
	Sentence string
	// Causes are the records behind it, oldest first.
	Causes []Cause
	// Basis is what was in force when the block was decided; nil: nothing blocks, or it is
	// forgotten.
	Basis *Basis
	// Ends says what would end each block in force.
	Ends []Ending

	was     string     // the target that the block began with, if that was another
	renamed events.Seq // of the groups that made it this one
}

// Basis is what a record decided a block by: the definitions in force then, and the step
// of the ladder.
type Basis struct {
	Seq                          events.Seq // of the record
	GroupsVersion, PolicyVersion uint64
	GroupsSeq, PolicySeq         events.Seq // of the records that defined them
	Step                         int        // of the ladder, from 1; 0: it was not asked
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
	// NextProbe is when a request may be let through to see whether a quota is back; see
	// [Outlook.NextProbe].
	NextProbe time.Time
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
	x := explainer{s: s, now: now.UTC(), lookup: lookup, outlook: NewOutlook(s, now.UTC())}
	out := &Explanation{
		GroupsVersion: s.groups.Version, GroupsSeq: s.groups.Seq, PolicyVersion: s.policy.Version, PolicySeq: s.policy.Seq,
	}
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
	s       *State
	now     time.Time
	lookup  Lookup
	outlook *Outlook
}

func (x *explainer) account(out *Explanation, q Question) error {
	a := x.s.Account(q.Account)
	if a == nil {
		return refuse(CodeUnknownAccount, "no account %q is known", q.Account)
	}
	out.Account, out.Provider, out.Target = a.ID, a.Spec.Provider, CanonicalTarget(q.Target)
	if a.cell(out.Target) == nil { // else it is explained, whatever the groups are by now
		if err := x.s.checkTargetOn(a, out.Target); err != nil {
			return err
		}
		out.Target = x.s.targetOn(a, out.Target)
	}
	var cells []CellExplanation
	for _, target := range x.targets(a, out.Target) {
		cells = append(cells, x.cell(a, target))
	}
	first, err := x.explain(out, cells, q)
	if err != nil {
		return err
	}
	out.Status, out.Sentence = first.Status, first.Sentence
	if more := blocking(cells) - 1; more > 0 {
		out.Sentence += fmt.Sprintf(" %d more %s of this account %s blocked.", more, plural(more, "cell"), isAre(more))
	}
	return nil
}

// explain puts the cells in order, and explains those of them that are asked for, and the
// first, which it returns. The others need no record.
func (x *explainer) explain(out *Explanation, cells []CellExplanation, q Question) (first *CellExplanation, err error) {
	sortBlocking(cells)
	from := min(max(q.Skip, 0), len(cells))
	out.Count, out.Cells = len(cells), cells[from:]
	if q.Limit > 0 {
		out.Cells = out.Cells[:min(q.Limit, len(out.Cells))]
	}
	if from > 0 {
		err = x.fill(&cells[0])
	}
	for i := 0; i < len(out.Cells) && err == nil; i++ {
		err = x.fill(&out.Cells[i])
	}
	return &cells[0], err
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
	var pool candidates
	var cells []CellExplanation
	for a := range x.s.Accounts("") {
		if a.Spec.Provider != r.Provider {
			continue
		}
		pool.add(a, x.s.Standing(a, r, x.now))
		targets := x.blocking(a, r)
		if len(targets) == 0 {
			targets = []string{r.Target}
		}
		for _, target := range targets {
			cells = append(cells, x.cell(a, target))
		}
	}
	out.Status = StatusAvailable
	what := fmt.Sprintf("%q of %s is %s", q.Model, r.Provider, describeTarget(r.Target))
	if len(cells) == 0 {
		out.Sentence = fmt.Sprintf("%s; no account of %s is known.", what, r.Provider)
		return nil
	}
	first, err := x.explain(out, cells, q)
	if err != nil {
		return err
	}
	out.Sentence = what + "; " + x.candidates(&pool)
	if pool.Available == 0 {
		out.Status = first.Status
		if len(cells) == 1 {
			out.Sentence += " " + first.Sentence
		}
	}
	return nil
}

// blocking lists the targets that block a resolution on an account, the one that
// lasts longest first.
func (x *explainer) blocking(a *Account, r *Resolution) []string {
	longest := a.Blocking(r, x.now)
	if longest == nil {
		return nil
	}
	list := []string{longest.Target}
	for i := range a.Cells {
		if c := &a.Cells[i]; c != longest && r.Covers(c.Target) && c.blockedAt(x.now) {
			list = append(list, c.Target)
		}
	}
	return list
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

// cell says of one cell of an account what needs no record.
func (x *explainer) cell(a *Account, target string) CellExplanation {
	c := a.Cell(target)
	return CellExplanation{Account: a.ID, Target: target, Status: a.CellStatus(&c, x.now), Ends: x.endings(a, &c)}
}

// fill explains a cell by the records behind it.
func (x *explainer) fill(out *CellExplanation) error {
	a := x.s.Account(out.Account)
	c := a.Cell(out.Target)
	if err := x.causes(&c, out); err != nil {
		return err
	}
	out.Basis = x.basis(&c, out)
	out.Sentence = x.sentence(a, &c, out)
	return nil
}

// causes looks up the records behind a cell.
func (x *explainer) causes(c *Cell, out *CellExplanation) error {
	for _, seq := range c.seqs(x.now) {
		r, err := x.look(seq)
		if err != nil {
			return err
		}
		out.Causes = append(out.Causes, Cause{Record: r, Text: causeText(r)})
	}
	return x.renamed(out)
}

func (x *explainer) look(seq events.Seq) (events.Record, error) {
	r, err := x.lookup(seq)
	if err != nil {
		return r, fmt.Errorf("record %d: %w", seq, err)
	}
	return r, nil
}

// renamed adds the definition of the groups to the causes of a cell that had another
// target when they were recorded: without it they would seem to be about another cell.
func (x *explainer) renamed(out *CellExplanation) error {
	for _, cause := range out.Causes {
		was := cause.Record.Target()
		if was == "" || was == out.Target || cause.Record.Seq >= x.s.groups.Seq {
			continue
		}
		r, err := x.look(x.s.groups.Seq)
		if err != nil {
			return err
		}
		out.was, out.renamed = was, r.Seq
		text := fmt.Sprintf("groups version %d: %s took the place of %s", x.s.groups.Version, out.Target, was)
		out.Causes = append(out.Causes, Cause{Record: r, Text: text})
		slices.SortStableFunc(out.Causes, func(a, b Cause) int { return cmp.Compare(a.Record.Seq, b.Record.Seq) })
		return nil
	}
	return nil
}

// basis says what the block of a cell was decided under: the automatic one if there are
// two, since the policy has no part in the other. Of a cell that nothing blocks it is that
// of the answer or the import that says why.
func (x *explainer) basis(c *Cell, out *CellExplanation) *Basis {
	r := out.decided(c, x.now)
	groups, policy := x.s.groupsEditions.at(r.Seq), x.s.policyEditions.at(r.Seq)
	if groups.seq == 0 || policy.seq == 0 {
		return nil
	}
	b := &Basis{
		Seq: r.Seq, GroupsVersion: groups.version, GroupsSeq: groups.seq, PolicyVersion: policy.version, PolicySeq: policy.seq,
	}
	if e, ok := r.Event.(*events.LimitObserved); ok && !e.Until.IsZero() {
		b.Step = e.Step
	}
	return b
}

// decided returns the record among the causes that decided the block; one without a seq
// if none did.
func (x *CellExplanation) decided(c *Cell, now time.Time) events.Record {
	var seq events.Seq
	k, h, s := c.Live(now)
	switch {
	case k != nil && (h == nil || k.Decided > h.Started):
		seq = k.Decided
	case h != nil:
		seq = h.Started
	case s != nil:
		seq = s.Seq
	}
	for _, cause := range x.Causes {
		switch cause.Record.Event.(type) {
		case *events.LimitObserved, *events.Imported:
			if seq == 0 {
				return cause.Record // the only one
			}
		}
		if cause.Record.Seq == seq {
			return cause.Record
		}
	}
	return events.Record{}
}

// seqs lists the records behind the cell: of the blocks in force, else the newest
// about it.
func (c *Cell) seqs(now time.Time) []events.Seq {
	var seqs []events.Seq
	k, h, s := c.Live(now)
	if k != nil {
		seqs = append(seqs, k.Started, k.Decided, k.Last.Seq)
		if c.Recheck.Seq > k.Started {
			seqs = append(seqs, c.Recheck.Seq)
		}
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
	slices.Sort(seqs)
	return slices.Compact(seqs)
}

func (x *explainer) endings(a *Account, c *Cell) []Ending {
	var ends []Ending
	k, h, s := c.Live(x.now)
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
		end := Ending{Block: StatusCooling, At: k.Until, NextProbe: x.outlook.NextProbe(a, c.Target)}
		end.How = "its deadline, a clear, " + x.served(end.NextProbe)
		ends = append(ends, end)
	}
	return ends
}
