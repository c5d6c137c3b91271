package hooks

import (
	"math/rand/v2"
	"time"
)

// Waiting after attempts that failed.
const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
)

// backoff returns how long to wait after some failures in a row, at least 1: it doubles,
// up to a bound, and is spread over its upper half by chance, so that hooks of many
// daemons do not come back to a receiver in one instant. What the receiver asks for is
// waited at least.
func backoff(failures int, asked time.Duration) time.Duration {
	wait := maxBackoff
	if shift := failures - 1; shift < 16 {
		wait = min(firstBackoff<<shift, maxBackoff)
	}
	return max(wait/2+rand.N(wait/2+1), asked)
}
