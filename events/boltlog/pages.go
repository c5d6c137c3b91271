package boltlog

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Pages after the meta pages, from bbolt's sources (internal/common/page.go and
// internal/freelist of v1.5.0). The header of 16 bytes is
//
//	page id         8
//	flags           2   branch, leaf or freelist
//	count           2   elements
//	overflow        4   pages that continue this one
//
// and elements of 16 bytes follow, in a branch {position 4, key size 4, page 8}, in a
// leaf {flags 4, position 4, key size 4, value size 4} where positions count from
// the element. The value of a bucket begins with its root page, 0 if the bucket
// stands in the value itself, and a sequence of 8 bytes. A freelist page holds page
// ids, 8 bytes each; a count of ffff says that the first of them is the count.
const (
	elementSize  = 16
	bucketSize   = 16
	branchPage   = 1 << 0
	leafPage     = 1 << 1
	freelistPage = 1 << 4
	bucketLeaf   = 1 << 0
	noFreelist   = 1<<64 - 1
	countFollows = 1<<16 - 1
)

// pageTable is what the pages of a file say of themselves, as far as it takes to
// see that they form trees. bbolt follows page ids blindly: a damaged one can lead
// it around in a circle until the process dies, and a damaged freelist makes it
// write over records.
type pageTable struct {
	file     io.ReaderAt
	meta     meta
	kinds    []uint16            // page -> flags; 0 if the page does not say it is this page
	overflow []uint32            // page -> pages that continue it
	first    []uint64            // page -> its first key, if that has 8 bytes
	children map[uint64][]branch // branch page -> what is below it
	owned    []bool              // page -> found in a tree, in the freelist or as such
}

// branch is an element of a branch page: the page below, and its first key. A wrong
// key would lead a look-up, though not a scan, to another page.
type branch struct{ page, first uint64 }

func newPageTable(f io.ReaderAt, m meta) *pageTable {
	return &pageTable{
		file: f, meta: m, kinds: make([]uint16, m.pages), overflow: make([]uint32, m.pages),
		first: make([]uint64, m.pages), children: make(map[uint64][]branch), owned: make([]bool, m.pages),
	}
}

// readPages reads all pages in use once, from begin to end. That also warms the
// page cache: bbolt tells the kernel that it will access its mapping at random, so
// a scan of a file that is not cached would fetch it page by page.
func readPages(f io.ReaderAt, m meta) (*pageTable, error) {
	t := newPageTable(f, m)
	perRead := max(1, 1<<20/m.pageSize)
	buf := make([]byte, perRead*m.pageSize)
	for id := uint64(0); id < m.pages; id += uint64(perRead) {
		n := min(uint64(perRead), m.pages-id)
		part := buf[:n*uint64(m.pageSize)]
		if _, err := f.ReadAt(part, int64(id)*m.pageSize); err != nil {
			return nil, err
		}
		for i := range n {
			t.note(id+i, part[i*uint64(m.pageSize):][:m.pageSize])
		}
	}
	return t, nil
}

// note takes down what a page says of itself. A page in the middle of a longer one
// says anything.
func (t *pageTable) note(id uint64, page []byte) {
	order := binary.NativeEndian
	if order.Uint64(page) != id {
		return
	}
	flags, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	t.kinds[id], t.overflow[id] = flags, order.Uint32(page[12:])
	switch {
	case pageHeaderSize+count*elementSize > len(page) && flags == branchPage:
		t.kinds[id] = 0
	case flags == leafPage && leafEnd(page, count) > (uint64(t.overflow[id])+1)*uint64(len(page)):
		t.kinds[id] = 0
	case flags == leafPage && count > 0:
		at := page[pageHeaderSize:]
		t.first[id] = key(at, order.Uint32(at[4:]), order.Uint32(at[8:]))
	case flags == branchPage && count > 0:
		below := make([]branch, count)
		for i := range below {
			at := page[pageHeaderSize+i*elementSize:]
			below[i] = branch{page: order.Uint64(at[8:]), first: key(at, order.Uint32(at), order.Uint32(at[4:]))}
		}
		t.children[id], t.first[id] = below, below[0].first
	}
}

// leafEnd returns how far the elements that stand on a leaf page reach, which should be
// no further than what continues it. bbolt would follow them anywhere in the process.
func leafEnd(page []byte, count int) uint64 {
	order := binary.NativeEndian
	end := uint64(pageHeaderSize)
	for at := pageHeaderSize; at+elementSize <= len(page) && count > 0; at += elementSize {
		e := page[at : at+elementSize]
		end = max(end, uint64(at)+uint64(order.Uint32(e[4:]))+uint64(order.Uint32(e[8:]))+uint64(order.Uint32(e[12:])))
		count--
	}
	return end
}

