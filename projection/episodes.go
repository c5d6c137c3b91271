package projection

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Episode is one freeze: a block of one cell from its start to its end, whatever
// prolonged it meanwhile. Manual and automatic blocks of a cell are episodes of their
// own.
type Episode struct {
	Account  string // stored id
	Provider string
	Target   string
	// Block is StatusCooling, StatusHeld or StatusSuspended.
	Block Status

	StartedAt time.Time
	Started   events.Seq
	// EndedAt is zero, and How empty, while it goes on. A block ends at its deadline
	// whether or not that is recorded: until it is, Ended is 0.
	EndedAt time.Time
	Ended   events.Seq
	How     EpisodeEnd

	Class  events.Class // of an automatic block
	Reason string       // of a suspension, or of a hold's signal
	Actor  string       // who suspended
	Model  string       // that the first refused request was for
	// Source says where its last deadline came from: a hint's source, "ladder",
	// "window", "import"; empty for one without.
	Source  string
	Until   time.Time // its last deadline; zero: none
	Clamped bool      // the policy cut that deadline

	// Answers are those of an upstream about the cell, or of a suspension of everything
	// those about any cell of the account, while it lasted, the first included.
	Answers int
	Limits  int // of those, 429s
	// Of an automatic block: Probes are the answers to probes, and LongestHint is the
	// longest that any answer asked to wait, as it was sent.
	Probes      int
	LongestHint time.Duration

	// MovedFrom is the target that new groups moved it from, the last time that they did
	// in the range that was looked at; empty: none.
	MovedFrom string
}

// EpisodeEnd says how an episode ended.
type EpisodeEnd string

// The ends.
const (
	EndExpired   EpisodeEnd = "expired"   // its time came
	EndCleared   EpisodeEnd = "cleared"   // an operator ended a cooldown or hold
	EndRecovered EpisodeEnd = "recovered" // evidence that it works again
	EndLifted    EpisodeEnd = "lifted"    // an operator ended a suspension
	EndReplaced  EpisodeEnd = "replaced"  // another suspension, or an import, took its place
	EndRegrouped EpisodeEnd = "regrouped" // new groups merged it with another block, or split it
	EndRemoved   EpisodeEnd = "removed"   // the account left the pool
	EndRenewed   EpisodeEnd = "renewed"   // a hold, by a new credential
)

// EpisodeEnds lists every way to end.
func EpisodeEnds() []EpisodeEnd {
	return []EpisodeEnd{EndExpired, EndCleared, EndRecovered, EndLifted, EndReplaced, EndRegrouped, EndRemoved, EndRenewed}
}

// Lasted is how long it has lasted at now, which is how long it lasted if it is over.
func (x *Episode) Lasted(now time.Time) time.Duration {
	if !x.EndedAt.IsZero() {
		now = x.EndedAt
	}
	return max(now.Sub(x.StartedAt), 0)
}

// episodeKey names the block that an episode is of.
type episodeKey struct {
	account, target string
	block           Status
}

// episodes follows the blocks of accounts from record to record.
type episodes struct {
	open map[episodeKey]*Episode
	done func(*Episode) // is told of each that has ended, and may keep it
	// was and is are room for the blocks of a record's accounts before and after it.
	was, is []block
}

// begin takes up the blocks in force at an instant.
func (x *episodes) begin(s *State, now time.Time) {
	x.open = map[episodeKey]*Episode{}
	for a := range s.Accounts("") {
		x.is = appendBlocks(x.is[:0], a)
		for _, b := range x.is {
			if b.live(now) {
				x.open[b.key] = b.episode(a)
			}
		}
	}
}

// goesOn reports whether an episode has not ended.
func (x *episodes) goesOn(key pairKey) bool {
	e := x.open[key.episodeKey]
	return e != nil && e.StartedAt.UnixNano() == key.started
}

