package boltlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// Checkpoints stand in a directory of their own, each named by its seq.
const (
	dirCheckpoints = "checkpoints"
	extCheckpoint  = ".checkpoint"
)

// Which checkpoints are kept: the newest, of which the second serves if the first was
// lost, and waypoints, from which states of the past are worked out: the first of every
// so many records, near the newest closer together.
const (
	keptCheckpoints = 2
	waypoint        = 100_000
	nearWaypoint    = 10_000
	near            = 1_000_000 // records before the newest checkpoint
)

func checkpointName(s events.Seq) string {
	return path.Join(dirCheckpoints, fmt.Sprintf("%020d%s", uint64(s), extCheckpoint))
}

// checkpointSeq returns the seq that a name in the directory stands for.
func checkpointSeq(name string) (events.Seq, bool) {
	digits, ok := strings.CutSuffix(name, extCheckpoint)
	n, err := strconv.ParseUint(digits, 10, 64)
	return events.Seq(n), ok && err == nil && len(digits) == 20
}

// checkpointSeqs returns the seqs for which there are files, the newest first.
func (l *Log) checkpointSeqs() ([]events.Seq, error) {
	names, err := l.checkpointFiles()
	if err != nil {
		return nil, err
	}
	var seqs []events.Seq
	for _, name := range names {
		if s, ok := checkpointSeq(name); ok {
			seqs = append(seqs, s)
		}
	}
	slices.Sort(seqs)
	slices.Reverse(seqs)
	return seqs, nil
}

