package boltlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
)

// Source is the whole of a log from somewhere else.
type Source struct {
	Log string // its id
	// Records yields all its records from the first on, under the contract of
	// events.Log.
	Records iter.Seq2[events.Record, error]
}

// Fill makes the data directory dir of a log's records, as [Restore] does of a backup:
// the log keeps its id and its hashes. dir is empty or does not exist, with a parent
// that does; nothing appears in it under its name unless every record was there, was
// checked, and is durable. The errors are those of the source, and as those of Restore.
// progress, unless nil, is called while what was stored is checked.
func Fill(ctx context.Context, from Source, dir string, progress func(done, total events.Seq)) (events.Head, error) {
	return intoEmpty(dir, func(root *os.Root) (events.Head, error) {
		temp := nameLog + suffix
		if err := root.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
			return events.Head{}, err
		}
		filled, err := storeAll(ctx, from, root)
		if err != nil {
			return events.Head{}, err
		}
		head, err := verifyFile(ctx, root, temp, progress)
		if err == nil && (head.Log != filled.Log || head.Seq != filled.Seq || head.Hash != filled.Hash) {
			err = fmt.Errorf("what was stored ends at %d:%s, not at %d:%s as it should", head.Seq, head.Hash, filled.Seq, filled.Hash)
		}
		return head, err
	})
}

// storeAll stores a source's records as log.db.new, which is synced once, at the end.
func storeAll(ctx context.Context, from Source, root *os.Root) (events.Head, error) {
	head := events.Head{Log: from.Log, Hash: events.Genesis(from.Log)}
	db, err := newBolt(root, nameLog+suffix, &bbolt.Options{
		NoSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapAhead,
	})
	if err != nil {
		return head, fmt.Errorf("making the log: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return writeMeta(tx, head) })
	if err == nil {
		head, err = pour(ctx, from, db)
	}
	if err == nil {
		err = db.Sync()
	}
	return head, errors.Join(err, db.Close())
}

// pour puts a source's records into a new file, batch by batch.
func pour(ctx context.Context, from Source, db *bbolt.DB) (events.Head, error) {
	head := events.Head{Log: from.Log, Hash: events.Genesis(from.Log)}
	batch := make([]events.Record, 0, copyBatch)
	flush := func() error {
		if err := events.CheckAppend(head, batch); err != nil || len(batch) == 0 {
			return err
		}
		head = head.Next(batch[len(batch)-1])
		values := make([]byte, 0, valuesSize(batch))
		err := db.Update(func(tx *bbolt.Tx) error { return put(tx.Bucket([]byte(bucketRecords)), batch, values) })
		batch = batch[:0]
		return err
	}
	for r, err := range from.Records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return head, err
		}
		if batch = append(batch, r); len(batch) < copyBatch {
			continue
		}
		if err := flush(); err != nil {
			return head, err
		}
	}
	return head, flush()
}
