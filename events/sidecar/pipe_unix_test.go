//go:build !windows

package sidecar

import (
	"path/filepath"
	"syscall"
	"testing"
)

// pipe makes a pipe without a writer: reading it would wait for ever.
func pipe(t *testing.T, dir string) string {
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
