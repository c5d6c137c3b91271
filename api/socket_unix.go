//go:build linux || darwin

package api

import (
	"fmt"
	"io/fs"
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
