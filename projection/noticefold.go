package projection

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Notices follows a log and derives what is worth a notice: from the records, and from
// the time that passes between them. It is a pure fold but for the older records that
// sentences cite: from a position on, the same records and instants give the same
// notices. It is for one goroutine.
//
// An instant counts as passed before a record that is dated at or after it. The time
// never goes back: after the clock did, begin anew at an earlier instant.
type Notices struct {
	filter NoticeFilter
	log    events.Log
	state  *State
	at     time.Time
	// open :: block → its episode, of every block in force, whatever the filter says
	open  map[blockID]*openBlock
	due   dueBlocks
	pools noticePools

	ctx    context.Context // of the call under way
	before Position        // what is told now is told after
	out    []Notice
	err    error // of looking up what a sentence cites; the fold is of no more use
	since  int   // records applied since the state was made
}

// blockID names a block, whatever becomes of its target: new groups may move it.
type blockID struct {
	account string
	block   Status
	started events.Seq
}

// openBlock is a block in force.
type openBlock struct {
	Episode
	// told: its beginning was told, or lies before the position that the fold began at.
	told bool
	// queued is when its end is looked at; zero: it is not. The end may be later by then.
	queued time.Time
}

// Notices returns a fold that goes on from a position of the log, which it must have
// held: [Past.Reached] tells. It takes time that grows with the pool.
func (p *Past) Notices(ctx context.Context, from Position, f NoticeFilter) (*Notices, error) {
	n := &Notices{filter: f, log: p.Log, at: from.At}
	if from.Seq == p.State.head.Seq {
		n.state = p.State.working()
	} else {
		var err error
		if n.state, err = p.fold(ctx, Moment{Seq: from.Seq}); err != nil {
			return nil, err
		}
	}
	n.begin()
	return n, nil
}

// Reached reports whether the log holds the record of a position: it may be another log,
// or have lost its end.
func (p *Past) Reached(ctx context.Context, at Position) (bool, error) {
	switch {
	case at.Seq > p.State.head.Seq:
		return false, nil
	case at.Seq == 0:
		return at.Hash == events.Genesis(p.State.head.Log), nil
	}
	r, err := p.Record(ctx, at.Seq)
	return r.Hash == at.Hash, err
}

// begin takes up what is in force.
func (n *Notices) begin() {
	n.open, n.before = map[blockID]*openBlock{}, n.Position()
	n.pools.begin(n)
	for a := range n.state.Accounts("") {
		blocks := appendBlocks(nil, a)
		for i := range blocks {
			// New groups may have put one suspension on several targets: the first stands for it.
			if b := &blocks[i]; b.live(n.at) && n.open[b.id()] == nil {
				n.follow(a, b)
			}
		}
		n.pools.count(a, 1)
	}
	n.pools.settle(false)
}

// Position is how far the fold has come.
func (n *Notices) Position() Position {
	return Position{n.state.head.Seq, n.state.head.Hash, n.at}
}

// Next is the next instant at which something falls due; the zero Time: none is known.
func (n *Notices) Next() time.Time {
	if len(n.due) == 0 {
		return time.Time{}
	}
	return n.due[0].at
}

// Apply folds one record, which must be the next, and returns what it and the time until
// it are worth. A record may be dated after now, if the clock went back; what is to come
// has not happened yet for all that.
func (n *Notices) Apply(ctx context.Context, r events.Record, now time.Time) ([]Notice, error) {
	n.ctx = ctx
	if r.At.Before(now) {
		now = r.At
	}
	n.pass(now)
	n.before = n.Position()
	w := n.state.walk(r)
	n.since++
	for _, t := range w.Accounts {
		n.change(r, t)
	}
	if w.GroupsBefore != w.GroupsAfter {
		n.pools.recount()
	} else {
		for _, t := range w.Accounts {
			n.pools.count(t.Was, -1)
			n.pools.count(t.Is, 1)
		}
	}
	n.pools.ended = howServed(r)
	n.pools.settle(true)
	if e, ok := r.Event.(*events.LimitObserved); ok && e.Clamp != nil {
		n.clamped(r, e)
	}
	n.fallDue(n.at) // a block may have been over when it began
	return n.taken()
}

