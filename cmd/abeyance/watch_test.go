package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/api"
)

// streamRows begins a stream after record 7 and sends rows, with what else there may be
// between them.
func streamRows(t *testing.T, w http.ResponseWriter, rows ...api.EventRow) {
	t.Helper()
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	fmt.Fprint(w, ": after record 7\nid: 7\n\n: heartbeat\n\nretry: 100\n\n")
	for _, row := range rows {
		doc, err := json.Marshal(row)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", row.Seq, doc)
	}
	w.(http.Flusher).Flush()
}

func held(seq uint64) api.EventRow {
	return api.EventRow{
		Seq: seq, Kind: "suspended", Account: "a1", Actor: "operator:ops", At: api.Time{Time: testNow},
		Text: fmt.Sprintf("claude suspended without an end: %d", seq), Data: api.EventData{Target: "claude"},
	}
}

func TestWatchPrintsALineForEachRecord(t *testing.T) {
	long := held(1234567)
	long.Account = "an-account-with-a-long-name"
	h := func(w http.ResponseWriter, r *http.Request) { streamRows(t, w, held(8), long, held(1234568)) }
	code, out, errs := against(t, h, "watch", "-n", "3")
	want := `SEQ     WHEN                  KIND              ACCOUNT       TARGET        ACTOR             WHAT
8       2026-11-23T00:00:00Z  suspended         a1            claude        operator:ops      claude suspended without an end: 8
1234567  2026-11-23T00:00:00Z  suspended         an-account-with-a-long-name  claude        operator:ops      claude suspended without an end: 1234567
1234568  2026-11-23T00:00:00Z  suspended         a1                           claude        operator:ops      claude suspended without an end: 1234568
`
	if code != exitOK || out != want {
		t.Errorf("exit %d:\n%s\nwant:\n%s", code, out, want)
	}
	if errs != "watching what comes after record 7; Ctrl-C ends it\n" {
		t.Errorf("stderr: %q", errs)
	}
	if code, out, errs := against(t, h, "watch", "-n", "2", "-o", "jsonl", "-q"); code != exitOK || strings.Count(out, "\n") != 2 || errs != "" ||
		!strings.HasPrefix(out, `{"seq":8,`) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if _, out, _ := against(t, h, "watch", "-n", "2", "-o", "yaml"); strings.Count(out, "---\n\"seq\": ") != 2 && strings.Count(out, "---\nseq: ") != 2 {
		t.Errorf("yaml:\n%s", out)
	}
}

func TestWatchAsksForWhatTheFlagsSay(t *testing.T) {
	for args, want := range map[string][]string{
		"watch":            {"/v1/events/stream"},
		"watch --after 0":  {"/v1/events/stream?after=0"},
		"watch --after 12": {"/v1/events/stream?after=12"},
		"watch a1 --target CLAUDE_45 --kind suspended --actor operator:x --correlation-id c": {
			"/v1/events/stream?account=a1&actor=operator%3Ax&correlation_id=c&kind=suspended&target=claude",
		},
		"watch a1 --since 1h":                    {"/v1/events?order=asc&page_size=1&since=2026-11-22T23%3A00%3A00Z", "/v1/events/stream?account=a1&after=41"},
		"watch --since 2026-11-22T23:30:00Z":     {"/v1/events?order=asc&page_size=1&since=2026-11-22T23%3A30%3A00Z", "/v1/events/stream?after=41"},
		"watch --since 1m --kind limit_observed": {"/v1/events?order=asc&page_size=1&since=2026-11-22T23%3A59%3A00Z", "/v1/events/stream?after=50&kind=limit_observed"},
	} {
		var asked []string
		code, _, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.RequestURI())
			if r.URL.Path == "/v1/events/stream" {
				streamRows(t, w, held(60))
				return
			}
			page := api.Page[api.EventRow]{AsOfSeq: 50, Items: []api.EventRow{held(42)}, NextPageToken: new("more")}
			if strings.Contains(args, "1m") { // nothing since then
				page.Items, page.NextPageToken = nil, nil
			}
			if err := json.NewEncoder(w).Encode(page); err != nil {
				t.Error(err)
			}
		}, append(strings.Fields(args), "-n", "1")...)
		if code != exitOK || !slices.Equal(asked, want) {
			t.Errorf("%s: exit %d, asked for %q, want %q; %s", args, code, asked, want, errs)
		}
	}
}

