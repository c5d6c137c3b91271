package projection

import (
	"math"
	"slices"
	"time"
)

// Instant is a point of time in nanoseconds since 1970 UTC, from 1678 to 2262. Never
// is after all.
type Instant int64

// Never is the instant of what does not happen.
const Never Instant = math.MaxInt64

// instantSeconds is how many seconds before and after 1970 have instants.
const instantSeconds = math.MaxInt64 / int64(time.Second)

// InstantOf returns the instant of a time: Never for the zero Time, and what lies
// beyond the range at its end.
func InstantOf(t time.Time) Instant {
	s := t.Unix()
	switch {
	case s >= instantSeconds:
		return Never - 1
	case s > -instantSeconds:
		return Instant(s*int64(time.Second) + int64(t.Nanosecond()))
	case t.IsZero():
		return Never
	default:
		return math.MinInt64
	}
}

// Time returns the instant in UTC; the zero Time for Never.
func (i Instant) Time() time.Time {
	if i == Never {
		return time.Time{}
	}
	return time.Unix(0, int64(i)).UTC()
}

// minima keeps an instant per position, and the earliest of each run of 64 positions
// and of each block of runs. Most positions have none: a run without any takes no
// room. Like a bitmap it shares with older ones what did not change.
type minima struct {
	blocks []*minBlock
	tops   []Instant // the earliest of each block
}

type minBlock struct {
	owner    uint64 // the epoch that made this copy
	runs     [blockWords]*minRun
	earliest [blockWords]Instant
}

type minRun struct {
	owner uint64
	at    [64]Instant
}

// newMinima returns minima of n positions, none of which has an instant.
func newMinima(n int, epoch uint64) minima {
	const block = 64 * blockWords
	var m minima
	for range (n + block - 1) / block {
		b := &minBlock{owner: epoch}
		for i := range b.earliest {
			b.earliest[i] = Never
		}
		m.blocks = append(m.blocks, b)
		m.tops = append(m.tops, Never)
	}
	return m
}

func (m *minima) copy() minima {
	return minima{append([]*minBlock(nil), m.blocks...), append([]Instant(nil), m.tops...)}
}

// disown makes equal minima that share nothing which the epoch may change in place.
func (m *minima) disown(epoch uint64) minima {
	c := m.copy()
	for i, b := range c.blocks {
		if b.owner != epoch {
			continue
		}
		b = new(*b)
		c.blocks[i] = b
		for w, r := range b.runs {
			if r != nil && r.owner == epoch {
				b.runs[w] = new(*r)
			}
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

// at returns the instant of a position.
func (m *minima) at(i int) Instant {
	if r := m.blocks[i/64/blockWords].runs[i/64%blockWords]; r != nil {
		return r.at[i%64]
	}
	return Never
}

// set changes the instant of a position. The minima must be the epoch's own copy.
func (m *minima) set(i int, at Instant, epoch uint64) {
	if m.at(i) == at {
		return
	}
	k, w := i/64/blockWords, i/64%blockWords
	b := m.blocks[k]
	if b.owner != epoch {
		b = new(*b)
		b.owner = epoch
		m.blocks[k] = b
	}
	r := b.runs[w]
	switch {
	case r == nil:
		r = &minRun{owner: epoch}
		for j := range r.at {
			r.at[j] = Never
		}
	case r.owner != epoch:
		r = new(*r)
		r.owner = epoch
	}
	was := r.at[i%64]
	r.at[i%64] = at
	b.runs[w] = r
	// Only where the earliest goes are the others asked.
	first := b.earliest[w]
	switch {
	case at < first:
		b.earliest[w] = at
	case was == first:
		b.earliest[w] = slices.Min(r.at[:])
	default:
		return
	}
	switch top := m.tops[k]; {
	case b.earliest[w] < top:
		m.tops[k] = b.earliest[w]
	case first == top:
		m.tops[k] = slices.Min(b.earliest[:])
	}
}

// words yields the runs that hold an instant at or before a limit.
func (m *minima) words(limit Instant) func(yield func(word int) bool) {
	return func(yield func(int) bool) {
		for k, top := range m.tops {
			if top > limit {
				continue
			}
			for w, at := range m.blocks[k].earliest {
				if at <= limit && !yield(k*blockWords+w) {
					return
				}
			}
		}
	}
}
