package projection

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Replay asks what would have happened under other rules: the recorded observations and
// commands of a range are decided again, by the same Decide, from the stored signals.
type Replay struct {
	// From and To bound the range: the state at From is where both begin, and the
	// records after it up to To are replayed. The zero From is the beginning of the log,
	// the zero To its end.
	From, To Moment
	// Groups and Policy are the other rules. Nil: those of the time.
	Groups *GroupsConfig
	Policy *PolicyConfig
}

// MaxDiffering is how many episodes that differ a replay lists at most.
const MaxDiffering = 1000

// Replayed is what a replay found.
//
// It knows only what was recorded. A request that the other rules would have sent
// elsewhere, or let through where it was blocked, has no answer: so Avoided is exact,
// and ExtraFree, the time in which an account would have been free, is an upper bound
// of what could have been served.
type Replayed struct {
	From, To events.Seq // the first and the last record replayed; To is 0 without any
	// FromAt and ToAt bound the range in time.
	FromAt, ToAt time.Time
	Observations int // recorded answers that were decided again
	Limits       int // of those, 429s
	// Avoided counts the 429s that would not have been met: the account would have been
	// blocked when the request was sent, and was not.
	Avoided int
	// ExtraFree and ExtraBlocked add up, over the accounts and the models that they were
	// asked for in the range, the time in which the account would have been free and was
	// not, and the other way round.
	ExtraFree, ExtraBlocked time.Duration
	// Differing are the episodes that differ, in the order of their starts, at most
	// MaxDiffering of them; DifferingCount counts all.
	Differing      []EpisodePair
	DifferingCount int
	// First is the first decision that differs; nil: none does.
	First *Difference
}

// Same reports whether the other rules made no difference.
func (r *Replayed) Same() bool {
	return r.First == nil && r.Avoided == 0 && r.DifferingCount == 0 && r.ExtraFree == 0 && r.ExtraBlocked == 0
}

// EpisodePair is an episode as it was and as it would have been; one is nil if it was
// not, or would not have been.
type EpisodePair struct{ Recorded, Replayed *Episode }

// Difference is a decision that differs.
type Difference struct {
	Record  events.Record // the observation
	Because string        // what differs first, in words
	// Recorded and Replayed are the two decisions. Replayed is nil if the request would
	// not have been sent.
	Recorded, Replayed *Verdict
}

// Verdict is what was decided about an observation.
type Verdict struct {
	Target string
	Class  events.Class
	Effect events.Effect
	Why    string
	Until  time.Time
	Source string
	Clamp  *events.Clamp
}

// Replay runs a replay over the log. Errors are *Error for definitions that are refused,
// wrap ErrFuture, or are the log's.
func (p *Past) Replay(ctx context.Context, q Replay) (*Replayed, error) {
	x, err := p.span(ctx, q.From, q.To)
	if err != nil {
		return nil, err
	}
	first := x.start.head.Seq + 1
	return replay(q, x.start, x.end, func() iter.Seq2[events.Record, error] { return p.records(ctx, first, x.last) })
}

// recordRange yields the records of a range, as often as it is asked.
type recordRange func() iter.Seq2[events.Record, error]

// replay runs two worlds side by side: one in which the records happen as they did, and
// one in which they are decided again. It takes possession of the state that both begin
// with.
func replay(q Replay, start *State, end time.Time, records recordRange) (*Replayed, error) {
	x := replayer{
		query: q, was: world{State: start}, would: world{State: start.Snapshot().working()},
		out: &Replayed{FromAt: start.head.At, ToAt: end}, start: start.head.Seq,
		mapped: make([]events.Seq, 1), unmatched: map[pairKey]*EpisodePair{},
	}
	if err := x.foresee(records); err != nil {
		return nil, err
	}
	if err := x.redefine(); err != nil {
		return nil, err
	}
	x.begin()
	x.send(x.start)
	for r, err := range records() {
		if err != nil {
			return nil, err
		}
		if err := x.step(r); err != nil {
			return nil, err
		}
	}
	x.finish(end)
	return x.out, nil
}

// world is one of the two timelines.
type world struct {
	*State
	episodes episodes
	decider  decider
	// touching is told of each account before a record about it happens; nil: nobody is.
	touching func(account string, at time.Time)
}

// replayer walks both worlds.
type replayer struct {
	query      Replay
	was, would world
	out        *Replayed
	start      events.Seq // the seq that both begin at
	// mapped :: record of the range, from 0 for the start → seq of the other world once
	// it had happened there
	mapped []events.Seq
	sends  sends
	// models :: account → what it was asked for in the range
	models map[string][]asked
	// settled :: account → since when its free time has not been added up
	settled   map[string]time.Time
	unmatched map[pairKey]*EpisodePair
	success   string // the command whose success was replayed last: it may have ended several blocks
	command   string // of the last record, and the seq that its first record follows there
	first     events.Seq
}

