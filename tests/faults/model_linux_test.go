package faults

import (
	"cmp"
	"math"
	"slices"
)

// A crash keeps of a file what a sync has returned for, and of a directory likewise:
// syncing a file says nothing about its name, and syncing a directory nothing about
// what is in its files. Of later changes it keeps any. That is less than ext4 and XFS
// keep: they lose no change of a directory without losing all later ones, and make a
// file's name durable with the file. Disks write sectors of 512 bytes wholly or not at
// all.

// opKind is how an op changes a file or a directory.
type opKind int

const (
	opWrite    opKind = iota // bytes into a file
	opTruncate               // the size of a file
	opEnter                  // a name into a directory: of a new file, a new directory, or by rename
	opLeave                  // a name out of a directory
)

// op is one change of an inode, a file or a directory, that a recorded process made.
// begun, done and durable are the steps with which it began, had returned, and was
// sure to survive a crash; never if it was not.
type op struct {
	kind                 opKind
	inode                int
	begun, done, durable int

	at    int64 // of a write: where; of a truncate: the size
	data  []byte
	name  string
	was   string // of a rename: the name before; else empty
	child int    // the inode that the name is of
}

const never = math.MaxInt

// inode is a file or a directory.
type inode struct {
	path  string // that it was made under
	dir   bool
	names map[string]int // of a directory: as the process sees it
}

// said is a line of the process under test.
type said struct {
	begun int // the step with which it began: what it says holds from then on
	text  string
}

// recording is the life of a process under test, as far as disks see it. Inode 0 is
// the directory that was watched.
type recording struct {
	inodes []inode
	ops    []*op // in the order in which they began
	said   []said
	steps  int
	syncs  []int // the steps with which syncs returned
}

// heard returns what had been said after some steps.
func (r *recording) heard(at int) []said {
	n, _ := slices.BinarySearchFunc(r.said, at, func(s said, at int) int { return cmp.Compare(s.begun, at) })
	return r.said[:n]
}
