package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/api"
)

// from sends a request from a peer with a key; none if it is empty.
func (b *bench) from(peer, key string, header map[string]string) answer {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, "/v1/head", nil)
	r.RemoteAddr = peer
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	return b.serve(r)
}

// wrongKey is the n-th token that nobody has.
func wrongKey(n int) string { return fmt.Sprintf("aby_%043d", n) }

func TestWrongTokensArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		const guesser, other = "192.0.2.1:1000", "192.0.2.2:1000"
		for range 100 { // no token is no guess
			b.from(guesser, "", nil).problem(http.StatusUnauthorized, "unauthorized")
		}
		for n := range api.GuessBurst {
			b.from(guesser, wrongKey(n), nil).problem(http.StatusUnauthorized, "unauthorized")
		}
		for n := range 1000 {
			a := b.from(fmt.Sprint("192.0.2.1:", 1001+n), wrongKey(n), map[string]string{
				"X-Forwarded-For": fmt.Sprint("198.51.100.", n%256), "X-Real-IP": fmt.Sprint("10.0.0.", n%256), "Forwarded": "for=127.0.0.1", "True-Client-IP": "127.0.0.1",
			})
			a.problem(http.StatusTooManyRequests, "too_many_wrong_tokens")
			if a.header.Get("Retry-After") != "6" || a.header.Get("WWW-Authenticate") != `Bearer realm="abeyance", error="invalid_token"` {
				t.Fatalf("headers %v", a.header)
			}
			if n%100 == 0 { // meanwhile
				b.from(guesser, b.token["read"], nil).want(http.StatusOK)
				b.from(guesser, "", nil).problem(http.StatusUnauthorized, "unauthorized")
				b.from(guesser, b.token["route"], nil).problem(http.StatusForbidden, "forbidden_scope")
			}
		}
		b.from(other, wrongKey(1), nil).problem(http.StatusUnauthorized, "unauthorized")
		time.Sleep(api.GuessEvery)
		b.from(guesser, wrongKey(1), nil).problem(http.StatusUnauthorized, "unauthorized")
		b.from(guesser, wrongKey(1), nil).problem(http.StatusTooManyRequests, "too_many_wrong_tokens")
		if n := strings.Count(b.logs.String(), "wrong tokens keep coming"); n != 2 {
			t.Errorf("%d lines tell of it, want one each time it began", n)
		}
	})
}

// Whose guesses they are a trusted proxy says, and nobody else.
func TestWrongTokensThroughAProxy(t *testing.T) {
	b := newBench(t, tune{options: func(o *api.Options) { o.TrustedProxies = inside() }})
	through := func(client string, n int) answer {
		return b.from("10.0.0.1:1", wrongKey(n), map[string]string{"X-Forwarded-For": fmt.Sprintf("203.0.113.%d, %s", n%256, client)})
	}
	for n := range api.GuessBurst {
		through("198.51.100.1", n).want(http.StatusUnauthorized)
	}
	for n := range 1000 {
		through("198.51.100.1", n).want(http.StatusTooManyRequests)
	}
	through("198.51.100.2", 1).want(http.StatusUnauthorized)
	if !strings.Contains(b.logs.String(), `"peer":"10.0.0.1:1","client":"198.51.100.1"`) || strings.Contains(b.logs.String(), "203.0.113.") {
		t.Error("the access log does not name the client, or what it made up")
	}
}

// A million addresses are forgotten again; of IPv6 a /64 is one.
func TestGuessersAreBounded(t *testing.T) {
	g, now := api.NewGuesses(), time.Unix(0, 0)
	var before, after runtime.MemStats
	for i := range 1_000_000 {
		if i == 2*api.MaxGuessers {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		if wait := g.Wrong(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now); wait != 0 {
			t.Fatalf("the first guess of a peer has to wait %s", wait)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if a, b := g.Len(); a != api.MaxGuessers || b != api.MaxGuessers {
		t.Errorf("%d, %d peers are remembered, want %d", a, b, api.MaxGuessers)
	}
	// A million of them would take a hundred megabytes.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes more after a million peers than after some thousands", grown)
	}
	// Who guessed last is remembered: a flood of others must be larger than the bound.
	last := netip.MustParseAddr("192.0.2.1")
	for range api.GuessBurst {
		g.Wrong(last, now)
	}
	for i := range api.MaxGuessers - 1 {
		g.Wrong(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), now)
	}
	if g.Wrong(last, now) == 0 {
		t.Error("a guesser was forgotten too early")
	}
	for i := range 2 * api.GuessBurst {
		wait := g.Wrong(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), now)
		if (wait > 0) != (i >= api.GuessBurst) {
			t.Errorf("guess %d of one /64 has to wait %s", i, wait)
		}
	}
	if g.Wrong(netip.MustParseAddr("2001:db8:0:1::1"), now) != 0 {
		t.Error("another /64 has to wait")
	}
}

func TestChangesOfOneTokenArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tune{options: func(o *api.Options) { o.MaxChangesPerSecond = 5 }})
		b.pool() // two changes
		second, err := b.tokens.Create("second", []api.Scope{api.ScopeAdmin})
		if err != nil {
			t.Fatal(err)
		}
		b.token["second"] = second
		change := func(as string) answer {
			return b.do(request{method: http.MethodPut, path: "/v1/accounts/a1", body: `{"provider":"antigravity"}`, as: as})
		}
		for range 48 {
			change("admin").want(http.StatusOK)
		}
		before := len(b.records())
		a := change("admin")
		a.problem(http.StatusTooManyRequests, "too_many_changes")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
		b.post("/v1/clear", `{"account":"a1"}`).problem(http.StatusTooManyRequests, "too_many_changes")
		b.do(request{method: http.MethodDelete, path: "/v1/accounts/a1"}).problem(http.StatusTooManyRequests, "too_many_changes")
		if n := len(b.records()); n != before {
			t.Errorf("%d records of refused changes", n-before)
		}
		// Reads, picks and reports are not held up, and other tokens have their own.
		for range 200 {
			b.get("/v1/head").want(http.StatusOK)
			b.post("/v1/pick", `{"provider":"antigravity","model":"m"}`).want(http.StatusOK)
			b.post("/v1/reports", `{"account":"a1","provider":"antigravity","model":"m","status":200}`).want(http.StatusOK)
		}
		change("second").want(http.StatusOK)
		time.Sleep(time.Second)
		for range 5 {
			change("admin").want(http.StatusOK)
		}
		change("admin").want(http.StatusTooManyRequests)
	})
}

func TestChangesWithoutABound(t *testing.T) {
	b := newBench(t, tune{quiet: true})
	for range 2000 {
		b.put("/v1/accounts/a1", `{"provider":"antigravity"}`).want(http.StatusOK)
	}
}
