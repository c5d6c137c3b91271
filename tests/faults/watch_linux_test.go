package faults

import (
	"fmt"
	"path/filepath"
	"strings"
)

// watcher makes a recording.
type watcher struct {
	*recording
	root   string // of inode 0
	ignore func(flush) bool
	files  map[string]*opened // file descriptor -> what it is of
	calls  map[*call]*watched
	err    error // the first thing that the model does not know
}

// opened is an open file or directory.
type opened struct {
	inode int
	flags string
	pos   int64 // where the next write goes
}

// watched is what a call that has not returned yet will have done.
type watched struct {
	op    *op     // done; nil: none
	file  *opened // open under the number that it returns; nil: none
	flush *flush
}

// flush is a sync of a file or directory: it makes what had returned before it began
// durable when it has returned.
type flush struct {
	inode
	ops []*op
}

// watch makes a recording of the changes below root. Syncs for which ignore says so do
// nothing; nil: none.
func watch(steps []step, root string, ignore func(flush) bool) (*recording, error) {
	w := &watcher{
		recording: &recording{inodes: []inode{{path: ".", dir: true, names: map[string]int{}}}, steps: len(steps)},
		root:      root, ignore: ignore, files: map[string]*opened{}, calls: map[*call]*watched{},
	}
	for at, s := range steps {
		if s.ended {
			w.end(s.call, at)
		} else {
			w.begin(s.call, at)
		}
		if w.err != nil {
			return nil, fmt.Errorf("step %d: %w", at, w.err)
		}
	}
	return w.recording, nil
}

func (w *watcher) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *watcher) text(c *call, i int) string {
	s, err := c.text(i)
	if err != nil {
		w.fail("%w", err)
	}
	return s
}

func (w *watcher) number(c *call, i int) int64 {
	n, err := c.number(i)
	if err != nil {
		w.fail("%w", err)
	}
	return n
}

// begin takes the beginning of a call. What it returns is known already.
func (w *watcher) begin(c *call, at int) {
	file := w.files[c.arg(0)]
	if c.ret < 0 {
		if file != nil && !strings.HasSuffix(c.name, "at") { // files may be missing; all else must go well
			w.fail("%s of %s failed during the recording", c.name, w.inodes[file.inode].path)
		}
		return
	}
	switch c.name {
	case "openat":
		w.open(c, at)
	case "mkdirat":
		w.enter(c, at, &inode{dir: true, names: map[string]int{}})
	case "renameat":
		w.rename(c, at)
	case "unlinkat":
		w.leave(c, at)
	case "close": // others get the number as soon as this has begun
		delete(w.files, c.arg(0))
	case "fsync", "fdatasync":
		w.flush(c, at)
	case "write":
		w.write(c, at)
	case "pwrite64":
		if file != nil {
			w.do(c, &op{kind: opWrite, inode: file.inode, begun: at, at: w.number(c, 3), data: w.data(c)})
		}
	case "ftruncate":
		if file != nil {
			w.do(c, &op{kind: opTruncate, inode: file.inode, begun: at, at: w.number(c, 1)})
		}
	default:
		w.other(c)
	}
}

// end takes the end of a call.
func (w *watcher) end(c *call, at int) {
	did := w.calls[c]
	if did == nil {
		return
	}
	delete(w.calls, c)
	if did.op != nil {
		did.op.done = at
	}
	if did.file != nil {
		w.files[fmt.Sprint(c.ret)] = did.file
	}
	if did.flush == nil {
		return
	}
	w.syncs = append(w.syncs, at)
	if w.ignore != nil && w.ignore(*did.flush) {
		return
	}
	for _, o := range did.flush.ops {
		o.durable = min(o.durable, at)
	}
}

// other takes a call that the model has no effect of. It fails at one that may have.
func (w *watcher) other(c *call) {
	file := w.files[c.arg(0)]
	harmless := false
	switch c.name {
	case "fcntl":
		harmless = file == nil || !strings.HasPrefix(c.arg(1), "F_DUP")
	case "lseek":
		harmless = file == nil || file.is("O_RDONLY")
	case "mmap":
		file = w.files[c.arg(4)]
		harmless = file == nil || !strings.Contains(c.arg(2), "PROT_WRITE") || !strings.Contains(c.arg(3), "MAP_SHARED")
	case "syscall_0x1c4": // fchmodat2, which older straces do not know: files are made with the right mode
		harmless = true
	}
	if !harmless {
		w.fail("the model does not know the call %s(%.100s)", c.name, strings.Join(c.args, ", "))
	}
}

func (f *opened) is(flag string) bool { return strings.Contains(f.flags, flag) }

