package boltlog

import "golang.org/x/sys/unix"

// isNamed reports whether the file still has its name: another one may have been moved
// over it.
//
// It is asked with every commit, and so without the file's times. Since Linux 6.13 file
// systems date the first write after such a question anew, and the fdatasync of that write
// then stores the inode, too: on ext4 without a journal another wait for the disk, which
// makes a commit a fifth slower. bbolt asks for them itself where the pages in use become
// more.
func (b *boltFile) isNamed() (bool, error) {
	var named, opened unix.Statx_t
	if unix.Statx(int(b.dir.Fd()), b.name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &named) != nil ||
		unix.Statx(int(b.file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO, &opened) != nil {
		return isSame(b.root, b.name, b.file) // also in a sandbox that does not know statx
	}
	return named.Ino == opened.Ino && named.Dev_major == opened.Dev_major && named.Dev_minor == opened.Dev_minor, nil
}
