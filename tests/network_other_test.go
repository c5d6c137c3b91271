//go:build !linux

package tests

// otherProcess is what this binary does when a test started it as another process.
func otherProcess() func() { return nil }