// Advance lets time pass, and returns what that is worth. No record from before may be
// left to be applied.
func (n *Notices) Advance(ctx context.Context, now time.Time) ([]Notice, error) {
	n.ctx = ctx
	n.pass(now)
	return n.taken()
}

func (n *Notices) taken() ([]Notice, error) {
	out := n.out
	n.out = nil
	return out, n.err
}

// pass lets time pass up to an instant.
func (n *Notices) pass(to time.Time) {
	for len(n.due) > 0 && !n.due[0].at.After(to) {
		n.before = n.Position()
		n.fallDue(n.due[0].at)
	}
	if to.After(n.at) {
		n.at = to.UTC()
	}
}

// fallDue does what is due at an instant: blocks end before others have lasted long
// enough, because one that ends just then has not lasted for longer.
func (n *Notices) fallDue(at time.Time) {
	was := n.at
	at = laterOf(at, was)
	var ended []*openBlock
	for len(n.due) > 0 && !n.due[0].at.After(at) {
		d := heap.Pop(&n.due).(dueBlock)
		o := n.open[d.id]
		switch {
		case !n.holds(d):
		case d.end && o.Until.After(at):
			n.lookAt(d.id, o)
		case d.end:
			delete(n.open, d.id)
			ended = append(ended, o)
		default:
			n.at = at
			n.tell(o, false)
			o.told = true
		}
	}
	n.pools.over(ended, was, at)
	n.at = at
	for _, o := range ended {
		o.EndedAt, o.How = laterOf(o.Until, o.StartedAt), EndExpired
		n.tellEnd(o)
	}
	n.pools.ended = EndExpired
	n.pools.settle(true)
}

// change follows the blocks of an account through a record.
func (n *Notices) change(r events.Record, t Touched) {
	is := map[blockID]*block{}
	blocks := appendBlocks(nil, t.Is)
	for i := range blocks {
		if id := blocks[i].id(); is[id] == nil {
			is[id] = &blocks[i]
		}
	}
	for _, was := range appendBlocks(nil, t.Was) {
		o := n.open[was.id()]
		if o == nil {
			continue
		}
		if b := is[was.id()]; b != nil {
			n.prolong(o, b)
			continue
		}
		delete(n.open, was.id())
		o.EndedAt, o.Ended, o.How = r.At, r.Seq, howEnded(r, t.Is)
		n.tellEnd(o)
	}
	for i := range blocks {
		b := &blocks[i]
		if n.open[b.id()] == nil && (b.started == r.Seq || b.live(n.at)) {
			n.follow(t.Is, b)
		}
	}
}

func (b *block) id() blockID { return blockID{b.key.account, b.key.block, b.started} }

// prolong notes the target and the deadline that a block has now.
func (n *Notices) prolong(o *openBlock, b *block) {
	o.Target = b.key.target
	if until := o.Until; !until.Equal(b.until) {
		b.prolong(&o.Episode)
		n.endsAt(b.id(), o)
	}
}

// follow takes up a block. What it has lasted for long enough already is told now, if it
// began with the newest record, and else has been.
func (n *Notices) follow(a *Account, b *block) {
	o := &openBlock{Episode: *b.episode(a)}
	n.open[b.id()] = o
	n.endsAt(b.id(), o)
	kind, after := n.worth(o)
	at, begins := o.StartedAt.Add(after), b.started == n.before.Seq+1
	switch {
	case !n.filter.follows(kind):
		o.told = true // it is never to be
	case begins && (after == 0 || !at.After(n.at)): // at once, even if its record is dated after now
		n.tell(o, false)
		o.told = true
	case after > 0 && at.After(n.at):
		n.push(dueBlock{at: at, id: b.id()})
	default:
		o.told = true
	}
}

// endsAt has the end of a block looked at in time. Where it is looked at earlier, that
// does: a freeze may be prolonged a thousand times.
func (n *Notices) endsAt(id blockID, o *openBlock) {
	switch {
	case o.Until.IsZero():
		o.queued = time.Time{}
	case o.queued.IsZero() || o.Until.Before(o.queued):
		n.lookAt(id, o)
	}
}

