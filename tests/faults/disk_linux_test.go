package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is a file system in a file, mounted through a loop device.
type disk struct {
	t       *testing.T
	kind    string // "ext4" or "xfs"
	image   string
	point   string // where it is mounted
	mounted bool
}

// The sizes of the images, in bytes; they are sparse. XFS refuses less.
var diskSizes = map[string]int64{"ext4": 64 << 20, "xfs": 320 << 20}

// newDisk makes a file system. It is unmounted and its loop device given back when
// the test ends.
func newDisk(t *testing.T, kind string) *disk {
	t.Helper()
	work := t.TempDir()
	d := &disk{t: t, kind: kind, image: filepath.Join(work, "image"), point: filepath.Join(work, "mnt")}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(diskSizes[kind]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.point, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs."+kind, "-q", d.image)
	t.Cleanup(d.remove)
	return d
}

// mount mounts it. The loop device goes with the mount.
func (d *disk) mount(options string) {
	d.t.Helper()
	run(d.t, "mount", "-o", strings.Trim("loop,"+options, ","), d.image, d.point)
	d.mounted = true
}

// cut drops all that was not yet on the device, in the file system's journal and in
// memory, and makes all later input and output fail, like a power cut. Mounting again
// replays the journal. See ioctl_xfs_goingdown(2), which ext4 has too.
func (d *disk) cut() {
	d.t.Helper()
	const (
		goingDown  = 0x8004587d // _IOR('X', 125, __u32)
		noLogFlush = uint32(2)
	)
	f, err := os.Open(d.point)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	flags := noLogFlush
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), goingDown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("cutting the power of %s: %v", d.kind, errno)
	}
}

func (d *disk) unmount() {
	d.t.Helper()
	run(d.t, "umount", d.point)
	d.mounted = false
}

// remove leaves nothing behind, also after a failure.
func (d *disk) remove() {
	if d.mounted {
		if err := exec.Command("umount", d.point).Run(); err != nil {
			run(d.t, "umount", "--lazy", d.point)
		}
	}
	if left := strings.TrimSpace(run(d.t, "losetup", "--associated", d.image)); left != "" {
		device, _, _ := strings.Cut(left, ":")
		d.t.Errorf("%s was left and is detached now", left)
		run(d.t, "losetup", "--detach", device)
	}
}

// memory mounts a file system of at most size in memory until the test ends.
func memory(t *testing.T, size string) (point string) {
	t.Helper()
	point = t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "tmpfs", point)
	t.Cleanup(func() { run(t, "umount", "--lazy", point) })
	return point
}
