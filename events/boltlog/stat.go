package boltlog

import "os"

// isSame reports whether name is still the file f.
func isSame(root *os.Root, name string, f *os.File) (bool, error) {
	named, err := root.Lstat(name)
	if err != nil {
		return false, err
	}
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(named, opened), nil
}

// statSize returns how long a file is.
func statSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
