// Package sidecar reads and replaces the small files that stand beside a log and
// hold what must not be in it: tokens and identities. Only their owner may read them.
package sidecar

import (
	"fmt"
	"io"
)

// Read returns the contents of a file. An absent one gives an error that wraps
// fs.ErrNotExist; one that is not a regular file, or that others may read, is
// refused. Links are not followed, and what is looked at is what is read.
func Read(path string) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 && !lax {
		return nil, unfit(path)
	}
	return io.ReadAll(f)
}

func unfit(path string) error {
	return fmt.Errorf("%s must be a regular file that only its owner can read; run chmod 600 on it", path)
}

// Write replaces a file atomically and durably, with mode 0600: after a power cut
// the old contents are there or the new.
func Write(path string, doc []byte) error { return write(path, doc) }
