package boltlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/abeyance/abeyance/events"
)

// nameIndex is the saved account index, a sealed file. Its payload is
//
//	accounts                              uvarint
//	and for each, ascending bytewise by id:
//	length of the id                      uvarint
//	id
//	seqs                                  uvarint, at least 1
//	the first seq                         uvarint
//	what each of the others is more       uvarint, at least 1
const nameIndex = "index"

var errIndex = fmt.Errorf("%w: its lists do not fit together", errSealed)

// encode returns the payload of the index up to a seq. Records after it may be
// added meanwhile: each account is locked for itself, so that appends wait for one
// list at most.
func (x *index) encode(to events.Seq) []byte {
	x.mu.RLock()
	ids := slices.Collect(maps.Keys(x.accounts))
	x.mu.RUnlock()
	slices.Sort(ids)
	body := []byte(nil)
	n := uint64(0)
	for _, id := range ids {
		var some bool
		if body, some = x.appendAccount(body, id, to); some {
			n++
		}
	}
	return append(binary.AppendUvarint(nil, n), body...)
}

// appendAccount appends the list of one account, if it has any up to a seq.
func (x *index) appendAccount(b []byte, id string, to events.Seq) ([]byte, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p := x.accounts[id]
	n, before := 0, events.Seq(0)
	for _, g := range p.segments {
		n += g.find(to + 1)
	}
	if n == 0 {
		return b, false
	}
	b = binary.AppendUvarint(b, uint64(len(id)))
	b = append(b, id...)
	b = binary.AppendUvarint(b, uint64(n))
	for _, g := range p.segments {
		for i := range g.find(to + 1) {
			b = binary.AppendUvarint(b, uint64(g.seq(i)-before))
			before = g.seq(i)
		}
	}
	return b, true
}

// indexReader reads a payload that encode wrote. ok is false from the first thing on
// that encode does not write.
type indexReader struct {
	rest []byte
	last events.Seq // the highest seq that may occur
	ok   bool
}

func decodeIndex(payload []byte, last events.Seq) (*index, error) {
	r := &indexReader{rest: payload, last: last, ok: true}
	x := newIndex()
	before := ""
	for i := range r.uvarint(len(payload)) {
		id := string(r.take(r.uvarint(len(r.rest))))
		if i > 0 && id <= before || !r.ok {
			return nil, errIndex
		}
		before = id
		x.accounts[id] = r.postings()
	}
	if !r.ok || len(r.rest) > 0 {
		return nil, errIndex
	}
	return x, nil
}

// uvarint reads a number of things that take a byte each, at least: no more than most.
func (r *indexReader) uvarint(most int) uint64 {
	v := r.number()
	if v > uint64(most) {
		r.ok = false
		return 0
	}
	return v
}

func (r *indexReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || !r.ok {
		r.ok = false
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *indexReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.ok = false
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *indexReader) postings() *postings {
	p := new(postings)
	n := r.uvarint(len(r.rest))
	r.ok = r.ok && n > 0
	if r.last <= 1<<32-1 && r.ok {
		p.segments = []segment{{low: make([]uint32, 0, n)}} // as almost always
	}
	at := events.Seq(0)
	for range n {
		step := r.number()
		if at += events.Seq(step); step == 0 || step > uint64(r.last) || at > r.last {
			r.ok = false
			return p
		}
		p.add(at)
	}
	return p
}

// equal reports whether two indexes have the same lists, and names an account that has
// not.
func (x *index) equal(y *index) (id string, same bool) {
	for id, p := range x.accounts {
		q := y.accounts[id]
		if q == nil || !slices.EqualFunc(p.segments, q.segments, segment.equal) {
			return id, false
		}
	}
	for id := range y.accounts {
		if x.accounts[id] == nil {
			return id, false
		}
	}
	return "", true
}

func (g segment) equal(h segment) bool { return g.high == h.high && slices.Equal(g.low, h.low) }

// saveIndex writes the index file. files is held. An index that is not whole, and one
// that has nothing new, is not written.
func (l *Log) saveIndex() error {
	select {
	case <-l.index.whole:
	default:
		return nil
	}
	head := *l.head.Load() // before the lists are read: they have all records up to it
	if l.index.err != nil || l.savedAt == head.Seq {
		return nil
	}
	if err := writeSealed(l.root, nameIndex, sealIndex, head, l.index.encode(head.Seq)); err != nil {
		return fmt.Errorf("saving the account index: %w", err)
	}
	l.savedAt = head.Seq
	return nil
}

// savedIndex reads the index file of a log that ends at last.
func (l *Log) savedIndex(last events.Seq) (*index, events.Head, error) {
	head, payload, err := readSealed(l.root, nameIndex, sealIndex)
	if err == nil {
		head, err = l.onChain(head, last)
	}
	if err != nil {
		return nil, head, l.sealedError(nameIndex, err)
	}
	x, err := decodeIndex(payload, head.Seq)
	if err != nil {
		return nil, head, l.sealedError(nameIndex, err)
	}
	return x, head, nil
}

// completeIndex adds the records up to a head, before which the log was not read at
// start: from the index file, and what that lacks from the log.
func (l *Log) completeIndex(ctx context.Context, to events.Head) {
	older, from, err := l.savedIndex(l.head.Load().Seq)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.dropSealed(nameIndex, err)
		}
		older, from = newIndex(), l.base
	}
	l.files.Lock()
	l.savedAt = from.Seq
	l.files.Unlock()
	if from.Seq < to.Seq {
		err = l.warm(ctx, uint64(to.Seq-from.Seq))
		if err == nil {
			_, err = l.scan(ctx, span{from: from, last: to.Seq}, func(recs []events.Record) error { older.add(recs); return nil })
		}
		if err != nil {
			l.indexFailed(ctx, err)
			return
		}
	}
	l.index.complete(older, to.Seq)
}

func (l *Log) indexFailed(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, events.ErrClosed) { // the log is being closed
		l.index.fail(events.ErrClosed)
		return
	}
	l.o.Logger.Error("the history of accounts cannot be read", "dir", l.root.Name(), "error", err)
	l.index.fail(err)
}
