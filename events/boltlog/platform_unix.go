//go:build unix

package boltlog

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// mapAhead is how much address space bbolt maps at first. A larger file is mapped
// anew, for which a commit waits until no reader is left; mapping ahead costs
// address space only.
const mapAhead = 1 << 30

// lax: on Windows file modes do not say who may read.
const lax = false

// tryLock takes the lock on f, or reports false if somebody else has it. A lock
// belongs to the open file, so it also keeps the same process out, and ends with
// the process, however that ends.
func tryLock(f *os.File, shared bool) (bool, error) {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// unlock gives a lock back that closing f would not, because a mapping of the file
// keeps it alive.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// syncDir makes renames in the directory durable.
func syncDir(d *os.File) error { return d.Sync() }

// isFull reports whether a write failed for want of room.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}
