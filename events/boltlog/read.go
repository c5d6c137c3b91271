package boltlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

// A page is what one read transaction copies out. The first of an iteration is
// small, for callers that stop early.
const (
	firstPage = 32
	pageRows  = 512
	pageBytes = 1 << 20
	arena     = 32 << 10 // rows are copied into pieces of this size
)

// row is a stored record as read: not checked, not decoded.
type row struct {
	before  events.Head // Seq and Hash of the record before; At is not known
	encoded []byte
	hash    events.Hash
}

func (r row) seq() events.Seq { return r.before.Seq + 1 }

// seqRange is a range of seqs, both ends inclusive, and the order to go through it.
type seqRange struct {
	first, last events.Seq
	newest      bool
}

// rangeOf returns the seqs that q asks for in a log that ends at head.
func rangeOf(q events.Query, base, head events.Seq) seqRange {
	r := seqRange{first: max(q.After, base) + 1, last: head, newest: q.Newest}
	if q.Before != 0 {
		r.last = min(r.last, q.Before-1)
	}
	if q.After >= head {
		r.first, r.last = 1, 0 // also for an After at the end of the numbers
	}
	return r
}

// page appends up to cap(dst) seqs of the range to dst.
func (r seqRange) page(dst []events.Seq) []events.Seq {
	for r.first <= r.last && len(dst) < cap(dst) {
		if r.newest {
			dst = append(dst, r.last)
			r.last--
		} else {
			dst = append(dst, r.first)
			r.first++
		}
	}
	return dst
}

// Records implements events.Log. Each record is checked against the hash chain
// before it is decoded; one that does not fit ends the iteration with a *DamageError
// around a *events.ChainError.
func (l *Log) Records(ctx context.Context, after events.Seq) iter.Seq2[events.Record, error] {
	return l.History(ctx, events.Query{After: after})
}

// History implements events.Log, under the contract of [Log.Records].
func (l *Log) History(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		seqs := make([]events.Seq, 0, firstPage)
		q := q // the function may be ranged over again
		open := opener(events.Open)
		for {
			rows, err := l.next(ctx, q, seqs)
			if !l.yield(ctx, rows, open, yield) {
				return
			}
			if cap(seqs) == firstPage { // from here on it is worth the room that a decoder takes
				open = events.NewDecoder().Open
			}
			if err != nil {
				yield(events.Record{}, err)
				return
			}
			if len(rows) == 0 {
				return
			}
			if last := rows[len(rows)-1].seq(); q.Newest {
				q.Before = last
			} else {
				q.After = last
			}
			seqs = make([]events.Seq, 0, min(2*cap(seqs), pageRows))
		}
	}
}

// opener checks and decodes a record.
type opener func(head events.Head, seq events.Seq, encoded []byte, hash events.Hash) (events.Record, error)

// yield checks, decodes and hands out rows, and reports whether to go on.
func (l *Log) yield(ctx context.Context, rows []row, open opener, yield func(events.Record, error) bool) bool {
	for _, r := range rows {
		rec, err := l.open(ctx, r, open)
		if err != nil {
			yield(events.Record{}, err)
			return false
		}
		if !yield(rec, nil) {
			return false
		}
	}
	return true
}

func (l *Log) open(ctx context.Context, r row, open opener) (events.Record, error) {
	if err := ctx.Err(); err != nil {
		return events.Record{}, err
	}
	if l.closed.Load() {
		return events.Record{}, events.ErrClosed
	}
	rec, err := open(r.before, r.seq(), r.encoded, r.hash)
	if err != nil {
		return events.Record{}, l.damaged(err)
	}
	return rec, nil
}

// next reads the next rows of q, at most cap(seqs); none at its end.
func (l *Log) next(ctx context.Context, q events.Query, seqs []events.Seq) ([]row, error) {
	if l.closed.Load() {
		return nil, events.ErrClosed
	}
	r := rangeOf(q, l.base.Seq, l.head.Load().Seq)
	if q.Account != "" {
		if err := l.index.wait(ctx); err != nil {
			return nil, err
		}
		seqs = l.index.page(seqs[:0], q.Account, r)
	} else {
		seqs = r.page(seqs[:0])
	}
	if len(seqs) == 0 {
		return nil, nil
	}
	return l.fetch(seqs)
}

