package boltlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/abeyance/abeyance/events"
)

// Verify checks the whole chain as it is now in the file, up to the newest record, and
// returns the head it found: the last record that is what was written. Then it checks
// what stands beside the log: the head file, which must name a record of it; each
// checkpoint, which must be of a record of it and have its digest; and the index file,
// which must be what the records say. Nothing is changed or deleted. The error joins all
// that is wrong: for the log that of the first bad record, for each of the other files
// a *DamageError or a *RollbackError. Wrong checkpoints and a wrong index are never used and
// lose nothing.
//
// A log that was opened for reading only and checked whole by Open, to which nobody can
// have written since, is not read a second time.
//
// progress, unless nil, is called now and then, from the caller's goroutine, with
// the records checked and the records there are.
func (l *Log) Verify(ctx context.Context, progress func(done, total events.Seq)) (events.Head, error) {
	if l.closed.Load() {
		return events.Head{}, events.ErrClosed
	}
	fresh, head, err := l.indexAnew(ctx, progress)
	if err != nil {
		return head, err
	}
	l.files.Lock() // they are written one at a time, and not while they are read
	defer l.files.Unlock()
	if l.closed.Load() {
		return head, events.ErrClosed
	}
	return head, errors.Join(l.verifyHead(), l.verifyCheckpoints(ctx), l.verifyIndex(fresh, head))
}

// indexAnew checks the whole chain and returns an index of its records.
func (l *Log) indexAnew(ctx context.Context, progress func(done, total events.Seq)) (*index, events.Head, error) {
	head := *l.head.Load()
	if l.o.ReadOnly && l.whole {
		fresh, err := decodeIndex(l.index.encode(head.Seq), head.Seq)
		return fresh, head, err
	}
	fresh := newIndex()
	count := counted(l.base.Seq, head.Seq, progress)
	head, err := l.scan(ctx, span{from: l.base, last: head.Seq, seek: true}, func(recs []events.Record) error {
		fresh.add(recs)
		return count(recs)
	})
	return fresh, head, err
}

// counted returns a function that tells progress, unless nil, of the records after
// base up to last that it is called with.
func counted(base, last events.Seq, progress func(done, total events.Seq)) func([]events.Record) error {
	return func(recs []events.Record) error {
		if progress != nil {
			progress(recs[len(recs)-1].Seq-base, last-base)
		}
		return nil
	}
}

// verifyHead compares the log with the head file as it is now.
func (l *Log) verifyHead() error {
	noted, known, err := readHead(l.root)
	if err != nil || !known {
		return err
	}
	return l.holds(l.head.Load().Seq, noted) // which is loaded after the file: it never leads
}

// verifyCheckpoints checks all checkpoints. files is held.
func (l *Log) verifyCheckpoints(ctx context.Context) error {
	seqs, err := l.checkpointSeqs()
	for _, s := range seqs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, _, bad := l.readCheckpoint(s, l.head.Load().Seq)
		err = errors.Join(err, bad)
	}
	return err
}

// verifyIndex compares the index file with an index of the records up to head, or up to
// the record that the file is of, if that is before it. files is held.
func (l *Log) verifyIndex(fresh *index, head events.Head) error {
	saved, at, err := l.savedIndex(l.head.Load().Seq)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := min(at.Seq, head.Seq) // the index may have been saved after the scan began
	saved.cut(to)
	fresh.cut(to)
	if id, same := saved.equal(fresh); !same {
		return &DamageError{
			Path: filepath.Join(l.root.Name(), nameIndex), Err: fmt.Errorf("has other records about the account %s than the log", id),
			Advice: "it can be deleted while the daemon is stopped: it is worked out anew from the log",
		}
	}
	return nil
}