// before notes how things stand with the accounts that a record is about, before it is
// folded: their cells may change in place.
func (x *episodes) before(s *State, ids []string) {
	x.was = x.was[:0]
	for _, id := range ids {
		x.was = appendBlocks(x.was, s.Account(id))
	}
}

// after follows a record that has been folded.
func (x *episodes) after(s *State, ids []string, r events.Record) {
	was := x.was
	for _, id := range ids {
		n := 0
		for n < len(was) && was[n].key.account == id {
			n++
		}
		x.change(r, was[:n], s.Account(id))
		was = was[n:]
	}
	if e, ok := r.Event.(*events.LimitObserved); ok {
		x.count(r, e)
	}
}

// change ends the blocks of an account that are gone or are others now, and begins the
// new ones. The account is nil if it is gone.
func (x *episodes) change(r events.Record, was []block, a *Account) {
	x.is = appendBlocks(x.is[:0], a)
	is := x.is
	_, regrouped := r.Event.(*events.GroupsDefined)
	var moved []*Episode // to where they are now
	for _, b := range was {
		open := x.open[b.key]
		if open == nil {
			continue
		}
		if n := find(is, b.key); n != nil && n.started == b.started && b.live(r.At) {
			n.prolong(open)
			continue
		}
		if n := b.movedTo(was, is); n != nil && regrouped && b.live(r.At) {
			open.Target, open.MovedFrom = n.key.target, open.Target
			moved = append(moved, open)
		} else {
			x.end(open, b, r, a)
		}
		delete(x.open, b.key)
	}
	for _, e := range moved { // now that those are over whose places they take
		x.open[e.key()] = e
	}
	for _, b := range is {
		if b.live(r.At) && x.open[b.key] == nil {
			x.open[b.key] = b.episode(a)
		}
	}
}

