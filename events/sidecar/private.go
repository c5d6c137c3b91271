package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckPrivate refuses an opened file that is not a regular one, or that others than its
// owner may use. path is what it was opened by. It is the opened file that is looked at:
// a path may name another one a moment later.
func CheckPrivate(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	case lax || mode.Perm()&0o077 == 0:
		return nil
	case mode.Perm()&0o037 == 0 && isCredential(path, info): // the group may read, and nothing else
		return nil
	}
	return fmt.Errorf("%s can be used by others (its mode is %04o): run chmod 600 on it", path, mode.Perm())
}

// credentialsVariable names the directory of the credentials that systemd gives to a
// service, and to nobody else: see systemd.exec(5).
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// isCredential reports whether an opened file lies below the directory of credentials.
// From version 254 on systemd lets a service with a user of its own read them by an
// access control list. What such a list grants at most shows in the mode in the place of
// the group, 0440, though no group may read the file. A link below the directory that
// leads out of it names no credential.
func isCredential(path string, opened fs.FileInfo) bool {
	dir := os.Getenv(credentialsVariable)
	if !filepath.IsAbs(dir) {
		return false
	}
	dir, badDir := filepath.EvalSymlinks(dir)
	path, badPath := filepath.Abs(path)
	if errors.Join(badDir, badPath) != nil {
		return false
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	below, err := filepath.Rel(dir, file)
	if err != nil || !filepath.IsLocal(below) {
		return false
	}
	info, err := os.Lstat(file)
	return err == nil && os.SameFile(info, opened)
}
