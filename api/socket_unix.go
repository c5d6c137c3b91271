//go:build linux || darwin

package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// checkUsers is why no unix socket can be listened on here.
func checkUsers() error { return nil }

// ownedByUs refuses a directory that another user could replace what is in it of.
func ownedByUs(dir string, info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("the directory of the unix socket, %s, belongs to the user %d: name one of your own", dir, s.Uid)
	}
	return nil
}

// peerUser returns the user of the process at the other end.
func peerUser(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var user uint32
	var failed error
	err = raw.Control(func(fd uintptr) { user, failed = userOf(int(fd)) })
	if err := errors.Join(err, failed); err != nil {
		return -1, err
	}
	return int(user), nil
}
