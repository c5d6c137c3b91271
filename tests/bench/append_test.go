package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

const (
	pool       = 10_000 // accounts
	recordSize = 400    // bytes of a record with its hash, about
	batchSize  = 1024   // commands in one transaction at most, as the engine has it
)

// BenchmarkAppend is a durable report end to end, by callers that each wait for
// their answer: decided, sealed, committed, published, answered. The floor is a
// loop that collects values as long as the records, each its caller's own, and commits
// them to a bare bbolt file with the log's options. ratio is the rate in parts of the
// floor's.
func BenchmarkAppend(b *testing.B) {
	for _, waiters := range []int{1, 256, 1024} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			e := openEngine(b)
			bare := startBare(b)
			before := e.State().Head().Seq
			var least, took time.Duration
			// In turns, so that a machine that is busy for a while is so for both. What the
			// callers bring is made beforehand, and used again: it is no work of either.
			reports := make([]projection.Report, max(b.N/turns, 1))
			commands := make([]projection.Command, len(reports))
			values := make([]byte, recordSize*len(reports))
			rand.NewChaCha8([32]byte{}).Read(values)
			for n := 0; n < b.N; {
				commands = commands[:min(b.N-n, len(commands))]
				for i := range commands {
					n++
					commands[i] = report(n, &reports[i])
				}
				least += drive(b, waiters, len(commands), func(i int) error {
					return bare.append(values[i*recordSize:][:recordSize])
				})
				took += drive(b, waiters, len(commands), func(i int) error {
					_, err := e.Execute(b.Context(), commands[i])
					return err
				})
			}
			if n := int(e.State().Head().Seq - before); n != b.N {
				b.Errorf("%d records for %d reports", n, b.N)
			}
			b.ReportMetric(least.Seconds()/took.Seconds(), "ratio")
			b.ReportMetric(float64(b.N)/took.Seconds(), "reports/s")
			b.ReportMetric(float64(b.N)/least.Seconds(), "floor/s")
		})
	}
}

// turns is how often the floor and the engine take turns in a run.
const turns = 10

// drive calls op n times in all, numbered from 0, from some goroutines that each wait for
// it, and returns how long that took.
func drive(b *testing.B, waiters, n int, op func(i int) error) time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range waiters {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// report makes r the n-th limit: each account's deadline moves on, so that every one of
// them changes the state.
func report(n int, r *projection.Report) projection.Command {
	hints := append(r.Signal.Hints[:0], events.Hint{
		Source: "RetryInfo.retryDelay", Raw: "3600s", Seconds: 3600 + float64(n/pool)*60,
	})
	*r = projection.Report{
		Account: accountID(n * 7919 % pool), Provider: "antigravity", Model: "claude-opus-4-6-thinking", Status: 429,
		RequestID: fmt.Sprintf("req-%012d", n), StartedAt: time.Now(),
		Signal: events.Signal{
			Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "google/quota_exhausted", Classifier: 1,
			Hints: hints,
		},
	}
	return projection.Command{Origin: events.Origin{Actor: "proxy:bench", Via: events.ViaGo}, Do: r}
}

func accountID(i int) string { return fmt.Sprintf("acct_%020d", i) }

// openEngine starts an engine over a log in a directory of its own, with the pool.
func openEngine(b *testing.B) *projection.Engine {
	b.Helper()
	log, err := boltlog.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	head, err := log.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var drafts []events.Draft
	for i := range pool {
		drafts = append(drafts, events.Draft{Account: accountID(i), Event: &events.AccountAdded{Spec: events.AccountSpec{
			Provider: "antigravity", Weight: 1, Origin: events.OriginConfigured,
		}}})
	}
	recs, err := events.Seal(head, time.Now(), drafts)
	if err == nil {
		err = log.Append(b.Context(), recs)
	}
	if err != nil {
		b.Fatal(err)
	}
	e, err := projection.Open(context.Background(), log, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	return e
}

// bareLoop is a group commit with nothing around it.
type bareLoop struct {
	db    *bbolt.DB
	queue chan *bareAppend
	seq   uint64
}

// bareAppend is a value on its way through the loop.
type bareAppend struct {
	value []byte
	done  chan error
}

func startBare(b *testing.B) *bareLoop {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30,
	})
	if err != nil {
		b.Fatal(err)
	}
	l := &bareLoop{db: db, queue: make(chan *bareAppend, 4096)}
	// As many as the engine's log begins with: a tree of another depth writes other pages.
	begun := make([]*bareAppend, pool)
	for i := range begun {
		begun[i] = &bareAppend{value: make([]byte, recordSize)}
	}
	if err := l.commit(begun); err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run()
	}()
	b.Cleanup(func() {
		close(l.queue)
		<-ended
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

func (l *bareLoop) append(value []byte) error {
	a := &bareAppend{value, make(chan error, 1)}
	l.queue <- a
	return <-a.done
}

func (l *bareLoop) run() {
	for first := range l.queue {
		batch := l.drain(first)
		err := l.commit(batch)
		for _, a := range batch {
			a.done <- err
		}
	}
}

// commit stores the values of a batch.
func (l *bareLoop) commit(batch []*bareAppend) error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
		if err != nil {
			return err
		}
		bucket.FillPercent = 1
		for _, a := range batch {
			l.seq++
			err = errors.Join(err, bucket.Put(binary.BigEndian.AppendUint64(nil, l.seq), a.value))
		}
		return err
	})
}

func (l *bareLoop) drain(first *bareAppend) []*bareAppend {
	batch := []*bareAppend{first}
	for len(batch) < batchSize {
		select {
		case a, ok := <-l.queue:
			if !ok {
				return batch
			}
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

// TestRecordSize keeps the floor honest: its values are as long as the records.
func TestRecordSize(t *testing.T) {
	s := projection.NewState()
	now := time.Now()
	apply := func(c projection.Command) []events.Record {
		d, err := projection.Decide(s, c, now)
		if err != nil {
			t.Fatal(err)
		}
		c.CorrelationID = "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90"
		for i := range d.Drafts {
			d.Drafts[i].CorrelationID = c.CorrelationID
		}
		recs, err := events.Seal(s.Head(), now, d.Drafts)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			s.Apply(r)
		}
		return recs
	}
	apply(projection.Command{Do: &projection.DefineGroups{}})
	apply(projection.Command{Do: &projection.DefinePolicy{}})
	r := apply(report(1, new(projection.Report)))
	last := r[len(r)-1]
	if n := len(last.Encoded()) + len(last.Hash); n < recordSize*95/100 || n > recordSize*105/100 {
		t.Errorf("a record and its hash take %d bytes, the floor's value %d", n, recordSize)
	}
}
