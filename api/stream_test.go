package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// TestStreamIsTheHistoryAndGoesOn: from the seq that is named, or from now on, each
// record once, in order, as GET /v1/events has it.
func TestStreamIsTheHistoryAndGoesOn(t *testing.T) {
	streaming(t, tune{}, func(l *live) { // records 1 to 4
		all, some, fresh := l.follow("?after=0"), l.follow("?after=3"), l.follow("")
		l.suspend("a1", 3)
		all.wantSeqs(1, 2, 3, 4, 5, 6)
		some.wantSeqs(4, 5, 6, 7)
		fresh.wantSeqs(5, 6, 7)
		l.suspend("a1", 1)
		fresh.wantSeqs(8)
		all.wantSeqs(7, 8)

		again := l.follow("?after=0")
		for _, item := range l.items() {
			block := again.block()
			if again.parse(block); block[1] != "data: "+string(item) {
				t.Errorf("streamed %s\n  listed %s", block[1], item)
			}
		}
	})
}

// TestStreamResumes: Last-Event-ID wins over after; and a client that had no record yet
// knows where it began.
func TestStreamResumes(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		l.follow("?after=0", "Last-Event-ID: 2").wantSeqs(3, 4)
		l.follow("?after=999", "Last-Event-ID: 3").wantSeqs(4)
		l.follow("?after=3", "Last-Event-ID:").wantSeqs(4)
		r := l.ask("")
		if got := strings.Join(r.block(), "|"); got != ": after record 4|id: 4" {
			t.Errorf("a stream from now on begins with %s", got)
		}
		r.conn.Close()
		l.suspend("a1", 2)
		l.follow("", "Last-Event-ID: 4").wantSeqs(5, 6)
	})
}

// TestStreamCutAnywhere: however often a client is cut off, what it was sent is the
// history without a gap and without a repeat.
func TestStreamCutAnywhere(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		last := uint64(0)
		for i := range 40 {
			r := l.follow("?after=0", fmt.Sprint("Last-Event-ID: ", last))
			l.suspend("a1", 3)
			r.wantSeqs(upTo(last+1, last+uint64(1+i%5))...)
			last += uint64(1 + i%5)
			r.conn.Close()
		}
		l.follow("", fmt.Sprint("Last-Event-ID: ", last)).wantSeqs(upTo(last+1, 124)...)
	})
}

func TestStreamRefusesWhereItCannotBegin(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		for query, want := range map[string]string{
			"?after=5":                           "400 at_in_future",
			"?after=99999999999999999999999":     "400 at_in_future",
			"?after=x":                           "422 invalid",
			"?after=-1":                          "422 invalid",
			"?after=1.5":                         "422 invalid",
			"?after=1&after=2":                   "400 unknown_parameter",
			"?since=2026-11-23T00:00:00Z":        "400 unknown_parameter",
			"?kind=frozen":                       "422 invalid",
			"?account=nobody":                    "404 unknown_account",
			"?target=nothing":                    "404 unknown_target",
			"?account=" + strings.Repeat("x", 9): "404 unknown_account",
		} {
			var status int
			var code string
			fmt.Sscan(want, &status, &code)
			l.ask(query).problem(status, code)
		}
		l.ask("", "Last-Event-ID: 5").problem(http.StatusBadRequest, "at_in_future")
		if p := l.ask("?after=1", "Last-Event-ID: five").problem(http.StatusUnprocessableEntity, "invalid"); !strings.Contains(p.Detail, "Last-Event-ID") {
			t.Error(p.Detail)
		}
		l.askAs("route", "").problem(http.StatusForbidden, "forbidden_scope")
	})
}

