package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"

	"github.com/abeyance/abeyance/tests/program"
)

// futures are what a version to come may make of a lifted record: another kind, or a
// newer format of the record or of what it says, with fields that only it knows.
func futures() map[string]func([]byte) []byte {
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	return map[string]func([]byte) []byte{
		"a kind": replace("\xa6lifted", "\xa6melted"),
		"a kind of another shape": func(b []byte) []byte {
			return replace("\x93\x01\xa6claude", "\x81\x01\xa6claude")(replace("lifted", "melted")(b))
		},
		"a record format":            func(b []byte) []byte { b[1]++; return b },
		"a record format with more":  func(b []byte) []byte { b[0], b[1] = b[0]+1, b[1]+1; return append(b, 0xc0) },
		"a payload format":           replace("\x93\x01\xa6claude", "\x93\x02\xa6claude"),
		"a payload format with more": func(b []byte) []byte { return append(replace("\x93\x01\xa6claude", "\x94\x02\xa6claude")(b), 0xc0) },
	}
}

// recordedDir returns the directory of a stopped daemon with some history, and its
// state.
func recordedDir(t *testing.T) (dir string, state *projection.State) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	d := startDaemon(t, dir)
	d.must(200, "PUT", "/v1/accounts/a1", map[string]any{"provider": "antigravity"})
	d.must(200, "POST", "/v1/suspend", map[string]any{"account": "a1", "target": "claude", "reason": "for now", "forever": true})
	d.kill()
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	e, err := projection.Open(t.Context(), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return dir, e.State()
}

// continued appends a record, changed by edit, and one more to the log of a stopped
// daemon, as a version to come would. It returns the head after both, and the seq of
// the first.
func continued(t *testing.T, dir string, head events.Head, edit func([]byte) []byte) (events.Head, events.Seq) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "log.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	changed := head.Seq + 1
	for _, edit := range []func([]byte) []byte{edit, bytes.Clone} {
		recs, err := events.Seal(head, time.Now(), []events.Draft{{
			Origin:  events.Origin{Actor: "operator:later", Via: events.ViaGo},
			Account: "a1", Event: &events.Lifted{Target: "claude", Reason: "done"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		encoded := edit(bytes.Clone(recs[0].Encoded()))
		hash := events.ChainHash(head.Hash, encoded)
		if err := db.Update(func(tx *bbolt.Tx) error {
			key := binary.BigEndian.AppendUint64(nil, uint64(recs[0].Seq))
			return tx.Bucket([]byte("records")).Put(key, append(encoded, hash[:]...))
		}); err != nil {
			t.Fatal(err)
		}
		head = events.Head{Log: head.Log, Seq: recs[0].Seq, Hash: hash, At: recs[0].At}
	}
	return head, changed
}

// checkpoint writes one of a record, as boltlog does.
func checkpoint(t *testing.T, dir string, head events.Head, payload []byte) {
	t.Helper()
	name := filepath.Join(dir, "checkpoints", fmt.Sprintf("%020d.checkpoint", head.Seq))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	doc := fmt.Appendf(nil, "abeyance checkpoint 1\nlog %s\nseq %d\nhash %s\nlength %d\nsha256 %x\n\n%s",
		head.Log, head.Seq, head.Hash, len(payload), sha256.Sum256(payload), payload)
	if err := os.WriteFile(name, doc, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copied copies a data directory, modes and all.
func copied(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return errors.Join(err, os.Chmod(path, 0o700))
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// contents returns the digest of each file below a directory, but for what says who
// has it open.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains([]string{"LOCK", "daemon.json"}, entry.Name()) {
			return err
		}
		doc, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%x", sha256.Sum256(doc))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// command runs one of the program.
func command(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = program.Environ()
	out, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestRecordsOfAVersionToComeStopThisOne: whatever reads a log stops at a record that it
// does not know, says which and what to do, and changes nothing; also where a checkpoint
// stands before the record, or one of that version behind it.
func TestRecordsOfAVersionToComeStopThisOne(t *testing.T) {
	original, state := recordedDir(t)
	head := state.Head()
	dump, err := state.Dump()
	if err != nil {
		t.Fatal(err)
	}
	newer := slices.Concat(dump[:1], []byte{projection.DumpFormat + 1}, dump[2:])
	for name, edit := range futures() {
		for _, where := range []string{"no checkpoint", "one before", "one behind"} {
			t.Run(name+", "+where, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "data")
				copied(t, original, dir)
				last, changed := continued(t, dir, head, edit)
				switch where {
				case "one before":
					checkpoint(t, dir, head, dump)
				case "one behind":
					checkpoint(t, dir, last, newer)
				}
				stops(t, dir, fmt.Sprintf("record %d: ", changed))
			})
		}
	}
}

// TestLogFileOfAVersionToCome: the same for a log.db whose buckets are of another form.
func TestLogFileOfAVersionToCome(t *testing.T) {
	dir, _ := recordedDir(t)
	db, err := bbolt.Open(filepath.Join(dir, "log.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("2")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	stops(t, dir, `format "2" of the log file`)
}

// stops checks every command that reads the log of a directory. Each must say what it
// stopped at.
func stops(t *testing.T, dir, at string) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "kept.db")
	fresh := filepath.Join(t.TempDir(), "fresh")
	before := contents(t, dir)
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir},
		{"serve", "--accept-loss", "--listen", "127.0.0.1:0", "--data-dir", dir},
		{"verify", "--data-dir", dir},
		{"events", "--data-dir", dir},
		{"events", "a1", "--limit", "1", "--data-dir", dir},
		{"why", "a1", "claude", "--data-dir", dir},
		{"why", "a1", "claude", "--at", "seq:1", "--data-dir", dir},
		{"backup", kept, "--data-dir", dir},
		{"restore", filepath.Join(dir, "log.db"), "--data-dir", fresh},
	} {
		code, said := command(t, args...)
		if code != 1 {
			t.Errorf("%v: exit %d, want 1\n%s", args, code, said)
		}
		for _, part := range []string{at, "is not known to this version of Abeyance", "run that version, or a newer one"} {
			if !strings.Contains(said, part) {
				t.Errorf("%v does not say %q:\n%s", args, part, said)
			}
		}
		for _, part := range []string{"panic", "backup and", "restore a backup", "FAILED", "log.db.new"} {
			if strings.Contains(said, part) {
				t.Errorf("%v says %q of a log in which nothing is wrong:\n%s", args, part, said)
			}
		}
	}
	for path, digest := range contents(t, dir) {
		if before[path] != digest {
			t.Errorf("%s was changed or made", path)
		}
		delete(before, path)
	}
	if len(before) > 0 {
		t.Errorf("files are gone: %v", before)
	}
	for _, path := range []string{kept, filepath.Join(fresh, "log.db")} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}

// The control: the same log without the change is read by all of them.
func TestContinuedLogIsReadAsItIs(t *testing.T) {
	original, state := recordedDir(t)
	continued(t, original, state.Head(), bytes.Clone)
	kept, fresh := filepath.Join(t.TempDir(), "kept.db"), filepath.Join(t.TempDir(), "fresh")
	for _, args := range [][]string{
		{"verify", "--data-dir", original},
		{"events", "--data-dir", original},
		{"why", "a1", "claude", "--data-dir", original},
		{"backup", kept, "--data-dir", original},
		{"restore", filepath.Join(original, "log.db"), "--data-dir", fresh},
	} {
		if code, said := command(t, args...); code != 0 {
			t.Errorf("%v: exit %d\n%s", args, code, said)
		}
	}
	startDaemon(t, original)
}
