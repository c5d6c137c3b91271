package router

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

func TestTransportServesInTurn(t *testing.T) {
	r := newRig(t, 3, by(nil))
	for range 4 {
		if status, body := r.send(opus); status != 200 || body != hello {
			t.Fatalf("answer %d %q", status, body)
		}
	}
	r.wants(strings.Fields(r.tried()), "a001", "a002", "a003", "a001")
	if n := len(r.limits()); n != 0 {
		t.Errorf("%d limits recorded of successes", n)
	}
}

// closeCounter is a body that counts how often it is closed.
type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func TestTransportLeavesTheRequestAlone(t *testing.T) {
	r := newRig(t, 2, by(map[string]func() *http.Response{"a001": always(429, quotaSpent)}))
	q := post(t, "")
	body := &closeCounter{Reader: iotest.OneByteReader(strings.NewReader(`{"model":"` + opus + `"}`))}
	q.Body, q.GetBody, q.ContentLength = body, nil, -1
	q.Header.Set("Authorization", "the client's")
	q.Header.Set("Accept-Encoding", "br")
	before := q.Clone(t.Context())
	resp, err := r.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	readAnswer(t, resp)
	r.wants(strings.Fields(r.tried()), "a001", "a002")
	if body.closed != 1 {
		t.Errorf("the request's body was closed %d times", body.closed)
	}
	if diff := cmp.Diff(before.Header, q.Header); diff != "" || q.Body != io.ReadCloser(body) || q.ContentLength != -1 {
		t.Errorf("the caller's request changed: %s", diff)
	}
	if resp.Request != q {
		t.Error("the answer's request is not the caller's, and has a credential")
	}
	for _, a := range r.arrivals {
		if a.body != `{"model":"`+opus+`"}` || a.request.Header.Get("Accept-Encoding") != "" || a.request.GetBody == nil {
			t.Errorf("sent %q, Accept-Encoding %q", a.body, a.request.Header.Get("Accept-Encoding"))
		}
	}
}

