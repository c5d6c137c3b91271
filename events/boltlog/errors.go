package boltlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"

	"github.com/abeyance/abeyance/events"
)

// ErrReadOnly is returned by Append on a log opened with Options.ReadOnly.
var ErrReadOnly = errors.New("the log was opened for reading only")

// LockedError says that another process, or this one, has the log open.
type LockedError struct {
	Path string // of the file that is locked
	PID  int    // of the process that holds it; 0: unknown, or a reader, which leaves no id
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Path + " is held by another process: wait for it to end or stop it"
	}
	return fmt.Sprintf("%s is held by process %d: talk to that process, or stop it", e.Path, e.PID)
}

// ForeignError says that a directory holds something else than a log. Nothing was
// written to it.
type ForeignError struct {
	Dir   string
	Found []string // names in it that are not ours, sorted
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is not a data directory of Abeyance: it holds no log, but %s; name an empty directory or a new one",
		e.Dir, someOf(e.Found))
}

// MissingError says that a directory or a log that must exist does not.
type MissingError struct {
	Path   string
	Advice string
}

func (e *MissingError) Error() string { return e.Path + " does not exist: " + e.Advice }

// ModeError says that others than the owner may read or write what only the owner
// should. Nothing was changed.
type ModeError struct {
	Path string
	Mode fs.FileMode // the permission bits it has
	Want fs.FileMode // those it should have
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("%s has the mode %04o, which lets others in: run chmod %o %s", e.Path, e.Mode, e.Want, e.Path)
}

// DamageError says that a file is not what was written. Nothing was changed.
type DamageError struct {
	Path string
	Err  error // what is wrong: for a record a *events.ChainError, which has its seq
	// Advice says what to do. Empty: keep a copy, and restore a backup.
	Advice string
	// Held is the newest record that the head file says the log held. 0: not known.
	Held events.Seq
}

func (e *DamageError) Error() string {
	advice := cmp.Or(e.Advice, "keep a copy of the directory and restore a backup")
	if e.Held > 0 {
		advice += fmt.Sprintf(" (head says that the log held record %d)", e.Held)
	}
	return fmt.Sprintf("%s: %v; nothing was changed: %s", e.Path, e.Err, advice)
}

// Unwrap returns what is wrong.
func (e *DamageError) Unwrap() error { return e.Err }

// Damaged returns the file: what is stored, and not what was asked, is wrong.
func (e *DamageError) Damaged() string { return e.Path }

// newerError names the file that holds what a newer version wrote.
type newerError struct {
	path string
	err  error // an *events.FormatError, with the record
}

func (e *newerError) Error() string { return e.path + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *newerError) Unwrap() error { return e.err }

// RollbackError says that log.db lacks what the head file knows it held: it was
// replaced by an older copy, by another log, or rewritten. Nothing was changed.
type RollbackError struct {
	Path string      // of log.db
	Log  events.Head // what log.db holds: its newest record, or the one at Head.Seq if that differs
	Head events.Head // what the head file says
}

func (e *RollbackError) Error() string {
	var what string
	switch {
	case e.Log.Log != e.Head.Log:
		what = fmt.Sprintf("is the log %s at record %d, but head says the log %s at record %d", e.Log.Log, e.Log.Seq, e.Head.Log, e.Head.Seq)
	case e.Log.Seq > e.Head.Seq:
		what = fmt.Sprintf("begins after record %d, but head says it held record %d", e.Log.Seq, e.Head.Seq)
	case e.Log.Seq < e.Head.Seq:
		what = fmt.Sprintf("ends at record %d, but head says it held record %d", e.Log.Seq, e.Head.Seq)
	default:
		what = fmt.Sprintf("has another record %d than head says: hash %s, not %s", e.Head.Seq, e.Log.Hash, e.Head.Hash)
	}
	return fmt.Sprintf("%s %s: it was replaced or cut; nothing was changed: put the right file back, "+
		"or accept the loss, which is recorded then", e.Path, what)
}

// Damaged returns the file.
func (e *RollbackError) Damaged() string { return e.Path }

// CommitError says that a commit failed in a way that leaves open whether its
// records are on disk. The log refuses every later Append with the same error;
// open it anew to learn the outcome.
type CommitError struct {
	First, Last events.Seq // the records of the commit
	Err         error
}

func (e *CommitError) Error() string {
	return fmt.Sprintf("whether records %d to %d were stored is unknown, the log must be opened anew: %v", e.First, e.Last, e.Err)
}

// Unwrap returns the cause.
func (e *CommitError) Unwrap() error { return e.Err }
