package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// The promises are of a million records; making such a log takes a while, which a
// benchmark that only has to run does not need.
var records = flag.Int("records", 120_000, "records of the logs that are started from and looked back on")

// BenchmarkStart opens a log as a daemon does when it starts, and one of a tenth of the
// records. ms is the best time of all rounds, because a start is long enough to be
// disturbed; so is that of the floor.
func BenchmarkStart(b *testing.B) {
	small, large := makeLog(b, *records/10+2*tail), makeLog(b, *records)
	named := func(what string) string { return fmt.Sprintf("%s/records=%d", what, large.records) }
	b.Run(named("verify"), func(b *testing.B) { startAgainst(b, large, large.verify, large.scan) })
	b.Run(named("fold"), func(b *testing.B) { startAgainst(b, large, large.fold, large.scan) })
	b.Run(named("cold"), func(b *testing.B) { startCold(b, large) })
	b.Run(named("checkpoint"), func(b *testing.B) { startAgainst(b, large, large.restore, small.restore) })
	b.Run(named("history"), func(b *testing.B) { historyPage(b, large) })
}

// startAgainst runs a way to start in turns with its floor.
func startAgainst(b *testing.B, m madeLog, start, floor func(b *testing.B) time.Duration) {
	start(b) // so that all is in the page cache
	own, least := time.Hour, time.Hour
	for b.Loop() {
		least = min(least, floor(b))
		own = min(own, start(b))
	}
	reportStart(b, m, own, least)
}

func reportStart(b *testing.B, m madeLog, own, least time.Duration) {
	b.ReportMetric(own.Seconds()*1000, "ms")
	b.ReportMetric(least.Seconds()*1000, "floor-ms")
	b.ReportMetric(own.Seconds()/least.Seconds(), "x-floor")
	b.ReportMetric(float64(own.Nanoseconds())/float64(m.records), "ns/record")
}

// timed returns how long f takes in a process without garbage.
func timed(f func()) time.Duration {
	runtime.GC()
	began := time.Now()
	f()
	return time.Since(began)
}

// scan is the floor: a cursor goes over all values, and SHA-256.
func (m madeLog) scan(b *testing.B) time.Duration {
	return timed(func() {
		db, err := bbolt.Open(filepath.Join(m.dir, "log.db"), 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		n, sum := 0, byte(0)
		db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte("records")).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				h := sha256.Sum256(v)
				sum ^= h[0]
				n++
			}
			return nil
		})
		if n != m.records {
			b.Fatalf("%d records of %d, and %x", n, m.records, sum)
		}
	})
}

// verify opens the log and checks all of it, without a state.
func (m madeLog) verify(b *testing.B) (took time.Duration) {
	var log *boltlog.Log
	took = timed(func() {
		var err error
		if log, err = boltlog.Open(m.dir, nil); err != nil {
			b.Fatal(err)
		}
	})
	m.close(b, log)
	return took
}

// fold starts from all records, restore from the newest checkpoint: until picks can be
// answered.
func (m madeLog) fold(b *testing.B) time.Duration    { return m.start(b, false) }
func (m madeLog) restore(b *testing.B) time.Duration { return m.start(b, true) }

func (m madeLog) start(b *testing.B, fromCheckpoint bool) (took time.Duration) {
	var log *boltlog.Log
	var e *projection.Engine
	read := 0
	took = timed(func() {
		s := projection.NewState()
		o := &boltlog.Options{Replay: func(r events.Record) error { read++; s.Apply(r); return nil }}
		if fromCheckpoint {
			o.Restore = func(_ events.Head, dump []byte) (err error) { s, err = projection.Load(dump); return err }
		}
		var err error
		if log, err = boltlog.Open(m.dir, o); err != nil {
			b.Fatal(err)
		}
		if e, err = projection.Open(context.Background(), log, &projection.Options{State: s, Now: frozen}); err != nil {
			b.Fatal(err)
		}
	})
	want := m.records
	if fromCheckpoint {
		want = tail
	}
	if n := e.View().Index.Pool("antigravity").Len(); read != want || n != pool {
		b.Fatalf("%d records were read, want %d; %d accounts", read, want, n)
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	m.close(b, log)
	return took
}

// frozen is before all deadlines, so that none is recorded as over.
func frozen() time.Time { return time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC) }

// close also checks that nothing was appended.
func (m madeLog) close(b *testing.B, log *boltlog.Log) {
	if n := log.Stats().Records; n != uint64(m.records) {
		b.Fatalf("the log has %d records, not %d any more", n, m.records)
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}

// startCold starts from all records, none of which is in the page cache. The floor is
// the same when they are.
func startCold(b *testing.B, m madeLog) {
	path := filepath.Join(m.dir, "log.db")
	cold, warm := time.Hour, time.Hour
	for b.Loop() {
		m.verify(b)
		warm = min(warm, m.verify(b))
		if err := uncache(path); err != nil {
			b.Skipf("the page cache cannot be emptied here: %v", err)
		}
		cold = min(cold, m.verify(b))
	}
	reportStart(b, m, cold, warm)
}

// historyPage reads the newest hundred records about one account.
func historyPage(b *testing.B, m madeLog) {
	log, err := boltlog.Open(m.dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer m.close(b, log)
	i := 0
	for b.Loop() {
		n := 0
		i++
		for _, err := range log.History(b.Context(), events.Query{Account: accountID(i * 7919 % pool), Newest: true}) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 100 {
				break
			}
		}
		if want := min(100, (m.records-pool)/pool); n < want {
			b.Fatalf("a page has %d records, want %d", n, want)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms")
}

// BenchmarkFileSize is how much of log.db a batched log uses.
func BenchmarkFileSize(b *testing.B) {
	for b.Loop() {
		m := makeLog(b, 10*tail)
		f, err := os.Open(filepath.Join(m.dir, "log.db"))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
		db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		db.View(func(tx *bbolt.Tx) error {
			b.ReportMetric(float64(tx.Size())/float64(m.encoded), "file/encoded")
			return nil
		})
		db.Close()
	}
}
