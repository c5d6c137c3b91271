package incident

import (
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// createFile makes the file of a log in a new directory, with the modes that they have.
func createFile(dir string) (*bbolt.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return bbolt.Open(filepath.Join(dir, "log.db"), 0o600, nil)
}