// fetch returns the rows of the seqs as copyOut does.
func (l *Log) fetch(seqs []events.Seq) ([]row, error) { return l.copyOut(new(fetcher), seqs) }

// copyOut appends the rows of the seqs to those of f, copied out of the file in one
// transaction: all of them, or the first about pageBytes. After an error the rows
// before the bad one are there, too.
func (l *Log) copyOut(f *fetcher, seqs []events.Seq) ([]row, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed.Load():
		return f.rows, events.ErrClosed
	case l.bolt == nil:
		return f.rows, errors.New("the log file could not be opened anew after a failed commit")
	}
	f.base, f.rows = l.base, slices.Grow(f.rows, len(seqs))
	err := guard(func() error {
		return l.bolt.db.View(func(tx *bbolt.Tx) error {
			f.cursor = tx.Bucket([]byte(bucketRecords)).Cursor()
			for _, s := range seqs {
				if err := f.copy(s); err != nil || f.size > pageBytes {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		err = l.damaged(err)
	}
	return f.rows, err
}

// fetcher copies rows in one transaction.
type fetcher struct {
	base   events.Head
	cursor *bbolt.Cursor
	at     events.Head // the row the cursor stands on; Seq 0: on none
	seek   bool        // look each row up, too
	rows   []row
	size   int
	room   *[]byte // where bytes are copied to; nil: where they stay as long as their rows
	free   []byte  // the rest of the current piece of arena
}

// copy adds the row of the record s, whose link to the record before is read with it.
func (f *fetcher) copy(s events.Seq) error {
	var k, v []byte
	switch {
	case s == f.base.Seq+1:
		f.at = f.base
		k, v = f.cursor.Seek(seqKey(s))
	case f.at.Seq == s-1:
		k, v = f.cursor.Next()
		if _, _, err := split(k, v, s); err == nil && f.seek {
			k, v = f.cursor.Seek(seqKey(s))
		}
	default:
		k, v = f.cursor.Seek(seqKey(s - 1))
		hash, _, err := split(k, v, s-1)
		if err != nil {
			return err
		}
		f.at = events.Head{Seq: s - 1, Hash: hash}
		k, v = f.cursor.Next()
	}
	hash, encoded, err := split(k, v, s)
	if err != nil {
		return err
	}
	f.rows = append(f.rows, row{before: f.at, encoded: f.keep(encoded), hash: hash})
	f.at = events.Head{Seq: s, Hash: hash}
	f.size += len(encoded)
	return nil
}

// keep copies b out of the mapping. Small rows share allocations.
func (f *fetcher) keep(b []byte) []byte {
	if f.room != nil {
		n := len(*f.room)
		*f.room = append(*f.room, b...) // if it moves, the older rows stay where they are
		return (*f.room)[n:]
	}
	if len(b) > arena/8 {
		return bytes.Clone(b)
	}
	if len(f.free) < len(b) {
		f.free = make([]byte, arena)
	}
	kept := f.free[:len(b):len(b)]
	f.free = f.free[len(b):]
	copy(kept, b)
	return kept
}

// split takes a stored key and value of the record s apart.
func split(k, v []byte, s events.Seq) (hash events.Hash, encoded []byte, err error) {
	if k == nil {
		return hash, nil, &events.ChainError{Seq: s, Problem: "is missing: the file ends before it"}
	}
	if len(k) != 8 {
		return hash, nil, &events.ChainError{Seq: s, Problem: fmt.Sprintf("is missing: there is a key of %d bytes in its place", len(k))}
	}
	if got := events.Seq(binary.BigEndian.Uint64(k)); got != s {
		return hash, nil, &events.ChainError{Seq: s, Problem: fmt.Sprintf("is missing: the next record is %d", got)}
	}
	n := len(v) - len(hash)
	if n <= 0 || n > events.MaxDefinitions { // checked before anything of that size is allocated
		return hash, nil, &events.ChainError{Seq: s, Problem: fmt.Sprintf("is not what was written: it has %d bytes", len(v))}
	}
	return events.Hash(v[n:]), v[:n], nil
}
