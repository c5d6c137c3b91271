package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/events/ndjson"
)

// TestExportedLinesAreEventRows: the members of an export's lines are those of GET
// /v1/events, in name, form and value, but for the text and with ids as stored.
func TestExportedLinesAreEventRows(t *testing.T) {
	bare := []events.Event{ // what may be missing is
		&events.LimitObserved{Lost: []events.Hint{{Seconds: 1e22}, {Seconds: -1e-7}, {Seconds: 581981.300432511}}, StepLength: 1656 * time.Millisecond},
		&events.Suspended{Target: "*", Reason: "<a&b>\u2028\"\\\t"}, &events.Lifted{}, &events.CooldownCleared{}, &events.RecheckRequested{},
		&events.Expired{}, &events.Recovered{}, &events.AccountAdded{}, &events.AccountRemoved{}, &events.GroupsDefined{},
		&events.PolicyDefined{}, &events.Imported{}, &events.LossAccepted{},
	}
	drafts := eventstest.Drafts()
	for _, e := range bare {
		drafts = append(drafts, events.Draft{Event: e})
	}
	head := events.Head{Log: "t", Hash: events.Genesis("t")}
	recs, err := events.Seal(head, eventstest.Epoch(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := ndjson.NewWriter(&out, ndjson.Header{Log: "t", First: 1, Last: events.Seq(len(recs)), Prev: head.Hash})
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")[1:]
	for i, r := range recs {
		doc, err := json.Marshal(api.NewEventRow(r, nil))
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("%v: %s", err, lines[i])
		}
		delete(want, "text")
		for _, own := range []string{"prev", "record"} {
			if got[own] == nil {
				t.Errorf("%s: no %s", r.Kind(), own)
			}
			delete(got, own)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -row +line:\n%s", r.Kind(), diff)
		}
	}
}

// export reads an export, which must be whole.
func (b *bench) export(query string) (ndjson.Header, []events.Record) {
	b.t.Helper()
	a := b.get("/v1/export" + query).want(http.StatusOK)
	if a.header.Get("Content-Type") != "application/x-ndjson" {
		b.t.Errorf("Content-Type %q", a.header.Get("Content-Type"))
	}
	x, err := ndjson.NewReader(strings.NewReader(a.body))
	if err != nil {
		b.t.Fatal(err)
	}
	var recs []events.Record
	for r, err := range x.Records() {
		if err != nil {
			b.t.Fatal(err)
		}
		recs = append(recs, r)
	}
	return x.Header(), recs
}

func TestExportIsTheLog(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	b.post("/v1/clear", `{"account":"a1","target":"claude"}`).want(http.StatusOK)
	h, recs := b.export("")
	want := b.records()
	if h.Log != "memory" || h.First != 1 || h.Last != events.Seq(len(want)) || len(recs) != len(want) {
		t.Fatalf("%+v, %d records of %d", h, len(recs), len(want))
	}
	for i := range want {
		if recs[i].Hash != want[i].Hash || !bytes.Equal(recs[i].Encoded(), want[i].Encoded()) {
			t.Errorf("record %d is another", i+1)
		}
	}
}

// TestExportRanges: both ends are inclusive, by seq and by time.
func TestExportRanges(t *testing.T) {
	b := newBench(t)
	for i := range 6 { // records 3 to 8, a minute apart
		b.clock.advance(time.Minute)
		b.put(fmt.Sprint("/v1/accounts/a", i), `{"provider":"antigravity"}`).want(http.StatusOK)
	}
	at := func(minutes int, more string) string {
		return url.QueryEscape(start().Add(time.Duration(minutes) * time.Minute).Format("2006-01-02T15:04:05" + more + "Z"))
	}
	for query, want := range map[string]string{
		"":                                       "1 8",
		"from=seq:3":                             "3 8",
		"to=seq:3":                               "1 3",
		"from=seq:4&to=seq:4":                    "4 4",
		"from=seq:5&to=seq:4":                    "5 4",
		"from=" + at(1, ""):                      "3 8",
		"from=" + at(1, ".000000001"):            "4 8",
		"to=" + at(1, ""):                        "1 3",
		"to=" + at(1, ".999"):                    "1 3",
		"from=" + at(2, "") + "&to=" + at(4, ""): "4 6",
		"from=" + at(99, ""):                     "9 8",
		"to=" + at(-1, ""):                       "1 0",
		"from=seq:2&to=" + at(3, ""):             "2 5",
		"kind=account_added&from=seq:4":          "4 8",
	} {
		var head struct {
			First uint64 `json:"first_seq"`
			Last  uint64 `json:"last_seq"`
		}
		first, _, _ := strings.Cut(b.get("/v1/export?"+query).want(http.StatusOK).body, "\n")
		if err := json.Unmarshal([]byte(first), &head); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(head.First, head.Last); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// TestRule35ExportsHoldNoEMail: an account whose id is an address is exported by its
// pseudonym, whatever the records say of it.
func TestRule35ExportsHoldNoEMail(t *testing.T) {
	b := newBench(t)
	given := "claude-" + mail + ".json"
	b.put("/v1/accounts/"+url.PathEscape(given), `{"provider":"antigravity"}`).want(http.StatusOK)
	b.post("/v1/reports", limited(given, "claude-opus-4-6")).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"`+given+`","reason":"asked by `+mail+`","for":"1h","on_behalf_of":"`+mail+`"}`).want(http.StatusOK)
	b.do(request{method: http.MethodPost, path: "/v1/import", body: `{"version":1,"records":[{"auth_id":"other-` + mail + `","provider":"antigravity",` +
		`"next_retry_after":"2026-11-23T10:00:00Z","updated_at":"2026-11-23T08:00:00Z","last_error":{"http_status":429,"message":"` + mail + `"}}]}`}).want(http.StatusOK)
	b.clock.advance(2 * time.Hour)
	b.post("/v1/clear", `{"account":"`+given+`","reason":"`+mail+`"}`).want(http.StatusOK)
	for _, query := range []string{"", "?account=" + url.QueryEscape(given), "?account=" + b.book.Stored(given)} {
		a := b.get("/v1/export" + query).want(http.StatusOK)
		if strings.Contains(a.body, "@") || !strings.Contains(a.body, b.book.Stored(given)) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	for _, r := range b.records() {
		if strings.Contains(string(r.Encoded()), "example.com") { // which the bytes in base64 would hide
			t.Errorf("record %d holds an address", r.Seq)
		}
	}
	if strings.Contains(b.logs.String(), "@") {
		t.Errorf("the access log: %s", b.logs)
	}
}

// brittle is a log whose history breaks off.
type brittle struct {
	events.Log
	after events.Seq
}

func (l *brittle) History(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range l.Log.History(ctx, q) {
			if l.after > 0 && r.Seq > l.after {
				r, err = events.Record{}, errors.New("the disk is gone")
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// TestExportBreaksOff: a client never takes half an export for a whole one.
func TestExportBreaksOff(t *testing.T) {
	var log *brittle
	b := newBench(t, tune{log: func(l events.Log) events.Log { log = &brittle{Log: l}; return log }})
	b.pool()
	server := httptest.NewServer(b.server.Handler())
	defer server.Close()
	fetch := func() (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/export", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+b.token["admin"])
		res, err := server.Client().Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return string(text), err
	}
	if text, err := fetch(); err != nil || !strings.Contains(text, "abeyance_export_end") { // the control
		t.Errorf("%v: %s", err, text)
	}
	log.after = 3
	if text, err := fetch(); err == nil || strings.Contains(text, "abeyance_export_end") {
		t.Errorf("half an export came without an error: %s", text)
	}
	server.Close() // the handler has ended
	if !strings.Contains(b.logs.String(), "cut off") {
		t.Error("nobody heard of it")
	}
}
