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
	// chunks hold the entries of the turns from the one that divides by the chunk size
	// before first on, up to next.
	chunks      []*recentChunk[K, V]
	first, next uint32
	// table :: hash of a key → 1 + the newest turn of a key with that hash, 0: none
	table paged[uint32]
	seed  maphash.Seed
	live  int // keys remembered
}

type recentChunk[K comparable, V any] [recentChunkSize]recentEntry[K, V]

// recentEntry is a key as it was set in a turn.
type recentEntry[K comparable, V any] struct {
	key    K
	value  V
	before uint32 // 1 + the turn before of a key with that hash; 0: none
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
	shared.table = r.table.share()
	return shared
}

// len is the number of keys remembered.
func (r *recent[K, V]) len() int { return r.live }

// entry returns the entry of a turn that is kept.
func (r *recent[K, V]) entry(turn uint32) *recentEntry[K, V] {
	i := turn - r.first/recentChunkSize*recentChunkSize
	return &r.chunks[i/recentChunkSize][i%recentChunkSize]
}

func (r *recent[K, V]) bucket(key K) uint32 {
	return uint32(maphash.Comparable(r.seed, key)) % MaxRecent
}

// find returns the newest entry of a key and its turn; nil if it is not remembered.
func (r *recent[K, V]) find(key K) (turn uint32, e *recentEntry[K, V]) {
	if r.live == 0 {
		return 0, nil
	}
	for after := r.table.at(r.bucket(key)); after > r.first; after = e.before {
		turn = after - 1
		if e = r.entry(turn); e.key == key {
			return turn, e
		}
	}
	return 0, nil
}

func (r *recent[K, V]) get(key K) (v V, ok bool) {
	if _, e := r.find(key); e != nil {
		return e.value, true
	}
	return v, false
}

// set makes key the newest.
func (r *recent[K, V]) set(key K, v V) {
	if r.next-r.first == maxTurns || r.next == math.MaxUint32 {
		r.compact()
	}
	_, old := r.find(key)
	if old == nil {
		r.live++
	}
	r.append(key, v)
	for r.live > MaxRecent {
		r.forget()
	}
}

// append adds an entry. What it hides need not be in the way of later searches if it
// is the newest with its hash.
func (r *recent[K, V]) append(key K, v V) {
	if r.table.size() == 0 {
		r.seed = maphash.MakeSeed()
		for i := range uint32(MaxRecent) {
			r.table.set(i, 0)
		}
	}
	b := r.bucket(key)
	before := r.table.at(b)
	if before > r.first && r.entry(before-1).key == key {
		before = r.entry(before - 1).before
	}
	if r.next%recentChunkSize == 0 {
		r.chunks = append(r.chunks, new(recentChunk[K, V]))
	}
	*r.entry(r.next) = recentEntry[K, V]{key, v, before}
	r.next++
	r.table.set(b, r.next)
}

// forget drops the oldest entry, and its key unless it was set again.
func (r *recent[K, V]) forget() {
	if turn, _ := r.find(r.entry(r.first).key); turn == r.first {
		r.live--
	}
	if r.first++; r.first%recentChunkSize == 0 {
		r.chunks = r.chunks[1:]
	}
}

// compact numbers the entries anew, without the hidden ones.
func (r *recent[K, V]) compact() {
	var c recent[K, V]
	for key, v := range r.all() {
		c.append(key, v)
	}
	c.live = r.live
	*r = c
}

// all yields keys and values, oldest first.
func (r *recent[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for turn := r.first; turn < r.next; turn++ {
			e := r.entry(turn)
			if newest, _ := r.find(e.key); newest == turn && !yield(e.key, e.value) {
				return
			}
		}
	}
}
