package boltlog

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/abeyance/abeyance/events"
)

// Options of a log. The zero value, and nil, open it for reading and writing.
type Options struct {
	// Logger hears of trouble that no call reports. Nil: nobody.
	Logger *slog.Logger
	// ReadOnly opens an existing log while no other process writes to it. Nothing is
	// made or written, not even LOCK; Append returns ErrReadOnly. Several readers may
	// have a log open, and keep writers out.
	ReadOnly bool
	// Restore is offered the checkpoints of the log, the newest first, until it takes
	// one: then Open reads only the records after it, and what came before is left to
	// [Log.Verify]. head is that of a record of the log; payload, which is the
	// caller's to keep, is what [Log.WriteCheckpoint] was given for it. An error means
	// that this one cannot be used, and must leave the caller as if it had not been
	// offered. Nil: all records are read.
	Restore func(head events.Head, payload []byte) error
	// Replay is called with each record, in order, while Open checks the chain, so
	// that a caller who folds the log reads it once; after Restore has taken a
	// checkpoint with those after it. The record is the caller's to keep, but not its
	// bytes, which are overwritten after Replay returns. An error ends Open, which
	// returns it. Nil: nothing is called.
	Replay func(events.Record) error
	// AcceptLoss opens a log that lacks records it is known to have held, instead of
	// returning a *RollbackError; [Log.Loss] tells what was lost.
	AcceptLoss bool
	// CopyDir is where Copy and Backup make the file to hand out, which needs about as
	// much room as the log. Empty: the data directory; when reading only, the system's
	// directory for temporary files.
	CopyDir string
}

// Log is an events.Log in a directory.
type Log struct {
	o    Options
	root *os.Root
	name string // of the log file in root
	lock *lock
	base events.Head // before the first record

	write  sync.Mutex // one writer
	values []byte     // guarded by write: room for the values of a commit
	poison error      // guarded by write: why nothing more is appended
	wedged bool       // guarded by write: a panic left bbolt's locks taken

	mu     sync.RWMutex
	bolt   *boltFile // guarded by mu; replaced with write held too; nil: closed
	closed atomic.Bool

	head  atomic.Pointer[events.Head] // of what is durable and indexed; readers see no further
	index *index
	noter *noter // nil when reading only
	loss  *Loss  // nil: none
	whole bool   // Open has checked all records, not only those after a checkpoint

	unusable []unusable // checkpoints, found while opening

	files   sync.Mutex // one at a time works on checkpoints and the index file
	savedAt events.Seq // guarded by files: the seq of the index file; 0: none

	filling sync.WaitGroup // of the goroutine that completes the index
	stop    func()         // ends it
}

var _ events.Log = (*Log)(nil)

// Head implements events.Log.
func (l *Log) Head(ctx context.Context) (events.Head, error) {
	if l.closed.Load() {
		return events.Head{}, events.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return events.Head{}, err
	}
	return *l.head.Load(), nil
}

// Stats are figures for metrics.
type Stats struct {
	Bytes   int64  // length of log.db, which grows in steps; less may be in use
	Records uint64 // in the log
}

// Stats returns the log's figures; Bytes is 0 when the file cannot be asked.
func (l *Log) Stats() Stats {
	s := Stats{Records: uint64(l.head.Load().Seq - l.base.Seq)}
	if info, err := l.root.Stat(l.name); err == nil {
		s.Bytes = info.Size()
	}
	return s
}

// Close implements events.Log. It waits for an Append and a WriteCheckpoint under
// way, brings the head file up to date and saves the account index. Closing again does
// nothing.
func (l *Log) Close() error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.closed.Swap(true) {
		return nil
	}
	l.endFilling()
	if l.noter != nil {
		l.noter.close()
	}
	l.files.Lock()
	defer l.files.Unlock()
	if !l.o.ReadOnly {
		if err := l.saveIndex(); err != nil { // the next start takes longer, no more
			l.o.Logger.Warn("closing the log", "dir", l.root.Name(), "error", err)
		}
	}
	return l.release()
}

// endFilling ends the goroutine that completes the index.
func (l *Log) endFilling() {
	if l.stop != nil {
		l.stop()
	}
	l.filling.Wait()
}

// release gives back whatever is held.
func (l *Log) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	switch {
	case l.bolt != nil && l.wedged:
		l.bolt.discard()
	case l.bolt != nil:
		errs = append(errs, l.bolt.close())
	}
	l.bolt = nil
	errs = append(errs, l.lock.release())
	if l.root != nil {
		errs = append(errs, l.root.Close())
	}
	return errors.Join(errs...)
}

func (l *Log) path() string { return filepath.Join(l.root.Name(), l.name) }

// damaged names the file in an error about what it holds. Errors that are no
// damage stay as they are.
func (l *Log) damaged(err error) error {
	if own, ok := errors.AsType[*callerError](err); ok {
		return own.err
	}
	if _, ok := errors.AsType[*DamageError](err); ok || errors.Is(err, events.ErrClosed) {
		return err
	}
	if _, ok := errors.AsType[*events.FormatError](err); ok {
		return &newerError{l.path(), err}
	}
	return &DamageError{Path: l.path(), Err: err}
}
