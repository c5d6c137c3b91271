package sidecar

import (
	"io/fs"
	"os"
)

// lax: on Windows file modes do not say who may read.
const lax = true

// open opens a file for reading, but no link.
func open(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, errLink(path)
	}
	return os.Open(path)
}

// write replaces the file. Windows renames over an existing file only where
// nobody has it open, which is so here: the file is read once.
func write(path string, doc []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, doc, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
