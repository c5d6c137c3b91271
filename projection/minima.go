package projection

import (
	"math"
	"time"
)

// Instant is a point of time in nanoseconds since 1970 UTC, from 1678 to 2262. Never
// is after all.
type Instant int64

// Never is the instant of what does not happen.
const Never Instant = math.MaxInt64

// lastInstant stands for all that is later.
var lastInstant = time.Unix(0, math.MaxInt64-1).UTC()

// InstantOf returns the instant of a time; Never for the zero Time.
func InstantOf(t time.Time) Instant {
	switch {
	case t.IsZero():
		return Never
	case t.After(lastInstant):
		return Never - 1
	default:
		return Instant(t.UnixNano())
	}
}

// Time returns the instant in UTC; the zero Time for Never.
func (i Instant) Time() time.Time {
	if i == Never {
		return time.Time{}
	}
	return time.Unix(0, int64(i)).UTC()
}

// minima keeps the earliest of one instant per position: for each run of 64
// positions, and of those the earliest per block. Like a bitmap it shares its blocks
// with older ones.
type minima struct {
	blocks []*minBlock
	tops   []Instant // of each block
}

type minBlock struct {
	owner uint64 // the epoch that made this copy
	at    [blockWords]Instant
}

// newMinima returns minima of n positions, none of which has an instant.
func newMinima(n int, epoch uint64) minima {
	const run = 64 * blockWords
	var m minima
	for range (n + run - 1) / run {
		b := &minBlock{owner: epoch}
		for i := range b.at {
			b.at[i] = Never
		}
		m.blocks = append(m.blocks, b)
		m.tops = append(m.tops, Never)
	}
	return m
}

func (m *minima) copy() minima {
	return minima{append([]*minBlock(nil), m.blocks...), append([]Instant(nil), m.tops...)}
}

// disown makes equal minima that share no block which the epoch may change in place.
func (m *minima) disown(epoch uint64) minima {
	c := m.copy()
	for i, block := range c.blocks {
		if block.owner == epoch {
			c.blocks[i] = &minBlock{epoch, block.at}
		}
	}
	return c
}

// earliest returns the earliest instant of all.
func (m *minima) earliest() Instant {
	first := Never
	for _, t := range m.tops {
		first = min(first, t)
	}
	return first
}

// word returns the earliest instant of the 64 positions from 64*w on.
func (m *minima) word(w int) Instant { return m.blocks[w/blockWords].at[w%blockWords] }

// change is the instant of a position before and after.
type change struct {
	at      int
	was, is Instant
	epoch   uint64
}

// change notes that the instant of a position was one and is another. The minima
// must be the epoch's own copy. Only when the earliest of its run goes, all of the run
// are asked again: rest returns the earliest of a run.
func (m *minima) change(c change, rest func(word int) Instant) {
	w := c.at / 64
	old := m.word(w)
	first := min(old, c.is)
	if c.was == old && c.is > c.was {
		first = rest(w)
	}
	if first == old {
		return
	}
	b := m.blocks[w/blockWords]
	if b.owner != c.epoch {
		b = &minBlock{c.epoch, b.at}
		m.blocks[w/blockWords] = b
	}
	b.at[w%blockWords] = first
	if top := &m.tops[w/blockWords]; first < *top {
		*top = first
	} else if old == *top {
		*top = Never
		for _, t := range b.at {
			*top = min(*top, t)
		}
	}
}

// runs yields the words that hold an instant at or before a limit.
func (m *minima) runs(limit Instant) func(yield func(word int) bool) {
	return func(yield func(int) bool) {
		for k, top := range m.tops {
			if top > limit {
				continue
			}
			for w, at := range m.blocks[k].at {
				if at <= limit && !yield(k*blockWords+w) {
					return
				}
			}
		}
	}
}