// TestStreamFilters: as those of the history, of old records and of new ones, for which
// the log is not asked by account.
func TestStreamFilters(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		l.post("/v1/reports", limited("a1", "claude-opus-4-6")).want(http.StatusOK) // record 5
		l.post("/v1/suspend", `{"account":"a2","target":"gemini-pro","reason":"r","for":"1h"}`).want(http.StatusOK)
		cleared := decode[api.ActionAnswer](l.post("/v1/clear", `{"account":"a1","target":"claude"}`).want(http.StatusOK))
		l.clock.advance(2 * time.Hour)
		time.Sleep(time.Hour)
		synctest.Wait() // record 8: a2 gemini-pro is no longer suspended
		for query, want := range map[string][]uint64{
			"kind=limit_observed":                     {5, 9},
			"kind=account_added":                      {3, 4},
			"account=a1":                              {3, 5, 7, 9},
			"account=a2":                              {4, 6, 8, 10},
			"account=a1&target=claude":                {5, 7, 9},
			"target=gemini-pro":                       {6, 8, 10},
			"target=g3_pro&account=a2":                {6, 8, 10},
			"actor=proxy:admin":                       {5, 9},
			"actor=system:expiry":                     {8},
			"correlation_id=" + cleared.CorrelationID: {7},
			"kind=expired&account=a2":                 {8},
		} {
			l.follow("?after=0&" + query).wantSeqs(before(want, 9)...)
		}
		live := map[string]*reader{}
		for _, query := range []string{"account=a1", "account=a2", "target=gemini-pro", "kind=limit_observed", "actor=operator:admin"} {
			live[query] = l.follow("?" + query)
		}
		l.post("/v1/reports", limited("a1", "claude-opus-4-6")).want(http.StatusOK)
		l.post("/v1/suspend", `{"account":"a2","target":"gemini-pro","reason":"r","for":"1h"}`).want(http.StatusOK)
		for query, want := range map[string]uint64{
			"account=a1": 9, "account=a2": 10, "target=gemini-pro": 10, "kind=limit_observed": 9, "actor=operator:admin": 10,
		} {
			live[query].wantSeqs(want)
		}
		for i, query := range []string{"account=a2", "target=gemini-pro", "kind=expired", "account=a2&target=gemini-pro"} {
			r := l.follow("?" + query)
			l.clock.advance(2 * time.Hour)
			if row := r.row(); row.Kind != "expired" {
				t.Errorf("%s: %+v", query, row)
			}
			r.conn.Close()
			l.post("/v1/suspend", fmt.Sprintf(`{"account":"a2","target":"gemini-pro","reason":"%d","for":"1h"}`, i)).want(http.StatusOK)
		}
	})
}

// before cuts a list at the first that is not before the limit.
func before(list []uint64, limit uint64) []uint64 {
	for i, v := range list {
		if v >= limit {
			return list[:i]
		}
	}
	return list
}

// TestStreamBeats: with a comment every 15 s, for as long as the client reads, whatever
// the bounds of other answers.
func TestStreamBeats(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		r := l.follow("?after=0")
		r.wantSeqs(1, 2, 3, 4)
		for began := time.Now(); time.Since(began) < time.Hour; {
			last := time.Now()
			if block := strings.Join(r.block(), "|"); block != ": heartbeat" || time.Since(last) != 15*time.Second {
				t.Fatalf("%q after %s", block, time.Since(last))
			}
		}
		l.suspend("a1", 1)
		r.wantSeqs(5)
	})
}

// TestStreamBeatsSayHowFarItLooked: a client whose filter passes little need not have all
// the rest looked at again when it comes back.
func TestStreamBeatsSayHowFarItLooked(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		r := l.follow("?after=0&account=a1")
		r.wantSeqs(3)
		for _, want := range []string{": heartbeat|id: 4", ": heartbeat", ": heartbeat|id: 6", ": heartbeat"} {
			if got := strings.Join(r.block(), "|"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if want == ": heartbeat" && l.engine.State().Head().Seq == 4 {
				l.suspend("a2", 2)
			}
		}
	})
}