func TestTransportHandsOnTheLastAnswerWhole(t *testing.T) {
	long := quotaSpent + strings.Repeat(" ", 100<<10) + "the end"
	r := newRig(t, 2, by(map[string]func() *http.Response{"a001": always(429, quotaSpent), "a002": always(429, long)}))
	if status, body := r.send(opus); status != 429 || body != long {
		t.Errorf("answer %d with %d bytes, want 429 with %d", status, len(body), len(long))
	}
	if got := len(r.limits()); got != 2 {
		t.Errorf("%d limits recorded, want 2", got)
	}
	// An error in the middle of the body comes where it came.
	r.Base = upstreamFunc(func(*http.Request) (*http.Response, error) {
		resp := reply(400, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("half of"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		return resp, nil
	})
	resp, err := r.RoundTrip(post(t, `{"model":"`+flash+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "half of" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestTransportAttempts(t *testing.T) {
	spent := map[string]func() *http.Response{}
	for _, a := range accounts(6, nil) {
		spent[a.ID] = always(429, quotaSpent)
	}
	for attempts, want := range map[int]int{0: 3, 1: 1, 5: 5, 9: 6} {
		r := newRig(t, 6, by(spent))
		r.MaxAttempts = attempts
		if status, _ := r.send(opus); status != 429 || len(r.arrivals) != want || len(r.limits()) != want {
			t.Errorf("MaxAttempts %d: status %d, %d requests, %d records; want %d", attempts, status, len(r.arrivals), len(r.limits()), want)
		}
	}
}

type answers = map[string]func() *http.Response

func TestRule36AdviceIsFollowed(t *testing.T) {
	renewed := func(context.Context, Lease) error { return nil }
	notRenewed := func(context.Context, Lease) error { return errors.New("the refresh token is gone") }
	for name, c := range map[string]struct {
		answers answers
		refresh func(context.Context, Lease) error
		want    string // the accounts tried, and the status that the client gets
	}{
		"stop":                      {answers{"a001": always(400, `{"error":{"status":"INVALID_ARGUMENT"}}`)}, nil, "a001 400"},
		"retry_other":               {answers{"a001": always(500, "{}")}, nil, "a001 a002 200"},
		"human":                     {answers{"a001": always(403, banned)}, nil, "a001 a002 200"},
		"retry_same":                {answers{"a001": inTurn(always(529, overloaded))}, nil, "a001 a001 200"},
		"retry_same once":           {answers{"a001": always(529, overloaded)}, nil, "a001 a001 a002 200"},
		"refresh_auth, no callback": {answers{"a001": always(401, noAuth)}, nil, "a001 a002 200"},
		"refresh_auth":              {answers{"a001": inTurn(always(401, noAuth))}, renewed, "a001 a001 200"},
		"refresh_auth once":         {answers{"a001": always(401, noAuth)}, renewed, "a001 a001 a002 200"},
		"refresh_auth, not renewed": {answers{"a001": always(401, noAuth)}, notRenewed, "a001 a002 200"},
		"capacity on two accounts":  {answers{"a001": always(503, noCapacity), "a002": always(503, noCapacity)}, nil, "a001 a002 503"},
		"overload on two accounts":  {answers{"a001": always(529, overloaded), "a002": always(529, overloaded)}, nil, "a001 a001 a002 529"},
		"a quota is no shortage":    {answers{"a001": always(429, quotaSpent), "a002": always(503, noCapacity)}, nil, "a001 a002 a003 200"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := liveRig(t, 4, by(c.answers))
				r.Refresh = c.refresh
				r.MaxAttempts = 6
				status, _ := r.send(flash)
				if got := fmt.Sprintf("%s %d", r.tried(), status); got != c.want {
					t.Errorf("tried %s, want %s", got, c.want)
				}
			})
		})
	}
}

// The wait is the one advised: the same account is asked after it, or not at all if it
// is too long.
func TestRule36RetrySameWaits(t *testing.T) {
	slow := reply(529, overloaded)
	slow.Header.Set("Retry-After", "2")
	for pause, want := range map[time.Duration]string{0: "a001 a001 after 2s", time.Second: "a001 a002 after 0s", -1: "a001 a002 after 0s"} {
		synctest.Test(t, func(t *testing.T) {
			r := liveRig(t, 2, by(answers{"a001": inTurn(func() *http.Response { return slow })}))
			r.MaxPause = pause
			began := time.Now()
			r.send(flash)
			if got := fmt.Sprintf("%s after %v", r.tried(), time.Since(began)); got != want {
				t.Errorf("MaxPause %v: %s, want %s", pause, got, want)
			}
		})
	}
}

// An account that was blocked while the request waited is not asked again.
func TestRule29BlockedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := liveRig(t, 2, nil)
		r.Base = upstreamFunc(func(q *http.Request) (*http.Response, error) {
			r.arrivals = append(r.arrivals, arrival{account: q.Header.Get("Authorization")})
			if len(r.arrivals) == 1 {
				r.suspend("a001", "*", time.Hour)
				return reply(529, overloaded), nil
			}
			return reply(200, hello), nil
		})
		r.send(flash)
		r.wants(strings.Fields(r.tried()), "a001", "a002")
	})
}

func TestTransportWaitEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := liveRig(t, 2, by(answers{"a001": always(529, overloaded)}))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		resp, err := r.RoundTrip(post(t, `{"model":"`+flash+`"}`).WithContext(ctx))
		if err != nil || resp.StatusCode != 529 || r.tried() != "a001" {
			t.Errorf("answer %v, %v after trying %s", resp, err, r.tried())
		}
		readAnswer(t, resp)
	})
}

func TestRule15ConnectionErrors(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	read := &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
	for name, c := range map[string]struct {
		err     error
		want    string
		escapes bool
	}{
		"no connection":     {dial, "a001 a002 a003", true},
		"lost connection":   {read, "a001", true},
		"refused handshake": {errors.New("tls: bad certificate"), "a001", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 4, func(*http.Request) (*http.Response, error) { return nil, c.err })
			_, err := r.RoundTrip(post(t, `{"model":"`+opus+`"}`))
			if !errors.Is(err, c.err) || r.tried() != c.want {
				t.Errorf("error %v after trying %s; want %v after %s", err, r.tried(), c.err, c.want)
			}
			if got := r.blockedCells(); len(got) != 0 || len(r.limits()) != 0 {
				t.Errorf("blocked: %v", got)
			}
		})
	}
	// An answer that came first stands over a connection that could not be made.
	r := newRig(t, 2, func(q *http.Request) (*http.Response, error) {
		if q.Header.Get("Authorization") == "a001" {
			return reply(429, quotaSpent), nil
		}
		return nil, dial
	})
	if status, body := r.send(opus); status != 429 || body != quotaSpent {
		t.Errorf("answer %d %q", status, body)
	}
}

