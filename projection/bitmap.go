package projection

import "math/bits"

// bitmap is a set of positions. It has two levels, so that the next member is found
// as fast in a set of 100 000 positions with a handful of members as in one of ten: a
// summary has a bit for each word that is not empty.
//
// The words are shared with older bitmaps; an update copies those it changes. It is
// named by its epoch, and may change in place what it copied before.
type bitmap struct {
	blocks  []*bitBlock
	summary []uint64
}

// blockWords is how many words are copied when a bit changes.
const blockWords = 32

type bitBlock struct {
	owner uint64 // the epoch that made this copy
	words [blockWords]uint64
}

// newBitmap returns an empty set of n positions.
func newBitmap(n int, epoch uint64) bitmap {
	words := (n + 63) / 64
	b := bitmap{summary: make([]uint64, (words+63)/64)}
	for range (words + blockWords - 1) / blockWords {
		b.blocks = append(b.blocks, &bitBlock{owner: epoch})
	}
	return b
}

func (b *bitmap) word(w int) uint64 { return b.blocks[w/blockWords].words[w%blockWords] }

func (b *bitmap) has(i int) bool { return b.word(i/64)&(1<<(i%64)) != 0 }

// next returns the first member in [from, to), or -1.
func (b *bitmap) next(from, to int) int {
	if from >= to {
		return -1
	}
	w := from / 64
	if word := b.word(w) &^ (1<<(from%64) - 1); word != 0 {
		if i := w*64 + bits.TrailingZeros64(word); i < to {
			return i
		}
		return -1
	}
	w++
	for s := w / 64; s < len(b.summary); s++ {
		sum := b.summary[s]
		if s == w/64 {
			sum &^= 1<<(w%64) - 1
		}
		if sum == 0 {
			continue
		}
		w = s*64 + bits.TrailingZeros64(sum)
		if i := w*64 + bits.TrailingZeros64(b.word(w)); i < to {
			return i
		}
		return -1
	}
	return -1
}

// copy returns a set that may get other members, in words of its own when they do.
func (b *bitmap) copy() bitmap {
	return bitmap{append([]*bitBlock(nil), b.blocks...), append([]uint64(nil), b.summary...)}
}

// set adds or removes a member. The bitmap must be the epoch's own copy.
func (b *bitmap) set(i int, on bool, epoch uint64) {
	if b.has(i) == on {
		return
	}
	w := i / 64
	block := b.blocks[w/blockWords]
	if block.owner != epoch {
		block = &bitBlock{epoch, block.words}
		b.blocks[w/blockWords] = block
	}
	block.words[w%blockWords] ^= 1 << (i % 64)
	if block.words[w%blockWords] != 0 {
		b.summary[w/64] |= 1 << (w % 64)
	} else {
		b.summary[w/64] &^= 1 << (w % 64)
	}
}

// disown makes an equal set that shares no word which the epoch may change in place.
func (b *bitmap) disown(epoch uint64) bitmap {
	c := b.copy()
	for i, block := range c.blocks {
		if block.owner == epoch {
			c.blocks[i] = &bitBlock{epoch, block.words}
		}
	}
	return c
}
