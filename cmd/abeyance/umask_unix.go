//go:build !windows

package main

import "syscall"

// keepPrivate has whatever this process makes be its owner's alone, wherever it is made
// and by whatever library.
func keepPrivate() { syscall.Umask(0o077) }