// TestStreamInjection: whatever an upstream, a client or an operator wrote, a record is
// one frame of one line of data.
func TestStreamInjection(t *testing.T) {
	const evil = "x\n\nevent: lift\r\ndata: {}\r\rid: 9\u2028\u0085retry: 1"
	streaming(t, tune{}, func(l *live) {
		r := l.follow("?after=4")
		q := fmt.Sprintf(`{"account":"a1","reason":%q,"forever":true,"on_behalf_of":%q}`, "x\n\nevent: lift\ndata: {}\n\n", "y\rdata: z")
		l.post("/v1/suspend", q).want(http.StatusOK)
		doc, err := json.Marshal(map[string]any{
			"account": "a1", "provider": "antigravity", "model": "claude-x", "status": 429, "request_id": "r",
			"headers": map[string]string{"Retry-After": "60"},
			"body":    `{"error":{"status":"RESOURCE_EXHAUSTED","message":` + strconv.Quote(evil) + `}}`,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.post("/v1/reports", string(doc)).want(http.StatusOK)
		l.do(request{method: http.MethodPut, path: "/v1/accounts/" + url.PathEscape("a\n\nevent: lift\ndata: {}"), body: `{"provider":"kimi"}`}).problem(http.StatusUnprocessableEntity, "invalid")
		if row := r.row(); !strings.Contains(row.Data.Reason, "event: lift") {
			t.Errorf("the reason became %q", row.Data.Reason)
		}
		last := r.row() // any other line in between would not be a frame
		if last.Seq != uint64(l.engine.State().Head().Seq) || !strings.Contains(last.Data.Evidence, "event: lift") {
			t.Errorf("the last record is %+v", last)
		}
	})
}

// counting is a log that counts the records read from it.
type counting struct {
	events.Log
	read atomic.Int64
}

func (c *counting) History(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range c.Log.History(ctx, q) {
			c.read.Add(1)
			if !yield(r, err) {
				return
			}
		}
	}
}

// TestStreamReadsNewRecordsOnceForAll: however many follow them, with and without
// filters.
func TestStreamReadsNewRecordsOnceForAll(t *testing.T) {
	log := new(counting)
	streaming(t, tune{log: func(l events.Log) events.Log {
		log.Log = l
		return log
	}}, func(l *live) {
		var all []*reader
		for i := range 50 {
			all = append(all, l.follow([]string{"", "?account=a1", "?kind=suspended"}[i%3]))
		}
		before := log.read.Load()
		for range 20 {
			l.suspend("a1", 5)
			for _, r := range all {
				r.seqs(5)
			}
		}
		if n := log.read.Load() - before; n != 100 {
			t.Errorf("%d records were read from the log for 100 new ones", n)
		}
	})
}

// TestStreamReadsOldRecordsOnceForThoseTogether: readers who are behind at about the same
// place share what is read, and nobody misses anything by it.
func TestStreamReadsOldRecordsOnceForThoseTogether(t *testing.T) {
	log := new(counting)
	streaming(t, tune{log: func(l events.Log) events.Log {
		log.Log = l
		return log
	}}, func(l *live) {
		const last = 10*64 - 1 // the end of a block
		l.suspend("a1", last-4)
		var all []*reader
		for i := range 20 {
			all = append(all, l.follow(fmt.Sprint("?after=", 3*i)))
		}
		before := log.read.Load()
		for at := 0; at < last; at += 50 {
			for i, r := range all {
				for seq := max(at, 3*i) + 1; seq <= min(at+50, last); seq++ {
					r.wantSeqs(uint64(seq))
				}
			}
		}
		if n := log.read.Load() - before; n > last {
			t.Errorf("%d records were read from the log, of %d", n, last)
		}
		time.Sleep(3 * time.Second)
		l.suspend("a1", 1)
		for _, r := range all {
			r.wantSeqs(last + 1)
		}
	})
}

// TestStreamOfWhoFallsBehind is read from the log, and misses nothing: neither while the
// feed has moved on by more than it keeps, nor after it has dropped what is too old.
func TestStreamOfWhoFallsBehind(t *testing.T) {
	log := new(counting)
	streaming(t, tune{log: func(l events.Log) events.Log {
		log.Log = l
		return log
	}}, func(l *live) {
		quick, slow := l.follow(""), l.follow("")
		l.suspend("a1", api.FeedFrames+1000)
		last := uint64(l.engine.State().Head().Seq)
		quick.wantSeqs(upTo(5, last)...)
		before := log.read.Load()
		slow.wantSeqs(upTo(5, last)...)
		if log.read.Load() == before {
			t.Error("the slow reader was within the frames that are kept: this test tests nothing")
		}
		l.suspend("a1", 1)
		quick.wantSeqs(last + 1)
		time.Sleep(2 * time.Second)
		for range 20 { // slow stays behind, and takes less time for it than it may
			l.suspend("a1", 1)
			last++
			quick.wantSeqs(last + 1)
			slow.wantSeqs(last)
			time.Sleep(2 * time.Second)
		}
		slow.wantSeqs(last + 1)
	})
}

// TestStreamOfAWriterWithoutDeadlines ends with its request.
func TestStreamOfAWriterWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.pool()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events/stream?after=3", nil)
		r.Header.Set("Authorization", "Bearer "+b.token["read"])
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, r)
		text, _ := io.ReadAll(w.Body)
		if got := string(text); !strings.HasPrefix(got, ": after record 3\n\nid: 4\ndata: {") || !strings.HasSuffix(got, "}\n\n: heartbeat\n\n") {
			t.Errorf("%q", got)
		}
		synctest.Wait()
		if b.figure("abeyance_subscribers") != "0" {
			t.Error("the stream is still open")
		}
	})
}
