package boltlog

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// mapAhead is 0: on Windows a file is made as large as what is mapped of it.
const mapAhead = 0

// lax: on Windows file modes do not say who may read.
const lax = true

// tryLock takes the lock on f, or reports false if somebody else has it. Locked
// bytes cannot be read by others, so the byte locked is far behind the text.
func tryLock(f *os.File, shared bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if !shared {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	const far = 1<<32 - 1
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: far, OffsetHigh: far})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	default:
		return false, os.NewSyscallError("LockFileEx", err)
	}
}

// unlock does nothing: locks end with the handle.
func unlock(*os.File) {}

// syncDir does nothing: NTFS writes its journal itself, and a directory cannot be
// flushed.
func syncDir(*os.File) error { return nil }

// isFull reports whether a write failed for want of room.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