func (n *Notices) lookAt(id blockID, o *openBlock) {
	o.queued = o.Until
	n.push(dueBlock{at: o.Until, id: id, end: true})
}

// push queues an instant. Those that do not hold any more are dropped before they are
// most of the queue: freezes may come and go long before their deadlines.
func (n *Notices) push(d dueBlock) {
	if len(n.due) > 4*len(n.open)+minDue {
		n.due = slices.DeleteFunc(n.due, func(d dueBlock) bool { return !n.holds(d) })
		heap.Init(&n.due)
	}
	heap.Push(&n.due, d)
}

// minDue is how many instants are queued before it is worth while to drop some.
const minDue = 256

// holds reports whether what is due then still is.
func (n *Notices) holds(d dueBlock) bool {
	o := n.open[d.id]
	return o != nil && (d.end && d.at.Equal(o.queued) || !d.end && !o.told)
}

// worth says as what a block is told, and how long it must have lasted.
func (n *Notices) worth(o *openBlock) (NoticeKind, time.Duration) {
	switch o.Block {
	case StatusHeld:
		return NoticeHeld, 0
	case StatusSuspended:
		return NoticeSuspended, LongByHand
	default:
		return NoticeFrozen, n.filter.LongerThan
	}
}

// tellEnd tells that a block is over whose beginning was worth telling.
func (n *Notices) tellEnd(o *openBlock) {
	if o.told {
		n.tell(o, true)
	}
}

// tell emits a notice about a block, if the filter asks for it.
func (n *Notices) tell(o *openBlock, over bool) {
	kind, _ := n.worth(o)
	if !n.filter.follows(kind) || !over && !n.filter.has(kind) || !n.concerns(o.Provider, o.Target) {
		return
	}
	x := n.notice(kind, &o.Episode)
	if x.Over = over; over {
		x.At, x.How, x.Sentence = o.EndedAt, o.How, endedSentence(&o.Episode)
	} else {
		x.Sentence = n.sentence(o.Account, o.Target)
	}
	n.emit(x)
}

// notice is what is said of an episode of a cell in any case.
func (n *Notices) notice(kind NoticeKind, e *Episode) Notice {
	return Notice{
		Kind: kind, Subject: subject(blockID{e.Account, e.Block, e.Started}), At: n.at, Provider: e.Provider,
		Account: e.Account, Target: e.Target, Group: n.groupOf(e.Provider, e.Target), Class: e.Class, Reason: e.Reason,
		Actor: e.Actor, Since: e.StartedAt, Until: e.Until,
	}
}

func (n *Notices) emit(x Notice) {
	x.Before, x.Seq = n.before, n.state.head.Seq
	n.out = append(n.out, x)
}

// Adopt lets the fold go on with the value of a published state, if that is as far as it
// is itself. Accounts are shared between the states of an engine, and a fold that has
// applied many records shares none of them any more.
func (n *Notices) Adopt(published *State) {
	is, was := published.head, n.state.head
	if n.since >= adoptAfter && is.Seq == was.Seq && is.Hash == was.Hash && is.Log == was.Log {
		n.state, n.since = published.working(), 0
	}
}

// adoptAfter is how many records a fold applies before it adopts a state again, which
// takes time that grows with the pool.
const adoptAfter = 10_000

// dueBlock is an instant at which a block may end, or has lasted long enough. Which of
// them still hold, the open blocks tell.
type dueBlock struct {
	at  time.Time
	id  blockID
	end bool
}

// dueBlocks is a heap; at one instant the ends come first.
type dueBlocks []dueBlock

// Len implements sort.Interface.
func (q dueBlocks) Len() int { return len(q) }

// Less implements sort.Interface.
func (q dueBlocks) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	if q[i].end != q[j].end {
		return q[i].end
	}
	return q[i].id.started < q[j].id.started
}

// Swap implements sort.Interface.
func (q dueBlocks) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *dueBlocks) Push(x any) { *q = append(*q, x.(dueBlock)) }

// Pop implements heap.Interface.
func (q *dueBlocks) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
