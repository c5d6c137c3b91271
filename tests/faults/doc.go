// Package faults injures a running Abeyance in the ways that machines do, and checks
// that nothing it acknowledged is lost: processes killed at any point, power cuts,
// disks that fail, fill up or turn read-only, files taken away from under it, clocks that
// jump, and machines that fall asleep.
//
// Every suite works alike. A process under test says what it acknowledged on a pipe,
// and only after the call that promises it has returned. The test notes that, injures
// the process or the disk under it, opens the log anew and compares: every record
// acknowledged is there with its hash, none is missing in between, none is there
// twice, commands whose outcome nobody was told are there wholly or not at all, and
// the states published on the way are the folds of the log.
//
// A loop of faults proves something only if the faults fire and losses are seen. So
// each prints its seed and how many faults fired, fails if none did, and has a
// negative control: a process that breaks the promise and must be caught.
//
// One suite does not wait for the moment at which a fault is bad enough. It records the
// system calls of a process under test, works out what a disk may hold after a crash at
// any of them, with any of the changes lost that no sync had made durable, or torn, and
// opens such crash states one after another. Its negative controls leave out syncs.
//
// The wall clock that jumps is a daemon's own: the program is built once more, with a
// package time that adds what a file says to what the system's clock does.
//
// The suites take minutes, need Linux and root, and mount file systems, in a mount
// namespace of their own. They run if ABEYANCE_FAULTS is 1, as in .ci/run, at the
// lengths that the flags -kills, -cuts, -fills, -errors, -states, -jumps and -asleep
// have by default. The long form is
//
//	ABEYANCE_FAULTS=1 go test ./tests/faults -timeout 2h -kills 10000 -cuts 1500 -fs ext4,xfs -fills 50 -errors 200 -states 2000 -jumps 2000 -asleep 1m
//
// A run is repeated with -seed. Moments, and what a crash loses, are chosen from the
// seed; what the process does by then is up to the machine. With -artifacts the
// recording is kept.
package faults
