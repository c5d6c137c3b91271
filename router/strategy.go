package router

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/abeyance/abeyance/projection"
)

// Strategy says which of the usable accounts of the highest priority is picked.
type Strategy string

// The strategies.
const (
	// RoundRobin serves the next usable account after the one served last.
	RoundRobin Strategy = "round-robin"
	// Weighted is round-robin in which an account has as many turns as its weight, 1
	// to 16, evenly spread.
	Weighted Strategy = "weighted"
	// FillFirst serves the first usable account by id.
	FillFirst Strategy = "fill-first"
	// Sticky serves a session by the same account while it is usable: rendezvous
	// hashing over the usable. Another serves while it is blocked, and it comes back
	// after. Without a session it is RoundRobin.
	Sticky Strategy = "sticky"
)

// AllStrategies lists every strategy, the default first.
func AllStrategies() []Strategy { return []Strategy{RoundRobin, Weighted, FillFirst, Sticky} }

// Strategies are those that hold where a request names none.
type Strategies struct {
	Default   Strategy // empty: RoundRobin
	Providers map[string]Strategy
}

// of returns the strategy of a canonical provider. Of two names of one provider the
// canonical one counts, else the first by the alphabet.
func (s Strategies) of(provider string) Strategy {
	if strategy, ok := s.Providers[provider]; ok {
		return strategy
	}
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		if projection.CanonicalProvider(name) == provider {
			return s.Providers[name]
		}
	}
	return cmp.Or(s.Default, RoundRobin)
}

// ParseStrategy reads the name of a strategy; an empty one is RoundRobin.
func ParseStrategy(name string) (Strategy, error) {
	if name == "" {
		return RoundRobin, nil
	}
	if !slices.Contains(AllStrategies(), Strategy(name)) {
		return "", fmt.Errorf("%w: strategy %q is none of %v", ErrRequest, name, AllStrategies())
	}
	return Strategy(name), nil
}

// nearest returns the usable position whose account is nearest to the session, or -1.
func (s *selection) nearest(t projection.Tier) int {
	session := projection.Hash64(s.q.Session)
	best, most := -1, uint64(0)
	for w := t.Start / 64; w*64 < t.End; w++ {
		word := s.word(w, t)
		if word == 0 {
			continue
		}
		for i, hash := range s.pool.Hashes(w) {
			// Few are nearer than all before them, so few need the costlier looks.
			if n := nearness(session, hash); n >= most && word&(1<<i) != 0 && (n > most || best < 0) && s.passes(w*64+i) {
				best, most = w*64+i, n
			}
		}
	}
	return best
}

// word returns the usable positions of a tier within a run of 64 as bits.
func (s *selection) word(w int, t projection.Tier) uint64 {
	word := ^uint64(0)
	if s.lane != nil {
		word = s.lane.Word(w)
	}
	if low := t.Start - w*64; low > 0 {
		word &= ^uint64(0) << low
	}
	if high := t.End - w*64; high < 64 {
		word &= 1<<high - 1
	}
	return word
}

// nearness mixes the hashes of a session and an account: each session has an order of
// all accounts of its own. The constants are odd and without a pattern; the product's
// halves folded together spread a change of any bit over all.
func nearness(session, account uint64) uint64 {
	hi, lo := bits.Mul64(session^0x9e3779b97f4a7c15, account^0xd1b54a32d192ed03)
	return hi ^ lo
}