// key returns the key of 8 bytes at a position counted from its element, and 0 for
// any other key.
func key(element []byte, position, size uint32) uint64 {
	if size != 8 || uint64(position)+8 > uint64(len(element)) {
		return 0
	}
	return binary.BigEndian.Uint64(element[position:])
}

// check returns an error unless every page in use belongs to exactly one place: a
// meta page, a tree, or the freelist.
func (t *pageTable) check() error {
	t.owned[0], t.owned[1] = true, true
	roots, err := t.buckets()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := t.walk(root); err != nil {
			return err
		}
	}
	if t.meta.freelist == noFreelist {
		return nil // left by another program; bbolt finds the free pages itself
	}
	if err := t.free(); err != nil {
		return err
	}
	for id, owned := range t.owned {
		if !owned {
			return fmt.Errorf("has damaged pages: nothing knows page %d", id)
		}
	}
	return nil
}

// own takes a page and those that continue it.
func (t *pageTable) own(id uint64, kinds uint16) error {
	if id >= t.meta.pages || t.kinds[id]&kinds == 0 || t.kinds[id]&^kinds != 0 {
		return fmt.Errorf("has damaged pages: page %d is not what refers to it takes it for", id)
	}
	for n := range uint64(t.overflow[id]) + 1 {
		if err := t.take(id + n); err != nil {
			return err
		}
	}
	return nil
}

func (t *pageTable) take(id uint64) error {
	if id >= t.meta.pages || t.owned[id] {
		return fmt.Errorf("has damaged pages: page %d is in two places or in none", id)
	}
	t.owned[id] = true
	return nil
}

// walk takes the tree below root. It ends because no page is taken twice.
func (t *pageTable) walk(root uint64) error {
	for todo := []uint64{root}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := t.own(id, branchPage|leafPage); err != nil {
			return err
		}
		for _, b := range t.children[id] {
			if b.page < t.meta.pages && b.first != t.first[b.page] {
				return fmt.Errorf("has damaged pages: page %d begins with another key than page %d says", b.page, id)
			}
			todo = append(todo, b.page)
		}
	}
	return nil
}

// buckets takes the page of the top-level bucket, which for the few buckets of a
// log is a single leaf, and returns the root pages of the buckets in it.
func (t *pageTable) buckets() (roots []uint64, err error) {
	if err := t.own(t.meta.root, leafPage); err != nil {
		return nil, err
	}
	page, err := t.read(t.meta.root)
	if err != nil {
		return nil, err
	}
	order := binary.NativeEndian
	for i := range int(order.Uint16(page[10:])) {
		at := pageHeaderSize + i*elementSize
		if at+elementSize > len(page) {
			return nil, fmt.Errorf("has damaged pages: page %d counts too many elements", t.meta.root)
		}
		element := page[at:]
		value := uint64(at) + uint64(order.Uint32(element[4:])) + uint64(order.Uint32(element[8:]))
		if order.Uint32(element)&bucketLeaf == 0 {
			continue
		}
		end := value + uint64(order.Uint32(element[12:]))
		if value > end || end > uint64(len(page)) {
			return nil, fmt.Errorf("has damaged pages: element %d of page %d is outside of it", i, t.meta.root)
		}
		root, ok := bucketRoot(page[value:end])
		if !ok {
			return nil, fmt.Errorf("has damaged pages: a bucket in page %d is not what was written", t.meta.root)
		}
		if root != 0 {
			roots = append(roots, root)
		}
	}
	return roots, nil
}

// bucketRoot returns the root page of a bucket from its value, and whether that is
// whole: what follows is a page in all but its id if the bucket stands there, else nothing.
func bucketRoot(value []byte) (root uint64, ok bool) {
	if len(value) < bucketSize {
		return 0, false
	}
	root, inner := binary.NativeEndian.Uint64(value), value[bucketSize:]
	if root != 0 || len(inner) < pageHeaderSize {
		return root, root != 0 && len(inner) == 0
	}
	count := binary.NativeEndian.Uint16(inner[10:])
	return 0, leafEnd(inner, int(count)) == uint64(len(inner))
}

// free takes the freelist's own page and the free pages.
func (t *pageTable) free() error {
	if err := t.own(t.meta.freelist, freelistPage); err != nil {
		return err
	}
	page, err := t.read(t.meta.freelist)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	count, ids := uint64(order.Uint16(page[10:])), page[pageHeaderSize:]
	if count == countFollows {
		count, ids = order.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return fmt.Errorf("has damaged pages: the freelist counts %d pages", count)
	}
	for i := range count {
		if err := t.take(order.Uint64(ids[8*i:])); err != nil {
			return err
		}
	}
	return nil
}

// read returns a page with what continues it. own has checked that it is inside.
func (t *pageTable) read(id uint64) ([]byte, error) {
	b := make([]byte, (int64(t.overflow[id])+1)*t.meta.pageSize)
	_, err := t.file.ReadAt(b, int64(id)*t.meta.pageSize)
	return b, err
}
