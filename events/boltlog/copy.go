package boltlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

// Copy is a verified and compact copy of a log as it was at a head: a log.db that
// [Restore] takes. It is a temporary file until Close.
type Copy struct {
	head events.Head
	size int64
	root *os.Root
	name string
	file *os.File
}

// Head returns the newest record's identity.
func (c *Copy) Head() events.Head { return c.head }

// Size returns how many bytes WriteTo writes.
func (c *Copy) Size() int64 { return c.size }

// Copy makes a copy of the log up to its head at the start. Appends go on meanwhile,
// and nothing that they wait for is held. Each record is checked as it is copied, and
// the copy once more as a whole. progress, unless nil, is called now and then from the
// caller's goroutine with the steps done and those there are. The error wraps
// events.ErrFull if there is no room for the copy.
func (l *Log) Copy(ctx context.Context, progress func(done, total uint64)) (*Copy, error) {
	if l.closed.Load() {
		return nil, events.ErrClosed
	}
	dir := l.o.CopyDir
	if dir == "" && l.o.ReadOnly {
		dir = os.TempDir()
	}
	root, err := os.OpenRoot(cmp.Or(dir, l.root.Name()))
	if err != nil {
		return nil, fmt.Errorf("copying the log: %w", err)
	}
	c := &Copy{head: *l.head.Load(), root: root, name: copyName()}
	if err := c.make(ctx, l, progress); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", events.ErrFull, err)
		}
		return nil, errors.Join(fmt.Errorf("copying the log: %w", err), c.Close())
	}
	return c, nil
}

// copyName returns a name that [isOurs] knows and that no other copy has.
func copyName() string { return fmt.Sprintf(".%s%d%s", nameBackup, rand.Uint64(), suffix) }

// isCopy reports whether a name is one of copyName.
func isCopy(name string) bool {
	return strings.HasPrefix(name, "."+nameBackup) && strings.HasSuffix(name, suffix)
}

func (c *Copy) make(ctx context.Context, l *Log, progress func(done, total uint64)) error {
	records := uint64(c.head.Seq - l.base.Seq)
	step := func(done uint64) {
		if progress != nil {
			progress(done, 2*records)
		}
	}
	if err := c.write(ctx, l, step); err != nil {
		return err
	}
	if err := c.finish(); err != nil {
		return err
	}
	head, err := verifyFile(ctx, c.root, c.name, func(done, _ events.Seq) { step(records + uint64(done)) })
	if err == nil && head != c.head {
		err = fmt.Errorf("the copy ends at record %d with the hash %s, not at record %d with %s", head.Seq, head.Hash, c.head.Seq, c.head.Hash)
	}
	return err
}

// copyBatch is how many records go into one transaction of a copy.
const copyBatch = 8192

// write copies the records into a new bbolt file, which is synced once, at the end.
func (c *Copy) write(ctx context.Context, l *Log, step func(done uint64)) error {
	db, err := newBolt(c.root, c.name, &bbolt.Options{
		NoSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapAhead,
	})
	if err != nil {
		return err
	}
	var batch []events.Record
	flush := func() error {
		values := make([]byte, 0, valuesSize(batch))
		err := db.Update(func(tx *bbolt.Tx) error { return put(tx.Bucket([]byte(bucketRecords)), batch, values) })
		batch = batch[:0]
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error { return writeMeta(tx, l.base) })
	if err == nil {
		_, err = l.scan(ctx, span{from: l.base, last: c.head.Seq, keep: true}, func(recs []events.Record) error {
			batch = append(batch, recs...)
			step(uint64(recs[len(recs)-1].Seq - l.base.Seq))
			if len(batch) < copyBatch {
				return nil
			}
			return flush()
		})
	}
	if err == nil {
		err = flush()
	}
	return errors.Join(err, db.Close())
}

// finish cuts the copy down to the pages in use and makes it durable.
func (c *Copy) finish() (err error) {
	if c.file, err = c.root.OpenFile(c.name, os.O_RDWR, 0); err != nil {
		return err
	}
	m, err := readShape(c.file)
	if err != nil {
		return err
	}
	c.size = int64(m.pages) * m.pageSize
	if err := c.file.Truncate(c.size); err != nil {
		return err
	}
	return c.file.Sync()
}

// WriteTo implements io.WriterTo: it writes the whole copy.
func (c *Copy) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(c.file, 0, c.size))
}

// Close removes the temporary file.
func (c *Copy) Close() error {
	var errs []error
	if c.file != nil {
		errs = append(errs, c.file.Close())
	}
	if err := c.root.Remove(c.name); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.root.Close())...)
}

// Backup writes a [Copy] of the log to w, and returns the head it goes up to.
func (l *Log) Backup(ctx context.Context, w io.Writer, progress func(done, total uint64)) (head events.Head, err error) {
	c, err := l.Copy(ctx, progress)
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if n, err := c.WriteTo(w); err != nil {
		return head, fmt.Errorf("writing the backup, of which %d bytes are written: %w", n, err)
	}
	return c.head, nil
}

// verifyFile checks a log file by itself: its pages, and the whole chain.
func verifyFile(ctx context.Context, root *os.Root, name string, progress func(done, total events.Seq)) (head events.Head, err error) {
	l := &Log{o: Options{ReadOnly: true, Logger: slog.New(slog.DiscardHandler)}, root: root, name: name}
	if l.bolt, err = openBolt(root, name, true); err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, l.bolt.close()) }()
	last := events.Seq(0)
	if l.base, last, err = l.bolt.base(); err == nil {
		err = l.bolt.checkPages()
	}
	if err != nil {
		return head, l.damaged(err)
	}
	return l.scan(ctx, span{from: l.base, last: last}, counted(l.base.Seq, last, progress))
}
