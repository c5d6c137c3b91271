package hooks

import (
	"maps"
	"slices"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// Bounds of a queue.
const (
	// maxPending is how many items a hook looks ahead: what began among them and is over
	// is one item.
	maxPending = 2048
	maxDigest  = 32 // items in a message
	// digestAge is how long something must be over to be told in a digest.
	digestAge = time.Minute
)

// item is what is told at once: a beginning, an end, or both.
type item struct {
	start, end *projection.Notice // one of them is there
}

// first is the notice by which an item has its place.
func (x *item) first() *projection.Notice {
	if x.start != nil {
		return x.start
	}
	return x.end
}

// old reports whether an item is of something that has been over for a while.
func (x *item) old(now time.Time) bool {
	last := x.end
	if last == nil && x.start.Kind == projection.NoticeClamped {
		last = x.start // it is of an instant
	}
	return last != nil && now.Sub(last.At) > digestAge
}

// queue holds what a hook is to be told, in order, and knows what it has been told. It
// is pure: the same notices and acknowledgements leave the same queue.
type queue struct {
	log       string // the id of the log
	recovered bool   // ends are told that nobody waits for to be told with their beginning

	items []*item
	// open :: subject of a notice → the item of its beginning
	open map[string]*item
	// told :: id of a notice that may come again → where the fold told it
	told map[string]toldAt
}

// toldAt is where a notice that was told stands in the log.
type toldAt struct {
	before projection.Position
	// seen: the fold has come by it since it was made, so that before is known.
	seen bool
}

func newQueue(log string, recovered bool) *queue {
	return &queue{log: log, recovered: recovered, open: map[string]*item{}, told: map[string]toldAt{}}
}

// restore notes what was told beyond the base that the fold begins at.
func (q *queue) restore(ids []string) {
	for _, id := range ids {
		q.told[id] = toldAt{}
	}
}

func (q *queue) full() bool { return len(q.items) >= maxPending }

// add queues a notice, unless it was told. An end joins its beginning, if that is queued
// still.
func (q *queue) add(n projection.Notice) {
	id := n.ID(q.log)
	if _, told := q.told[id]; told {
		q.told[id] = toldAt{n.Before, true}
		return
	}
	x := q.open[n.Subject]
	switch {
	case n.Over && x != nil:
		x.end = &n
		delete(q.open, n.Subject)
	case n.Over && q.recovered:
		q.items = append(q.items, &item{end: &n})
	case n.Over:
	default:
		x = &item{start: &n}
		q.items = append(q.items, x)
		if n.Kind != projection.NoticeClamped {
			q.open[n.Subject] = x
		}
	}
}

// next returns the items of the next message: none, one, or a digest of what is over.
func (q *queue) next(now time.Time) []*item {
	n := 0
	for n < min(len(q.items), maxDigest) && q.items[n].old(now) {
		n++
	}
	return q.items[:min(max(n, 1), len(q.items))]
}

// settle takes the first n items off: they were told.
func (q *queue) settle(n int) {
	for _, x := range q.items[:n] {
		for _, notice := range []*projection.Notice{x.start, x.end} {
			if notice != nil {
				q.told[notice.ID(q.log)] = toldAt{notice.Before, true}
			}
		}
		if x.start != nil && q.open[x.start.Subject] == x {
			delete(q.open, x.start.Subject)
		}
	}
	clear(q.items[:n]) // the array behind the slice would keep them
	q.items = q.items[n:]
}

// base returns the position up to which all was told, if the fold has come to one, and
// forgets what was told up to there.
func (q *queue) base(folded projection.Position) projection.Position {
	base := folded
	if len(q.items) > 0 {
		base = q.items[0].first().Before
	}
	maps.DeleteFunc(q.told, func(_ string, t toldAt) bool {
		return t.seen && (len(q.items) == 0 || t.before.Seq < base.Seq || t.before.At.Before(base.At))
	})
	return base
}

// caughtUp forgets what was told and did not come again: the fold has come by all that
// there is.
func (q *queue) caughtUp() {
	maps.DeleteFunc(q.told, func(_ string, t toldAt) bool { return !t.seen })
}

// toldIDs lists what was told beyond the base.
func (q *queue) toldIDs() []string { return slices.Sorted(maps.Keys(q.told)) }

// rewind forgets what is queued: the fold begins anew at the base.
func (q *queue) rewind() {
	q.items = nil
	clear(q.open)
	q.restore(q.toldIDs())
}
