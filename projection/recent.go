package projection

import (
	"hash/maphash"
	"iter"
	"math"
)

// recent remembers the newest MaxRecent keys. The zero value is empty. A copy made by
// share costs nothing and never changes.
//
// Entries are numbered by turns and never changed: a key that is set again gets a new
// entry, which hides the older one. So copies share the chunks of entries even while
// the working state appends to the last of them, beyond what the copies see; only the
// table of the newest entries is copied page by page.
type recent[K comparable, V any] struct {
	// chunks hold the entries of the turns from first to next-1. Each begins with a turn
	// that is a multiple of its size.
	chunks      []*recentChunk[K, V]
	first, next uint32
	// table :: hash of a key → 1 + the newest turn of a key in that place, 0: none
	table paged[uint32]
	seed  maphash.Seed
	live  int // keys remembered
	// hidden has a bit for each turn kept, set if its key was set again later: that of
	// the turn modulo maxTurns. It is the working state's own.
	hidden *[maxTurns / 64]uint64
}

type recentChunk[K comparable, V any] [recentChunkSize]recentEntry[K, V]

// recentEntry is a key as it was set in a turn.
type recentEntry[K comparable, V any] struct {
	key    K
	value  V
	hash   uint32
	before uint32 // 1 + the turn before of a key with that place in the table; 0: none
}

const (
	recentChunkSize = 64
	// maxTurns is how many entries are kept, hidden ones included.
	maxTurns = 2 * MaxRecent
)

// share returns the present value, which later changes of r do not touch. It must not
// be changed itself.
func (r *recent[K, V]) share() recent[K, V] {
	shared := *r
	shared.table, shared.hidden = r.table.share(), nil
	return shared
}

// len is the number of keys remembered.
func (r *recent[K, V]) len() int { return r.live }

// entry returns the entry of a turn that is kept.
func (r *recent[K, V]) entry(turn uint32) *recentEntry[K, V] {
	i := turn - r.first/recentChunkSize*recentChunkSize
	return &r.chunks[i/recentChunkSize][i%recentChunkSize]
}

// find returns the hash of a key, and its newest entry with the turn; nil if it is not
// remembered.
func (r *recent[K, V]) find(key K) (hash, turn uint32, e *recentEntry[K, V]) {
	if len(r.table.branches) == 0 {
		return 0, 0, nil
	}
	hash = uint32(maphash.Comparable(r.seed, key))
	for after := r.table.at(hash % MaxRecent); after > r.first; after = e.before {
		turn = after - 1
		if e = r.entry(turn); e.hash == hash && e.key == key {
			return hash, turn, e
		}
	}
	return hash, 0, nil
}

func (r *recent[K, V]) get(key K) (v V, ok bool) {
	if _, _, e := r.find(key); e != nil {
		return e.value, true
	}
	return v, false
}

// set makes key the newest.
func (r *recent[K, V]) set(key K, v V) {
	switch {
	case r.hidden == nil:
		r.init()
	case r.next-r.first == maxTurns || r.next == math.MaxUint32:
		r.compact()
	}
	hash, turn, old := r.find(key)
	before := r.table.at(hash % MaxRecent)
	if old == nil {
		r.live++
	} else {
		r.hidden[turn/64%(maxTurns/64)] |= 1 << (turn % 64)
		if before == turn+1 {
			before = old.before // so that a key set over and over is no detour
		}
	}
	r.append(recentEntry[K, V]{key, v, hash, before})
	for r.live > MaxRecent {
		r.forget()
	}
}

func (r *recent[K, V]) init() {
	r.seed, r.hidden = maphash.MakeSeed(), new([maxTurns / 64]uint64)
	for i := range uint32(MaxRecent) {
		r.table.set(i, 0)
	}
}

func (r *recent[K, V]) append(e recentEntry[K, V]) {
	if r.next%recentChunkSize == 0 {
		r.chunks = append(r.chunks, new(recentChunk[K, V]))
	}
	*r.entry(r.next) = e
	r.next++
	r.table.set(e.hash%MaxRecent, r.next)
}

// forget drops the oldest entry, and its key unless it was set again.
func (r *recent[K, V]) forget() {
	word, bit := &r.hidden[r.first/64%(maxTurns/64)], uint64(1)<<(r.first%64)
	if *word&bit == 0 {
		r.live--
	}
	*word &^= bit
	if r.first++; r.first%recentChunkSize == 0 {
		r.chunks = r.chunks[1:]
	}
}

// compact numbers the entries anew, without the hidden ones.
func (r *recent[K, V]) compact() {
	var c recent[K, V]
	for key, v := range r.all() {
		c.set(key, v)
	}
	*r = c
}

// all yields keys and values, oldest first.
func (r *recent[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for turn := r.first; turn < r.next; turn++ {
			e := r.entry(turn)
			if _, newest, _ := r.find(e.key); newest == turn && !yield(e.key, e.value) {
				return
			}
		}
	}
}