type pairKey struct {
	episodeKey
	started int64
}

// asked is a model that an account was asked for.
type asked struct{ provider, model string }

// redefine puts the other rules in force, at the start, in the other world.
func (x *replayer) redefine() error {
	var intents []Intent
	if x.query.Groups != nil {
		intents = append(intents, &DefineGroups{Config: *x.query.Groups})
	}
	if x.query.Policy != nil {
		intents = append(intents, &DefinePolicy{Config: *x.query.Policy})
	}
	for _, do := range intents {
		if err := x.would.execute(do, dated{x.was.head.At, x.was.head.At}, nil); err != nil {
			return err
		}
	}
	x.mapped[0] = x.would.head.Seq
	return nil
}

// dated is when a command was decided: the clock's now, and what its records say, which
// is later if the clock had gone back.
type dated struct{ now, at time.Time }

// execute decides a command in a world and folds what comes of it.
func (w *world) execute(do Intent, when dated, each func(events.Record)) error {
	d, err := w.decider.run(w.State, Command{Do: do}, when.now)
	if err != nil {
		return err
	}
	for _, draft := range d.Drafts {
		w.apply(events.Record{Seq: w.head.Seq + 1, At: laterOf(when.at, w.head.At), Draft: draft}, each)
	}
	return nil
}

// apply folds a record and follows its episodes.
func (w *world) apply(r events.Record, each func(events.Record)) {
	touched := w.touch(r)
	if w.touching != nil {
		for i := range touched {
			w.touching(touched[i].ID, r.At)
		}
	}
	w.pass(r, touched)
	if w.episodes.open != nil {
		w.episodes.step(r, touched)
	}
	if each != nil {
		each(r)
	}
}

// pass folds a record, and notes the accounts that it is about as they were before it and
// as they are.
func (s *State) pass(r events.Record, touched []Touched) {
	s.hold()
	for i := range touched {
		touched[i].Was = s.Account(touched[i].ID)
	}
	s.Apply(r)
	s.changed = nil
	for i := range touched {
		touched[i].Is = s.Account(touched[i].ID)
	}
}

// touch lists the accounts that a record is about; new groups may concern all.
func (s *State) touch(r events.Record) (list []Touched) {
	if r.Kind() == events.KindGroupsDefined {
		for a := range s.Accounts("") {
			list = append(list, Touched{ID: a.ID})
		}
		return list
	}
	for _, id := range r.Accounts() {
		list = append(list, Touched{ID: id})
	}
	return list
}

// begin takes up what is open at the start.
func (x *replayer) begin() {
	x.was.episodes.done = func(e Episode) { x.pair(&e, func(p *EpisodePair) **Episode { return &p.Recorded }) }
	x.would.episodes.done = func(e Episode) { x.pair(&e, func(p *EpisodePair) **Episode { return &p.Replayed }) }
	x.was.episodes.begin(x.was.State, x.was.head.At)
	x.would.episodes.begin(x.would.State, x.was.head.At)
	x.settled = map[string]time.Time{}
	x.was.touching, x.would.touching = x.settle, x.settle
}

// pair puts an episode that has ended beside its like in the other world; those that
// are the same are of no more interest.
func (x *replayer) pair(e *Episode, side func(*EpisodePair) **Episode) {
	key := pairKey{episodeKey{e.Account, e.Target, e.Block}, e.StartedAt.UnixNano()}
	p := x.unmatched[key]
	if p == nil {
		p = &EpisodePair{}
		x.unmatched[key] = p
	}
	*side(p) = e
	if p.Recorded != nil && p.Replayed != nil && p.same() {
		delete(x.unmatched, key)
	}
}

// same reports whether both episodes are alike in all but their seqs.
func (p *EpisodePair) same() bool {
	a, b := *p.Recorded, *p.Replayed
	a.Started, a.Ended, b.Started, b.Ended = 0, 0, 0, 0
	return a == b
}

// finish closes the books.
func (x *replayer) finish(end time.Time) {
	for id := range x.models {
		x.settle(id, end)
	}
	x.was.episodes.finish(end)
	x.would.episodes.finish(end)
	for _, p := range x.unmatched {
		x.out.Differing = append(x.out.Differing, *p)
	}
	first := func(p EpisodePair) Episode {
		if p.Recorded != nil {
			return *p.Recorded
		}
		return *p.Replayed
	}
	slices.SortFunc(x.out.Differing, func(a, b EpisodePair) int { return compareEpisodes(first(a), first(b)) })
	x.out.DifferingCount = len(x.out.Differing)
	x.out.Differing = x.out.Differing[:min(len(x.out.Differing), MaxDiffering)]
}
