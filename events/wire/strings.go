package wire

import "hash/maphash"

const (
	sharedLen = 32      // longer strings seldom repeat
	sharedN   = 1 << 10 // slots; 16 KiB of string headers, which stay in the cache
)

// Strings remembers short strings that were decoded lately, so that a scan of many
// records allocates a provider, a model or an actor once and not once per record.
// It forgets: two strings of one slot displace each other, so its size is fixed
// whatever it is fed. For one goroutine.
type Strings struct {
	seed  maphash.Seed
	slots [sharedN]string
}

// NewStrings returns an empty table.
func NewStrings() *Strings { return &Strings{seed: maphash.MakeSeed()} }

// find returns the remembered string with the bytes b. A nil table knows none.
func (t *Strings) find(b []byte) (string, bool) {
	if t == nil || len(b) > sharedLen {
		return "", false
	}
	s := t.slots[maphash.Bytes(t.seed, b)%sharedN]
	return s, s == string(b)
}

func (t *Strings) keep(s string) {
	if t != nil && len(s) <= sharedLen {
		t.slots[maphash.String(t.seed, s)%sharedN] = s
	}
}
