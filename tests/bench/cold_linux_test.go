package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// uncache removes a file that nobody maps from the page cache, and returns an error if
// more than a hundredth of it stays there.
func uncache(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	if _, _, no := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); no != 0 {
		return fmt.Errorf("fadvise: %w", no)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	cached, pages, err := resident(f, int(info.Size()))
	if err == nil && cached > pages/100 {
		err = fmt.Errorf("%d of %d pages stay in it", cached, pages)
	}
	return err
}

// resident counts the pages of a file that are in the page cache.
func resident(f *os.File, size int) (cached, pages int, err error) {
	m, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return 0, 0, err
	}
	defer syscall.Munmap(m)
	in := make([]byte, (size+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, no := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(size), uintptr(unsafe.Pointer(&in[0]))); no != 0 {
		return 0, 0, fmt.Errorf("mincore: %w", no)
	}
	for _, page := range in {
		cached += int(page & 1)
	}
	return cached, len(in), nil
}
