package boltlog

import (
	"os"

	"golang.org/x/sys/unix"
)

// What is asked about the log file with every commit is asked without the file's times.
// Since Linux 6.13 file systems date the first write after such a question anew, and the
// fdatasync of that write then stores the inode, too: on ext4 without a journal another
// wait for the disk, which makes a commit a fifth slower. bbolt asks for them itself where
// the pages in use become more.

// sizeOf returns how long a file is.
func sizeOf(f *os.File) (int64, error) {
	var s unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_SIZE, &s); err != nil {
		return statSize(f) // a sandbox that does not know statx
	}
	return int64(s.Size), nil
}

// isNamed reports whether name in the directory, which root is for, is still the file f.
func isNamed(root *os.Root, dir *os.File, name string, f *os.File) (bool, error) {
	var named, opened unix.Statx_t
	if unix.Statx(int(dir.Fd()), name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &named) != nil ||
		unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO, &opened) != nil {
		return isSame(root, name, f)
	}
	return named.Ino == opened.Ino && named.Dev_major == opened.Dev_major && named.Dev_minor == opened.Dev_minor, nil
}
