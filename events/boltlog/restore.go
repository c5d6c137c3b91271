package boltlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// NotEmptyError says that a log was to be made, of a backup or of records, in a directory
// in which there is something. Nothing was changed.
type NotEmptyError struct {
	Dir   string
	Found []string // names in it, sorted
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("%s is not empty, it holds %s; a log is made in an empty directory or a new one, never over something: name another",
		e.Dir, someOf(e.Found))
}

// Restore makes the data directory dir from a backup, a log.db as [Log.Backup] writes
// it. dir is empty or does not exist, with a parent that does. The log gets its name
// last, when all of it was checked and is durable. The errors are a *NotEmptyError, a
// *LockedError while another process works in the directory, and a *DamageError for what
// is no sound backup. progress, unless nil, is called now and then from the caller's
// goroutine with the records checked and the records there are.
func Restore(ctx context.Context, r io.Reader, dir string, progress func(done, total events.Seq)) (events.Head, error) {
	return intoEmpty(dir, func(root *os.Root) (events.Head, error) { return receive(ctx, r, root, progress) })
}

// CheckEmpty says whether a log could be made in the directory dir, and makes nothing. The
// errors are a *NotEmptyError if there is something in it, and a *MissingError if not even
// its parent exists.
func CheckEmpty(dir string) (err error) {
	root, err := openDir(dir, false)
	if _, missing := errors.AsType[*MissingError](err); missing {
		_, err = parentOf(dir)
		return err
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return checkEmpty(root)
}

// intoEmpty makes a data directory: build stores the log as log.db.new and checks it.
func intoEmpty(dir string, build func(root *os.Root) (events.Head, error)) (head events.Head, err error) {
	root, err := openDir(dir, true)
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := checkEmpty(root); err != nil {
		return head, err
	}
	held, err := acquire(root, false)
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	if err := checkEmpty(root); err != nil { // somebody may have been faster
		return head, err
	}
	if err := root.Chmod(".", 0o700); err != nil && !lax {
		return head, err
	}
	if head, err = build(root); err == nil {
		if err = writeHead(root, head); err == nil {
			err = install(root, nameLog)
		}
	}
	if err != nil {
		if gone := root.Remove(nameLog + suffix); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return events.Head{}, err
	}
	return head, nil
}

// receive stores what r yields as log.db.new, and checks it.
func receive(ctx context.Context, r io.Reader, root *os.Root, progress func(done, total events.Seq)) (events.Head, error) {
	temp := nameLog + suffix
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return events.Head{}, err
	}
	_, err = io.Copy(f, &contextReader{ctx, r})
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return events.Head{}, fmt.Errorf("storing the backup: %w", err)
	}
	head, err := verifyFile(ctx, root, temp, progress)
	if bad, ok := errors.AsType[*DamageError](err); ok {
		return head, &DamageError{Path: "the backup", Err: bad.Err, Advice: "restore another one"}
	}
	if newer, ok := errors.AsType[*newerError](err); ok {
		return head, &newerError{path: "the backup", err: newer.err}
	}
	return head, err
}

// VerifyBackup checks the backup in a file as [Restore] does, and returns the head it
// goes up to.
func VerifyBackup(ctx context.Context, path string, progress func(done, total events.Seq)) (head events.Head, err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return verifyFile(ctx, root, filepath.Base(path), progress)
}

// contextReader is a reader that ends with a context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// checkEmpty returns a *NotEmptyError if there is anything in the directory but what a
// restore that was cut off leaves.
func checkEmpty(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	cutOff := slices.Contains(names, nameLog+suffix) // between writing head and renaming the log
	names = slices.DeleteFunc(names, func(name string) bool {
		switch name {
		case nameLock, "lost+found", nameLog + suffix, nameHead + suffix:
			return true
		}
		return name == nameHead && cutOff
	})
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return &NotEmptyError{Dir: filepath.Clean(root.Name()), Found: names}
}

// someOf lists the first of some names.
func someOf(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
