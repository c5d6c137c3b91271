//go:build !linux

package boltlog

import "os"

// sizeOf returns how long a file is.
func sizeOf(f *os.File) (int64, error) { return statSize(f) }

// isNamed reports whether name in the directory, which root is for, is still the file f.
func isNamed(root *os.Root, _ *os.File, name string, f *os.File) (bool, error) {
	return isSame(root, name, f)
}