func (l *Log) checkpointFiles() ([]string, error) {
	d, err := l.root.Open(dirCheckpoints)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// WriteCheckpoint keeps payload, whatever the caller worked out from the records up
// to head, durably beside the log, and removes the checkpoints that are no longer
// needed. It saves the account index, too. Appends go on meanwhile. head must be the
// log's, or one it had; payload has at most 1 GiB. An error costs a slower start and
// nothing else.
func (l *Log) WriteCheckpoint(ctx context.Context, head events.Head, payload []byte) error {
	if l.o.ReadOnly {
		return ErrReadOnly
	}
	l.files.Lock()
	defer l.files.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.closed.Load() {
		return events.ErrClosed
	}
	if _, err := l.onChain(head, l.head.Load().Seq); err != nil {
		return fmt.Errorf("the checkpoint at record %d: %w", head.Seq, err)
	}
	if err := l.keepCheckpoint(head, payload); err != nil {
		return fmt.Errorf("writing the checkpoint at record %d: %w", head.Seq, err)
	}
	return errors.Join(l.pruneCheckpoints(), l.saveIndex())
}

func (l *Log) keepCheckpoint(head events.Head, payload []byte) error {
	err := l.root.Mkdir(dirCheckpoints, 0o700)
	if err == nil {
		err = syncIn(l.root, ".")
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeSealed(l.root, checkpointName(head.Seq), sealCheckpoint, head, payload)
}

// pruneCheckpoints removes the checkpoints that nothing needs, and what a crash left.
// files is held.
func (l *Log) pruneCheckpoints() error {
	names, err := l.checkpointFiles()
	if err != nil {
		return err
	}
	seqs, err := l.checkpointSeqs()
	if err != nil {
		return err
	}
	needless := prunable(seqs)
	for _, name := range names {
		s, ok := checkpointSeq(name)
		if !ok && !strings.HasSuffix(name, extCheckpoint+suffix) || ok && !slices.Contains(needless, s) {
			continue
		}
		err = errors.Join(err, l.root.Remove(path.Join(dirCheckpoints, name)))
	}
	return err
}

// prunable returns those of the seqs, which descend, whose checkpoints need not be
// kept. Of those between two waypoints the first stays, so that it is never replaced.
func prunable(seqs []events.Seq) (needless []events.Seq) {
	for i, s := range seqs {
		step := events.Seq(nearWaypoint)
		if seqs[0]-s >= near {
			step = waypoint
		}
		first := i == len(seqs)-1 || seqs[i+1]/step != s/step
		if i >= keptCheckpoints && (!first || s < step) {
			needless = append(needless, s)
		}
	}
	return needless
}

// Checkpoints yields the heads of the checkpoints that are of this log, the newest
// first. Others are skipped, with a warning, and deleted unless the log was opened
// for reading only. Payloads are not checked. An error ends the iteration.
func (l *Log) Checkpoints() iter.Seq2[events.Head, error] {
	return func(yield func(events.Head, error) bool) {
		if l.closed.Load() {
			yield(events.Head{}, events.ErrClosed)
			return
		}
		seqs, err := l.checkpointSeqs()
		if err != nil {
			yield(events.Head{}, fmt.Errorf("the checkpoints: %w", err))
			return
		}
		for _, s := range seqs {
			head, err := l.sealedHead(s, l.head.Load().Seq)
			if err != nil {
				l.dropCheckpoint(s, err)
				continue
			}
			if !yield(head, nil) {
				return
			}
		}
	}
}

// ReadCheckpoint returns what WriteCheckpoint kept at head, as [Log.Checkpoints]
// gives it. The error wraps fs.ErrNotExist if there is none any more, and is a
// *DamageError if it is not what was written; then it is deleted.
func (l *Log) ReadCheckpoint(head events.Head) ([]byte, error) {
	if l.closed.Load() {
		return nil, events.ErrClosed
	}
	found, payload, err := l.readCheckpoint(head.Seq, l.head.Load().Seq)
	if err == nil && (found.Log != head.Log || found.Hash != head.Hash) {
		return nil, fmt.Errorf("the checkpoint at record %d is of another record: %w", head.Seq, fs.ErrNotExist)
	}
	if errors.Is(err, errSealed) {
		l.dropCheckpoint(head.Seq, err)
	}
	return payload, err
}

// readCheckpoint reads and checks the checkpoint at s of a log that ends at last.
func (l *Log) readCheckpoint(s, last events.Seq) (events.Head, []byte, error) {
	head, payload, err := readSealed(l.root, checkpointName(s), sealCheckpoint)
	if err == nil {
		head, err = l.sealedAt(head, s, last)
	}
	if err != nil {
		return events.Head{}, nil, l.sealedError(checkpointName(s), err)
	}
	return head, payload, nil
}

// sealedHead checks the checkpoint at s but for its payload.
func (l *Log) sealedHead(s, last events.Seq) (events.Head, error) {
	f, seal, err := readSeal(l.root, checkpointName(s), sealCheckpoint)
	if err != nil {
		return events.Head{}, l.sealedError(checkpointName(s), err)
	}
	f.Close()
	head, err := l.sealedAt(seal.head, s, last)
	if err != nil {
		return events.Head{}, l.sealedError(checkpointName(s), err)
	}
	return head, nil
}

// sealedAt checks that a checkpoint named s is of the record s.
func (l *Log) sealedAt(head events.Head, s, last events.Seq) (events.Head, error) {
	if head.Seq != s {
		return head, fmt.Errorf("%w: it says it is of record %d", errSealed, head.Seq)
	}
	return l.onChain(head, last)
}

// sealedError names the file in an error about it.
func (l *Log) sealedError(name string, err error) error {
	if errors.Is(err, errSealed) {
		return &DamageError{
			Path: filepath.Join(l.root.Name(), filepath.FromSlash(name)), Err: err,
			Advice: "it can be deleted: what it holds is worked out anew from the log",
		}
	}
	return fmt.Errorf("%s: %w", name, err)
}

// onChain checks that head is that of a record of the log, which ends at last, and
// returns it with the time of that record. The error wraps errSealed unless the log
// could not be read.
func (l *Log) onChain(head events.Head, last events.Seq) (events.Head, error) {
	switch {
	case head.Log != l.base.Log:
		return head, fmt.Errorf("%w for this log: it is of the log %s", errSealed, head.Log)
	case head.Seq > last:
		return head, fmt.Errorf("%w for this log: it is of record %d, and the log ends at record %d", errSealed, head.Seq, last)
	case head.Seq < l.base.Seq || head.Seq == l.base.Seq && head.Hash != l.base.Hash:
		return head, fmt.Errorf("%w for this log: it is of record %d, before the first", errSealed, head.Seq)
	}
	found, err := l.headAt(head.Seq)
	if err == nil && found.Hash != head.Hash {
		err = fmt.Errorf("%w for this log: record %d has another hash", errSealed, head.Seq)
	}
	return found, err
}

// dropCheckpoint says why a checkpoint is not used, and deletes one that never can be.
func (l *Log) dropCheckpoint(s events.Seq, cause error) {
	l.dropSealed(checkpointName(s), cause)
}

func (l *Log) dropSealed(name string, cause error) {
	useless := errors.Is(cause, errSealed) && !l.o.ReadOnly
	l.o.Logger.Warn("a saved file is not used; the log has it all", "dir", l.root.Name(), "file", name, "deleted", useless, "error", cause)
	if !useless {
		return
	}
	if err := l.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.o.Logger.Warn("the file could not be deleted", "dir", l.root.Name(), "file", name, "error", err)
	}
}
