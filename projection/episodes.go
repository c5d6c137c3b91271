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

	Limits int // upstream answers about the cell while it lasted, the first included
	Probes int // of those, to probes
	// LongestHint is the longest that any of those answers asked to wait, as it was sent.
	LongestHint time.Duration
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
	EndRegrouped EpisodeEnd = "regrouped" // new groups moved it to another target
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
	done func(Episode) // is told of each that has ended
}

// begin takes up the blocks in force at an instant.
func (x *episodes) begin(s *State, now time.Time) {
	x.open = map[episodeKey]*Episode{}
	for a := range s.Accounts("") {
		for _, b := range blocksOf(a) {
			if b.live(now) {
				x.open[b.key] = b.episode(a)
			}
		}
	}
}

// step follows one record. touched are the accounts that it is about, as they were
// before it and as they are.
func (x *episodes) step(r events.Record, touched []Touched) {
	for _, t := range touched {
		x.change(r, t)
	}
	if e, ok := r.Event.(*events.LimitObserved); ok {
		x.count(r, e)
	}
}

// Touched is an account before and after a record; nil where there is none.
type Touched struct {
	ID      string
	Was, Is *Account
}

// change ends the blocks that are gone or are others now, and begins the new ones.
func (x *episodes) change(r events.Record, t Touched) {
	is := blocksOf(t.Is)
	for _, b := range blocksOf(t.Was) {
		open := x.open[b.key]
		if open == nil {
			continue
		}
		i := slices.IndexFunc(is, func(n block) bool { return n.key == b.key })
		if i >= 0 && is[i].started == b.started && (b.until.IsZero() || r.At.Before(b.until)) {
			is[i].prolong(open)
			continue
		}
		x.end(open, b, r, t.Is)
		delete(x.open, b.key)
	}
	for _, b := range is {
		if b.live(r.At) && x.open[b.key] == nil {
			x.open[b.key] = b.episode(t.Is)
		}
	}
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
	x.done(*e)
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

// count notes what an answer of an upstream says of the episodes of its cell.
func (x *episodes) count(r events.Record, e *events.LimitObserved) {
	for _, block := range []Status{StatusCooling, StatusHeld} {
		open := x.open[episodeKey{r.Account, e.Target, block}]
		if open == nil {
			continue
		}
		open.Limits++
		if e.Probe {
			open.Probes++
		}
		open.LongestHint = max(open.LongestHint, longestAsked(e))
		open.Model = cmp.Or(open.Model, e.Model)
	}
}

// longestAsked is the longest that an answer asked to wait. What it says of windows that
// are not spent, and what is no time, asks for nothing.
func longestAsked(e *events.LimitObserved) (longest time.Duration) {
	hints := e.Lost
	if e.Hint != nil {
		hints = append(slices.Clone(hints), *e.Hint)
	}
	for i := range hints {
		if !hints[i].Usable() {
			continue
		}
		q := question{now: e.ObservedAt}
		if at, why := q.instant(&hints[i]); why == "" {
			longest = max(longest, at.Sub(e.ObservedAt))
		}
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
		x.done(*e)
	}
}

// block is one block of an account.
type block struct {
	key     episodeKey
	started events.Seq
	until   time.Time // zero: without an end
	cell    *Cell
}

// blocksOf lists the blocks of an account, over or not; nil has none.
func blocksOf(a *Account) (list []block) {
	if a == nil {
		return nil
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

// compareEpisodes orders by start, then by cell.
func compareEpisodes(a, b Episode) int {
	return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Started, b.Started), strings.Compare(a.Account, b.Account),
		strings.Compare(a.Target, b.Target), strings.Compare(string(a.Block), string(b.Block)))
}
