package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// shift is how many seconds the wall clock is ahead of the machine's: eight bytes of
// the file that the variable names, which a test changes while the program runs.
var shift = mapShift("ABEYANCE_FAULTS_CLOCK")

func mapShift(variable string) *int64 {
	path, ok := syscall.Getenv(variable)
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic(path + ": " + err.Error())
	}
	b, err := syscall.Mmap(fd, 0, int(unsafe.Sizeof(int64(0))), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(path + ": " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}

// shiftedNow is runtimeNow by the shifted wall clock. The monotonic one stays.
func shiftedNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	return sec + atomic.LoadInt64(shift), nsec, mono
}
