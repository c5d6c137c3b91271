//go:build !windows

package sidecar

import (
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// lax: on Windows file modes do not say who may read.
const lax = false

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
