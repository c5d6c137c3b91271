package projection

import "slices"

// pairs puts the episodes of both worlds side by side, and keeps those that differ. An
// episode is let go as soon as nothing can become its like any more: what waits are at
// most the blocks that still go on in one of the worlds.
type pairs struct {
	// waiting :: what names an episode in both worlds → it, where it has ended
	waiting map[pairKey]EpisodePair
	lately  []pairKey // that were added since the last settling
	// differing are the first that differ, and more: see cut.
	differing []EpisodePair
	last      *Episode // none that begins after it is among the first; nil: any may be
	count     int
}

// pairKey names an episode in both worlds: the seqs of its records are not the same.
type pairKey struct {
	episodeKey
	started int64
}

func (e *Episode) pairKey() pairKey {
	return pairKey{e.key(), e.StartedAt.UnixNano()}
}

// recorded adds an episode that has ended as it did.
func (x *pairs) recorded(e *Episode) {
	key := e.pairKey()
	x.add(key, EpisodePair{e, x.waiting[key].Replayed})
}

// replayed adds an episode as it would have ended.
func (x *pairs) replayed(e *Episode) {
	key := e.pairKey()
	x.add(key, EpisodePair{x.waiting[key].Recorded, e})
}

func (x *pairs) add(key pairKey, p EpisodePair) {
	if p.Recorded != nil && p.Replayed != nil && p.same() {
		delete(x.waiting, key) // of no more interest
		return
	}
	if x.waiting == nil {
		x.waiting = map[pairKey]EpisodePair{}
	}
	x.waiting[key] = p
	x.lately = append(x.lately, key)
}

// same reports whether both episodes are alike in all but their seqs. What was answered
// during a suspension is no part of it.
func (p *EpisodePair) same() bool {
	a, b := *p.Recorded, *p.Replayed
	for _, e := range []*Episode{&a, &b} {
		e.Started, e.Ended, e.MovedFrom = 0, 0, ""
		if e.Block == StatusSuspended {
			e.Answers, e.Limits = 0, 0
		}
	}
	return a == b
}

// settle lets go of the pairs added lately that neither world can add to any more,
// because the block does not go on there. It is for moments at which none can begin
// with a start that is past.
func (x *pairs) settle(goesOn func(pairKey) bool) {
	for _, key := range x.lately {
		// One that goes on is added, and looked at, again when it ends.
		if p, ok := x.waiting[key]; ok && !goesOn(key) {
			delete(x.waiting, key)
			x.differs(p)
		}
	}
	x.lately = nil
}

// differs notes a pair that differs.
func (x *pairs) differs(p EpisodePair) {
	x.count++
	if x.last != nil && p.first().compare(x.last) > 0 {
		return
	}
	if x.differing = append(x.differing, p); len(x.differing) == 2*MaxDiffering {
		x.cut()
	}
}

// cut leaves the first MaxDiffering.
func (x *pairs) cut() {
	slices.SortFunc(x.differing, func(a, b EpisodePair) int { return a.first().compare(b.first()) })
	if len(x.differing) > MaxDiffering {
		clear(x.differing[MaxDiffering:])
		x.differing = x.differing[:MaxDiffering]
		x.last = x.differing[MaxDiffering-1].first()
	}
}

// first is the episode that a pair is sorted by.
func (p *EpisodePair) first() *Episode {
	if p.Recorded != nil {
		return p.Recorded
	}
	return p.Replayed
}

// finish returns the first pairs that differ, and how many do: all that still wait.
func (x *pairs) finish() (first []EpisodePair, count int) {
	for _, p := range x.waiting {
		x.differs(p)
	}
	x.cut()
	return x.differing, x.count
}
