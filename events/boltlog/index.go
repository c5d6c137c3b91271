package boltlog

import (
	"context"
	"slices"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// index knows which records are about which account. It costs four bytes per
// record and about a hundred per account.
type index struct {
	mu       sync.RWMutex
	accounts map[string]*postings // account -> the seqs of its records
	whole    chan struct{}        // closed once the older records are in it, or err is set
	err      error                // why they are not; set before whole is closed
}

// postings are seqs in ascending order, in segments of equal upper halves.
type postings struct{ segments []segment }

// segment holds the lower halves of seqs whose upper half is high.
type segment struct {
	high uint32
	low  []uint32
}

func newIndex() *index {
	return &index{accounts: make(map[string]*postings), whole: make(chan struct{})}
}

// wait returns once the index has all records, or says why it has not.
func (x *index) wait(ctx context.Context) error {
	select {
	case <-x.whole:
		return x.err
	default:
	}
	select {
	case <-x.whole:
		return x.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// complete puts the records up to a seq, which older has, before those in the index,
// which come after it. older must not be used any more.
func (x *index) complete(older *index, to events.Seq) {
	older.cut(to)
	x.mu.Lock()
	for id, tail := range x.accounts { // few, as long as the older are still missing
		older.of(id).join(tail)
	}
	x.accounts = older.accounts
	x.mu.Unlock()
	close(x.whole)
}

// fail says that the index will never be whole.
func (x *index) fail(err error) {
	x.err = err
	close(x.whole)
}

// cut drops the seqs after to.
func (x *index) cut(to events.Seq) {
	for id, p := range x.accounts {
		p.cut(to)
		if len(p.segments) == 0 {
			delete(x.accounts, id)
		}
	}
}

// add records that the records are about their accounts. Seqs ascend from call to call.
func (x *index) add(recs []events.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range recs {
		r := &recs[i]
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

// cut drops the seqs after to.
func (p *postings) cut(to events.Seq) {
	for n := len(p.segments); n > 0; n-- {
		last := &p.segments[n-1]
		if last.low = last.low[:last.find(to+1)]; len(last.low) > 0 {
			return
		}
		p.segments = p.segments[:n-1]
	}
}

// join appends the seqs of tail, all of which are higher.
func (p *postings) join(tail *postings) {
	n := len(p.segments)
	if n == 0 || len(tail.segments) == 0 || p.segments[n-1].high != tail.segments[0].high {
		p.segments = append(p.segments, tail.segments...)
		return
	}
	last := &p.segments[n-1]
	last.low = append(last.low, tail.segments[0].low...)
	p.segments = append(p.segments, tail.segments[1:]...)
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
