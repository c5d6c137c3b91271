package boltlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

// Append implements events.Log as one transaction of bbolt: two fdatasyncs, and an fsync
// more when the room that was written ahead is used up. Calls wait for each other;
// collect records rather than call often.
//
// An error wraps events.ErrFull if the disk was full: then the file was opened
// anew, found as it was, and the log goes on. After a *CommitError it refuses
// every Append.
func (l *Log) Append(ctx context.Context, recs []events.Record) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(ctx); err != nil || len(recs) == 0 {
		return err
	}
	head := *l.head.Load()
	if err := events.Link(head, recs); err != nil {
		return err
	}
	err := l.commit(recs)
	if err == nil {
		err = l.named()
	}
	if err != nil {
		return l.failed(head, recs, err)
	}
	l.index.add(recs)
	head = head.Next(recs[len(recs)-1])
	l.head.Store(&head)
	l.noter.moved()
	return nil
}

// writable says why nothing may be appended. write is held.
func (l *Log) writable(ctx context.Context) error {
	switch {
	case l.closed.Load():
		return events.ErrClosed
	case l.o.ReadOnly:
		return ErrReadOnly
	case l.poison != nil:
		return l.poison
	}
	return ctx.Err()
}

// commit stores recs. write is held, which also keeps l.bolt in place.
func (l *Log) commit(recs []events.Record) error {
	size := valuesSize(recs)
	values := l.values[:0]
	if cap(values) < size {
		values = make([]byte, 0, size)
	}
	err := guard(func() error {
		return l.bolt.db.Update(func(tx *bbolt.Tx) error {
			if err := l.bolt.grow(tx.Size(), size); err != nil {
				return err
			}
			return put(tx.Bucket([]byte(bucketRecords)), recs, values)
		})
	})
	if cap(values) <= keptValues {
		l.values = values
	}
	return err
}

// keptValues bounds the room for values that is kept from one commit to the next, in
// bytes: that of a batch of a thousand records.
const keptValues = 1 << 20

// named returns an error unless the file that was committed to is the one that the next
// process will open. write is held.
func (l *Log) named() error {
	same, err := l.bolt.isNamed()
	if err == nil && !same {
		err = fmt.Errorf("%s was replaced by another file while it was open", l.path())
	}
	return err
}

// valuesSize is how many bytes the values of records take together.
func valuesSize(recs []events.Record) (n int) {
	for _, r := range recs {
		n += len(r.Encoded()) + len(r.Hash)
	}
	return n
}

// put stores recs. Their values are put together in values, which has room for all of
// them: bbolt keeps them until the commit.
func put(b *bbolt.Bucket, recs []events.Record, values []byte) error {
	b.FillPercent = 1 // keys only ever ascend: split full pages at their end
	var key [8]byte
	for _, r := range recs {
		from := len(values)
		values = append(append(values, r.Encoded()...), r.Hash[:]...)
		binary.BigEndian.PutUint64(key[:], uint64(r.Seq))
		if err := b.Put(key[:], values[from:]); err != nil {
			return err
		}
	}
	return nil
}

// failed says what a failed commit means. Only a full disk, which bbolt meets
// before it writes the meta page, is known to have changed nothing; and that is
// believed only of a file that was closed, opened anew and found at its old head,
// because after an I/O error bbolt may show records that are not on disk.
func (l *Log) failed(head events.Head, recs []events.Record, cause error) error {
	_, wedged := errors.AsType[*faultError](cause)
	if isFull(cause) && !wedged {
		err := l.reopen(head)
		if err == nil {
			return fmt.Errorf("%w: %w", events.ErrFull, cause)
		}
		cause = errors.Join(cause, err)
	}
	l.wedged = wedged
	l.poison = &CommitError{First: recs[0].Seq, Last: recs[len(recs)-1].Seq, Err: cause}
	l.o.Logger.Error("a commit failed", "dir", l.root.Name(), "error", l.poison)
	return l.poison
}

// reopen opens the file anew and returns nil if it is sound and ends at head.
func (l *Log) reopen(head events.Head) error {
	l.mu.Lock()
	err := l.bolt.close()
	l.bolt = nil
	if err == nil {
		l.bolt, err = openBolt(l.root, l.name, false)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	base, last, err := l.bolt.base()
	if err != nil {
		return err
	}
	if base != l.base || last != head.Seq {
		return fmt.Errorf("the file ends at record %d of the log %s, not at record %d", last, base.Log, head.Seq)
	}
	if last == base.Seq {
		return nil
	}
	rows, err := l.fetch([]events.Seq{last})
	if err != nil {
		return err
	}
	if rows[0].hash != head.Hash {
		return &events.ChainError{Seq: last, Problem: "is another one"}
	}
	return nil
}
