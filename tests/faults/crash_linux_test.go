package faults

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sector is how many bytes a disk writes wholly or not at all.
const sector = 512

// crash is a state that a disk may be in after a crash.
type crash struct {
	at   int          // how many steps of the recording had happened
	kept map[*op]tear // what of the changes that were not durable is there
}

// tear is what of a change is there.
type tear struct {
	sectors []bool // of a write: which; nil: all
	sized   bool   // of a write: the file is as long as if all of it were there
}

// pending returns the changes that a crash after some steps may lose.
func (r *recording) pending(at int) []*op {
	var some []*op
	for _, o := range r.ops {
		if o.begun < at && o.durable >= at {
			some = append(some, o)
		}
	}
	return some
}

// all returns the crash that loses nothing, as that of a process alone.
func (r *recording) all(at int) crash {
	c := crash{at: at, kept: map[*op]tear{}}
	for _, o := range r.pending(at) {
		c.kept[o] = tear{}
	}
	return c
}

// without returns a crash that also loses a change.
func (c crash) without(o *op) crash {
	kept := maps.Clone(c.kept)
	delete(kept, o)
	return crash{at: c.at, kept: kept}
}

// sectors returns how many sectors of a file a change is about.
func (o *op) sectors() int {
	if o.kind != opWrite || len(o.data) == 0 {
		return 1
	}
	return int((o.at+int64(len(o.data))-1)/sector - o.at/sector + 1)
}

// torn returns how many writes are there in part.
func (c crash) torn() (n int) {
	for _, t := range c.kept {
		if t.sectors != nil {
			n++
		}
	}
	return n
}

// describe tells what of the changes that were not durable is there.
func (c crash) describe(r *recording) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a crash after step %d of %d, and of what was not durable:", c.at, r.steps)
	for _, o := range r.pending(c.at) {
		t, kept := c.kept[o]
		what := "lost"
		switch {
		case t.sectors != nil:
			what = fmt.Sprintf("torn, sectors %v, long %t", t.sectors, t.sized)
		case kept:
			what = "there"
		}
		fmt.Fprintf(&b, "\n\tstep %d: %s: %s", o.begun, r.tell(o), what)
	}
	return b.String()
}

func (r *recording) tell(o *op) string {
	path := r.inodes[o.inode].path
	switch {
	case o.kind == opWrite:
		return fmt.Sprintf("%s: %d bytes at %d", path, len(o.data), o.at)
	case o.kind == opTruncate:
		return fmt.Sprintf("%s: %d bytes long", path, o.at)
	case o.kind == opLeave:
		return fmt.Sprintf("in %s: %s removed", path, o.name)
	case o.was != "":
		return fmt.Sprintf("in %s: %s renamed to %s", path, o.was, o.name)
	}
	return fmt.Sprintf("in %s: %s made", path, o.name)
}

// moments are the steps before which a crash can lose most: those with which a sync
// returned, and the end. Between two of them what can be lost only grows, and so does
// what was acknowledged.
func (r *recording) moments() []int { return append(slices.Clone(r.syncs), r.steps) }

// systematic returns at each moment the crashes that lose nothing, all that was not
// durable, and each change alone.
func (r *recording) systematic() []crash {
	var list []crash
	for _, at := range r.moments() {
		all := r.all(at)
		list = append(list, all, crash{at: at})
		for _, o := range r.pending(at) {
			list = append(list, all.without(o))
		}
	}
	return list
}

// random returns a crash at a moment or between, that loses some of what was not
// durable, and leaves a part of some writes.
func (r *recording) random(chance *rand.Rand) crash {
	moments := r.moments()
	c := crash{at: moments[chance.IntN(len(moments))], kept: map[*op]tear{}}
	if chance.IntN(3) == 0 {
		c.at = 1 + chance.IntN(r.steps)
	}
	often := []float64{0.2, 0.5, 0.8, 0.95}[chance.IntN(4)]
	for _, o := range r.pending(c.at) {
		if chance.Float64() < often {
			c.kept[o] = o.part(chance)
		}
	}
	return c
}

// part returns all of a change, or, one time in three, any part of a write.
func (o *op) part(chance *rand.Rand) tear {
	if o.kind != opWrite || chance.IntN(3) > 0 {
		return tear{}
	}
	t := tear{sectors: make([]bool, o.sectors())}
	for i := range t.sectors {
		t.sectors[i] = chance.IntN(2) == 0
	}
	if !slices.Contains(t.sectors, false) {
		return tear{}
	}
	t.sized = chance.IntN(2) == 0 || !slices.Contains(t.sectors, true)
	return t
}

// placed is a file or directory that is there after a crash, with what is in it.
type placed struct {
	path  string
	dir   bool
	inode int
	ops   []*op // of a file, in order
}

// image returns what is there after a crash, directories before what is in them.
func (r *recording) image(c crash) []placed {
	names := map[int]map[string]int{}
	changes := map[int][]*op{}
	for _, o := range r.ops {
		if _, kept := c.kept[o]; !kept && o.durable >= c.at {
			continue
		}
		in := names[o.inode]
		if in == nil {
			in = map[string]int{}
			names[o.inode] = in
		}
		switch o.kind {
		case opEnter:
			if in[o.was] == o.child {
				delete(in, o.was)
			}
			in[o.name] = o.child
		case opLeave:
			if in[o.name] == o.child {
				delete(in, o.name)
			}
		default:
			changes[o.inode] = append(changes[o.inode], o)
		}
	}
	var image []placed
	todo := []placed{{path: ".", dir: true}}
	for len(todo) > 0 {
		p := todo[0]
		p.ops = changes[p.inode]
		image, todo = append(image, p), todo[1:]
		for _, name := range slices.Sorted(maps.Keys(names[p.inode])) {
			child := names[p.inode][name]
			todo = append(todo, placed{path: filepath.Join(p.path, name), dir: r.inodes[child].dir, inode: child})
		}
	}
	return image
}

// identify tells images with different contents apart: by the changes that are there.
func (c crash) identify(image []placed) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range image {
		fmt.Fprintf(h, "%q %d:", p.path, p.inode)
		for _, o := range p.ops {
			fmt.Fprintf(h, " %d%v", o.begun, c.kept[o])
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// materialize makes an image below a directory.
func (c crash) materialize(image []placed, root string) error {
	for _, p := range image {
		path := filepath.Join(root, p.path)
		if p.dir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		for _, o := range p.ops {
			if err == nil {
				err = c.apply(f, o)
			}
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// apply changes a file by what is there of a change.
func (c crash) apply(f *os.File, o *op) error {
	if o.kind == opTruncate {
		return f.Truncate(o.at)
	}
	t := c.kept[o]
	if t.sectors == nil {
		_, err := f.WriteAt(o.data, o.at)
		return err
	}
	end := o.at + int64(len(o.data))
	for i, there := range t.sectors {
		if !there {
			continue
		}
		from := max(o.at, (o.at/sector+int64(i))*sector)
		to := min(end, (o.at/sector+int64(i)+1)*sector)
		if _, err := f.WriteAt(o.data[from-o.at:to-o.at], from); err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err == nil && t.sized && info.Size() < end {
		err = f.Truncate(end)
	}
	return err
}
