package projection

import "time"

// Lane says, for the requests that the same cells block, how each account of a pool
// stands: which can serve, how many cannot and why, when the first comes back, and
// when a probe is due. It is immutable like the index it belongs to.
type Lane struct {
	owner  uint64 // the epoch that made this copy
	kind   kind
	length int
	// usable are the positions of the accounts that can serve, slots the same by the
	// slots of the roster's wheel, if it has one.
	usable, slots bitmap
	counts        Counts
	ends          minima
	// probes are those that are due while nobody and while somebody can serve.
	empty, background minima
	first             firsts
	// Of a model's own lane: the lane of its group, and how many accounts block it.
	base, blocked int
}

// firsts are the earliest instants of a lane.
type firsts struct{ end, empty, background Instant }

// newLane returns a lane of a pool in which nobody stands yet.
func newLane(k kind, r *Roster, epoch uint64) *Lane {
	n := r.Len()
	l := &Lane{
		owner: epoch, kind: k, length: n, usable: newBitmap(n, epoch), ends: newMinima(n, epoch),
		empty: newMinima(n, epoch), background: newMinima(n, epoch), first: firsts{Never, Never, Never},
	}
	if r.wheel != nil {
		l.slots = newBitmap(len(r.wheel.at), epoch)
	}
	return l
}

// Next returns the first usable position in [from, to), or -1.
func (l *Lane) Next(from, to int) int { return l.usable.next(from, to) }

// NextSlot returns the first slot in [from, to) that serves a usable account, or -1.
func (l *Lane) NextSlot(from, to int) int { return l.slots.next(from, to) }

// Word returns which of the positions from 64*w on can serve, the first in the lowest
// bit.
func (l *Lane) Word(w int) uint64 { return l.usable.word(w) }

// Counts returns how many accounts stand how.
func (l *Lane) Counts() Counts { return l.counts }

// FirstEnd is when the first account comes back by itself.
func (l *Lane) FirstEnd() Instant { return l.first.end }

// ProbeDue is when the next probe is due, if nobody can serve, or if somebody can.
func (l *Lane) ProbeDue(nobody bool) Instant {
	if nobody {
		return l.first.empty
	}
	return l.first.background
}

// Due yields the positions among which are all that are due for a probe at now.
func (l *Lane) Due(nobody bool, now time.Time) func(yield func(int) bool) {
	m := &l.background
	if nobody {
		m = &l.empty
	}
	return func(yield func(int) bool) {
		for w := range m.words(InstantOf(now)) {
			for i := w * 64; i < min((w+1)*64, l.length); i++ {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// own returns the lane as a copy that the epoch's update may change.
func (l *Lane) own(epoch uint64) *Lane {
	if l.owner == epoch {
		return l
	}
	c := *l
	c.owner = epoch
	c.usable, c.slots = l.usable.copy(), l.slots.copy()
	c.ends, c.empty, c.background = l.ends.copy(), l.empty.copy(), l.background.copy()
	return &c
}

// fork returns a lane for a model of its own that begins as a copy of its group's,
// which has the number base.
func (l *Lane) fork(base int, model string, epoch uint64) *Lane {
	c := *l
	c.owner, c.base, c.blocked, c.kind.model = epoch, base, 0, model
	c.usable, c.slots = l.usable.disown(epoch), l.slots.disown(epoch)
	c.ends, c.empty, c.background = l.ends.disown(epoch), l.empty.disown(epoch), l.background.disown(epoch)
	return &c
}

// count returns the lane with a changed number of accounts that block its model.
func (l *Lane) count(by int, epoch uint64) *Lane {
	l = l.own(epoch)
	l.blocked += by
	return l
}