// TestWatchGoesOnThroughARestart, after the newest id that it was sent, whatever the
// daemon says while it is away; and says so once.
func TestWatchGoesOnThroughARestart(t *testing.T) {
	var calls atomic.Int64
	h := func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			streamRows(t, w, held(8))
			fmt.Fprint(w, "id: 9\n\nid: 10\ndata: {\"seq\":10,") // cut off
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":503,"code":"starting","detail":"the log is being read"}`)
		case 3:
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, ": after record 9\n\n: end: the server is stopping\n\n")
		default:
			if id := r.Header.Get("Last-Event-ID"); id != "9" || r.URL.RawQuery != "after=3" {
				t.Errorf("went on after %q, %s", id, r.URL.RawQuery)
			}
			streamRows(t, w, held(10), held(11))
		}
	}
	code, out, errs := against(t, h, "watch", "--after", "3", "-o", "jsonl", "-n", "3")
	if code != exitOK || strings.Count(out, "\n") != 3 || calls.Load() != 4 {
		t.Errorf("exit %d after %d requests: %s", code, calls.Load(), out)
	}
	want := `watching what comes after record 7; Ctrl-C ends it
the daemon is gone; connecting again
connected again, going on after record 9
the daemon ended the stream: the server is stopping; connecting again
connected again, going on after record 7
`
	if errs != want {
		t.Errorf("stderr:\n%s\nwant:\n%s", errs, want)
	}
}

// TestWatchEndsWhereAgainIsOfNoUse, and at first with whatever is wrong.
func TestWatchEndsWhereAgainIsOfNoUse(t *testing.T) {
	problem := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":"what is wrong"}`, status, code)
		}
	}
	for _, c := range []struct {
		first bool
		h     http.HandlerFunc
		want  int
	}{
		{true, problem(503, "starting"), exitFailure},
		{true, problem(404, "unknown_account"), exitNotFound},
		{true, problem(400, "at_in_future"), exitUsage},
		{true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, exitFailure},
		{true, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, ": after record 1\n\nid: 2\ndata: nonsense\n\n")
		}, exitFailure},
		{false, problem(401, "unauthorized"), exitAuth},
		{false, problem(400, "at_in_future"), exitUsage},
	} {
		var calls atomic.Int64
		code, _, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 && !c.first {
				streamRows(t, w)
				return
			}
			c.h(w, r)
		}, "watch")
		if code != c.want || calls.Load() > 2 {
			t.Errorf("exit %d after %d requests, want %d; %s", code, calls.Load(), c.want, errs)
		}
	}
}

func TestWatchEndsCleanlyWithCtrlC(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	env, out, errs := facing(t, func(w http.ResponseWriter, r *http.Request) {
		streamRows(t, w, held(8))
		interrupt()
		<-r.Context().Done()
	})
	if code := env.run(ctx, []string{"watch"}); code != exitOK || strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestStreamNoticesASilentDaemon: a connection that is up, and on which nothing comes.
func TestStreamNoticesASilentDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, _, _ := quietEnvironment()
		began := time.Now()
		s := &stream{env: env, find: func() (*client, error) {
			return &client{base: "http://daemon", token: "t", http: &http.Client{Transport: mute{}}}, nil
		}}
		for _, err := range s.rows(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), "has said nothing for 45s") || time.Since(began) != streamSilence {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		}
	})
}

func quietEnvironment() (*environment, *strings.Builder, *strings.Builder) {
	var out, errs strings.Builder
	return &environment{standard: standard{nil, &out, &errs}}, &out, &errs
}

// mute answers and then says nothing until the request ends.
type mute struct{}

func (mute) RoundTrip(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	context.AfterFunc(r.Context(), func() { w.CloseWithError(context.Cause(r.Context())) })
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, Request: r}, nil
}
