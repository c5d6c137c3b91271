package ndjson_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/events/ndjson"
)

var update = flag.Bool("update", false, "write the golden file anew")

const goldenFile = "testdata/every_kind.ndjson"

// logID is of the logs of these tests.
const logID = "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90"

func genesis() events.Head { return events.Head{Log: logID, Hash: events.Genesis(logID)} }

// everyKind is a log with one record of each kind.
func everyKind(t testing.TB) []events.Record {
	t.Helper()
	recs, err := events.Seal(genesis(), eventstest.Epoch(), eventstest.Drafts())
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) != len(events.Kinds()) {
		t.Fatal("not a record of every kind")
	}
	return recs
}

// whole is the header of an export of all of some records from the first on.
func whole(recs []events.Record) ndjson.Header {
	return ndjson.Header{Log: logID, First: 1, Prev: genesis().Hash, Last: events.Seq(len(recs))}
}

func export(t testing.TB, h ndjson.Header, recs []events.Record) string {
	t.Helper()
	var out bytes.Buffer
	w := ndjson.NewWriter(&out, h)
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// read reads an export as far as it goes.
func read(text string) (recs []events.Record, err error) {
	x, err := ndjson.NewReader(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	for r, err := range x.Records() {
		if err != nil {
			return recs, err
		}
		recs = append(recs, r)
	}
	return recs, nil
}

// same compares records by what the log keeps of them.
func same(a, b []events.Record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Seq != b[i].Seq || a[i].Hash != b[i].Hash || !a[i].At.Equal(b[i].At) || !bytes.Equal(a[i].Encoded(), b[i].Encoded()) {
			return false
		}
	}
	return true
}

// TestGoldenLines pins the format: exports that were made must be readable for ever.
func TestGoldenLines(t *testing.T) {
	recs := everyKind(t)
	got := export(t, whole(recs), recs)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the lines changed; if they should, run go test -update:\n%s", diff)
	}
	back, err := read(string(want))
	if err != nil || !same(back, recs) {
		t.Errorf("%d records came back, %v", len(back), err)
	}
}

func TestAnEmptyLog(t *testing.T) {
	back, err := read(export(t, whole(nil), nil))
	if err != nil || len(back) != 0 {
		t.Errorf("%d records, %v", len(back), err)
	}
}

// TestLongLines: the largest definition fits a line, which does not fit the buffer.
func TestLongLines(t *testing.T) {
	big := &events.PolicyDefined{Version: 1, Configured: bytes.Repeat([]byte("x"), events.MaxDefinitions-300)}
	drafts := append([]events.Draft{{Event: big}}, eventstest.Drafts()...)
	recs, err := events.Seal(genesis(), eventstest.Epoch(), append(drafts, events.Draft{Event: big}))
	if err != nil {
		t.Fatal(err)
	}
	back, err := read(export(t, whole(recs), recs))
	if err != nil || !same(back, recs) {
		t.Errorf("%d of %d records came back, %v", len(back), len(recs), err)
	}
}

// damages are ways to spoil line i of some lines; each returns the lines and the number
// of the line that is to be named.
func damages() map[string]func(lines []string, i int) ([]string, int) {
	put := func(lines []string, i int, line string, rest ...string) []string {
		return append(append(slices.Clone(lines[:i]), line), rest...)
	}
	return map[string]func(lines []string, i int) ([]string, int){
		"a digit of the hash": func(lines []string, i int) ([]string, int) {
			at := strings.LastIndex(lines[i], `"hash":"`) + len(`"hash":"`)
			return put(lines, i, flip(lines[i], at), lines[i+1:]...), i + 1
		},
		"no JSON": func(lines []string, i int) ([]string, int) {
			return put(lines, i, "{"+lines[i], lines[i+1:]...), i + 1
		},
		"an empty line": func(lines []string, i int) ([]string, int) {
			return put(lines, i, "\n", lines[i+1:]...), i + 1
		},
		"left out": func(lines []string, i int) ([]string, int) {
			return append(slices.Clone(lines[:i]), lines[i+1:]...), i + 1
		},
		"given twice": func(lines []string, i int) ([]string, int) {
			return put(lines, i, lines[i]+lines[i], lines[i+1:]...), i + 2
		},
		"cut off": func(lines []string, i int) ([]string, int) {
			return put(lines, i, lines[i][:len(lines[i])/2]), i + 1
		},
		"cut off before it": func(lines []string, i int) ([]string, int) { return lines[:i], i + 1 },
		"cut off at its end": func(lines []string, i int) ([]string, int) {
			return put(lines, i, strings.TrimSuffix(lines[i], "\n")), i + 1
		},
	}
}

