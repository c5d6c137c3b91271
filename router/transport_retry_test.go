package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/projection"
)

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

// A probe whose request comes to nothing frees its claim at once: the next one may go
// out when the spacing is over, not the time of a claim.
func TestRule23TransportFreesTheProbe(t *testing.T) {
	for name, c := range map[string]struct {
		answer *http.Response
		err    error
		then   int // probes after the spacing
	}{
		"no connection":          {nil, &net.OpError{Op: "dial", Err: errors.New("refused")}, 2},
		"lost connection":        {nil, errors.New("connection reset by peer"), 2},
		"client gone":            {nil, context.Canceled, 2},
		"moved":                  {reply(302, ""), nil, 2},
		"closed before anything": {reply(200, hello), nil, 2},
		"failed":                 {reply(500, "{}"), nil, 2},
		"refused":                {reply(429, quotaSpent), nil, 1}, // the next one is due later
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, setup{accounts: accounts(1, nil), probes: new(projection.ProbeConfig)})
			r := rigOver(p, func(*http.Request) (*http.Response, error) { return c.answer, c.err })
			r.cool("a001", opus, 90_000)
			probes := func() int {
				if resp, err := r.RoundTrip(post(t, `{"model":"`+opus+`"}`)); err == nil {
					resp.Body.Close()
				}
				return len(r.arrivals)
			}
			if n := probes(); n != 0 {
				t.Fatalf("%d requests sent to an account that cools", n)
			}
			r.tick(5 * time.Minute)
			if n := probes(); n != 1 {
				t.Fatalf("%d requests sent when a probe was due", n)
			}
			r.tick(29 * time.Second)
			if n := probes(); n != 1 {
				t.Errorf("%d probes sent within the spacing", n)
			}
			r.tick(time.Second)
			if n := probes(); n != c.then {
				t.Errorf("%d probes sent after the spacing, want %d", n, c.then)
			}
		})
	}
}
