package incident

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
)

const (
	// LogID is the id of the recorded log.
	LogID = "019942c2-9e00-7000-8000-000000000001"
	// Seed is what the recorded incident was generated from.
	Seed = 20260914
)

// Begin and End bound the incident.
func Begin() time.Time { return time.Date(2026, 9, 14, 0, 0, 0, 0, time.UTC) }

// End is the instant after the last record.
func End() time.Time { return Begin().Add(2 * day) }

// On returns an instant of the incident: a day, 1 or 2, and a time of it such as "14:10".
func On(n int, clock string) time.Time {
	t, err := time.Parse("15:04", clock)
	if err != nil {
		panic(err) // unreachable: every clock is a constant
	}
	return Begin().Add(time.Duration(n-1)*day + time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
}

const day = 24 * time.Hour

// recording is the log's records: gzip over, for each, its length as a varint and the
// bytes that its hash is over.
//
//go:embed testdata/incident.gz
var recording []byte

// Records returns the records of the incident.
func Records(t testing.TB) []events.Record {
	t.Helper()
	recs, err := unpack(recording)
	if err != nil {
		t.Fatalf("testdata/incident.gz: %v", err)
	}
	return recs
}

// Open makes a data directory that holds the incident, as a daemon that was stopped
// leaves it, and returns it with the newest record's identity.
func Open(t testing.TB) (dir string, head events.Head) {
	t.Helper()
	return OpenUntil(t, End())
}

// OpenUntil is Open as of an instant: later records had not happened.
func OpenUntil(t testing.TB, at time.Time) (dir string, head events.Head) {
	t.Helper()
	recs := Records(t)
	n := 0
	for n < len(recs) && !recs[n].At.After(at) {
		n++
	}
	dir = filepath.Join(t.TempDir(), "data")
	head, err := write(dir, recs[:n])
	if err != nil {
		t.Fatal(err)
	}
	return dir, head
}

// pack is the form of the recording.
func pack(recs []events.Record) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	for _, r := range recs {
		z.Write(binary.AppendUvarint(nil, uint64(len(r.Encoded())))) // its errors come back from Close
		z.Write(r.Encoded())
	}
	err = z.Close()
	return b.Bytes(), err
}

// unpack reads what pack writes and chains it.
func unpack(doc []byte) ([]events.Record, error) {
	z, err := gzip.NewReader(bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	var recs []events.Record
	head := empty()
	for len(plain) > 0 {
		n, size := binary.Uvarint(plain)
		if size <= 0 || n > uint64(len(plain)-size) {
			return nil, errors.New("a record is cut short")
		}
		encoded := plain[size : size+int(n)]
		r, err := events.Open(head, head.Seq+1, encoded, events.ChainHash(head.Hash, encoded))
		if err != nil {
			return nil, err
		}
		recs, head, plain = append(recs, r), head.Next(r), plain[size+int(n):]
	}
	return recs, nil
}

// empty is the head of the log before its first record.
func empty() events.Head { return events.Head{Log: LogID, Hash: events.Genesis(LogID)} }

// write makes a data directory with a log of some records. A log is made under a new id,
// and this one has its own: so its file is written here, in the form that the package
// comment of boltlog gives, and then opened once, which checks it and adds what stands
// beside it.
func write(dir string, recs []events.Record) (events.Head, error) {
	if err := writeFile(dir, recs); err != nil {
		return events.Head{}, fmt.Errorf("writing the log: %w", err)
	}
	l, err := boltlog.Open(dir, nil)
	if err != nil {
		return events.Head{}, err
	}
	head := empty()
	for _, r := range recs {
		head = head.Next(r)
	}
	return head, l.Close()
}

func writeFile(dir string, recs []events.Record) error {
	db, err := createFile(dir)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		base := empty()
		for key, value := range map[string][]byte{
			"format": []byte("1"), "log": []byte(base.Log), "first_seq": key(1), "first_prev": base.Hash[:],
		} {
			if err := meta.Put([]byte(key), value); err != nil {
				return err
			}
		}
		records, err := tx.CreateBucket([]byte("records"))
		if err != nil {
			return err
		}
		records.FillPercent = 1
		for _, r := range recs {
			if err := records.Put(key(r.Seq), append(bytes.Clone(r.Encoded()), r.Hash[:]...)); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

func key(seq events.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(seq)) }
