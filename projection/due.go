package projection

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// deadline is the end of one block.
type deadline struct {
	at              time.Time
	account, target string
	dimension       events.Dimension
}

func (d deadline) compare(o deadline) int {
	return cmp.Or(d.at.Compare(o.at), strings.Compare(d.account, o.account), strings.Compare(d.target, o.target),
		cmp.Compare(d.dimension, o.dimension))
}

// deadlines yields the ends of an account's blocks, recorded or not.
func (a *Account) deadlines() iter.Seq[deadline] {
	return func(yield func(deadline) bool) {
		for i := range a.Cells {
			c := &a.Cells[i]
			if c.Cooling != nil && !yield(deadline{c.Cooling.Until, a.ID, c.Target, events.DimensionCooling}) {
				return
			}
			if c.Suspended != nil && !c.Suspended.Until.IsZero() &&
				!yield(deadline{c.Suspended.Until, a.ID, c.Target, events.DimensionSuspended}) {
				return
			}
		}
	}
}

// dueQueue orders accounts by their first deadline: a heap that knows where each
// account stands in it. Only a working state has one: it is changed in place.
type dueQueue struct {
	heap []dueItem
	// place :: slot → 1 + index in the heap; 0: not in it
	place []int32
}

// dueItem is an account with deadlines. Instants are nanoseconds since 1970: the log
// holds none that does not fit.
type dueItem struct {
	at   int64 // its first deadline
	then int64 // its second
	slot slot
}

// noDeadline is after all deadlines.
const noDeadline = math.MaxInt64

// clockAt is a reading of the clock as deadlines are kept. It may be of any year: one
// beyond all deadlines is after them, and before noDeadline.
func clockAt(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64+1)):
		return math.MinInt64 + 1
	case t.After(time.Unix(0, noDeadline-1)):
		return noDeadline - 1
	}
	return t.UnixNano()
}

// heapWidth is how many children a place in the heap has: about as many as fit a
// cache line, because an account that is put off goes down most of a heap that is
// cold.
const heapWidth = 4

// dueOf returns the deadlines of the account in a slot; none if it is nil.
func dueOf(k slot, a *Account) dueItem {
	x := dueItem{noDeadline, noDeadline, k}
	if a == nil {
		return x
	}
	for d := range a.deadlines() {
		switch at := d.at.UnixNano(); {
		case at < x.at:
			x.at, x.then = at, x.at
		case at < x.then:
			x.then = at
		}
	}
	return x
}

// set notes the deadlines of an account.
func (q *dueQueue) set(x dueItem) {
	for int(x.slot) >= len(q.place) {
		q.place = append(q.place, 0)
	}
	i := int(q.place[x.slot]) - 1
	switch {
	case x.at == noDeadline && i < 0:
	case x.at == noDeadline:
		q.place[x.slot] = 0
		last := q.heap[len(q.heap)-1]
		if q.heap = q.heap[:len(q.heap)-1]; i < len(q.heap) {
			q.fix(i, last)
		}
	case i < 0:
		q.heap = append(q.heap, dueItem{})
		q.fix(len(q.heap)-1, x)
	default:
		q.fix(i, x)
	}
}

// fix puts an item where it belongs on the way up or down from index i, which is
// free.
func (q *dueQueue) fix(i int, x dueItem) {
	for i > 0 && x.at < q.heap[(i-1)/heapWidth].at {
		q.put(i, q.heap[(i-1)/heapWidth])
		i = (i - 1) / heapWidth
	}
	for {
		first := q.firstChild(i)
		if first < 0 || q.heap[first].at >= x.at {
			break
		}
		q.put(i, q.heap[first])
		i = first
	}
	q.put(i, x)
}

// firstChild returns the earliest child of index i, or -1.
func (q *dueQueue) firstChild(i int) int {
	first := -1
	for c := heapWidth*i + 1; c < min(heapWidth*i+1+heapWidth, len(q.heap)); c++ {
		if first < 0 || q.heap[c].at < q.heap[first].at {
			first = c
		}
	}
	return first
}

func (q *dueQueue) put(i int, x dueItem) {
	q.heap[i] = x
	q.place[x.slot] = int32(i) + 1
}

// split yields the accounts that have a deadline at or before t to due, in no order, and
// returns the first deadline of the others; it passes over the slots of skip. Beyond its
// answer and what it passes over it takes no time.
func (q *dueQueue) split(t int64, skip map[slot]bool, due func(dueItem)) (next int64) {
	next = noDeadline
	var walk func(i int)
	walk = func(i int) {
		if i >= len(q.heap) {
			return
		}
		switch x := q.heap[i]; {
		case skip[x.slot]:
		case x.at > t:
			next = min(next, x.at)
			return
		default:
			due(x)
		}
		for c := range heapWidth {
			walk(heapWidth*i + 1 + c)
		}
	}
	walk(0)
	return next
}

