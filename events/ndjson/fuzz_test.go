package ndjson_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/ndjson"
)

// FuzzReader: whatever reads as an export is one: written again, it reads as the same
// records.
func FuzzReader(f *testing.F) {
	recs := everyKind(f)
	f.Add([]byte(export(f, whole(recs), recs)))
	f.Add([]byte(export(f, whole(recs[:3]), recs[:3])))
	f.Add([]byte(export(f, whole(nil), nil)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		x, err := ndjson.NewReader(bytes.NewReader(doc))
		if err != nil {
			return
		}
		var recs []events.Record
		for r, err := range x.Records() {
			if err != nil {
				return
			}
			recs = append(recs, r)
		}
		y, err := ndjson.NewReader(strings.NewReader(export(t, x.Header(), recs)))
		if err != nil {
			t.Fatal(err)
		}
		var back []events.Record
		for r, err := range y.Records() {
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, r)
		}
		if !same(recs, back) {
			t.Fatal("what was read differs from what was written")
		}
	})
}

// FuzzLine: any text of a record, whatever characters it has, is JSON in its line, and
// the same text.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"plain", "\"quoted\\\"", "tab\tnewline\n\x00\x1f\x7f", "<&>\u2028\u2029\ufeff", "日本\U0001F600\ufffd"} {
		f.Add(s, 1.5)
	}
	f.Add("", 1e300)
	f.Add("", -1e-300)
	f.Fuzz(func(t *testing.T, text string, number float64) {
		e := &events.LimitObserved{Evidence: text, Hint: &events.Hint{Seconds: number}}
		recs, err := events.Seal(genesis(), genesis().At, []events.Draft{{Event: e}})
		if err != nil {
			return // not fit for a log
		}
		lines := strings.Split(export(t, whole(recs), recs), "\n")
		var row struct {
			Data struct {
				Evidence string
				Hint     struct{ Seconds float64 }
			}
		}
		if err := json.Unmarshal([]byte(lines[1]), &row); err != nil {
			t.Fatalf("%v: %s", err, lines[1])
		}
		if row.Data.Evidence != text || row.Data.Hint.Seconds != number {
			t.Fatalf("%q became %q, %v became %v", text, row.Data.Evidence, number, row.Data.Hint.Seconds)
		}
	})
}
