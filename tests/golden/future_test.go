package golden

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// TestRecordsOfTheFuture puts a record of a later version at the end of each directory,
// right in the chain. It is refused, whole or behind a checkpoint, by an error that says
// so, and nothing is changed: it is never skipped, and no log is half read.
func TestRecordsOfTheFuture(t *testing.T) {
	payload := []byte{0x93, 1} // of lifted: three fields, of which the first is the version
	for what, change := range map[string]func(b []byte) []byte{
		"a new kind":                    func(b []byte) []byte { return bytes.Replace(b, []byte("lifted"), []byte("lofted"), 1) },
		"a new format":                  func(b []byte) []byte { b[1]++; return b },
		"a new payload":                 func(b []byte) []byte { b[bytes.LastIndex(b, payload)+1]++; return b },
		"nothing: the negative control": func(b []byte) []byte { return b },
	} {
		for _, name := range dirs(t) {
			t.Run(what+" after "+name, func(t *testing.T) {
				dir := unpack(t, name)
				addRecord(t, dir, change)
				before, err := os.ReadFile(filepath.Join(dir, "log.db"))
				if err != nil {
					t.Fatal(err)
				}
				replayed := 0
				for _, restore := range []func(events.Head, []byte) error{nil, func(events.Head, []byte) error { return nil }} {
					log, err := boltlog.Open(dir, &boltlog.Options{Restore: restore, Replay: func(events.Record) error { replayed++; return nil }})
					if err == nil {
						log.Close()
					}
					if what == "nothing: the negative control" {
						if err != nil {
							t.Error(err)
						}
						continue
					}
					newer, ok := errors.AsType[*events.FormatError](err)
					if !ok || !strings.Contains(err.Error(), filepath.Join(dir, "log.db")) || !strings.Contains(newer.Error(), "newer") {
						t.Errorf("got the error %v, want one that names the file and a newer version", err)
					}
					if after, err := os.ReadFile(filepath.Join(dir, "log.db")); err != nil || !bytes.Equal(after, before) {
						t.Errorf("the file was changed: %v", err)
					}
				}
				if replayed == 0 {
					t.Error("no record was read")
				}
			})
		}
	}
}

// addRecord appends a record whose bytes were changed before they were chained.
func addRecord(t *testing.T, dir string, change func([]byte) []byte) {
	t.Helper()
	log, err := boltlog.Open(dir, &boltlog.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	head, _ := headOf(t, log)
	log.Close()
	recs, err := events.Seal(head, head.At, []events.Draft{{Account: "a1", Event: &events.Lifted{Target: "claude", Reason: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	b := change(bytes.Clone(recs[0].Encoded()))
	hash := events.ChainHash(head.Hash, b)
	db, err := bbolt.Open(filepath.Join(dir, "log.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("records")).Put(binary.BigEndian.AppendUint64(nil, uint64(head.Seq+1)), append(b, hash[:]...))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointOfTheFuture: a dump of another format is passed over, and kept for the
// version that reads it.
func TestCheckpointOfTheFuture(t *testing.T) {
	for _, name := range dirs(t) {
		dir := unpack(t, name)
		log, s, older := start(t, dir, 0)
		head, _ := headOf(t, log)
		dump := dumpOf(t, s)
		if dump[1] != projection.DumpFormat {
			t.Fatalf("the dump begins with % x", dump[:2])
		}
		dump[1]++
		if err := errors.Join(log.WriteCheckpoint(t.Context(), head, dump), log.Close()); err != nil {
			t.Fatal(err)
		}
		again, s, from := start(t, dir, 0)
		if name == release && from != older {
			t.Errorf("%s: the checkpoint at %d was used, not that at %d", name, from, older)
		}
		if !bytes.Equal(stateOf(t, again, &projection.Options{State: s, Checkpoints: again}), pinned(t, name)) {
			t.Errorf("%s: the state is another than the pinned one", name)
		}
		for newest, err := range again.Checkpoints() {
			if err != nil || newest.Seq != head.Seq {
				t.Errorf("%s: the newest checkpoint is at %d: %v", name, newest.Seq, err)
			}
			break
		}
	}
}
