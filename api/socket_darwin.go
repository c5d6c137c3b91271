package api

import "golang.org/x/sys/unix"

// userOf returns the user of the process at the other end of a unix socket.
func userOf(fd int) (uid uint32, err error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
