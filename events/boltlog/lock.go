package boltlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lock is the LOCK file of a directory. It is a file of its own because log.db
// may be renamed over, and a lock on a file that has lost its name locks nothing.
type lock struct {
	file   *os.File // nil for a reader of a directory without LOCK
	shared bool
}

// acquire locks the directory: for a writer alone, or among readers. A reader
// creates and writes nothing.
func acquire(root *os.Root, shared bool) (*lock, error) {
	flag := os.O_RDWR | os.O_CREATE
	if shared {
		flag = os.O_RDONLY
	}
	f, err := root.OpenFile(nameLock, flag, 0o600)
	if shared && errors.Is(err, fs.ErrNotExist) {
		return &lock{shared: true}, nil // no writer was ever here: a restored copy
	}
	if err != nil {
		return nil, fmt.Errorf("opening the lock file of %s: %w", root.Name(), err)
	}
	l := &lock{file: f, shared: shared}
	if err := l.take(root); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *lock) take(root *os.Root) error {
	path := filepath.Join(root.Name(), nameLock)
	ok, err := tryLock(l.file, l.shared)
	if err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	if !ok {
		return &LockedError{Path: path, PID: l.holder()}
	}
	if same, err := isSame(root, nameLock, l.file); err != nil || !same {
		return errors.Join(&LockedError{Path: path}, err) // somebody put another file there meanwhile
	}
	if l.shared {
		return nil
	}
	return l.write(strconv.Itoa(os.Getpid()) + "\n")
}

// holder returns the id of the process that holds the lock; 0 if it is held by
// readers, who leave the id of the last writer where it is.
func (l *lock) holder() int {
	if readers, err := tryLock(l.file, true); err != nil || readers {
		return 0 // closing the file gives the lock back
	}
	text, err := io.ReadAll(io.NewSectionReader(l.file, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

func (l *lock) write(text string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(text), 0)
	return err
}

// release gives the lock back. The file stays: removing it would let two
// processes lock two files of one name.
func (l *lock) release() error {
	if l == nil || l.file == nil {
		return nil
	}
	var err error
	if !l.shared {
		err = l.write("")
	}
	// Closing alone would not do: a process that was forked a moment ago has the file
	// open, too, until it runs its own program.
	unlock(l.file)
	return errors.Join(err, l.file.Close())
}

// isSame reports whether name is still the file f.
func isSame(root *os.Root, name string, f *os.File) (bool, error) {
	named, err := root.Lstat(name)
	if err != nil {
		return false, err
	}
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(named, opened), nil
}