// TestDamagedLinesAreNamed spoils each line but the first, which has a test of its own,
// in each way.
func TestDamagedLinesAreNamed(t *testing.T) {
	recs := everyKind(t)
	lines := slices.Collect(strings.Lines(export(t, whole(recs), recs)))
	tried := 0
	for name, damage := range damages() {
		for i := 1; i < len(lines); i++ {
			text, wrong := damage(lines, i)
			_, err := read(strings.Join(text, ""))
			if e, ok := errors.AsType[*ndjson.LineError](err); !ok || e.Line != wrong {
				t.Errorf("line %d %s: %v, want line %d named", i+1, name, err, wrong)
			}
			tried++
		}
	}
	if tried != len(damages())*(len(recs)+1) {
		t.Errorf("%d damages were tried", tried)
	}
	if _, err := read(strings.Join(lines, "")); err != nil {
		t.Errorf("the lines as they were: %v", err)
	}
}

// flip changes the digit at a place.
func flip(line string, at int) string {
	digit := "0"
	if line[at] == '0' {
		digit = "1"
	}
	return line[:at] + digit + line[at+1:]
}

// TestEveryByteOfARecordCounts changes each character of a record in base64.
func TestEveryByteOfARecordCounts(t *testing.T) {
	recs := everyKind(t)[:1]
	text := export(t, whole(recs), recs)
	from := strings.Index(text, `"record":"`) + len(`"record":"`)
	to := from + strings.IndexByte(text[from:], '"')
	changed := 0
	for at := from; at < to; at++ {
		if text[at] == '=' || text[at+1] == '=' { // the last bits stand for nothing
			continue
		}
		other := byte('A')
		if text[at] == 'A' {
			other = 'B'
		}
		if _, err := read(text[:at] + string(other) + text[at+1:]); err == nil {
			t.Errorf("character %d can be changed", at-from)
		}
		changed++
	}
	if changed < 500 {
		t.Errorf("only %d characters were changed", changed)
	}
}

// TestFirstLine refuses what no export begins with.
func TestFirstLine(t *testing.T) {
	recs := everyKind(t)
	text := export(t, whole(recs), recs)
	for old, other := range map[string]string{
		`"abeyance_export":1`:                 `"abeyance_export":0`,
		`"log":"` + logID:                     `"log":"`,
		`"first_seq":1`:                       `"first_seq":0`,
		`"last_seq":15`:                       `"last_seq":13`,
		`{"abeyance_export`:                   `["abeyance_export`,
		`"prev":"`:                            `"prev":"0`,
		logID:                                 strings.Replace(logID, "0", "1", 1),
		`,"prev":"` + genesis().Hash.String(): `,"prev":"` + flip(genesis().Hash.String(), 0),
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("there is no %s", old)
		}
		_, err := read(strings.Replace(text, old, other, 1))
		if _, ok := errors.AsType[*ndjson.LineError](err); !ok {
			t.Errorf("%s: %v", other, err)
		}
	}
	_, err := read(strings.Replace(text, `"abeyance_export":1`, `"abeyance_export":2`, 1))
	if _, ok := errors.AsType[*events.FormatError](err); !ok {
		t.Errorf("a newer format: %v", err)
	}
	if _, err := read(""); err == nil {
		t.Error("an empty file is an export")
	}
	if _, err := read("\ufeff" + text); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
}

