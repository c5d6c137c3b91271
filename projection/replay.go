package projection

import (
	"context"
	"iter"
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
// elsewhere, or let through where it was blocked, has no answer: so Avoided is exact for
// the requests that say when they were sent, and ExtraFree, the time in which an account
// would have been free, is an upper bound of what could have been served.
//
// A suspension of a group that the other groups do not have, and that none of them
// replaces, stands there for the models of that group that the account was asked for.
type Replayed struct {
	From, To events.Seq // the first and the last record replayed; To is 0 without any
	// FromAt and ToAt bound the range in time.
	FromAt, ToAt time.Time
	Observations int // recorded answers that were decided again
	Limits       int // of those, 429s
	// Avoided counts the 429s that would not have been met: the account would have been
	// blocked when the request was sent, and was not.
	Avoided int
	// Undated counts the 429s of which nothing says when the request was sent, neither a
	// lease nor a time: whether they would have been met is not known, and they are not
	// among Avoided.
	Undated int
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
	return newReplayer(q, start, end).run(records)
}

func newReplayer(q Replay, start *State, end time.Time) *replayer {
	x := &replayer{
		query: q, was: world{State: start}, would: world{State: start.Snapshot().working()},
		out: &Replayed{FromAt: start.head.At, ToAt: end}, start: start.head.Seq, mapped: make([]events.Seq, 1),
		sends: newSends(), demands: map[string]*demand{},
	}
	x.was.onlyFollow()
	x.was.episodes.done = func(e *Episode) { x.pairs.recorded(e) }
	x.would.episodes.done = func(e *Episode) { x.pairs.replayed(e) }
	return x
}

// run walks the worlds through the range.
func (x *replayer) run(records recordRange) (*Replayed, error) {
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
	x.finish()
	return x.out, nil
}

// world is one of the two timelines.
type world struct {
	*State
	episodes episodes
	decider  decider
	// touching is told of each account before a record about it happens; nil: nobody is.
	touching func(account string, at time.Time)
	ids      []string // room for the accounts of one record
}

// replayer walks both worlds. What it keeps grows with the pool, and by some bytes for
// each record of the range: see sends and mapped.
type replayer struct {
	query      Replay
	was, would world
	out        *Replayed
	start      events.Seq // the seq that both begin at
	// mapped :: record of the range, from 0 for the start → seq of the other world once
	// it had happened there
	mapped []events.Seq
	sends  sends
	// demands :: account → what it was asked for in the range
	demands map[string]*demand
	pairs   pairs
	regroup events.Seq // the last record of the range that defines groups; 0: none does
	success string     // the command whose success was replayed last: it may have ended several blocks
	command string     // of the last record, and the seq that its first record follows there
	first   events.Seq
	report  Report // room for the one that is decided again
}

// redefine puts the other rules in force, at the start, in the other world.
func (x *replayer) redefine() error {
	var intents []Intent
	if x.query.Groups != nil {
		intents = append(intents, &DefineGroups{Config: *x.query.Groups, abandon: true})
	}
	if x.query.Policy != nil {
		intents = append(intents, &DefinePolicy{Config: *x.query.Policy})
	}
	for _, do := range intents {
		if err := x.would.execute(do, dated{x.was.head.At, x.was.head.At}, nil); err != nil {
			return err
		}
	}
	x.resuspend()
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
	w.ids = w.touched(w.ids[:0], r)
	if w.touching != nil {
		for _, id := range w.ids {
			w.touching(id, r.At)
		}
	}
	if w.episodes.open == nil {
		w.fold(r)
	} else {
		w.episodes.before(w.State, w.ids)
		w.fold(r)
		w.episodes.after(w.State, w.ids, r)
	}
	if each != nil {
		each(r)
	}
}

// fold folds a record whose changes nobody publishes.
func (s *State) fold(r events.Record) {
	s.Apply(r)
	s.changed = nil
}

// touched appends the accounts that a record is about; new groups may concern all.
func (s *State) touched(ids []string, r events.Record) []string {
	switch r.Event.(type) {
	case *events.GroupsDefined:
		for a := range s.Accounts("") {
			ids = append(ids, a.ID)
		}
		return ids
	case *events.Expired:
		return append(ids, r.Accounts()...)
	}
	if r.Account != "" {
		ids = append(ids, r.Account)
	}
	return ids
}

// begin takes up what is open at the start.
func (x *replayer) begin() {
	x.was.episodes.begin(x.was.State, x.was.head.At)
	x.would.episodes.begin(x.would.State, x.was.head.At)
	x.was.touching, x.would.touching = x.settle, x.settle
}

// finish closes the books.
func (x *replayer) finish() {
	for id := range x.demands {
		x.settle(id, x.out.ToAt)
	}
	x.was.episodes.finish(x.out.ToAt)
	x.would.episodes.finish(x.out.ToAt)
	x.out.Differing, x.out.DifferingCount = x.pairs.finish()
}
