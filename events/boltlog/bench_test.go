package boltlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

var benchRecords = flag.Int("records", 100_000, "records of the log that BenchmarkOpen and BenchmarkHistory open")

// limits returns n drafts as a busy log has them, of about 400 bytes each, over
// 10 000 accounts.
func limits(n int) []events.Draft {
	filled := eventstest.Drafts()[0]
	drafts := make([]events.Draft, n)
	for i := range drafts {
		e := *filled.Event.(*events.LimitObserved)
		e.RequestID, e.Lost, e.Clamp, e.Evidence = fmt.Sprintf("req-%012d", i), nil, nil, "Your quota will reset after 7h0m0s."
		d := events.Draft{Origin: filled.Origin, Account: fmt.Sprintf("acct_%020d", i*7919%10_000), Event: &e}
		d.CorrelationID, d.IdempotencyKey, d.RequestHash = fmt.Sprintf("0195a1d2-7e3c-7b9a-8f10-%012d", i), "", events.Hash{}
		drafts[i] = d
	}
	return drafts
}

// bareBolt opens a bbolt file with the options of the log.
func bareBolt(b *testing.B) *bbolt.DB {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapAhead,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	if err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte(bucketRecords))
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkAppend appends batches of records, and the same bytes to a bare bbolt
// file in turns with it. ratio is the rate of the log in parts of that floor;
// sealing is part of neither.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 256, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := mustOpen(b, b.TempDir(), nil)
			db := bareBolt(b)
			drafts := limits(size)
			var floor, own time.Duration
			encoded, rounds := 0, 0
			for b.Loop() {
				b.StopTimer()
				recs, err := events.Seal(*l.head.Load(), time.Now(), drafts)
				if err != nil {
					b.Fatal(err)
				}
				floor += bareAppend(b, db, recs)
				b.StartTimer()
				start := time.Now()
				if err := l.Append(context.Background(), recs); err != nil {
					b.Fatal(err)
				}
				own += time.Since(start)
				rounds++
				for _, r := range recs {
					encoded += len(r.Encoded())
				}
			}
			b.ReportMetric(floor.Seconds()/own.Seconds(), "ratio")
			b.ReportMetric(float64(rounds*size)/own.Seconds(), "records/s")
			if used := usedBytes(b, l); encoded > 1<<24 {
				b.ReportMetric(float64(used)/float64(encoded), "file/encoded")
			}
		})
	}
}

func bareAppend(b *testing.B, db *bbolt.DB, recs []events.Record) time.Duration {
	start := time.Now()
	err := db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketRecords))
		bucket.FillPercent = 1
		for _, r := range recs {
			value := append(bytes.Clone(r.Encoded()), r.Hash[:]...)
			if err := bucket.Put(seqKey(r.Seq), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func usedBytes(b *testing.B, l *Log) (n int64) {
	if err := l.bolt.db.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil }); err != nil {
		b.Fatal(err)
	}
	return n
}

// bigLog makes a log of -records records.
func bigLog(b *testing.B) string {
	dir := b.TempDir()
	l := mustOpen(b, dir, nil)
	drafts := limits(min(10_000, *benchRecords))
	for n := 0; n < *benchRecords; n += len(drafts) {
		recs, err := events.Seal(*l.head.Load(), time.Now(), drafts)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Append(context.Background(), recs); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkOpen opens a log, verifies all of it and fills the index. ratio is its
// time in multiples of a cursor scan with SHA-256 of the same bytes. The file is
// in the page cache.
func BenchmarkOpen(b *testing.B) {
	dir := bigLog(b)
	floor := scanFloor(b, filepath.Join(dir, nameLog))
	for b.Loop() {
		l, err := Open(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		l.Close()
		b.StartTimer()
	}
	own := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(own.Seconds()/floor.Seconds(), "ratio")
	b.ReportMetric(float64(own.Nanoseconds())/float64(*benchRecords), "ns/record")
}

// BenchmarkOpenCheckpoint opens a log from a checkpoint 1 000 records before its end.
// A pick can be answered then; whole is when the history of accounts can be, too. The
// file is in the page cache.
func BenchmarkOpenCheckpoint(b *testing.B) {
	dir := bigLog(b)
	l := mustOpen(b, dir, nil)
	at := events.Seq(*benchRecords - 1000)
	head, err := l.headAt(at)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.WriteCheckpoint(b.Context(), head, make([]byte, 4<<20)); err != nil {
		b.Fatal(err)
	}
	l.Close()
	whole, tail := time.Duration(0), 0
	o := &Options{
		Restore: func(events.Head, []byte) error { return nil },
		Replay:  func(events.Record) error { tail++; return nil },
	}
	for b.Loop() {
		tail = 0
		start := time.Now()
		l, err := Open(dir, o)
		if err != nil || tail != 1000 {
			b.Fatalf("%d records were read: %v", tail, err)
		}
		b.StopTimer()
		if err := l.index.wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		whole += time.Since(start)
		l.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(whole.Milliseconds())/float64(b.N), "ms/whole")
}

// scanFloor returns the best of three scans.
func scanFloor(b *testing.B, path string) time.Duration {
	best := time.Hour
	for range 3 {
		start := time.Now()
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		sum := byte(0)
		db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte(bucketRecords)).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				h := sha256.Sum256(v)
				sum ^= h[0]
			}
			return nil
		})
		db.Close()
		best = min(best, time.Since(start))
	}
	return best
}

// BenchmarkHistory reads a page of 100 records about one account, the newest first.
func BenchmarkHistory(b *testing.B) {
	l := mustOpen(b, bigLog(b), nil)
	for b.Loop() {
		n := 0
		for _, err := range l.History(context.Background(), events.Query{Account: fmt.Sprintf("acct_%020d", 7919), Newest: true}) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 100 {
				break
			}
		}
	}
}
