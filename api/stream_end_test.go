package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
)

// within fails unless a function takes no longer, by the clock of the bubble.
func within(t testing.TB, limit time.Duration, what string, f func()) {
	t.Helper()
	began := time.Now()
	if f(); time.Since(began) > limit {
		t.Errorf("%s took %s, over %s", what, time.Since(began), limit)
	}
}

// stall opens a stream whose reader takes nothing after its beginning, with a record
// that it leaves lying.
func (l *live) stall(token string) *reader {
	l.t.Helper()
	r := l.askAs(token, "")
	if r.res.StatusCode != http.StatusOK {
		l.t.Fatalf("answered %d", r.res.StatusCode)
	}
	r.block()
	l.suspend("a1", 1)
	synctest.Wait() // its write waits
	return r
}

// gone fails unless all streams have ended.
func (l *live) gone() {
	l.t.Helper()
	synctest.Wait()
	if n := l.figure("abeyance_subscribers"); n != "0" {
		l.t.Errorf("%s streams are open", n)
	}
}

// TestStreamEndsWithItsToken: at once, whether its reader reads or not. Those of other
// tokens go on.
func TestStreamEndsWithItsToken(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		mine, other := l.askAs("read", ""), l.follow("")
		mine.block()
		stalled := l.stall("read")
		mine.row()
		other.row()
		if n := l.figure("abeyance_subscribers"); n != "3" {
			t.Errorf("%s streams are open, want 3", n)
		}
		within(t, 0, "ending the stream", func() {
			l.do(request{method: http.MethodDelete, path: "/v1/tokens/read"}).want(http.StatusOK)
			if why := mine.end(); why != ": end: the token was deleted" {
				t.Errorf("it ends with %q", why)
			}
		})
		within(t, 3*time.Second, "ending a stalled stream", func() {
			for range 50 {
				if time.Sleep(100 * time.Millisecond); l.figure("abeyance_subscribers") == "1" {
					break
				}
			}
		})
		stalled.end()
		l.suspend("a1", 1)
		other.row()
		if n := l.figure("abeyance_subscribers_dropped_total"); n != "0" {
			t.Errorf("%s were dropped", n)
		}
		l.askAs("read", "").problem(http.StatusUnauthorized, "unauthorized")
	})
}

// TestStreamsEndWithTheServer: a shutdown waits for none of them, not even for one whose
// reader has stalled, and none begins while it is under way.
func TestStreamsEndWithTheServer(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		readers := []*reader{l.follow(""), l.follow("?account=a1"), l.follow("?after=0&kind=lifted")}
		l.stall("admin")
		ended := make(chan string, len(readers))
		for _, r := range readers {
			go func() { ended <- r.end() }()
		}
		within(t, 3*time.Second, "the shutdown", func() {
			if err := l.http.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
		for range readers {
			if why := <-ended; why != ": end: the server is stopping" {
				t.Errorf("it ends with %q", why)
			}
		}
		l.gone()
		l.get("/v1/events/stream").problem(http.StatusServiceUnavailable, "stopped")
		l.get("/v1/events").want(http.StatusOK)
	})
}

// failing is a log that can break.
type failing struct {
	events.Log
	broken atomic.Bool
}

func (l *failing) Append(ctx context.Context, recs []events.Record) error {
	if l.broken.Load() {
		return errors.New("input/output error")
	}
	return l.Log.Append(ctx, recs)
}

// TestStreamsEndWithTheEngine: after all that was stored, and with nothing that may not
// be.
func TestStreamsEndWithTheEngine(t *testing.T) {
	log := new(failing)
	streaming(t, tune{log: func(l events.Log) events.Log {
		log.Log = l
		return log
	}}, func(l *live) {
		live, behind := l.follow(""), l.follow("?after=0")
		l.suspend("a1", 3)
		log.broken.Store(true)
		l.post("/v1/suspend", `{"account":"a1","reason":"lost","forever":true}`).problem(http.StatusServiceUnavailable, "outcome_unknown")
		live.wantSeqs(5, 6, 7)
		behind.wantSeqs(upTo(1, 7)...)
		for _, r := range []*reader{live, behind} {
			if why := r.end(); why != ": end: the engine has stopped" {
				t.Errorf("it ends with %q", why)
			}
		}
		l.gone()
		l.ask("?after=0").problem(http.StatusServiceUnavailable, "stopped")
	})
}

// TestStalledReadersAreDropped within 10 s of the record they leave lying, and are
// counted; they can go on where they were. Neither the writer nor the others wait.
func TestStalledReadersAreDropped(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		live := l.follow("")
		rows := make(chan uint64, 10_000)
		go func() { // it never stops reading
			for block := live.block(); block != nil; block = live.block() {
				if strings.HasPrefix(block[0], "id: ") {
					rows <- live.parse(block).Seq
				}
			}
		}()
		stalled := []*reader{l.stall("admin"), l.stall("admin")}
		within(t, 0, "appending", func() { l.suspend("a1", 5000) })
		within(t, time.Second, "following", func() {
			for _, want := range upTo(5, 5006) {
				if seq := <-rows; seq != want {
					t.Fatalf("record %d, want %d", seq, want)
				}
			}
		})
		within(t, 10*time.Second, "dropping", func() {
			for range 200 {
				if time.Sleep(100 * time.Millisecond); l.figure("abeyance_subscribers_dropped_total") == "2" {
					return
				}
			}
			t.Error("they are not dropped")
		})
		if n := l.figure("abeyance_subscribers"); n != "1" {
			t.Errorf("%s streams are open, want 1", n)
		}
		for _, r := range stalled {
			for r.block() != nil { // what was written before; a frame that is cut off is none
			}
		}
		l.follow("", "Last-Event-ID: 4").wantSeqs(5, 6)
		l.suspend("a1", 1)
		if seq := <-rows; seq != 5007 {
			t.Errorf("record %d, want 5007", seq)
		}
		if !strings.Contains(l.logs.String(), "its reader took nothing") {
			t.Error("the log does not tell of it")
		}
	})
}

// TestStreamsEndWithTheirReaders, and with them the feed; the time they were open is
// no time to answer.
func TestStreamsEndWithTheirReaders(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		for range 3 {
			readers := []*reader{l.follow(""), l.follow("?after=1")}
			time.Sleep(time.Second)
			for _, r := range readers {
				r.conn.Close()
			}
			l.gone()
			l.suspend("a1", 1)
		}
		text := l.get("/metrics").body
		if !strings.Contains(text, `abeyance_http_requests_total{code="200",route="GET /v1/events/stream"} 6`) ||
			strings.Contains(text, `abeyance_http_request_seconds_sum{route="GET /v1/events/stream"}`) {
			t.Error("streams are not counted, or their duration is")
		}
		if strings.Contains(l.logs.String(), "ERROR") || strings.Contains(l.logs.String(), "took nothing") {
			t.Errorf("the log: %s", l.logs)
		}
	})
}
