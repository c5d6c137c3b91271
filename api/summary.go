package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// SummaryAnswer is the pool at a glance.
type SummaryAnswer struct {
	AsOfSeq uint64     `json:"as_of_seq"`
	Now     Time       `json:"now"`
	Head    HeadAnswer `json:"head"`
	// Degraded: the log cannot be written; picks go on from the last state.
	Degraded      bool           `json:"degraded"`
	ObserveOnly   bool           `json:"observe_only"`
	GroupsVersion uint64         `json:"groups_version"`
	PolicyVersion uint64         `json:"policy_version"`
	Accounts      AccountCounts  `json:"accounts"`
	Groups        []GroupSummary `json:"groups" nullable:"false" doc:"by provider, then in the order of the groups' priority"`
	// Held are the holds: a human must act on each. At most 100 are listed.
	Held      []SummaryBlock `json:"held" nullable:"false"`
	HeldCount int            `json:"held_count"`
	// ByHand are manual suspensions without an end for over 24 hours. At most 100.
	ByHand      []SummaryBlock `json:"by_hand" nullable:"false"`
	ByHandCount int            `json:"by_hand_count"`
	ClockJump   *ClockJump     `json:"clock_jump,omitempty" doc:"the last jump of the system clock since the start"`
}

// AccountCounts counts the pool.
type AccountCounts struct {
	Total    int `json:"total"`
	Observed int `json:"observed" doc:"known from reports only"`
	Disabled int `json:"disabled"`
}

// GroupSummary counts the configured accounts of one provider for one group.
type GroupSummary struct {
	Provider  string `json:"provider"`
	Group     string `json:"group"`
	Label     string `json:"label"`
	Total     int    `json:"total"`
	Usable    int    `json:"usable"`
	Cooling   int    `json:"cooling"`
	Held      int    `json:"held"`
	Suspended int    `json:"suspended"`
	Disabled  int    `json:"disabled"`
	FirstBack Time   `json:"first_back" doc:"when the first account that cannot serve it comes back by itself"`
	NextProbe Time   `json:"next_probe_at" doc:"when a request may be let through to see whether a quota is back; in the past: the next one may; null: none is planned"`
}

// SummaryBlock is one block that a human should look at.
type SummaryBlock struct {
	Account string `json:"account"`
	Target  string `json:"target"`
	Since   Time   `json:"since"`
	Reason  string `json:"reason"`
	By      string `json:"by,omitempty"`
	Seq     uint64 `json:"seq"`
}

// ClockJump is a jump of the system clock against the time that really passed.
type ClockJump struct {
	At      Time    `json:"at"`
	Seconds float64 `json:"seconds"`
	Count   int     `json:"count"`
}

// HeadAnswer identifies the newest record of the log.
type HeadAnswer struct {
	LogID string `json:"log_id"`
	Seq   uint64 `json:"seq"`
	Hash  string `json:"hash"`
	At    Time   `json:"at"`
	// Bytes is the size of the log's file; 0: not known.
	Bytes int64 `json:"bytes,omitempty"`
}

// VerifyAnswer says whether the whole log is what was written.
type VerifyAnswer struct {
	OK      bool       `json:"ok"`
	Head    HeadAnswer `json:"head" doc:"as far as the log was verified"`
	Problem string     `json:"problem,omitempty" doc:"what is wrong"`
	BadSeq  uint64     `json:"bad_seq,omitempty" doc:"the first record that is not what was written"`
}

// Bounds of the summary.
const (
	maxSummaryBlocks = 100
	// longByHand is how long a suspension without an end runs before it is shown: it
	// may have been forgotten.
	longByHand = 24 * time.Hour
)

func summary(_ context.Context, b *Backend, _ *none) (SummaryAnswer, error) {
	v := b.Engine.View()
	now := b.Engine.Now().UTC()
	a := SummaryAnswer{
		AsOfSeq: uint64(v.State.Head().Seq), Now: Time{now}, Head: b.head(v.State.Head()), Degraded: v.Degraded, ObserveOnly: v.ObserveOnly,
		GroupsVersion: v.State.Groups().Version, PolicyVersion: v.State.Policy().Version,
		Held: []SummaryBlock{}, ByHand: []SummaryBlock{},
	}
	select {
	case <-b.Engine.Done():
		a.Degraded = true
	default:
	}
	if j := b.Engine.ClockJump(); j != nil {
		a.ClockJump = &ClockJump{At: Time{j.At}, Seconds: j.By.Seconds(), Count: j.Count}
	}
	t := tally{backend: b, state: v.State, now: now, out: &a, rows: map[string][]groupTally{}}
	for account := range v.State.Accounts("") {
		t.account(account)
	}
	a.Groups = t.groups()
	return a, nil
}

