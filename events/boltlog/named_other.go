//go:build !linux

package boltlog

// isNamed reports whether the file still has its name: another one may have been moved
// over it.
func (b *boltFile) isNamed() (bool, error) { return isSame(b.root, b.name, b.file) }