// TestFilteredLinesProveThemselves: without its neighbours a line still shows that its
// record is what was sealed after the record before.
func TestFilteredLinesProveThemselves(t *testing.T) {
	recs := everyKind(t)
	prev := map[events.Seq]events.Hash{1: genesis().Hash}
	for _, r := range recs {
		prev[r.Seq+1] = r.Hash
	}
	for _, test := range []struct {
		filter events.Filter
		want   string
	}{
		{events.Filter{Kind: events.KindSuspended}, "suspended"},
		{events.Filter{Account: "spare"}, "expired"},
		{events.Filter{Account: "spare", Target: "claude"}, ""},
		{events.Filter{Account: "acct_0123456789abcdef0123", Target: "gemini-pro"}, "cooldown_cleared recheck_requested"},
		{events.Filter{Target: "model:gemini-2.5-pro"}, "expired"},
		{events.Filter{Target: "claude", Kind: events.KindImported}, "imported"},
	} {
		h := whole(recs)
		h.Filter = test.filter
		text := export(t, h, recs)
		var kinds []string
		for _, r := range recs {
			if test.filter.Matches(r) {
				kinds = append(kinds, string(r.Kind()))
				if line := fmt.Sprintf(`"prev":"%s","hash":"%s"`, prev[r.Seq], r.Hash); !strings.Contains(text, line) {
					t.Errorf("%+v: no line has %s", test.filter, line)
				}
			}
		}
		if got := strings.Join(kinds, " "); got != test.want || strings.Count(text, "\n") != len(kinds)+2 {
			t.Errorf("%+v: %s, want %s, in\n%s", test.filter, got, test.want, text)
		}
		if _, err := read(text); !isPart(err) {
			t.Errorf("%+v: %v; a log cannot be made of it", test.filter, err)
		}
	}
}

func isPart(err error) bool {
	_, ok := errors.AsType[*ndjson.PartError](err)
	return ok
}

func TestAPartIsNoLog(t *testing.T) {
	recs := everyKind(t)
	h := ndjson.Header{Log: logID, First: 3, Prev: recs[1].Hash, Last: 5}
	if _, err := read(export(t, h, recs[2:5])); !isPart(err) || !strings.Contains(err.Error(), "record 3") {
		t.Errorf("records 3 to 5: %v", err)
	}
	h = whole(recs)
	h.Last = 5
	if back, err := read(export(t, h, recs[:5])); err != nil || !same(back, recs[:5]) {
		t.Errorf("the first 5: %d records, %v", len(back), err)
	}
}

// TestWriterKeepsOrder: a gap would leave lines whose prev is not that of their record.
func TestWriterKeepsOrder(t *testing.T) {
	recs := everyKind(t)
	w := ndjson.NewWriter(io.Discard, whole(recs))
	if err := w.Write(recs[1]); err == nil {
		t.Error("a record was left out")
	}
	if err := w.Close(); err == nil {
		t.Error("an export without its records was closed")
	}
}

// broken fails after some bytes.
type broken struct{ left int }

func (w *broken) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("the disk is gone")
	}
	return len(p), nil
}

func TestWriterTellsOfErrors(t *testing.T) {
	recs := everyKind(t)
	w := ndjson.NewWriter(new(broken), whole(recs))
	var err error
	for _, r := range recs {
		err = errors.Join(err, w.Write(r))
	}
	if err = errors.Join(err, w.Close()); err == nil {
		t.Error("nothing could be written, and nobody heard of it")
	}
}

func TestIs(t *testing.T) {
	for doc, want := range map[string]bool{
		`{"abeyance_export":1,`: true, "\ufeff\n {\"abeyance_export\":9": true, `{ "abeyance_export": 1`: true, `{"abeyance_export_end":1}`: false, `{"version":1`: false, "": false, "a: b": false,
	} {
		if ndjson.Is([]byte(doc)) != want {
			t.Errorf("%q", doc)
		}
	}
}
