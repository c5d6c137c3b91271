package events_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// -update writes golden files that are missing. It never changes one: records of
// released versions are in logs for ever, so a difference is a broken format.
var update = flag.Bool("update", false, "write golden files that are missing")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// goldenLog is the id of the log that the golden records begin.
const goldenLog = "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90"

func genesis(id string) events.Head { return events.Head{Log: id, Hash: events.Genesis(id)} }

// sealAll seals the drafts as the first records of the golden log.
func sealAll(t testing.TB, drafts []events.Draft) []events.Record {
	t.Helper()
	recs, err := events.Seal(genesis(goldenLog), eventstest.Epoch(), drafts)
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return recs
}

// goldenText shows a record: its hash, then its bytes in lines of 32.
func goldenText(r events.Record) []byte {
	b := fmt.Appendf(nil, "hash %s\n", r.Hash)
	for line := range slices.Chunk(r.Encoded(), 32) {
		b = append(hex.AppendEncode(b, line), '\n')
	}
	return b
}

// parseGolden reads goldenText back.
func parseGolden(t *testing.T, text []byte) (hash events.Hash, encoded []byte) {
	t.Helper()
	first, rest, _ := strings.Cut(string(text), "\n")
	if err := hash.UnmarshalText([]byte(strings.TrimPrefix(first, "hash "))); err != nil {
		t.Fatalf("golden file: %v", err)
	}
	encoded, err := hex.DecodeString(strings.ReplaceAll(rest, "\n", ""))
	if err != nil {
		t.Fatalf("golden file: %v", err)
	}
	return hash, encoded
}

func TestGoldenRecords(t *testing.T) {
	head := genesis(goldenLog)
	recs := sealAll(t, eventstest.Drafts())
	for i, k := range events.Kinds() {
		if i >= len(recs) || recs[i].Kind() != k {
			t.Fatalf("there is no draft of the kind %s in its place", k)
		}
		r := recs[i]
		path := filepath.Join("testdata", string(k)+".hex")
		golden, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && *update {
			golden = goldenText(r)
			err = os.WriteFile(path, golden, 0o644)
		}
		if err != nil {
			t.Fatalf("the golden record of %s: %v", k, err)
		}
		if diff := cmp.Diff(string(golden), string(goldenText(r))); diff != "" {
			t.Errorf("%s is stored otherwise than in released logs (-golden +now):\n%s", k, diff)
		}
		hash, encoded := parseGolden(t, golden)
		got, err := events.Open(head, r.Seq, encoded, hash)
		if err != nil {
			t.Fatalf("%s: opening the golden record: %v", k, err)
		}
		if diff := cmp.Diff(r, got, cmp.AllowUnexported(events.Record{})); diff != "" {
			t.Errorf("%s is read otherwise than written (-sealed +read):\n%s", k, diff)
		}
		head = head.Next(got)
	}
	if n := len(recs); n != len(events.Kinds()) {
		t.Errorf("%d drafts for %d kinds", n, len(events.Kinds()))
	}
}

// TestDraftsAreFilled keeps the golden records complete: a field added to an event
// must be filled there, or its place in the format is not pinned.
func TestDraftsAreFilled(t *testing.T) {
	for _, d := range eventstest.Drafts() {
		for _, path := range zeroFields(reflect.ValueOf(d.Event).Elem(), string(d.Event.Kind())) {
			switch path {
			case "limit_observed.Signal.Hints", "limit_observed.Signal.Evidence", "limit_observed.Hint.Lost":
				continue // stored beside the signal; a chosen hint did not lose
			}
			t.Errorf("%s is not filled", path)
		}
	}
}

// zeroFields returns the paths of fields without a value.
func zeroFields(v reflect.Value, path string) []string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return []string{path}
		}
		return zeroFields(v.Elem(), path)
	case reflect.Slice:
		if v.Len() == 0 {
			return []string{path}
		}
		return zeroFields(v.Index(0), path)
	case reflect.Struct:
		if v.NumField() == 0 || !v.Type().Field(0).IsExported() { // time.Time
			break
		}
		var zero []string
		for i := range v.NumField() {
			zero = append(zero, zeroFields(v.Field(i), path+"."+v.Type().Field(i).Name)...)
		}
		return zero
	}
	if v.IsZero() {
		return []string{path}
	}
	return nil
}

// TestEveryBitCounts flips each bit of each golden record, and of its hash: the
// chain notices all of them, and Decode either refuses the bytes or reads
// something else, never panics.
func TestEveryBitCounts(t *testing.T) {
	head := genesis(goldenLog)
	for _, r := range sealAll(t, eventstest.Drafts()) {
		for bit := range 8 * len(r.Encoded()) {
			flipped := bytes.Clone(r.Encoded())
			flipped[bit/8] ^= 1 << (bit % 8)
			if _, err := events.Open(head, r.Seq, flipped, r.Hash); !isChainError(err, r.Seq) {
				t.Errorf("%s: bit %d flipped: got the error %v, want a *ChainError", r.Kind(), bit, err)
			}
			again, err := events.Decode(flipped)
			if err == nil && bytes.Equal(resealed(t, again), r.Encoded()) {
				t.Errorf("%s: bit %d flipped is read as if it were not", r.Kind(), bit)
			}
		}
		for bit := range 8 * len(r.Hash) {
			hash := r.Hash
			hash[bit/8] ^= 1 << (bit % 8)
			if _, err := events.Open(head, r.Seq, r.Encoded(), hash); !isChainError(err, r.Seq) {
				t.Errorf("%s: bit %d of the hash flipped: got the error %v, want a *ChainError", r.Kind(), bit, err)
			}
		}
		head = head.Next(r)
	}
}

func isChainError(err error, seq events.Seq) bool {
	chain, ok := errors.AsType[*events.ChainError](err)
	return ok && chain.Seq == seq
}

// resealed returns the bytes of a record sealed anew under its own seq and time.
func resealed(t *testing.T, r events.Record) []byte {
	t.Helper()
	recs, err := events.Seal(events.Head{Seq: r.Seq - 1}, r.At, []events.Draft{r.Draft})
	if err != nil {
		t.Fatalf("what was decoded cannot be sealed: %v", err)
	}
	return recs[0].Encoded()
}
