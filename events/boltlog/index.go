package boltlog

import (
	"slices"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// index knows which records are about which account. It costs four bytes per
// record and about a hundred per account.
type index struct {
	mu       sync.RWMutex
	accounts map[string]*postings // account -> the seqs of its records
}

// postings are seqs in ascending order, in segments of equal upper halves.
type postings struct{ segments []segment }

// segment holds the lower halves of seqs whose upper half is high.
type segment struct {
	high uint32
	low  []uint32
}

func newIndex() *index { return &index{accounts: make(map[string]*postings)} }

// add records that the records are about their accounts. Seqs ascend from call to call.
func (x *index) add(recs []events.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range recs {
		if _, many := r.Event.(*events.Expired); !many {
			if r.Account != "" {
				x.of(r.Account).add(r.Seq)
			}
			continue
		}
		for _, id := range r.Accounts() {
			x.of(id).add(r.Seq)
		}
	}
}

// of returns the postings of an account. mu is held for writing.
func (x *index) of(id string) *postings {
	p := x.accounts[id]
	if p == nil {
		p = new(postings)
		x.accounts[id] = p
	}
	return p
}

func (p *postings) add(s events.Seq) {
	high, low := uint32(s>>32), uint32(s)
	n := len(p.segments)
	if n == 0 || p.segments[n-1].high != high {
		p.segments = append(p.segments, segment{high: high})
		n++
	}
	seg := &p.segments[n-1]
	if k := len(seg.low); k == 0 || seg.low[k-1] != low { // a record may name an account twice
		seg.low = append(seg.low, low)
	}
}

// page appends up to cap(dst) seqs of the account in [first, last] to dst: the
// lowest ascending, or, with newest, the highest descending.
func (x *index) page(dst []events.Seq, account string, r seqRange) []events.Seq {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p := x.accounts[account]
	if p == nil {
		return dst
	}
	if r.newest {
		for _, seg := range slices.Backward(p.segments) {
			dst = seg.descending(dst, r)
		}
		return dst
	}
	for _, seg := range p.segments {
		dst = seg.ascending(dst, r)
	}
	return dst
}

func (g segment) seq(i int) events.Seq { return events.Seq(g.high)<<32 | events.Seq(g.low[i]) }

// find returns the position of the first seq that is s or higher.
func (g segment) find(s events.Seq) int {
	switch high := uint32(s >> 32); {
	case high < g.high:
		return 0
	case high > g.high:
		return len(g.low)
	}
	i, _ := slices.BinarySearch(g.low, uint32(s))
	return i
}

func (g segment) ascending(dst []events.Seq, r seqRange) []events.Seq {
	for i := g.find(r.first); i < len(g.low) && len(dst) < cap(dst) && g.seq(i) <= r.last; i++ {
		dst = append(dst, g.seq(i))
	}
	return dst
}

func (g segment) descending(dst []events.Seq, r seqRange) []events.Seq {
	for i := g.find(r.last+1) - 1; i >= 0 && len(dst) < cap(dst) && g.seq(i) >= r.first; i-- {
		dst = append(dst, g.seq(i))
	}
	return dst
}
