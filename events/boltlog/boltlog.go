package boltlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

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
	// Replay is called with each record, in order, while Open checks the chain, so
	// that a caller who folds the log reads it once. The record is the caller's to
	// keep. An error ends Open, which returns it. Nil: nothing is called.
	Replay func(events.Record) error
}

// Log is an events.Log in a directory.
type Log struct {
	o    Options
	root *os.Root
	lock *lock
	base events.Head // before the first record

	write  sync.Mutex // one writer
	poison error      // guarded by write: why nothing more is appended
	wedged bool       // guarded by write: a panic left bbolt's locks taken

	mu     sync.RWMutex
	bolt   *boltFile // guarded by mu; replaced with write held too; nil: closed
	closed atomic.Bool

	head  atomic.Pointer[events.Head] // of what is durable and indexed; readers see no further
	index *index
	noter *noter // nil when reading only
}

var _ events.Log = (*Log)(nil)

// Open opens the log in dir, and checks all of it. A directory that does not exist
// is made if its parent exists, and a log in one that is empty but for files of
// Abeyance; nothing else is ever made or repaired.
//
// The error is a *LockedError while another process has the log open; a
// *ForeignError or *MissingError for a directory that is not one; a *RollbackError
// for a log that lacks records it is known to have held; a *ModeError for one that
// others could read or replace; an *events.FormatError
// for a log of a newer version; and a *DamageError, around an *events.ChainError if a
// record is concerned, for a file that is not what was written.
func Open(dir string, o *Options) (*Log, error) {
	l := &Log{index: newIndex()}
	if o != nil {
		l.o = *o
	}
	l.o.Logger = cmp.Or(l.o.Logger, slog.New(slog.DiscardHandler))
	if err := l.start(dir); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

func (l *Log) start(dir string) error {
	if err := l.enter(dir); err != nil {
		return err
	}
	noted, known, err := readHead(l.root)
	if err != nil {
		return err
	}
	if l.bolt, err = openBolt(l.root, l.o.ReadOnly); err != nil {
		return err
	}
	base, last, err := l.bolt.base()
	if err != nil {
		return l.damaged(err)
	}
	l.base = base
	if known && (noted.Log != base.Log || noted.Seq > last) {
		return &RollbackError{Path: l.path(), Log: events.Head{Log: base.Log, Seq: last}, Head: noted}
	}
	if known && noted.Seq < base.Seq {
		return &RollbackError{Path: l.path(), Log: base, Head: noted}
	}
	if !known {
		noted = base
	}
	if err := l.load(last, noted); err != nil {
		return err
	}
	if !l.o.ReadOnly {
		l.noter = startNoter(&noter{root: l.root, log: l.o.Logger, head: &l.head, noted: noted.Seq, known: known})
	}
	return nil
}

// enter opens and locks the directory, and makes the log if there is none.
func (l *Log) enter(dir string) (err error) {
	if l.root, err = openDir(dir, !l.o.ReadOnly); err != nil {
		return err
	}
	found, err := survey(l.root) // before LOCK is made in a directory that is not ours
	if err != nil {
		return err
	}
	if !found && l.o.ReadOnly {
		return &MissingError{Path: l.path(), Advice: "there is no log in this directory"}
	}
	if found { // one that is made is made private
		if err := checkModes(l.root, &l.o); err != nil {
			return err
		}
	}
	if l.lock, err = acquire(l.root, l.o.ReadOnly); err != nil || l.o.ReadOnly {
		return err
	}
	if found, err = survey(l.root); err != nil { // somebody may have made it meanwhile
		return err
	}
	if err := sweep(l.root); err != nil || found {
		return err
	}
	return l.create()
}

func (l *Log) create() error {
	if err := l.root.Chmod(".", 0o700); err != nil {
		l.o.Logger.Warn("the data directory may be readable by others", "dir", l.root.Name(), "error", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("making an id for the log: %w", err)
	}
	return createLog(l.root, id.String())
}

// load checks the whole chain up to last, and fills the index. The record that
// noted names must be in it.
func (l *Log) load(last events.Seq, noted events.Head) error {
	found := l.base.Hash // of the record that noted names
	head, err := l.scan(context.Background(), last, func(recs []events.Record) error {
		if first := recs[0].Seq; noted.Seq >= first && noted.Seq-first < events.Seq(len(recs)) {
			found = recs[noted.Seq-first].Hash
		}
		l.index.add(recs)
		return l.replay(recs)
	})
	if err != nil {
		return err
	}
	if found != noted.Hash {
		return &RollbackError{Path: l.path(), Log: events.Head{Log: head.Log, Seq: noted.Seq, Hash: found}, Head: noted}
	}
	l.head.Store(&head)
	return nil
}

func (l *Log) replay(recs []events.Record) error {
	if l.o.Replay == nil {
		return nil
	}
	for _, r := range recs {
		if err := l.o.Replay(r); err != nil {
			return err
		}
	}
	return nil
}

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

// Verify checks the whole chain as it is now in the file, up to the newest record,
// and returns the head it found. The error is that of the first bad record.
// progress, unless nil, is called now and then, from the caller's goroutine, with
// the records checked and the records there are.
func (l *Log) Verify(ctx context.Context, progress func(done, total events.Seq)) (events.Head, error) {
	if l.closed.Load() {
		return events.Head{}, events.ErrClosed
	}
	last := l.head.Load().Seq
	return l.scan(ctx, last, func(recs []events.Record) error {
		if progress != nil {
			progress(recs[len(recs)-1].Seq-l.base.Seq, last-l.base.Seq)
		}
		return nil
	})
}

// Stats are figures for metrics.
type Stats struct {
	Bytes   int64  // length of log.db, which grows in steps; less may be in use
	Records uint64 // in the log
}

// Stats returns the log's figures; Bytes is 0 when the file cannot be asked.
func (l *Log) Stats() Stats {
	s := Stats{Records: uint64(l.head.Load().Seq - l.base.Seq)}
	if info, err := l.root.Stat(nameLog); err == nil {
		s.Bytes = info.Size()
	}
	return s
}

// Close implements events.Log. It waits for an Append under way, and brings the
// head file up to date. Closing again does nothing.
func (l *Log) Close() error {
	l.write.Lock()
	defer l.write.Unlock()
	if l.closed.Swap(true) {
		return nil
	}
	if l.noter != nil {
		l.noter.close()
	}
	return l.release()
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
		errs = append(errs, l.bolt.db.Close())
	}
	l.bolt = nil
	errs = append(errs, l.lock.release())
	if l.root != nil {
		errs = append(errs, l.root.Close())
	}
	return errors.Join(errs...)
}

func (l *Log) path() string { return filepath.Join(l.root.Name(), nameLog) }

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
		return fmt.Errorf("%s: %w", l.path(), err)
	}
	return &DamageError{Path: l.path(), Err: err}
}
