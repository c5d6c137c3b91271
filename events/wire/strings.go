package wire

import (
	"encoding/binary"
	"math/bits"
)

const (
	sharedLen = 32      // longer strings seldom repeat
	sharedN   = 1 << 10 // slots; 16 KiB of string headers, which stay in the cache
)

// Strings remembers short strings that were decoded lately, so that a scan of many
// records allocates a provider, a model or an actor once and not once per record.
// It forgets: two strings of one slot displace each other, so its size is fixed
// whatever it is fed. For one goroutine.
type Strings struct{ slots [sharedN]string }

// NewStrings returns an empty table.
func NewStrings() *Strings { return new(Strings) }

// slot returns where a string with the bytes b is remembered; nil for one that never is.
// A nil table remembers none. Bytes in the middle do not matter: ids that differ there
// only displace each other.
func (t *Strings) slot(b []byte) *string {
	if t == nil || len(b) > sharedLen {
		return nil
	}
	var first, last uint64
	switch {
	case len(b) >= 8:
		first, last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	default:
		for _, c := range b {
			first = first<<8 | uint64(c)
		}
	}
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: spreads what is alike
	h := (first ^ bits.RotateLeft64(last, 29) ^ uint64(len(b))) * odd
	return &t.slots[h>>(64-10)]
}
