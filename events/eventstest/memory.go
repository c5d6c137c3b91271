// Package eventstest helps to test what uses an [events.Log] and what implements
// one: a log in memory ([New]), a draft of every kind with every field filled
// ([Drafts]), and the suite that every implementation passes ([Run]).
package eventstest

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// Log is an events.Log in memory. Nothing is durable; all else holds, so that
// code tested with it meets the same conflicts and ends as with a log on disk.
type Log struct {
	mu      sync.RWMutex
	head    events.Head
	records []events.Record
	account map[string][]events.Seq // account -> the seqs of its records, ascending
	closed  bool
}

var _ events.Log = (*Log)(nil)

// New returns an empty log with the id "memory".
func New() *Log { return NewWithID("memory") }

// NewWithID returns an empty log with the given id, which its chain starts from.
func NewWithID(id string) *Log {
	return &Log{
		head:    events.Head{Log: id, Hash: events.Genesis(id)},
		account: make(map[string][]events.Seq),
	}
}

// Append implements events.Log.
func (l *Log) Append(ctx context.Context, recs []events.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return events.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := events.Link(l.head, recs); err != nil {
		return err
	}
	for _, r := range recs {
		for _, id := range r.Accounts() {
			if seqs := l.account[id]; len(seqs) == 0 || seqs[len(seqs)-1] != r.Seq {
				l.account[id] = append(seqs, r.Seq)
			}
		}
		l.records = append(l.records, r)
		l.head = l.head.Next(r)
	}
	return nil
}

// Records implements events.Log.
func (l *Log) Records(ctx context.Context, after events.Seq) iter.Seq2[events.Record, error] {
	return l.History(ctx, events.Query{After: after})
}

// History implements events.Log.
func (l *Log) History(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		q := q // the function may be ranged over again
		for {
			r, ok, err := l.next(ctx, q)
			if err != nil {
				yield(events.Record{}, err)
				return
			}
			if !ok || !yield(r, nil) {
				return
			}
			if q.Newest {
				q.Before = r.Seq
			} else {
				q.After = r.Seq
			}
		}
	}
}

// next returns the first record of what is left of q.
func (l *Log) next(ctx context.Context, q events.Query) (events.Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return events.Record{}, false, err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return events.Record{}, false, events.ErrClosed
	}
	seq := l.nextSeq(q)
	if seq == 0 {
		return events.Record{}, false, nil
	}
	return l.records[seq-1], true, nil
}

// nextSeq returns the seq next asks for, or 0.
func (l *Log) nextSeq(q events.Query) events.Seq {
	first, last := q.After+1, l.head.Seq // inclusive
	if q.Before != 0 {
		last = min(last, q.Before-1)
	}
	if first == 0 || first > last { // After may be the greatest Seq
		return 0
	}
	if q.Account == "" {
		if q.Newest {
			return last
		}
		return first
	}
	seqs := l.account[q.Account]
	from, _ := slices.BinarySearch(seqs, first)
	to, _ := slices.BinarySearch(seqs, last+1)
	if from >= to {
		return 0
	}
	if q.Newest {
		return seqs[to-1]
	}
	return seqs[from]
}

// Head implements events.Log.
func (l *Log) Head(ctx context.Context) (events.Head, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return events.Head{}, events.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return events.Head{}, err
	}
	return l.head, nil
}

// Close implements events.Log. Closing again does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
