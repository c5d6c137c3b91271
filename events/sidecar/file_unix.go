//go:build !windows

package sidecar

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// lax: on Windows file modes do not say who may read.
const lax = false

// open opens a file for reading, but no link, and waits for no writer of a pipe.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errLink(path)
	}
	return f, err
}

// write makes the new name durable too: records of the log depend on what the file
// says, and a deleted token must not come back with a power cut.
func write(path string, doc []byte) error {
	if err := renameio.WriteFile(path, doc, 0o600, renameio.IgnoreUmask()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
