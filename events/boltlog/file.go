package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/abeyance/abeyance/events"
)

// formatVersion is the version of what log.db holds.
const formatVersion = "1"

// Buckets and keys of log.db.
const (
	bucketMeta    = "meta"
	bucketRecords = "records"
	keyFormat     = "format"
	keyLog        = "log"
	keyFirstSeq   = "first_seq"
	keyFirstPrev  = "first_prev"
)

func seqKey(s events.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s)) }

// guard runs fn, which touches bbolt's mapping of the file, and turns the panics
// of a damaged file, page faults among them, into an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &faultError{problem: p}
		}
	}()
	return fn()
}

// faultError is a panic out of bbolt.
type faultError struct{ problem any }

func (e *faultError) Error() string {
	return fmt.Sprintf("its pages cannot be read: %v", e.problem)
}

// checkPages checks all pages of the file, to which nobody may write meanwhile.
func (b *boltFile) checkPages() error { return checkPages(b.file) }

// boltFile is log.db while it is open.
type boltFile struct {
	db   *bbolt.DB
	file *os.File // bbolt's own
	root *os.Root // of the directory, the owner's
	dir  *os.File // the directory, to ask about names in it
	name string
	// written is how far the room behind the pages in use was written, as far as the disk
	// had room.
	written int64
}

// openBolt opens the log file of a name, which must exist and have a shape that is safe
// to map.
func openBolt(root *os.Root, name string, readOnly bool) (*boltFile, error) {
	path := filepath.Join(root.Name(), name)
	b := &boltFile{root: root, name: name}
	var err error
	if b.dir, err = root.Open("."); err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	err = guard(func() (err error) {
		b.db, err = bbolt.Open(name, 0o600, &bbolt.Options{
			Timeout:         time.Second,
			ReadOnly:        readOnly,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: mapAhead,
			OpenFile:        b.opener(root, path),
		})
		return err
	})
	if err == nil {
		if same, statErr := b.isNamed(); statErr != nil || !same {
			err = errors.Join(errors.New("was replaced while it was being opened"), statErr)
		}
	}
	if err == nil {
		return b, nil
	}
	b.discard()
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, &LockedError{Path: path}
	}
	if _, ok := errors.AsType[*DamageError](err); ok {
		return nil, err
	}
	return nil, &DamageError{Path: path, Err: err}
}

// opener returns the function that bbolt opens its file with. It never makes one,
// and looks at the shape of the very file that will be mapped.
func (b *boltFile) opener(root *os.Root, path string) func(string, int, os.FileMode) (*os.File, error) {
	return func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := root.OpenFile(name, flag&^os.O_CREATE, mode)
		if err != nil {
			return nil, err
		}
		if err := checkShape(f); err != nil {
			f.Close()
			return nil, &DamageError{Path: path, Err: err}
		}
		b.file = f
		return f, nil
	}
}

// Room for the commits to come is written ahead: a sixteenth of what is in use, within
// these bounds. Behind it the file has growStep more, as bbolt does it: a hole.
const (
	minAhead = 64 << 10
	maxAhead = 1 << 20
	growStep = 16 << 20
)

// grow makes room for size bytes of values behind the pages in use. bbolt would
// do it during the commit, but its error would not say that the disk is full.
//
// The room is written: the first write into a hole makes the file system find a place and
// store where it is, for which the sync of a commit would wait, on ext4 and XFS for the
// journal.
func (b *boltFile) grow(used int64, size int) error {
	// Pages that are not full, inner pages and the free list: twice the bytes and
	// some pages are nearly always enough, and bbolt makes use of the hole if not.
	need := used + 2*int64(size) + 64<<10
	if mapAhead == 0 || need <= b.written { // on Windows the file is as long as its mapping
		return nil
	}
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	length := info.Size()
	to := need + min(max(used/16, minAhead), maxAhead)
	if length < to+growStep {
		err := b.file.Truncate(to + growStep)
		switch {
		case err == nil:
		case isFull(err) && length >= need: // there is room for the commit all the same
			to = min(to, length)
		default:
			return err
		}
	}
	if err := writeZeros(b.file, max(used, b.written), to); err != nil && !isFull(err) {
		return err // of a full disk the commit may find that there is room enough
	}
	b.written = to
	return b.file.Sync()
}