func TestRule15CancelledIsNobodysFault(t *testing.T) {
	r := newRig(t, 2, func(q *http.Request) (*http.Response, error) {
		<-q.Context().Done()
		return nil, q.Context().Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	q := func() *http.Request { return post(t, `{"model":"`+opus+`"}`).WithContext(ctx) }
	if _, err := r.RoundTrip(q()); !errors.Is(err, context.Canceled) || r.tried() != "a001" {
		t.Errorf("error %v after trying %s", err, r.tried())
	}
	if _, err := r.RoundTrip(q()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a request that ended before it was sent", err)
	}
	if got := r.blockedCells(); len(got) != 0 || len(r.limits()) != 0 {
		t.Errorf("blocked: %v", got)
	}
}

// An account whose credential cannot be had does not fail the request.
func TestTransportAuthorizeFails(t *testing.T) {
	r := newRig(t, 3, by(nil))
	authorize := r.Authorize
	r.Authorize = func(q *http.Request, l Lease) error {
		if l.Account != "a003" {
			return errors.New("no token")
		}
		return authorize(q, l)
	}
	if status, _ := r.send(opus); status != 200 || r.tried() != "a003" {
		t.Errorf("status %d by %s", status, r.tried())
	}
	r.MaxAttempts = 2
	body := &closeCounter{Reader: strings.NewReader(`{"model":"` + opus + `"}`)}
	q := post(t, "")
	q.Body = body
	if _, err := r.RoundTrip(q); err == nil || err.Error() != "no token" || body.closed != 1 {
		t.Errorf("error %v, body closed %d times", err, body.closed)
	}
}

func TestRule20RequestIDs(t *testing.T) {
	r := newRig(t, 3, by(answers{
		"a001": always(429, quotaSpent),
		"a002": inTurn(always(401, noAuth), always(429, quotaSpent)),
	}))
	r.Refresh = func(context.Context, Lease) error { return nil }
	r.MaxAttempts = 5
	r.sendAs(opus, "from-the-client")
	var got []string
	for _, e := range r.limits() {
		got = append(got, fmt.Sprint(e.RequestID, " ", e.Status))
	}
	// The 401 is the first one of its account: it only advises.
	want := []string{"from-the-client 429", "from-the-client 401", "from-the-client~2 429"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got)\n%s", diff)
	}
	for i, a := range r.arrivals {
		if a.request.Header.Get("X-Request-Id") != "from-the-client" {
			t.Errorf("request %d has the id %q", i, a.request.Header.Get("X-Request-Id"))
		}
	}
}

// Every 429 is recorded, even if a client sends the same id again and again.
func TestRule20ClientsIDSentAgain(t *testing.T) {
	r := newRig(t, 1, by(answers{"a001": always(429, quotaSpent)}))
	r.engine.Close()
	p := newPool(t, setup{accounts: accounts(1, nil), observe: true}) // so that the account is picked again
	r = rigOver(p, by(answers{"a001": always(429, quotaSpent)}))
	for range 3 {
		r.sendAs(opus, "always-the-same")
	}
	ids := map[string]bool{}
	for _, e := range r.limits() {
		ids[e.RequestID] = true
		if base, _, _ := strings.Cut(e.RequestID, "~"); base != "always-the-same" {
			t.Errorf("recorded under %q", e.RequestID)
		}
	}
	if len(ids) != 3 {
		t.Errorf("recorded under %v, want three ids", ids)
	}
}

func TestTransportMakesRequestIDs(t *testing.T) {
	for _, given := range []string{"", strings.Repeat("x", 201), "two words", "caf\u00e9", "a~2"} {
		r := newRig(t, 2, by(answers{"a001": always(429, quotaSpent), "a002": always(429, quotaSpent)}))
		r.sendAs(opus, given)
		l := r.limits()
		if len(l) != 2 || l[0].RequestID != l[1].RequestID || len(l[0].RequestID) != 36 || l[0].RequestID[14] != '7' {
			t.Errorf("given %q: recorded %d under %q", given, len(l), l[0].RequestID)
		}
		if _, ok := r.arrivals[0].request.Header["X-Request-Id"]; ok != (given != "") {
			t.Errorf("given %q: the request that was sent has an id: %v", given, ok)
		}
	}
}

func TestTransportLongBodies(t *testing.T) {
	long := `{"model":"` + opus + `","pad":"` + strings.Repeat("x", 5000) + `"}`
	spent := answers{"a001": always(429, quotaSpent)}
	t.Run("sent once", func(t *testing.T) {
		r := newRig(t, 2, by(spent))
		r.MaxBody = 64
		body := &closeCounter{Reader: strings.NewReader(long)}
		q := post(t, "")
		q.Body, q.GetBody = body, nil
		resp, err := r.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		readAnswer(t, resp)
		if resp.StatusCode != 429 || len(r.arrivals) != 1 || r.arrivals[0].body != long || body.closed != 1 {
			t.Errorf("status %d, %d requests, body closed %d times", resp.StatusCode, len(r.arrivals), body.closed)
		}
	})
	t.Run("sent again with GetBody", func(t *testing.T) {
		r := newRig(t, 2, by(spent))
		r.MaxBody = 64
		resp, err := r.RoundTrip(post(t, long)) // http.NewRequest sets GetBody
		if err != nil {
			t.Fatal(err)
		}
		readAnswer(t, resp)
		if resp.StatusCode != 200 || len(r.arrivals) != 2 || r.arrivals[0].body != long || r.arrivals[1].body != long {
			t.Errorf("status %d, %d requests", resp.StatusCode, len(r.arrivals))
		}
	})
	t.Run("not read beyond the bound, nor sent without an account", func(t *testing.T) {
		r := newRig(t, 0, by(nil))
		r.MaxBody = 64
		rest := strings.NewReader(long)
		body := &closeCounter{Reader: rest}
		q := post(t, "")
		q.Body = body
		resp, err := r.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		readAnswer(t, resp)
		if resp.StatusCode != 404 || len(r.arrivals) != 0 || body.closed != 1 || len(long)-rest.Len() > 65 {
			t.Errorf("status %d, closed %d times, %d bytes read", resp.StatusCode, body.closed, len(long)-rest.Len())
		}
	})
	t.Run("cannot be read", func(t *testing.T) {
		r := newRig(t, 1, by(nil))
		body := &closeCounter{Reader: iotest.ErrReader(io.ErrUnexpectedEOF)}
		q := post(t, "")
		q.Body = body
		if _, err := r.RoundTrip(q); !errors.Is(err, io.ErrUnexpectedEOF) || body.closed != 1 || len(r.arrivals) != 0 {
			t.Errorf("error %v, closed %d times", err, body.closed)
		}
	})
}

// answered is what a client sees of an answer that Transport makes.
type answered struct {
	Status      int
	Retry       string
	Code        string
	EarliestEnd string `json:"earliest_end"`
	Detail      string
}

func TestRule31NothingUsable(t *testing.T) {
	cases := map[string]struct {
		prepare func(*rig)
		model   string
		want    answered
	}{
		"cooling": {func(r *rig) { r.suspend("a001", "*", 90*time.Second); r.cool("a002", opus, 900) }, opus, answered{
			429, "90", "all_cooling", "2026-03-17T12:01:30.000Z",
			"no account of antigravity can serve claude-opus-4-6-thinking: all_cooling; the first comes back at 2026-03-17T12:01:30Z",
		}},
		"suspended": {func(r *rig) { r.suspend("a001", "*", 0); r.suspend("a002", "*", 0) }, opus, answered{
			503, "", "all_suspended", "", "no account of antigravity can serve claude-opus-4-6-thinking: all_suspended",
		}},
		"none": {func(r *rig) { r.Provider = "codex" }, opus, answered{
			404, "", "no_accounts", "", "no account of codex can serve claude-opus-4-6-thinking: no_accounts",
		}},
		"no model": {func(*rig) {}, "", answered{
			400, "", "invalid", "", "the request is malformed: neither its path nor its body names a model",
		}},
		"no such model": {func(*rig) {}, strings.Repeat("m", 300), answered{
			400, "", "invalid", "", "the request is malformed: model must have 1 to 256 bytes",
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2, by(nil))
			c.prepare(r)
			resp, err := r.RoundTrip(post(t, `{"model":"`+c.model+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			var got answered
			if err := json.Unmarshal([]byte(readAnswer(t, resp)), &got); err != nil {
				t.Fatal(err)
			}
			got.Status, got.Retry = resp.StatusCode, resp.Header.Get("Retry-After")
			if diff := cmp.Diff(c.want, got); diff != "" || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("(-want +got)\n%s%s", diff, resp.Header)
			}
			if len(r.arrivals) != 0 {
				t.Error("a request was sent")
			}
		})
	}
}

func TestTransportRoute(t *testing.T) {
	r := newRig(t, 3, by(nil))
	problem := errors.New("no tenant")
	r.Route = func(q *http.Request, body []byte) (Request, error) {
		switch string(body) {
		case "malformed":
			return Request{}, ErrRequest
		case "refused":
			return Request{}, problem
		}
		return Request{Provider: provider, Model: string(body), Exclude: []string{"a001", "a002"}}, nil
	}
	send := func(body string) (*http.Response, error) { return r.RoundTrip(post(t, body)) }
	if resp, err := send(opus); err != nil || resp.StatusCode != 200 || r.tried() != "a003" {
		t.Errorf("answer %v, %v by %s", resp, err, r.tried())
	}
	if resp, err := send("malformed"); err != nil || resp.StatusCode != 400 {
		t.Errorf("answer %v, %v", resp, err)
	}
	if _, err := send("refused"); !errors.Is(err, problem) {
		t.Errorf("error %v", err)
	}
}

func TestTransportMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := liveRig(t, 1, by(nil))
		r.cool("a001", opus, 20)
		began := time.Now()
		if status, _ := r.send(opus); status != 429 || time.Since(began) != 0 {
			t.Errorf("status %d after %v without MaxWait", status, time.Since(began))
		}
		r.MaxWait = 10 * time.Second
		if status, _ := r.send(opus); status != 429 || time.Since(began) != 10*time.Second {
			t.Errorf("status %d after %v, want 429 after MaxWait", status, time.Since(began))
		}
		// 20 s, and the jitter of a spent quota, which is 30 s at most.
		r.MaxWait = time.Minute
		if status, _ := r.send(opus); status != 200 || time.Since(began) < 20*time.Second || time.Since(began) > 51*time.Second {
			t.Errorf("status %d after %v, want 200 when the account is back", status, time.Since(began))
		}
		r.cool("a001", opus, 3600)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.RoundTrip(post(t, `{"model":"`+opus+`"}`).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v of a client that gave up", err)
		}
	})
}

