package router

import (
	"slices"
	"sync/atomic"
)

// pickTally counts what the turns of a target do not count themselves.
type pickTally struct {
	// others are picks that no turn counts: fill-first, sticky, among candidates, probes.
	// Plain ones of fill-first write nothing else, and are counted only while
	// memory.counting.
	others  atomic.Uint64
	probes  atomic.Uint64 // let out
	blocked [blockCodes]atomic.Uint64
}

// blockCodes is how many codes there are.
const blockCodes = 6

// allBlockCodes lists every code, in the order of pickTally.blocked.
func allBlockCodes() [blockCodes]BlockCode {
	return [...]BlockCode{BlockNoAccounts, BlockExcluded, BlockDisabled, BlockSuspended, BlockHeld, BlockCooling}
}

// block counts a pick that found nobody.
func (t *pickTally) block(code BlockCode) {
	codes := allBlockCodes()
	t.blocked[slices.Index(codes[:], code)].Add(1)
}

// picks returns how many picks of the target found an account.
func (t *turns) picks() uint64 {
	n := t.tally.others.Load()
	if list := t.list.Load(); list != nil {
		for _, x := range *list {
			n += place(x.at.Load()).picks() + place(x.slot.Load()).picks()
		}
	}
	return n
}
