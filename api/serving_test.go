package api_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
)

func TestRule8StartingAnswersEveryRoute(t *testing.T) {
	b := newBench(t, tune{starts: true})
	routes := append(b.routes(), "GET /no/such/route", "DELETE /v1/pick")
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		if pattern == "/healthz" {
			continue
		}
		a := b.do(request{method: method, path: path(pattern), body: bodyFor(method)})
		a.problem(http.StatusServiceUnavailable, "starting")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", route, a.header.Get("Retry-After"))
		}
	}
	b.get("/healthz").want(http.StatusOK)
	b.server.Ready(b.backend())
	b.get("/readyz").want(http.StatusOK)
	b.get("/v1/cells").want(http.StatusOK)
}

func TestReadyzFollowsTheEngine(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.do(request{method: http.MethodGet, path: "/readyz", as: "-"}).want(http.StatusOK)
	b.engine.Close()
	b.do(request{method: http.MethodGet, path: "/readyz", as: "-"}).problem(http.StatusServiceUnavailable, "stopped")
	b.do(request{method: http.MethodGet, path: "/healthz", as: "-"}).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"a1","reason":"x","forever":true}`).problem(http.StatusServiceUnavailable, "stopped")
	b.post("/v1/pick", `{"provider":"antigravity","model":"m"}`).want(http.StatusOK)
	if !decode[api.SummaryAnswer](b.get("/v1/summary").want(http.StatusOK)).Degraded {
		t.Error("the summary of a stopped engine is not degraded")
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	b := newBench(t)
	for _, a := range []answer{
		b.get("/v1/cells"), b.get("/nope"), b.get("/healthz"), b.get("/metrics"), b.get("/openapi.json"), b.get("/v1/pick"),
		b.do(request{method: http.MethodGet, path: "/v1/cells", as: "-"}), b.post("/v1/pick", "{"),
	} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy":    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", a.status, name, got, want)
			}
		}
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%d: CORS header %s", a.status, name)
			}
		}
	}
}

func TestCrossOriginWritesAreRefused(t *testing.T) {
	b := newBench(t)
	for _, header := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.test"}, {"Origin": "null"},
	} {
		a := b.do(request{method: http.MethodPost, path: "/v1/clear", body: `{"account":"a1"}`, header: header})
		a.problem(http.StatusForbidden, "cross_origin")
	}
}

func TestMethodNotAllowedNamesTheMethods(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]string{
		"/v1/pick": "POST", "/v1/groups": "GET, PUT", "/v1/accounts/a%2Fb": "DELETE, PATCH, PUT",
	} {
		a := b.do(request{method: http.MethodOptions, path: path})
		a.problem(http.StatusMethodNotAllowed, "method_not_allowed")
		if got := a.header.Get("Allow"); got != want {
			t.Errorf("%s: Allow %q, want %q", path, got, want)
		}
	}
}

func TestCheckBind(t *testing.T) {
	for _, c := range []struct {
		addr          string
		tls, insecure bool
		ok            bool
	}{
		{addr: "127.0.0.1:8417", ok: true},
		{addr: "[::1]:8417", ok: true},
		{addr: "localhost:0", ok: true},
		{addr: "127.9.9.9:1", ok: true},
		{addr: ":8417"},
		{addr: "0.0.0.0:8417"},
		{addr: "[::]:8417"},
		{addr: "10.0.0.1:8417"},
		{addr: "localhost.evil.test:1"},
		{addr: "example.test:1"},
		{addr: "0.0.0.0:8417", tls: true, ok: true},
		{addr: "0.0.0.0:8417", insecure: true, ok: true},
		{addr: "8417", insecure: true},
		{addr: "[::ffff:10.0.0.1]:1"},
	} {
		if err := api.CheckBind(c.addr, c.tls, c.insecure); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestServerOverLoopback looks at what a recorder does not show: bounds of the
// connection, and two requests on one.
func TestServerOverLoopback(t *testing.T) {
	b := newBench(t)
	b.pool()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewHTTPServer(b.server.Handler(), nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 15*time.Second || srv.IdleTimeout != 60*time.Second ||
		srv.WriteTimeout != 10*time.Second || srv.MaxHeaderBytes != 16<<10 {
		t.Errorf("bounds %+v", srv)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"provider":"antigravity"}`
	one := "PUT /v1/accounts/a3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b.token["admin"] +
		"\r\nContent-Type: application/json\r\nContent-Length: 26\r\n"
	if _, err := io.WriteString(conn, one+"\r\n"+body+one+"Connection: close\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(all), "HTTP/1.1 200 OK"); n != 2 {
		t.Errorf("%d answers on one connection, want 2: %s", n, all)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 32<<10))
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long header: %d", res.StatusCode)
	}
}

// TestNarrowBoundsWhatTheKernelKeeps for a reader that takes nothing, under TLS too.
func TestNarrowBoundsWhatTheKernelKeeps(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain": func(c net.Conn) net.Conn { return c },
		"tls":   func(c net.Conn) net.Conn { return tls.Server(c, secure.TLS) },
	} {
		taken := map[bool]int{}
		for _, narrow := range []bool{false, true} {
			here, there := connected(t)
			c := wrap(there)
			if narrow {
				api.Narrow(c, 16<<10)
			}
			if err := here.SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			if err := there.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			for range 10_000 {
				n, err := there.Write(make([]byte, 1000))
				if taken[narrow] += n; err != nil {
					break
				}
			}
		}
		if taken[true] > 300<<10 || runtime.GOOS == "linux" && taken[false] < 2*taken[true] {
			t.Errorf("%s: %d bytes were taken, and %d left to itself", name, taken[true], taken[false])
		}
	}
}

// connected returns both ends of a connection over loopback.
func connected(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a.(*net.TCPConn), b.(*net.TCPConn)
}
