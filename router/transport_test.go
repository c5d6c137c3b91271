package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
