package boltlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The meta pages of a bbolt file, from its sources (internal/common/page.go and
// meta.go of v1.5.0). A page starts with a header of 16 bytes; the meta follows, in
// the machine's byte order:
//
//	magic, version, page size, flags    4 bytes each
//	root bucket: page, sequence         8 each
//	freelist page                       8
//	high-water mark: pages in use       8
//	transaction id                      8
//	FNV-1a of the 56 bytes before       8
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeaderSize = 16
	metaSize       = 64
	smallestPage   = 1 << 10
	largestPage    = 1 << 24
)

// meta is what a valid meta page claims.
type meta struct {
	pageSize int64
	root     uint64 // page of the top-level bucket
	freelist uint64
	pages    uint64 // high-water mark
	txid     uint64
}

// checkShape returns an error unless f is a bbolt file that is safe to map and to look
// records up in: at least as long as its newest valid meta page claims, and sound in
// what [checkTree] looks at.
func checkShape(f *os.File) error {
	m, err := readShape(f)
	if err != nil {
		return err
	}
	if m.freelist == noFreelist { // bbolt is about to look for the free pages in all of them
		return checkPages(f)
	}
	return checkTree(f, m)
}

// checkPages returns an error unless all pages of the bbolt file f form the trees that
// bbolt expects. It reads the file once, from begin to end.
func checkPages(f *os.File) error {
	m, err := readShape(f)
	if err != nil {
		return err
	}
	pages, err := readPages(f, m)
	if err != nil {
		return err
	}
	return pages.check()
}

// readShape returns the newest meta page of a file that is as long as that claims.
func readShape(f *os.File) (m meta, err error) {
	info, err := f.Stat()
	if err != nil {
		return m, err
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return m, fmt.Errorf("is not a regular file (%s)", info.Mode().Type())
	case size == 0:
		return m, errors.New("is empty: a log never is")
	case size < 4*smallestPage:
		return m, fmt.Errorf("is cut short: %d bytes", size)
	}
	if m, err = newestMeta(f, size); err != nil {
		return m, err
	}
	if least := m.pages * uint64(m.pageSize); m.pages < 4 || m.pages > uint64(size) || least > uint64(size) {
		return m, fmt.Errorf("is cut short: %d bytes of at least %d", size, least)
	}
	return m, nil
}

// newestMeta finds the meta page that bbolt will go by: of two the valid one, of
// two valid ones that of the later transaction.
func newestMeta(f io.ReaderAt, size int64) (meta, error) {
	first, ok := readMeta(f, 0)
	if ok {
		if second, ok := readMeta(f, first.pageSize); ok && second.txid > first.txid {
			return second, nil
		}
		return first, nil
	}
	// The first page is torn. The second stands at the page size, which only it
	// knows.
	for at := int64(smallestPage); at <= largestPage && at < size; at *= 2 {
		if m, ok := readMeta(f, at); ok && m.pageSize == at {
			return m, nil
		}
	}
	return meta{}, errors.New("is no log: neither of its first pages is a valid bbolt meta page")
}

func readMeta(f io.ReaderAt, at int64) (meta, bool) {
	var page [pageHeaderSize + metaSize]byte
	if _, err := f.ReadAt(page[:], at); err != nil {
		return meta{}, false
	}
	b := page[pageHeaderSize:]
	order := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m := meta{
		pageSize: int64(order.Uint32(b[8:])),
		root:     order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]),
		pages:    order.Uint64(b[40:]),
		txid:     order.Uint64(b[48:]),
	}
	ok := order.Uint32(b) == boltMagic && order.Uint32(b[4:]) == boltVersion && order.Uint64(b[56:]) == sum.Sum64() &&
		m.pageSize >= smallestPage && m.pageSize <= largestPage && m.pageSize&(m.pageSize-1) == 0
	return m, ok
}
