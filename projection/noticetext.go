package projection

import (
	"fmt"
	"time"

	"github.com/abeyance/abeyance/events"
)

// subject names an episode of a cell. It holds no NUL but between its parts.
func subject(id blockID) string {
	return fmt.Sprintf("%s\x00%s\x00%d", id.block, id.account, id.started)
}

// look returns a record of the log.
func (n *Notices) look(seq events.Seq) (events.Record, error) {
	for r, err := range n.log.Records(n.ctx, seq-1) {
		return r, err
	}
	return events.Record{}, fmt.Errorf("%w: no record %d", ErrFuture, seq) // unreachable: it was read before
}

// sentence says why a cell is as it is, as of the time of the fold.
func (n *Notices) sentence(account, target string) string {
	a := n.state.Account(account)
	c := a.Cell(target)
	x := explainer{s: n.state, now: n.at, lookup: n.look}
	out := CellExplanation{Account: account, Target: target}
	if err := x.causes(&c, &out); err != nil {
		n.err = err
	}
	return x.sentence(a, &c, &out)
}

// exhaustedSentence says why nothing can serve a group, and when the first account is
// back; the zero Time: none comes back by itself.
func (n *Notices) exhaustedSentence(key pool) (string, time.Time) {
	x := explainer{s: n.state, now: n.at}
	var c candidates
	for a := range n.state.Accounts("") {
		if a.Spec.Provider == key.provider {
			c.add(a, n.state.Standing(a, &Resolution{Provider: key.provider, Group: key.target}, n.at))
		}
	}
	return fmt.Sprintf("Group %s of %s is exhausted: %s", key.target, key.provider, x.candidates(&c)), c.at.Time()
}

// endedSentence says how an episode ended.
func endedSentence(e *Episode) string {
	was := map[Status]string{StatusCooling: "frozen", StatusHeld: "held", StatusSuspended: "suspended by hand"}[e.Block]
	how := map[EpisodeEnd]string{
		EndExpired:   "its time came",
		EndCleared:   "an operator cleared it",
		EndRecovered: "a request was served",
		EndLifted:    "an operator lifted it",
		EndReplaced:  "another block took its place",
		EndRegrouped: "new groups moved it",
		EndRemoved:   "the account left the pool",
		EndRenewed:   "the account has a new credential",
	}[e.How]
	return fmt.Sprintf("%s on %s was %s for %s, until %s: %s.",
		targetName(e.Target), e.Account, was, roundUp(e.Lasted(e.EndedAt)), clockTime(e.EndedAt), how)
}

// clamped tells of a freeze for which a provider asked for more than the policy grants,
// the first time in its episode.
func (n *Notices) clamped(r events.Record, e *events.LimitObserved) {
	a := n.state.Account(r.Account)
	if !n.filter.has(NoticeClamped) || a == nil || !n.concerns(a.Spec.Provider, e.Target) {
		return
	}
	c := a.Cell(e.Target)
	if c.Cooling == nil || c.Cooling.Decided != r.Seq || n.clampedBefore(r, e, c.Cooling.Started) {
		return
	}
	o := n.open[blockID{a.ID, StatusCooling, c.Cooling.Started}]
	if o == nil {
		return // unreachable: what a record has decided is in force, or was when it began
	}
	x := n.notice(NoticeClamped, &o.Episode)
	x.Sentence = fmt.Sprintf("%s on %s was answered to wait %s, which was cut to the bound %s: frozen until %s (record %d).",
		targetName(e.Target), a.ID, roundUp(time.Duration(e.Clamp.Asked*float64(time.Second))), boundText(e.Class, e.Clamp), clockTime(e.Until), r.Seq)
	n.emit(x)
}

// clampedBefore reports whether an earlier answer of the same episode was cut, too.
func (n *Notices) clampedBefore(r events.Record, e *events.LimitObserved, started events.Seq) bool {
	if e.Effect != events.EffectExtended {
		return false
	}
	q := events.Query{Account: r.Account, After: started - 1, Before: r.Seq}
	for earlier, err := range n.log.History(n.ctx, q) {
		if err != nil {
			n.err = err
			return false
		}
		x, ok := earlier.Event.(*events.LimitObserved)
		blocks := ok && (x.Effect == events.EffectStarted || x.Effect == events.EffectExtended)
		if blocks && x.Target == e.Target && x.Clamp != nil {
			return true
		}
	}
	return false
}
