// Package sidecar reads and replaces the small files that stand beside a log and
// hold what must not be in it: tokens and identities. Only their owner may read them.
package sidecar

import (
	"fmt"
	"io"
)

// Read returns the contents of a file. An absent one gives an error that wraps
// fs.ErrNotExist; links, and what CheckPrivate refuses, are not read.
func Read(path string) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := CheckPrivate(f, path); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func errLink(path string) error {
	return fmt.Errorf("%s is a link, and links are not followed here: name the file that it leads to, or put that in its place", path)
}

// Write replaces a file atomically and durably, with mode 0600: after a power cut
// the old contents are there or the new.
func Write(path string, doc []byte) error { return write(path, doc) }
