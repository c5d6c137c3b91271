package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// The check of a file whose records were checked before, up to a checkpoint, reads
// what bbolt follows and what it rewrites, not what it finds: one page in about 1 500 at
// 400 bytes a record. What it leaves out is the leaf pages but for those below the last
// branch page, and what a damaged one can do is bounded otherwise:
//
//   - bbolt itself refuses a page that does not carry its own id and one known flag, by
//     a panic that guard turns into an error; positions in it that lead outside of the
//     file fault, with the same result, or show what else the process has mapped there;
//   - its records are checked against the chain whenever they are read;
//   - it is never written over or freed, and its branch page is never rewritten: records
//     are only appended, to the last leaf. That is also why a branch page before the
//     last may have a damaged key: it leads look-ups astray, which ends in an error, and
//     [Log.Verify] finds it.

// readAtOnce is how many pages are asked for at the same time: where they are not
// cached a disk serves many as fast as one.
const readAtOnce = 64

// maxDepth bounds the levels of a tree; five hold a billion records.
const maxDepth = 16

// checkTree returns an error unless every branch page and the last leaf of each tree
// belongs to exactly one place, and the freelist holds no page that is in use.
func checkTree(f io.ReaderAt, m meta) error {
	t := newPageTable(f, m)
	t.owned[0], t.owned[1] = true, true
	if err := t.load([]uint64{m.root}); err != nil {
		return err
	}
	roots, err := t.buckets()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := t.levels(root); err != nil {
			return err
		}
	}
	tree := slices.Clone(t.owned) // before the free pages are taken
	if err := t.load([]uint64{m.freelist}); err != nil {
		return err
	}
	if err := t.free(); err != nil {
		return err
	}
	return t.apart(tree)
}