// find returns the block of a name; nil if there is none.
func find(list []block, key episodeKey) *block {
	i := slices.IndexFunc(list, func(b block) bool { return b.key == key })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// movedTo returns the first of the account's blocks now that is this one under another
// target; nil if none is. Where it stood under that target before, too, it is merged.
func (b *block) movedTo(was, is []block) *block {
	for i := range is {
		n := &is[i]
		if n.id() != b.id() || n.key == b.key {
			continue
		}
		if before := find(was, n.key); before == nil || before.id() != b.id() {
			return n
		}
	}
	return nil
}

// end closes an episode as a record, or before it its own deadline, tells.
func (x *episodes) end(e *Episode, b block, r events.Record, is *Account) {
	e.EndedAt, e.Ended, e.How = r.At, r.Seq, howEnded(r, is)
	if !b.until.IsZero() && !b.until.After(r.At) {
		e.EndedAt, e.How = b.until, EndExpired
		if _, recorded := r.Event.(*events.Expired); !recorded {
			e.Ended = 0
		}
	}
	x.done(e)
}

// howEnded names the end that a record brings to a block before its time.
func howEnded(r events.Record, is *Account) EpisodeEnd {
	switch r.Event.(type) {
	case *events.Expired:
		return EndExpired
	case *events.CooldownCleared:
		return EndCleared
	case *events.Recovered:
		return EndRecovered
	case *events.Lifted:
		return EndLifted
	case *events.GroupsDefined:
		return EndRegrouped
	case *events.AccountChanged:
		return EndRenewed
	}
	if is == nil {
		return EndRemoved
	}
	return EndReplaced
}

// count notes what an answer of an upstream says of the episodes that it falls into.
func (x *episodes) count(r events.Record, e *events.LimitObserved) {
	for _, block := range []Status{StatusCooling, StatusHeld} {
		open := x.open[episodeKey{r.Account, e.Target, block}]
		if open == nil {
			continue
		}
		open.answered(e)
		if e.Probe {
			open.Probes++
		}
		open.LongestHint = max(open.LongestHint, longestAsked(e))
		open.Model = cmp.Or(open.Model, e.Model)
	}
	if open := x.open[episodeKey{r.Account, e.Target, StatusSuspended}]; open != nil {
		open.answered(e)
	}
	if open := x.open[episodeKey{r.Account, events.TargetAll, StatusSuspended}]; open != nil && e.Target != events.TargetAll {
		open.answered(e)
	}
}

func (e *Episode) answered(a *events.LimitObserved) {
	e.Answers++
	if a.Status == 429 {
		e.Limits++
	}
}

// key names the block that the episode is of.
func (e *Episode) key() episodeKey { return episodeKey{e.Account, e.Target, e.Block} }

// longestAsked is the longest that an answer asked to wait. What it says of windows that
// are not spent, and what is no time, asks for nothing.
func longestAsked(e *events.LimitObserved) (longest time.Duration) {
	q := question{now: e.ObservedAt}
	ask := func(h *events.Hint) {
		if !h.Usable() {
			return
		}
		if at, why := q.instant(h); why == "" {
			longest = max(longest, at.Sub(e.ObservedAt))
		}
	}
	for i := range e.Lost {
		ask(&e.Lost[i])
	}
	if e.Hint != nil {
		ask(e.Hint)
	}
	return longest
}

// finish closes what is over at an instant, and tells of what goes on. It must be the
// last call.
func (x *episodes) finish(now time.Time) {
	for _, e := range x.open {
		if !e.Until.IsZero() && !e.Until.After(now) {
			e.EndedAt, e.How = e.Until, EndExpired
		}
		x.done(e)
	}
}

// block is one block of an account.
type block struct {
	key     episodeKey
	started events.Seq
	until   time.Time // zero: without an end
	cell    *Cell     // as it is now
}

// appendBlocks appends the blocks of an account, over or not; nil has none.
func appendBlocks(list []block, a *Account) []block {
	if a == nil {
		return list
	}
	for i := range a.Cells {
		c := &a.Cells[i]
		key := func(b Status) episodeKey { return episodeKey{a.ID, c.Target, b} }
		if k := c.Cooling; k != nil {
			list = append(list, block{key(StatusCooling), k.Started, k.Until, c})
		}
		if h := c.Held; h != nil {
			list = append(list, block{key(StatusHeld), h.Started, time.Time{}, c})
		}
		if s := c.Suspended; s != nil {
			list = append(list, block{key(StatusSuspended), s.Seq, s.Until, c})
		}
	}
	return list
}

func (b *block) live(now time.Time) bool { return b.until.IsZero() || now.Before(b.until) }

// episode begins the episode of a block.
func (b *block) episode(a *Account) *Episode {
	e := &Episode{Account: a.ID, Provider: a.Spec.Provider, Target: b.key.target, Block: b.key.block, Started: b.started}
	switch b.key.block {
	case StatusCooling:
		e.StartedAt, e.Class, e.Model = b.cell.Cooling.StartedAt, b.cell.Cooling.Class, b.cell.Cooling.Model
	case StatusHeld:
		h := b.cell.Held
		e.StartedAt, e.Class, e.Reason, e.Model = h.Since, h.Class, h.Reason, h.Model
	default:
		s := b.cell.Suspended
		e.StartedAt, e.Reason, e.Actor = s.Since, s.Reason, by(s)
	}
	b.prolong(e)
	return e
}

// prolong notes the deadline that is in force now.
func (b *block) prolong(e *Episode) {
	e.Until = b.until
	if b.key.block == StatusCooling {
		e.Source, e.Clamped = b.cell.Cooling.Source, b.cell.Cooling.Clamped
	}
}

// compare orders by start, then by cell.
func (e *Episode) compare(o *Episode) int {
	return cmp.Or(e.StartedAt.Compare(o.StartedAt), cmp.Compare(e.Started, o.Started), strings.Compare(e.Account, o.Account),
		strings.Compare(e.Target, o.Target), strings.Compare(string(e.Block), string(o.Block)))
}
