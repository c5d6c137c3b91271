package projection

import "math/bits"

// Lane is a bitmap over the positions of a pool: a set bit is a usable account. It
// has two levels, so that the next usable account is found as fast in a pool of
// 100 000 with a handful left as in one of ten: a summary has a bit for each word
// that is not empty.
type Lane struct {
	owner   uint64 // the epoch that made this copy
	blocks  []*laneBlock
	summary []uint64
	// Of a model's own lane: the lane of its group, and how many accounts block it.
	base, blocked int
}

// laneWords is how many words are copied when a bit changes.
const laneWords = 32

type laneBlock struct {
	owner uint64
	words [laneWords]uint64
}

// newLane returns a lane of n positions, all clear.
func newLane(n int, epoch uint64) *Lane {
	words := (n + 63) / 64
	l := &Lane{owner: epoch, summary: make([]uint64, (words+63)/64)}
	for range (words + laneWords - 1) / laneWords {
		l.blocks = append(l.blocks, &laneBlock{owner: epoch})
	}
	return l
}

func (l *Lane) word(w int) uint64 { return l.blocks[w/laneWords].words[w%laneWords] }

func (l *Lane) has(i int) bool { return l.word(i/64)&(1<<(i%64)) != 0 }

// Next returns the first set position in [from, to), or -1.
func (l *Lane) Next(from, to int) int {
	if from >= to {
		return -1
	}
	w := from / 64
	if word := l.word(w) &^ (1<<(from%64) - 1); word != 0 {
		if i := w*64 + bits.TrailingZeros64(word); i < to {
			return i
		}
		return -1
	}
	w++
	for s := w / 64; s < len(l.summary); s++ {
		sum := l.summary[s]
		if s == w/64 {
			sum &^= 1<<(w%64) - 1
		}
		if sum == 0 {
			continue
		}
		w = s*64 + bits.TrailingZeros64(sum)
		if i := w*64 + bits.TrailingZeros64(l.word(w)); i < to {
			return i
		}
		return -1
	}
	return -1
}

// own returns the lane as a copy that the epoch's update may change.
func (l *Lane) own(epoch uint64) *Lane {
	if l.owner == epoch {
		return l
	}
	c := *l
	c.owner = epoch
	c.blocks = append([]*laneBlock(nil), l.blocks...)
	c.summary = append([]uint64(nil), l.summary...)
	return &c
}

// set returns the lane with one bit as given: itself if it is so already.
func (l *Lane) set(i int, on bool, epoch uint64) *Lane {
	if l.has(i) == on {
		return l
	}
	l = l.own(epoch)
	w := i / 64
	b := l.blocks[w/laneWords]
	if b.owner != epoch {
		b = &laneBlock{epoch, b.words}
		l.blocks[w/laneWords] = b
	}
	b.words[w%laneWords] ^= 1 << (i % 64)
	if b.words[w%laneWords] != 0 {
		l.summary[w/64] |= 1 << (w % 64)
	} else {
		l.summary[w/64] &^= 1 << (w % 64)
	}
	return l
}

// fork returns a lane that begins as a copy of l, which has the number base.
func (l *Lane) fork(base int, epoch uint64) *Lane {
	c := *l
	c.owner, c.base, c.blocked = epoch, base, 0
	c.blocks = append([]*laneBlock(nil), l.blocks...)
	c.summary = append([]uint64(nil), l.summary...)
	// Blocks that this update may change in place must not be shared by two lanes.
	for i, b := range c.blocks {
		if b.owner == epoch {
			c.blocks[i] = &laneBlock{epoch, b.words}
		}
	}
	return &c
}

// count returns the lane with a changed number of accounts that block its model.
func (l *Lane) count(by int, epoch uint64) *Lane {
	l = l.own(epoch)
	l.blocked += by
	return l
}