// A report that cannot be recorded costs the client nothing but a retry elsewhere.
func TestTransportReportFails(t *testing.T) {
	r := newRig(t, 2, by(answers{"a001": always(429, quotaSpent)}))
	var log bytes.Buffer
	r.Logger = slog.New(slog.NewTextHandler(&log, nil))
	r.engine.Close()
	if status, body := r.send(opus); status != 200 || body != hello || r.tried() != "a001 a002" {
		t.Errorf("answer %d by %s", status, r.tried())
	}
	for _, part := range []string{"account=a001", "target=claude", "status=429", "stopped"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, log.String())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines were logged; a success where nothing blocks needs no record", n)
	}
}

// gate is a log on which appends wait.
type gate struct {
	events.Log
	open chan struct{}
}

func (g *gate) Append(ctx context.Context, recs []events.Record) error {
	<-g.open
	return g.Log.Append(ctx, recs)
}

// A busy engine is asked again, and then given up on.
func TestTransportBusyEngine(t *testing.T) {
	for name, c := range map[string]struct {
		opens    time.Duration
		recorded int
	}{"soon idle": {120 * time.Millisecond, 1}, "busy": {time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := liveRig(t, 2, by(answers{"a001": always(429, quotaSpent)}))
				g := &gate{Log: r.log, open: make(chan struct{})}
				r.engine.Close()
				e, err := projection.Open(t.Context(), g, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				r.engine, r.Transport.Router = e, New(e, nil)
				for range 1 + 4096 { // one in the writer's hands, the others in its queue
					go e.Execute(t.Context(), projection.Command{Do: &projection.PatchAccount{ID: "a002", Priority: new(-1)}})
					synctest.Wait()
				}
				began := time.Now()
				time.AfterFunc(c.opens, func() { close(g.open) })
				status, _ := r.send(opus)
				if status != 200 || time.Since(began) > 350*time.Millisecond {
					t.Errorf("status %d after %v", status, time.Since(began))
				}
				<-g.open
				synctest.Wait()
				if n := len(r.limits()); n != c.recorded {
					t.Errorf("%d limits recorded, want %d", n, c.recorded)
				}
			})
		})
	}
}
