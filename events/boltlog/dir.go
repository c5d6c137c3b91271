package boltlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names in the directory.
const (
	nameLock = "LOCK"
	nameLog  = "log.db"
	nameHead = "head"
	// nameDaemon says where the process that holds the lock listens; see doc.go.
	nameDaemon = "daemon.json"
	// nameBackup begins, after a dot, the name of a copy that is being made.
	nameBackup = "backup"
	suffix     = ".new" // of a file that is being written
)

// isOurs reports whether name is that of a file or directory of Abeyance, or of a
// temporary file on its way to be one: NAME.new here, .NAME and digits elsewhere.
// lost+found is there when the directory is a file system of its own.
func isOurs(name string) bool {
	name = strings.TrimSuffix(name, suffix)
	if hidden, ok := strings.CutPrefix(name, "."); ok {
		name = strings.TrimRight(hidden, "0123456789")
	}
	switch name {
	case nameLock, nameLog, nameHead, nameIndex, dirCheckpoints, nameBackup, "identities.json", "tokens.json", "webhooks.json",
		"token", nameDaemon, "abeyance.sock", "lost+found":
		return true
	}
	return false
}

// openDir opens the directory, and makes it if create is set and its parent exists.
func openDir(dir string, create bool) (*os.Root, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return nil, &MissingError{Path: dir, Advice: "name the data directory of Abeyance"}
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDir(dir); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("the data directory: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("the data directory %s is a file: name a directory", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	return root, nil
}

// parentOf returns the directory that dir is in. That it is missing is more often a typing
// error or a disk that is not mounted than a wish.
func parentOf(dir string) (string, error) {
	parent := filepath.Dir(filepath.Clean(dir))
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		return "", &MissingError{Path: parent, Advice: "it is the parent of the data directory " + dir + "; make it first, or correct the path"}
	}
	return parent, nil
}

// makeDir makes one directory.
func makeDir(dir string) error {
	parent, err := parentOf(dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	d, err := os.Open(parent)
	if err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	defer d.Close()
	return syncDir(d)
}

// survey reports whether the directory holds a log, and refuses one that holds
// something else instead.
func survey(root *os.Root) (found bool, err error) {
	d, err := root.Open(".")
	if err != nil {
		return false, fmt.Errorf("the data directory: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return false, fmt.Errorf("the data directory: %w", err)
	}
	if slices.Contains(names, nameLog) {
		return true, nil
	}
	if slices.Contains(names, nameHead) {
		return false, &DamageError{
			Path: filepath.Join(root.Name(), nameLog),
			Err:  errors.New("is missing, although the head file beside it knows it"),
		}
	}
	foreign := slices.DeleteFunc(names, isOurs)
	if len(foreign) > 0 {
		slices.Sort(foreign)
		return false, &ForeignError{Dir: root.Name(), Found: foreign}
	}
	return false, nil
}

// checkModes refuses a log that others could read or replace, and warns of a directory
// that they can look into. A reader, who vouches for nothing, is only warned.
func checkModes(root *os.Root, o *Options) error {
	if lax {
		return nil
	}
	for _, c := range []struct {
		name    string
		refused fs.FileMode // bits that must not be set
		warned  fs.FileMode // bits that should not be set
		want    fs.FileMode
	}{
		{".", 0o022, 0o055, 0o700},
		{nameLog, 0o077, 0, 0o600},
	} {
		info, err := root.Stat(c.name)
		if err != nil {
			return fmt.Errorf("the data directory: %w", err)
		}
		mode := info.Mode().Perm()
		open := &ModeError{Path: filepath.Join(root.Name(), c.name), Mode: mode, Want: c.want}
		switch {
		case mode&c.refused != 0 && !o.ReadOnly:
			return open
		case mode&(c.refused|c.warned) != 0:
			o.Logger.Warn(open.Error())
		}
	}
	return nil
}

// sweep removes what a crash left: files being written, and where the process of before
// listened, or somebody else would be taken for it. The lock is held.
func sweep(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("removing what a crash left: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("removing what a crash left: %w", err)
	}
	left := []string{nameLog + suffix, nameHead + suffix, nameIndex + suffix, nameDaemon}
	for _, name := range names {
		if !slices.Contains(left, name) && !isCopy(name) {
			continue
		}
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("removing what a crash left: %w", err)
		}
	}
	return nil
}

// install gives the complete and synced file NAME.new its name, durably.
func install(root *os.Root, name string) error {
	if err := root.Rename(name+suffix, name); err != nil {
		return err
	}
	return syncIn(root, ".")
}