// writeZeros fills a file with zeros between two positions.
func writeZeros(f *os.File, from, to int64) error {
	zeros := make([]byte, min(to-from, 1<<20))
	for from < to {
		n, err := f.WriteAt(zeros[:min(to-from, int64(len(zeros)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// close waits for those who read.
func (b *boltFile) close() error { return errors.Join(b.db.Close(), b.dir.Close()) }

// discard gives back what a failed open or a panic left. bbolt's own Close may wait
// for ever for a lock that the panic has not given back, so only the file is
// unlocked and closed; the mapping stays until the process ends.
func (b *boltFile) discard() {
	if b.file != nil {
		unlock(b.file)
		b.file.Close() // fails if bbolt has closed it
	}
	b.dir.Close()
}

// createLog makes a log with the given id: complete under another name, then
// renamed.
func createLog(root *os.Root, id string) error {
	name := nameLog + suffix
	db, err := newBolt(root, name, &bbolt.Options{})
	if err != nil {
		return fmt.Errorf("making the log: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return writeMeta(tx, events.Head{Log: id, Hash: events.Genesis(id)})
	})
	if err == nil {
		err = db.Sync()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("making the log: %w", errors.Join(err, root.Remove(name)))
	}
	if err := install(root, nameLog); err != nil {
		return fmt.Errorf("making the log: %w", err)
	}
	return nil
}

// newBolt makes a bbolt file of a name that nothing has.
func newBolt(root *os.Root, name string, o *bbolt.Options) (*bbolt.DB, error) {
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		return root.OpenFile(name, flag|os.O_EXCL, mode)
	}
	return bbolt.Open(name, 0o600, o)
}

// writeMeta makes the buckets of a log that begins after base.
func writeMeta(tx *bbolt.Tx, base events.Head) error {
	if _, err := tx.CreateBucket([]byte(bucketRecords)); err != nil {
		return err
	}
	b, err := tx.CreateBucket([]byte(bucketMeta))
	if err != nil {
		return err
	}
	for _, kv := range []struct {
		key   string
		value []byte
	}{
		{keyFormat, []byte(formatVersion)},
		{keyLog, []byte(base.Log)},
		{keyFirstSeq, seqKey(base.Seq + 1)},
		{keyFirstPrev, base.Hash[:]},
	} {
		if err := b.Put([]byte(kv.key), kv.value); err != nil {
			return err
		}
	}
	return nil
}

// base reads the head before the first record, and the newest key.
func (b *boltFile) base() (base events.Head, last events.Seq, err error) {
	err = guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			m, r := tx.Bucket([]byte(bucketMeta)), tx.Bucket([]byte(bucketRecords))
			if m == nil || r == nil {
				return errors.New("is a bbolt file, but no log of Abeyance")
			}
			if base, err = readBase(m); err != nil {
				return err
			}
			last, err = ends(r.Cursor(), base.Seq)
			return err
		})
	})
	return base, last, err
}

// ends returns the newest key of the records after base.
func ends(c *bbolt.Cursor, base events.Seq) (events.Seq, error) {
	first, _ := c.First()
	if first == nil {
		return base, nil
	}
	last, _ := c.Last()
	if !bytes.Equal(first, seqKey(base+1)) {
		return 0, &events.ChainError{Seq: base + 1, Problem: fmt.Sprintf("is missing: the first key is %x", first)}
	}
	if len(last) != 8 {
		return 0, fmt.Errorf("has a record under the key %x", last)
	}
	return events.Seq(binary.BigEndian.Uint64(last)), nil
}

func readBase(m *bbolt.Bucket) (events.Head, error) {
	format := m.Get([]byte(keyFormat))
	if len(format) > 0 && !bytes.Equal(format, []byte(formatVersion)) {
		return events.Head{}, &events.FormatError{What: fmt.Sprintf("format %q of the log file", format)}
	}
	id, first, prev := m.Get([]byte(keyLog)), m.Get([]byte(keyFirstSeq)), m.Get([]byte(keyFirstPrev))
	if len(format) == 0 || len(id) == 0 || len(first) != 8 || len(prev) != len(events.Hash{}) {
		return events.Head{}, errors.New("does not say which log it is")
	}
	base := events.Head{Log: string(id), Seq: events.Seq(binary.BigEndian.Uint64(first)), Hash: events.Hash(prev)}
	if base.Seq == 0 || base.Seq == 1 && base.Hash != events.Genesis(base.Log) {
		return events.Head{}, fmt.Errorf("does not begin as the log %s does", base.Log)
	}
	base.Seq--
	return base, nil
}
