package boltlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/google/uuid"

	"github.com/abeyance/abeyance/events"
)

// Open opens the log in dir, and checks it: all of it, or what comes after the
// checkpoint that Options.Restore takes. A directory that does not exist is made if its
// parent exists, and a log in one that is empty but for files of Abeyance; nothing else
// is ever made or repaired.
//
// The error is a *LockedError while another process has the log open; a
// *ForeignError or *MissingError for a directory that is not one; a *RollbackError
// for a log that lacks records it is known to have held; a *ModeError for one that
// others could read or replace; an *events.FormatError
// for a log of a newer version; and a *DamageError, around an *events.ChainError if a
// record is concerned, for a file that is not what was written.
func Open(dir string, o *Options) (*Log, error) {
	l := &Log{name: nameLog, index: newIndex()}
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

func (l *Log) start(dir string) (err error) {
	if err := l.enter(dir); err != nil {
		return err
	}
	noted, known, err := readHead(l.root)
	if err != nil {
		return err
	}
	defer func() { err = l.held(err, noted.Seq) }()
	if l.bolt, err = openBolt(l.root, l.name, l.o.ReadOnly); err != nil {
		return err
	}
	base, last, err := l.bolt.base()
	if err != nil {
		return l.damaged(err)
	}
	l.base = base
	if !known {
		noted = base
	}
	// Before all the rest is read: it is not the log that belongs here.
	if back := l.shorter(last, noted); back != nil && !l.o.AcceptLoss {
		return back
	}
	from, head, err := l.load(last)
	if err != nil {
		return err
	}
	if err := l.acceptLoss(head, noted); err != nil {
		return err
	}
	for _, c := range l.unusable { // a log that is refused is left as it is
		l.dropCheckpoint(c.seq, c.why)
	}
	l.head.Store(&head)
	l.fill(from)
	if l.o.ReadOnly {
		return nil
	}
	l.noter = &noter{root: l.root, log: l.o.Logger, head: &l.head, known: known && l.loss == nil}
	l.noter.noted.Store(uint64(noted.Seq))
	if l.loss == nil { // else head tells of what was lost, until the log goes on
		l.noter.start()
	}
	return nil
}

// held tells whoever looks for a backup of a damaged log how far it should go.
func (l *Log) held(err error, noted events.Seq) error {
	if damage, ok := errors.AsType[*DamageError](err); ok && damage.Path == l.path() {
		damage.Held = noted
	}
	return err
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

// load reads the records, all of them or those after the checkpoint from, and returns
// the head.
func (l *Log) load(last events.Seq) (from, head events.Head, err error) {
	from = l.restore(last)
	if from.Seq == l.base.Seq {
		err = l.bolt.checkPages() // which also warms the page cache
	} else {
		err = l.warm(context.Background(), uint64(last-from.Seq))
	}
	if err != nil {
		return from, head, l.damaged(err)
	}
	head, err = l.scan(context.Background(), span{from: from, last: last}, func(recs []events.Record) error {
		l.index.add(recs)
		return l.replay(recs)
	})
	return from, head, err
}

// restore offers the checkpoints, and returns the head of the one that was taken, or
// the head before the first record.
func (l *Log) restore(last events.Seq) events.Head {
	if l.o.Restore == nil {
		return l.base
	}
	seqs, err := l.checkpointSeqs()
	if err != nil {
		l.o.Logger.Warn("the checkpoints cannot be read; the log has it all", "dir", l.root.Name(), "error", err)
	}
	for _, s := range seqs {
		head, payload, err := l.readCheckpoint(s, last)
		if err == nil {
			err = l.o.Restore(head, payload)
		}
		if err == nil {
			return head
		}
		l.unusable = append(l.unusable, unusable{s, err})
	}
	return l.base
}

// unusable is a checkpoint that cannot be begun with, and why.
type unusable struct {
	seq events.Seq
	why error
}

// fill sees that the index gets the records up to from, which were not read.
func (l *Log) fill(from events.Head) {
	if l.whole = from.Seq == l.base.Seq; l.whole {
		close(l.index.whole)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.filling.Go(func() { l.completeIndex(ctx, from) })
}

// manyRecords is from how many records on it is worth reading the file through first,
// at some 1.5 GB/s: bbolt tells the kernel that it accesses its mapping at random, so
// what is not in the page cache is fetched page by page.
const manyRecords = 20_000

// warm reads the file through once if n records of it are about to be read.
func (l *Log) warm(ctx context.Context, n uint64) error {
	if n < manyRecords {
		return ctx.Err()
	}
	f, err := l.root.Open(l.name) // a failed append may close bbolt's own meanwhile
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for err == nil && ctx.Err() == nil {
		_, err = f.Read(buf)
	}
	if err != nil && err != io.EOF {
		return err
	}
	return ctx.Err()
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
