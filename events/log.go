package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// ErrClosed is returned by a Log after Close.
var ErrClosed = errors.New("the log is closed")

// ErrFull is wrapped by the error of an Append that stored nothing because there
// is no room. The log is as it was, and later Appends may succeed.
var ErrFull = errors.New("no room to store the records")

// Log is the one durable, ordered stream. Implementations pass the suite of
// package eventstest. All methods may be called from several goroutines.
type Log interface {
	// Append stores recs, all or none, durably, before it returns nil. recs[0]
	// must continue the head, else nothing happens and the error is a
	// *ConflictError; nothing happens either when the error wraps ErrFull or
	// ErrClosed. After any other error the outcome is unknown: stop, and open the
	// log anew. A context that ends before the write has begun prevents it;
	// after that it is ignored. Appending nothing does nothing. Records that have no
	// hash get it; see Link.
	Append(ctx context.Context, recs []Record) error

	// Records yields the records after a seq in ascending order, as far as the head
	// at the time the iteration reaches it. The iterator yields either a record and
	// a nil error, or an empty record and an error, after which it ends. It holds
	// nothing open while the caller works on a record.
	Records(ctx context.Context, after Seq) iter.Seq2[Record, error]

	// History yields the records a query asks for, under the contract of Records.
	History(ctx context.Context, q Query) iter.Seq2[Record, error]

	// Head returns the newest record's identity.
	Head(ctx context.Context) (Head, error)

	// Close releases the log. Iterations under way end with ErrClosed.
	Close() error
}

// Query asks for a part of the history.
type Query struct {
	// Account restricts to records about one stored account id; empty: all.
	Account string
	// After and Before bound the seqs, both exclusive; 0: open.
	After, Before Seq
	// Newest yields the newest first.
	Newest bool
}

// ConflictError says that records do not continue the head.
type ConflictError struct {
	Expected Seq // the seq that would continue the head
	Actual   Seq // the seq of the first record given
}

func (e *ConflictError) Error() string {
	if e.Expected == e.Actual {
		return fmt.Sprintf("record %d was not sealed on the newest record", e.Actual)
	}
	return fmt.Sprintf("record %d does not continue the log: record %d is due", e.Actual, e.Expected)
}

// CheckAppend returns a *ConflictError unless recs are a chain that continues head.
func CheckAppend(head Head, recs []Record) error { return follow(head, recs, false) }

// Link is CheckAppend, and gives the records that [Sealer.Encode] left without a hash
// theirs. Every implementation of Append begins with it.
func Link(head Head, recs []Record) error { return follow(head, recs, true) }

func follow(head Head, recs []Record, link bool) error {
	for i := range recs {
		r := &recs[i]
		fits := r.Seq == head.Seq+1 && !r.At.Before(head.At)
		hash := ChainHash(head.Hash, r.encoded)
		if link && fits && r.Hash == (Hash{}) {
			r.Hash = hash
		}
		if !fits || r.Hash != hash {
			return &ConflictError{Expected: head.Seq + 1, Actual: r.Seq}
		}
		head = head.Next(*r)
	}
	return nil
}
