package api

import (
	"context"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// WhyAnswer says why a cell, or the cells behind one question, are as they are.
type WhyAnswer struct {
	AsOfSeq  uint64 `json:"as_of_seq"`
	Now      Time   `json:"now" doc:"the instant asked about"`
	Sentence string `json:"sentence" doc:"one plain sentence that answers the question"`
	Status   string `json:"status" enum:"disabled,suspended,held,cooling,available"`
	Account  string `json:"account,omitempty"`
	Provider string `json:"provider"`
	Target   string `json:"target,omitempty"`
	// Cells are explained one by one, those that block first.
	Cells         []WhyCell `json:"cells" nullable:"false"`
	CellCount     int       `json:"cell_count" doc:"of all cells, on this page or not"`
	GroupsVersion uint64    `json:"groups_version" doc:"in force at the instant asked about"`
	GroupsSeq     uint64    `json:"groups_seq" doc:"of the record that defined them"`
	PolicyVersion uint64    `json:"policy_version"`
	PolicySeq     uint64    `json:"policy_seq"`
	// NextPageToken asks for the cells after these, as of the same record and instant.
	NextPageToken *string `json:"next_page_token" doc:"for the cells after these, as of the same record and instant; null: there are none"`
}

// WhyCell explains one cell. Rule, Evidence, Hint, Lost and Clamp are of the answer that
// decided the automatic block.
type WhyCell struct {
	Account  string      `json:"account"`
	Target   string      `json:"target"`
	Status   string      `json:"status"`
	Sentence string      `json:"sentence"`
	Rule     string      `json:"rule,omitempty"`
	Evidence string      `json:"evidence,omitempty"`
	Hint     *Hint       `json:"hint,omitempty"`
	Lost     []Hint      `json:"lost,omitempty"`
	Clamp    *EventClamp `json:"clamp,omitempty"`
	// DecidedSeq, the versions and Step are what the block was decided under: the automatic
	// one, if there is a suspension, too.
	DecidedSeq    uint64      `json:"decided_seq,omitempty" doc:"of the record that decided it"`
	GroupsVersion uint64      `json:"groups_version,omitempty" doc:"in force when it was decided"`
	GroupsSeq     uint64      `json:"groups_seq,omitempty" doc:"of the record that defined them"`
	PolicyVersion uint64      `json:"policy_version,omitempty" doc:"in force when it was decided"`
	PolicySeq     uint64      `json:"policy_seq,omitempty" doc:"of the record that defined it"`
	Step          int         `json:"step,omitempty" doc:"of the ladder, from 1; none: a hint decided, or a human"`
	Causes        []EventRow  `json:"causes" nullable:"false" doc:"the records behind it, oldest first"`
	Ends          []WhyEnding `json:"ends" nullable:"false" doc:"what would end each block in force"`
}

// WhyEnding says what would end a block.
type WhyEnding struct {
	Block string `json:"block" enum:"suspended,held,cooling"`
	At    Time   `json:"at" doc:"when it ends by itself"`
	How   string `json:"how"`
	// NextProbeAt is of a cooldown.
	NextProbeAt Time `json:"next_probe_at" doc:"when a request may be let through to see whether the quota is back; null: not before the end"`
}

type whyQuery struct {
	Account  string `query:"account" format:"id"`
	Target   string `query:"target" format:"target" doc:"with account: one cell; without: all that were touched"`
	Provider string `query:"provider" format:"provider" doc:"with model: every account that could serve it"`
	Model    string `query:"model" format:"id"`
	At       string `query:"at" format:"moment" doc:"the past: RFC 3339, or seq:N"`
	Paging
}

// why answers a question. What comes first among the cells changes with time, so the next
// page is of the record and the instant of the first.
func why(ctx context.Context, b *Backend, q *whyQuery) (WhyAnswer, error) {
	if (q.Account == "") == (q.Provider == "" && q.Model == "") || q.Account == "" && q.Target != "" {
		return WhyAnswer{}, invalid("ask about an account (and a target), or about a provider and a model")
	}
	question := projection.Question{Target: q.Target, Provider: q.Provider, Model: q.Model, Limit: q.size()}
	if q.Account != "" {
		question.Account = b.stored(ctx, q.Account)
	}
	from, err := q.after("why", question.Account, q.Target, q.Provider, q.Model, q.At)
	if err != nil {
		return WhyAnswer{}, err
	}
	v, err := b.viewFrom(ctx, q.At, from)
	if err != nil {
		return WhyAnswer{}, err
	}
	question.Skip = from.Skip
	x, err := projection.Explain(v.state, question, v.now, func(seq events.Seq) (events.Record, error) {
		return b.Engine.Record(ctx, seq)
	})
	if err != nil {
		return WhyAnswer{}, err
	}
	a := NewWhyAnswer(x, v.state, v.now, b.Identities)
	if next := question.Skip + len(x.Cells); len(x.Cells) > 0 && next < x.Count {
		from.Skip, from.Seq, from.Now = next, a.AsOfSeq, v.now
		a.NextPageToken = from.token()
	}
	return *a, nil
}

// viewFrom is the view of a page: that of the query's at, or of the page before.
func (b *Backend) viewFrom(ctx context.Context, at string, from cursor) (*view, error) {
	if from.Seq == 0 {
		return b.viewAt(ctx, at)
	}
	s, err := b.Engine.StateAt(ctx, projection.Moment{Seq: events.Seq(from.Seq)})
	if err != nil {
		return nil, err
	}
	return newView(s, from.Now.UTC()), nil
}

// NewWhyAnswer renders an explanation of a state as seen at now, with ids as given.
func NewWhyAnswer(x *projection.Explanation, s *projection.State, now time.Time, ids *identity.Book) *WhyAnswer {
	a := &WhyAnswer{
		AsOfSeq: uint64(s.Head().Seq), Now: Time{now}, Sentence: ids.Show(x.Sentence), Status: string(x.Status),
		Account: ids.Given(x.Account), Provider: x.Provider, Target: x.Target, Cells: []WhyCell{},
		CellCount: x.Count, GroupsVersion: x.GroupsVersion, GroupsSeq: uint64(x.GroupsSeq), PolicyVersion: x.PolicyVersion,
		PolicySeq: uint64(x.PolicySeq),
	}
	for i := range x.Cells {
		a.Cells = append(a.Cells, newWhyCell(&x.Cells[i], ids))
	}
	return a
}

func newWhyCell(x *projection.CellExplanation, ids *identity.Book) WhyCell {
	c := WhyCell{
		Account: ids.Given(x.Account), Target: x.Target, Status: string(x.Status), Sentence: ids.Show(x.Sentence),
		Causes: []EventRow{}, Ends: []WhyEnding{},
	}
	for _, cause := range x.Causes {
		row := NewEventRow(cause.Record, ids)
		switch cause.Record.Event.(type) {
		case *events.GroupsDefined, *events.Expired:
			row.Text = cause.Text // of all that it says, what concerns the cell
		}
		c.Causes = append(c.Causes, row)
		if e, ok := cause.Record.Event.(*events.LimitObserved); ok {
			c.decidedBy(e)
		}
	}
	if d := x.Basis; d != nil {
		c.DecidedSeq, c.Step = uint64(d.Seq), d.Step
		c.GroupsVersion, c.GroupsSeq = d.GroupsVersion, uint64(d.GroupsSeq)
		c.PolicyVersion, c.PolicySeq = d.PolicyVersion, uint64(d.PolicySeq)
	}
	for _, end := range x.Ends {
		c.Ends = append(c.Ends, WhyEnding{Block: string(end.Block), At: Time{end.At}, How: end.How, NextProbeAt: Time{end.NextProbe}})
	}
	return c
}

// decidedBy fills in what an answer of an upstream decided. The causes come in
// order, so the last one that moved the block stays.
func (c *WhyCell) decidedBy(e *events.LimitObserved) {
	if c.Rule != "" && (e.Effect == events.EffectKept || e.Effect == events.EffectNone) {
		return
	}
	row := limitData(e)
	c.Rule, c.Evidence, c.Hint, c.Lost, c.Clamp = e.Signal.Rule, row.Evidence, row.Hint, row.Lost, row.Clamp
}