// look returns the directory that a path is in, and the name there: empty for a
// directory itself. It returns false for a path outside.
func (w *watcher) look(fd, path string) (dir int, name string, ok bool) {
	path = filepath.Clean(path)
	if filepath.IsAbs(path) {
		rel, err := filepath.Rel(w.root, path)
		if err != nil || strings.HasPrefix(rel, "..") {
			return 0, "", false
		}
		path = rel
	} else if f := w.files[fd]; f != nil {
		dir = f.inode
	} else {
		return 0, "", false
	}
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		if dir, ok = w.inodes[dir].names[part]; !ok {
			w.fail("no directory %q of %q", part, path)
			return 0, "", false
		}
	}
	if name = parts[len(parts)-1]; name == "." {
		name = ""
	}
	return dir, name, true
}

// do adds the op of a call.
func (w *watcher) do(c *call, o *op) {
	o.done, o.durable = never, never
	w.ops = append(w.ops, o)
	w.calls[c] = &watched{op: o}
}

func (w *watcher) open(c *call, at int) {
	dir, name, ok := w.look(c.arg(0), w.text(c, 1))
	if !ok {
		return
	}
	file := &opened{inode: dir, flags: c.arg(2)}
	known := name == ""
	if !known {
		file.inode, known = w.inodes[dir].names[name]
	}
	switch {
	case file.is("O_APPEND"), file.is("O_TMPFILE"), file.is("O_SYNC"), file.is("O_DSYNC"):
		w.fail("the model does not know the flags %s", file.flags)
	case !known && !file.is("O_CREAT"):
		w.fail("%s was opened, and the model has none", w.text(c, 1))
	case !known:
		file.inode = w.enter(c, at, &inode{})
	case file.is("O_TRUNC"):
		w.do(c, &op{kind: opTruncate, inode: file.inode, begun: at})
	}
	if w.calls[c] == nil {
		w.calls[c] = &watched{}
	}
	w.calls[c].file = file
}

// enter makes a file or a directory with the path that is argument 1 of a call.
func (w *watcher) enter(c *call, at int, made *inode) (child int) {
	dir, name, ok := w.look(c.arg(0), w.text(c, 1))
	if !ok {
		return 0
	}
	made.path = filepath.Join(w.inodes[dir].path, name)
	child = len(w.inodes)
	w.inodes = append(w.inodes, *made)
	w.inodes[dir].names[name] = child
	w.do(c, &op{kind: opEnter, inode: dir, begun: at, name: name, child: child})
	return child
}

func (w *watcher) rename(c *call, at int) {
	dir, was, ok := w.look(c.arg(0), w.text(c, 1))
	to, name, inside := w.look(c.arg(2), w.text(c, 3))
	if !ok && !inside {
		return
	}
	child, known := w.inodes[dir].names[was]
	if !ok || !inside || dir != to || !known {
		w.fail("the model does not know renames between directories: %s to %s", w.text(c, 1), w.text(c, 3))
		return
	}
	delete(w.inodes[dir].names, was)
	w.inodes[dir].names[name] = child
	w.do(c, &op{kind: opEnter, inode: dir, begun: at, name: name, was: was, child: child})
}

func (w *watcher) leave(c *call, at int) {
	dir, name, ok := w.look(c.arg(0), w.text(c, 1))
	if !ok {
		return
	}
	child, known := w.inodes[dir].names[name]
	if !known {
		w.fail("%s was removed, and the model has none", w.text(c, 1))
	}
	delete(w.inodes[dir].names, name)
	w.do(c, &op{kind: opLeave, inode: dir, begun: at, name: name, child: child})
}

func (w *watcher) flush(c *call, at int) {
	file := w.files[c.arg(0)]
	if file == nil {
		return
	}
	f := &flush{inode: w.inodes[file.inode]}
	for _, o := range w.ops {
		if o.inode == file.inode && o.done < at && o.durable == never {
			f.ops = append(f.ops, o)
		}
	}
	w.calls[c] = &watched{flush: f}
}

// write takes a write at the position of a file, or lines.
func (w *watcher) write(c *call, at int) {
	const stdout = "1"
	file := w.files[c.arg(0)]
	switch {
	case file == nil && c.arg(0) == stdout:
		for line := range strings.Lines(string(w.data(c))) {
			w.said = append(w.said, said{begun: at, text: strings.TrimSuffix(line, "\n")})
		}
	case file == nil:
	case file.is("O_RDWR"):
		w.fail("the model does not know where a file stands that was opened for reading, too")
	default:
		w.do(c, &op{kind: opWrite, inode: file.inode, begun: at, at: file.pos, data: w.data(c)})
		file.pos += c.ret
	}
}

// data returns what a call has written.
func (w *watcher) data(c *call) []byte {
	data := w.text(c, 1)
	if int64(len(data)) < c.ret {
		w.fail("%s wrote %d bytes, and the trace has %d", c.name, c.ret, len(data))
		return nil
	}
	return []byte(data[:c.ret])
}
