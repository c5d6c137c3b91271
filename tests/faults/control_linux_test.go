package faults

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// boast is a log that acknowledges before it appends.
type boast struct {
	events.Log
	later chan []events.Record
	head  events.Head // of what is acknowledged
}

func newBoast(l events.Log) (*boast, error) {
	head, err := l.Head(context.Background())
	if err != nil {
		return nil, err
	}
	b := &boast{Log: l, later: make(chan []events.Record, 64), head: head}
	go func() {
		for recs := range b.later {
			if err := b.Log.Append(context.Background(), recs); err != nil {
				return
			}
		}
	}()
	return b, nil
}

// Append implements events.Log, and breaks its promise.
func (b *boast) Append(_ context.Context, recs []events.Record) error {
	if err := events.Link(b.head, recs); err != nil {
		return err
	}
	b.head = b.head.Next(recs[len(recs)-1])
	b.later <- recs
	return nil
}

// noSync is a log in memory, and in a file of bbolt's that is never synced.
type noSync struct {
	*eventstest.Log
	db *bbolt.DB
}

const (
	noSyncName   = "nosync.db"
	noSyncBucket = "records"
)

// openNoSync makes a log in an empty directory.
func openNoSync(dir string) (*noSync, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(filepath.Join(dir, noSyncName), 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		return nil, err
	}
	return &noSync{eventstest.New(), db}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte(noSyncBucket))
		return err
	})
}

// Append implements events.Log but for its durability.
func (l *noSync) Append(ctx context.Context, recs []events.Record) error {
	head, err := l.Head(ctx)
	if err == nil {
		err = events.Link(head, recs)
	}
	if err != nil {
		return err
	}
	err = l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(noSyncBucket))
		for _, r := range recs {
			if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(r.Seq)), r.Hash[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.Log.Append(ctx, recs)
}

// readNoSync returns the hashes that the file in dir still has. bbolt panics on pages
// that were never written.
func readNoSync(dir string) (found map[events.Seq]events.Hash, err error) {
	found = map[events.Seq]events.Hash{}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("reading it: %v", problem)
		}
	}()
	db, err := bbolt.Open(filepath.Join(dir, noSyncName), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return found, err
	}
	defer db.Close()
	return found, db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(noSyncBucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if len(k) == 8 && len(v) == len(events.Hash{}) {
				found[events.Seq(binary.BigEndian.Uint64(k))] = events.Hash(v)
			}
			return nil
		})
	})
}