// load reads single pages.
func (t *pageTable) load(ids []uint64) error {
	for _, id := range ids {
		if id >= t.meta.pages {
			return fmt.Errorf("has damaged pages: something refers to page %d of %d", id, t.meta.pages)
		}
	}
	for part := range slices.Chunk(ids, readAtOnce) {
		pages := make([][]byte, len(part))
		errs := make([]error, len(part))
		var wg sync.WaitGroup
		for i, id := range part {
			wg.Go(func() {
				pages[i] = make([]byte, t.meta.pageSize)
				_, errs[i] = t.file.ReadAt(pages[i], int64(id)*t.meta.pageSize)
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		for i, id := range part {
			t.note(id, pages[i])
		}
	}
	return nil
}

// levels takes the tree below root, level by level. All leaves of a tree of bbolt are
// equally deep; the last tells how deep.
func (t *pageTable) levels(root uint64) error {
	depth, last, err := t.spine(root)
	if err != nil {
		return err
	}
	level := []branch{{page: root, first: t.first[root]}}
	read := 1 // how many of the level, at its end, appends rewrite or compare with
	for range depth {
		read = len(t.children[level[len(level)-1].page])
		if level, err = t.below(level); err != nil {
			return err
		}
	}
	if level[len(level)-1].page != last {
		return fmt.Errorf("has damaged pages: page %d is in two places or in none", last)
	}
	for _, b := range level[:len(level)-read] {
		if err := t.take(b.page); err != nil {
			return err
		}
	}
	if err := t.leaves(level[len(level)-read:]); err != nil {
		return err
	}
	return t.lastLeaf(last)
}

// lastLeaf checks the elements of the leaf that the next append rewrites: all of them
// lie in it, and their keys ascend. Those of records have no gaps, so that a damaged one
// has no room to.
func (t *pageTable) lastLeaf(id uint64) error {
	page, err := t.read(id)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	var before []byte
	for i := range int(order.Uint16(page[10:])) {
		at := uint64(pageHeaderSize + i*elementSize)
		if at+elementSize > uint64(len(page)) {
			return fmt.Errorf("has damaged pages: page %d counts too many elements", id)
		}
		position, key, value := order.Uint32(page[at+4:]), order.Uint32(page[at+8:]), order.Uint32(page[at+12:])
		from := at + uint64(position)
		if from+uint64(key)+uint64(value) > uint64(len(page)) {
			return fmt.Errorf("has damaged pages: element %d of page %d is outside of it", i, id)
		}
		k := page[from : from+uint64(key)]
		if i > 0 && (bytes.Compare(before, k) >= 0 || t.first[id] != 0 && len(k) != 8) { // those of records have 8 bytes
			return fmt.Errorf("has damaged pages: the keys of page %d do not ascend", id)
		}
		before = k
	}
	return nil
}

// leaves takes the leaves of one branch page and compares their first keys with those
// that it has.
func (t *pageTable) leaves(level []branch) error {
	if err := t.load(pagesOf(level)); err != nil {
		return err
	}
	for _, b := range level {
		if err := t.own(b.page, leafPage); err != nil {
			return err
		}
		if b.first != t.first[b.page] {
			return fmt.Errorf("has damaged pages: page %d begins with another key than its branch page says", b.page)
		}
	}
	return nil
}

func pagesOf(level []branch) []uint64 {
	ids := make([]uint64, len(level))
	for i, b := range level {
		ids[i] = b.page
	}
	return ids
}

// below takes the branch pages of a level and returns the level below.
func (t *pageTable) below(level []branch) (next []branch, err error) {
	if err := t.load(pagesOf(level)); err != nil {
		return nil, err
	}
	for _, b := range level {
		if err := t.own(b.page, branchPage); err != nil {
			return nil, err
		}
		if b.first != t.first[b.page] {
			return nil, fmt.Errorf("has damaged pages: page %d begins with another key than its branch page says", b.page)
		}
		next = append(next, t.children[b.page]...)
	}
	return next, nil
}

// spine follows the last children of the tree below root down to the leaf, and returns
// how many branch pages are above it.
func (t *pageTable) spine(root uint64) (depth int, leaf uint64, err error) {
	for id := root; ; depth++ {
		if err := t.load([]uint64{id}); err != nil {
			return 0, 0, err
		}
		below := t.children[id]
		switch {
		case t.kinds[id] == leafPage:
			return depth, id, nil
		case t.kinds[id] != branchPage || len(below) == 0 || depth == maxDepth:
			return 0, 0, fmt.Errorf("has damaged pages: page %d is not what refers to it takes it for", id)
		}
		id = below[len(below)-1].page
	}
}

// maxContinued bounds how many leaves are read because a page follows them that may be
// theirs: records of more than a page are few.
const maxContinued = 4096

// apart checks the pages that are not where a branch page refers to: a free one must not
// continue the page of a tree before it, which would be longer than its branch page
// tells; one that is not free must, or nothing knows it.
func (t *pageTable) apart(tree []bool) error {
	if err := t.load(t.unread(tree)); err != nil {
		return err
	}
	owner := uint64(0) // the last page of a tree before id
	for id := uint64(0); id < t.meta.pages; id++ {
		if tree[id] {
			owner = id
			id += uint64(t.overflow[id]) // 0 unless the page was read
			continue
		}
		read := owner <= 1 || t.kinds[owner] != 0
		continues := owner+uint64(t.overflow[owner]) >= id
		switch {
		case !read && t.owned[id], owner > 1 && read && t.kinds[owner]&(leafPage|branchPage) == 0:
			return fmt.Errorf("has damaged pages: page %d is not what refers to it takes it for", owner)
		case t.owned[id] && continues:
			return fmt.Errorf("has damaged pages: page %d is in two places or in none", id)
		case !t.owned[id] && read && !continues:
			return fmt.Errorf("has damaged pages: nothing knows page %d", id)
		}
	}
	return nil
}

// unread returns the pages of a tree that were not read and that others follow which are
// not of a tree: all before free pages, and those before others if they are not too many.
func (t *pageTable) unread(tree []bool) []uint64 {
	var free, others []uint64
	owner := uint64(0)
	for id := uint64(0); id < t.meta.pages; id++ {
		switch {
		case tree[id]:
			owner = id
			id += uint64(t.overflow[id])
		case owner <= 1 || t.kinds[owner] != 0:
		case t.owned[id]:
			free = append(free, owner)
		default:
			others = append(others, owner)
		}
	}
	if others = slices.Compact(others); len(others) <= maxContinued {
		free = append(free, others...)
	}
	slices.Sort(free)
	return slices.Compact(free)
}
