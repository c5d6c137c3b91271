package boltlog

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// usage says for each bit of the pages of a sound log.db what it is for, and so which of
// them nothing depends on. It is worked out from the format of bbolt's files and owes
// nothing to the checks that it is compared with.
type usage struct {
	t     *testing.T
	b     []byte
	page  int
	parts []string     // byte -> what it is a part of
	used  []byte       // byte -> its bits that count
	seqs  []events.Seq // byte -> the record whose bytes or hash it is; 0: none
}

const aPosition = "an element's position"

// far reports whether flipping a bit takes the position of an element out of the file.
func (u *usage) far(bit int) bool {
	var b [4]byte
	at := bit / 8
	for u.parts[at] == aPosition && u.parts[at-1] == aPosition {
		at--
	}
	b[bit/8-at] = 1 << (bit % 8)
	return u.parts[at] == aPosition && int(binary.NativeEndian.Uint32(b[:])) > len(u.b)
}

// useOf maps the pages of a log.db, which b is without what follows them.
func useOf(t *testing.T, b []byte) *usage {
	t.Helper()
	m, err := newestMeta(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	u := &usage{
		t: t, b: b, page: int(m.pageSize),
		parts: make([]string, len(b)), used: make([]byte, len(b)), seqs: make([]events.Seq, len(b)),
	}
	newest, older := int(m.txid%2)*u.page, int((m.txid+1)%2)*u.page
	u.unused(older, u.page, "the older meta page")
	u.unused(newest, pageHeaderSize, "a meta page's header")
	u.whole(newest+pageHeaderSize, metaSize, "the newest meta page")
	u.rest(newest, 1)
	u.freelist(int(m.freelist))
	u.tree(int(m.root), true)
	for at, part := range u.parts {
		if part == "" {
			t.Fatalf("nothing is known about byte %d", at)
		}
	}
	return u
}

// set says what n bytes from at are for, and which bits of each count.
func (u *usage) set(at, n int, part string, bits byte) {
	u.t.Helper()
	for i := at; i < at+n; i++ {
		if u.parts[i] != "" {
			u.t.Fatalf("byte %d is both %s and %s", i, u.parts[i], part)
		}
		u.parts[i], u.used[i] = part, bits
	}
}

func (u *usage) whole(at, n int, part string)  { u.set(at, n, part, 0xff) }
func (u *usage) unused(at, n int, part string) { u.set(at, n, part, 0) }

// rest marks what no element of a page refers to.
func (u *usage) rest(page, pages int) {
	for i := page; i < page+pages*u.page; i++ {
		if u.parts[i] == "" {
			u.unused(i, 1, "the rest of a page")
		}
	}
}

// pages returns where a page begins and how many there are with those that continue it.
func (u *usage) pages(id int) (at, pages int) {
	at = id * u.page
	return at, 1 + int(binary.NativeEndian.Uint32(u.b[at+12:]))
}

func (u *usage) number(at int) int   { return int(binary.NativeEndian.Uint32(u.b[at:])) }
func (u *usage) elements(at int) int { return int(binary.NativeEndian.Uint16(u.b[at+10:])) }
func (u *usage) id(at int) int       { return int(binary.NativeEndian.Uint64(u.b[at:])) }
func (u *usage) kind(at int) uint16  { return binary.NativeEndian.Uint16(u.b[at+8:]) }

// freelist maps the freelist and the pages that it says are free.
func (u *usage) freelist(id int) {
	at, pages := u.pages(id)
	n := u.elements(at)
	u.whole(at, pageHeaderSize, "a page's header")
	u.whole(at+pageHeaderSize, 8*n, "the freelist")
	for i := range n {
		u.unused(u.id(at+pageHeaderSize+8*i)*u.page, u.page, "a free page")
	}
	u.rest(at, pages)
}

// tree maps a page and those below it. In that of the top, values are buckets.
func (u *usage) tree(id int, top bool) {
	at, pages := u.pages(id)
	u.whole(at, pageHeaderSize, "a page's header")
	if u.kind(at) == branchPage {
		u.branches(at)
	} else {
		u.leaves(at, top)
	}
	u.rest(at, pages)
}

func (u *usage) branches(page int) {
	for i := range u.elements(page) {
		at := page + pageHeaderSize + i*elementSize
		u.whole(at, 4, aPosition)
		u.whole(at+4, elementSize-4, "an element")
		u.whole(at+u.number(at), u.number(at+4), "a key")
		u.tree(u.id(at+8), false)
	}
}

func (u *usage) leaves(page int, top bool) {
	for i := range u.elements(page) {
		at := page + pageHeaderSize + i*elementSize
		flags := [4]byte{}
		binary.NativeEndian.PutUint32(flags[:], bucketLeaf) // of 32 flags, bbolt has one
		for k, bits := range flags {
			u.set(at+k, 1, "an element's flags", bits)
		}
		u.whole(at+4, 4, aPosition)
		u.whole(at+8, elementSize-8, "an element")
		key, value := at+u.number(at+4), at+u.number(at+4)+u.number(at+8)
		u.whole(key, value-key, "a key")
		if top {
			u.bucket(value)
			continue
		}
		u.whole(value, u.number(at+12), "a value")
		if value-key == 8 { // as the keys of records have, and no other
			seq := events.Seq(binary.BigEndian.Uint64(u.b[key:]))
			for k := range u.number(at + 12) {
				u.seqs[value+k] = seq
			}
		}
	}
}

// bucket maps the value of a bucket: its root page and a sequence of bbolt's, which logs
// have no use for. A small bucket follows as a page without an id.
func (u *usage) bucket(at int) {
	u.whole(at, 8, "a bucket's root")
	u.unused(at+8, 8, "a bucket's sequence")
	if root := u.id(at); root != 0 {
		u.tree(root, false)
		return
	}
	page := at + 16
	u.unused(page, 8, "an inner page's id")
	u.whole(page+8, 4, "a page's header")
	u.unused(page+12, 4, "an inner page's overflow")
	u.leaves(page, false)
}