// tally adds up a summary in one pass over the pool.
type tally struct {
	backend *Backend
	state   *projection.State
	now     time.Time
	out     *SummaryAnswer
	// rows :: provider → one row per enabled group, in their order
	rows map[string][]groupTally
}

// groupTally is a group's row in the making: when the first account comes back by
// itself, and when the first is due for a probe while nobody, and while somebody can
// serve.
type groupTally struct {
	GroupSummary
	end, empty, background projection.Instant
}

func (t *tally) account(a *projection.Account) {
	counts := &t.out.Accounts
	counts.Total++
	if a.Spec.Disabled {
		counts.Disabled++
	}
	if a.Spec.Origin == events.OriginObserved {
		counts.Observed++
	} else {
		t.serves(a)
	}
	for i := range a.Cells {
		t.cell(a, &a.Cells[i])
	}
}

// serves counts a configured account for each group of its provider.
func (t *tally) serves(a *projection.Account) {
	groups := t.state.Groups().Of(a.Spec.Provider)
	rows := t.rows[a.Spec.Provider]
	if rows == nil {
		for i := range groups {
			row := GroupSummary{Provider: a.Spec.Provider, Group: groups[i].ID, Label: groups[i].Label}
			rows = append(rows, groupTally{row, projection.Never, projection.Never, projection.Never})
		}
		t.rows[a.Spec.Provider] = rows
	}
	for i := range rows {
		rows[i].count(t.state.Standing(a, &projection.Resolution{Provider: a.Spec.Provider, Group: rows[i].Group}, t.now))
	}
}

// count adds an account to a group's row.
func (g *groupTally) count(s projection.Standing) {
	g.Total++
	switch s.Status {
	case projection.StatusDisabled:
		g.Disabled++
	case projection.StatusSuspended:
		g.Suspended++
	case projection.StatusHeld:
		g.Held++
	case projection.StatusCooling:
		g.Cooling++
	case projection.StatusAvailable:
		g.Usable++
	}
	g.end, g.empty, g.background = min(g.end, s.End), min(g.empty, s.Empty), min(g.background, s.Background)
}

// row completes the group's row. While the log cannot be written no probe goes out.
func (g *groupTally) row(degraded bool) GroupSummary {
	row := g.GroupSummary
	row.FirstBack = Time{g.end.Time()}
	switch {
	case degraded:
	case row.Usable == 0:
		row.NextProbe = Time{g.empty.Time()}
	default:
		row.NextProbe = Time{g.background.Time()}
	}
	return row
}

// cell notes the blocks that a human should look at.
func (t *tally) cell(a *projection.Account, c *projection.Cell) {
	_, held, by := c.Live(t.now)
	name := t.backend.Identities.Given
	if held != nil {
		t.out.HeldCount++
		if len(t.out.Held) < maxSummaryBlocks {
			t.out.Held = append(t.out.Held, SummaryBlock{
				Account: name(a.ID), Target: c.Target, Since: Time{held.Since}, Reason: held.Reason, Seq: uint64(held.Started),
			})
		}
	}
	if by != nil && by.Until.IsZero() && t.now.Sub(by.Since) > longByHand {
		t.out.ByHandCount++
		if len(t.out.ByHand) < maxSummaryBlocks {
			t.out.ByHand = append(t.out.ByHand, SummaryBlock{
				Account: name(a.ID), Target: c.Target, Since: Time{by.Since}, Reason: by.Reason, By: by.By, Seq: uint64(by.Seq),
			})
		}
	}
}

func (t *tally) groups() []GroupSummary {
	out := []GroupSummary{}
	for _, provider := range slices.Sorted(maps.Keys(t.rows)) {
		for i := range t.rows[provider] {
			out = append(out, t.rows[provider][i].row(t.out.Degraded))
		}
	}
	return out
}

func head(_ context.Context, b *Backend, _ *none) (HeadAnswer, error) {
	return b.head(b.Engine.State().Head()), nil
}

func (b *Backend) head(h events.Head) HeadAnswer {
	a := HeadAnswer{LogID: h.Log, Seq: uint64(h.Seq), Hash: h.Hash.String(), At: Time{h.At}}
	if b.Bytes != nil {
		a.Bytes = b.Bytes()
	}
	return a
}
