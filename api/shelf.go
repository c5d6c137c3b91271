package api

import (
	"slices"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Bounds of a shelf.
const (
	shelfBlock  = 64 // records in a block
	shelfBlocks = 64
)

// shelf keeps blocks of older frames for readers who are behind. Those are often behind
// together, when the machine is busy: if each of them encoded for himself, it would be
// busier.
type shelf struct {
	mu     sync.Mutex
	blocks []*block // the oldest made first
}

// block is the frames of the seqs from first on. It never changes once it is made.
type block struct {
	first  events.Seq
	begun  time.Time
	make   sync.Once
	frames []frame
	err    error
}

// get returns the block that begins with a seq. fill makes it, unless it is there.
func (s *shelf) get(first events.Seq, fill func(*block)) *block {
	b := s.find(first)
	b.make.Do(func() { fill(b) })
	return b
}

func (s *shelf) find(first events.Seq) *block {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.blocks, func(b *block) bool { return b.first == first })
	if i >= 0 {
		return s.blocks[i]
	}
	b := &block{first: first, begun: time.Now()}
	s.blocks = append(s.blocks, b)
	if len(s.blocks) > shelfBlocks {
		s.blocks = slices.Delete(s.blocks, 0, 1)
	}
	return b
}

// forget drops the blocks from before an instant.
func (s *shelf) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks = slices.DeleteFunc(s.blocks, func(b *block) bool { return b.begun.Before(before) })
}