// queue returns the deadlines in order: those of a working state, or, in time that
// grows with the pool, those of a published one.
func (s *State) queue() *dueQueue {
	if s.due != nil {
		return s.due
	}
	q := new(dueQueue)
	for k, a := range s.accounts.from("") {
		q.set(dueOf(k, a))
	}
	return q
}

// after returns the first deadline after t of an account that is due; noDeadline if
// there is none.
func (s *State) after(x dueItem, t int64) int64 {
	switch {
	case x.at > t:
		return x.at
	case x.then > t:
		return x.then
	}
	return s.accounts.at(x.slot).deadlineAfter(t)
}

// deadlineAfter returns the account's first deadline after t; noDeadline if there is
// none.
func (a *Account) deadlineAfter(t int64) int64 {
	next := int64(noDeadline)
	for d := range a.deadlines() {
		if at := d.at.UnixNano(); at > t {
			next = min(next, at)
		}
	}
	return next
}

// NextDeadline returns the earliest end of a block at or after which something may
// become usable, including one that has come and is not yet recorded; false if
// none has an end. On a published state it looks at all accounts.
func (s *State) NextDeadline() (time.Time, bool) {
	if q := s.queue(); len(q.heap) > 0 {
		return time.Unix(0, q.heap[0].at).UTC(), true
	}
	return time.Time{}, false
}

// Due reports whether a block's deadline has come at now and is not recorded.
func (s *State) Due(now time.Time) bool {
	at, ok := s.NextDeadline()
	return ok && !at.After(now)
}

// overdue returns the first deadlines at or before now in order, at most a limit.
func (s *State) overdue(now time.Time, limit int) (all []deadline) {
	last := clockAt(now)
	q, n := s.queue(), 0
	q.split(last, nil, func(dueItem) { n++ })
	due := make([]dueItem, 0, n)
	q.split(last, nil, func(x dueItem) { due = append(due, x) })
	all = make([]deadline, 0, min(n, limit))
	storm := n > limit
	if storm { // their instants are sorted far faster than they are
		slices.SortFunc(due, func(a, b dueItem) int { return cmp.Compare(a.at, b.at) })
		last = due[limit-1].at - 1
	}
	for _, x := range due {
		if x.at > last {
			continue
		}
		for d := range s.accounts.at(x.slot).deadlines() {
			if d.at.UnixNano() <= last {
				all = append(all, d)
			}
		}
	}
	if storm {
		all = s.appendAt(all, last+1, limit)
	}
	slices.SortFunc(all, deadline.compare)
	return all[:min(len(all), limit)]
}

// appendAt appends the deadlines of an instant, in order, until there are as many as a
// limit. All of a storm may be of one instant, and to sort them would take longest.
func (s *State) appendAt(all []deadline, at int64, limit int) []deadline {
	for _, a := range s.accounts.from("") {
		if len(all) >= limit {
			break
		}
		for d := range a.deadlines() {
			if d.at.UnixNano() == at {
				all = append(all, d)
			}
		}
	}
	return all
}

// order is the deadlines of a state in order, as the queue of a working state tells
// that may be ahead of it.
type order struct {
	*State
	work  *State
	queue *dueQueue
	// ahead are the accounts that the working state is ahead by: they are asked one by
	// one, and their slots in the queue passed over.
	ahead []string
	slots map[slot]bool
}

// order returns the deadlines of a working state, or, in time that grows with the pool,
// those of a published one.
func (s *State) order() order { return order{State: s, work: s, queue: s.queue()} }

// orderOf returns the deadlines of a published state that equals this working state but
// for the accounts given.
func (s *State) orderOf(published *State, ahead []string) order {
	o := order{State: published, work: s, queue: s.queue(), ahead: ahead, slots: make(map[slot]bool, len(ahead))}
	for _, id := range ahead {
		if k, a := s.accounts.find(id); a != nil {
			o.slots[k] = true
		}
	}
	return o
}

// appendBetween appends the ids of accounts among which are all with a deadline in
// [from, to].
func (o *order) appendBetween(ids []string, from, to time.Time) []string {
	first, last := clockAt(from), clockAt(to)
	o.queue.split(last, o.slots, func(x dueItem) {
		if o.work.after(x, first-1) <= last {
			ids = append(ids, o.work.accounts.at(x.slot).ID)
		}
	})
	return append(ids, o.ahead...)
}

// next returns the earliest deadline after t; false if there is none.
func (o *order) next(t time.Time) (at time.Time, ok bool) {
	first, then := clockAt(t), int64(noDeadline)
	next := o.queue.split(first, o.slots, func(x dueItem) { then = min(then, o.work.after(x, first)) })
	for _, id := range o.ahead {
		if a := o.Account(id); a != nil {
			then = min(then, a.deadlineAfter(first))
		}
	}
	if next = min(next, then); next == noDeadline {
		return time.Time{}, false
	}
	return time.Unix(0, next).UTC(), true
}
