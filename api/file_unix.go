//go:build !windows

package api

import (
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// lax: on Windows file modes do not say who may read.
const lax = false

// writeFile replaces a file atomically and durably: a deleted token must not come
// back with a power cut.
func writeFile(path string, doc []byte) error {
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
