package api_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// addressed is the answer to a request with a Host, which came in on a port; 0: on a
// unix socket.
func (b *bench) addressed(method, host string, port int) answer {
	b.t.Helper()
	var local net.Addr = &net.UnixAddr{Name: "/run/abeyance/socket", Net: "unix"}
	if port > 0 {
		local = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	}
	ctx := context.WithValue(b.t.Context(), http.LocalAddrContextKey, local)
	r := httptest.NewRequestWithContext(ctx, method, "/v1/head", nil)
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+b.token["admin"])
	return b.serve(r)
}

func TestOnlyKnownHostsAreAnswered(t *testing.T) {
	b := newBench(t, tune{options: func(o *api.Options) {
		o.AllowedHosts = []string{"Abeyance.example.org", "proxy:9000", "192.0.2.7", "[2001:db8::7]:1234"}
	}})
	for _, c := range []struct {
		host string
		port int // of the connection
		ok   bool
	}{
		{"localhost:8417", 8417, true},
		{"LOCALHOST:8417", 8417, true},
		{"127.0.0.1:8417", 8417, true},
		{"[::1]:8417", 8417, true},
		{"localhost:8418", 8417, false},
		{"localhost", 8417, false},
		{"localhost", 80, true},
		{"[::1]", 80, true},
		{"localhost.:8417", 8417, false},
		{"localhost:", 8417, false},
		{"localhost:08417", 8417, true}, // the same port, however it is written
		{"localhost:8417:8417", 8417, false},
		{"localhost:+8417", 8417, false},
		{"::1:8417", 8417, false},
		{"[::1]8417", 8417, false},
		{"[localhost]:8417", 8417, false},
		{"[127.0.0.1]:8417", 8417, false},
		{"127.1:8417", 8417, false},
		{"127.0.0.2:8417", 8417, false},
		{"0.0.0.0:8417", 8417, false},
		{"[::]:8417", 8417, false},
		{"[::ffff:127.0.0.1]:8417", 8417, false},
		{"evil.test:8417", 8417, false},
		{"evil.test", 8417, false},
		{"EVIL.TEST:8417", 8417, false},
		{"localhost.evil.test:8417", 8417, false},
		{"evil.test@localhost:8417", 8417, false},
		{"", 8417, false},
		{":8417", 8417, false},

		// Configured: at the connection's port, or at none, as behind a proxy.
		{"abeyance.example.org", 8417, true},
		{"ABEYANCE.example.org:8417", 8417, true},
		{"abeyance.example.org:443", 8417, false},
		{"abeyance.example.org.", 8417, false},
		{"x.abeyance.example.org", 8417, false},
		{"192.0.2.7", 8417, true},
		// With a port: at that alone.
		{"proxy:9000", 8417, true},
		{"proxy:8417", 8417, false},
		{"proxy", 8417, false},
		{"[2001:db8::7]:1234", 8417, true},
		{"[2001:DB8::7]:1234", 8417, true},
		{"[2001:db8::7]", 8417, false},

		// A unix socket has no port.
		{"localhost", 0, true},
		{"localhost:1", 0, true},
		{"evil.test", 0, false},
	} {
		a := b.addressed(http.MethodGet, c.host, c.port)
		if c.ok {
			if a.status != http.StatusOK {
				t.Errorf("%q at port %d: %d %s", c.host, c.port, a.status, a.body)
			}
			continue
		}
		if p := a.problem(http.StatusMisdirectedRequest, "misdirected_request"); !strings.Contains(p.Detail, "--allow-host") {
			t.Errorf("%q: the answer does not say what to do: %s", c.host, p.Detail)
		}
	}
}

// The host is looked at before anything else: the route, the method, the token, and
// while the log is read.
func TestHostsComeBeforeRoutes(t *testing.T) {
	for _, starts := range []bool{true, false} {
		b := newBench(t, tune{starts: starts})
		for _, route := range append(b.routes(), "GET /no/such/route", "DELETE /v1/pick", "HEAD /v1/head", "OPTIONS /v1/pick", "PROPFIND /", "CONNECT /") {
			method, pattern, _ := strings.Cut(route, " ")
			for _, as := range []string{"-", "admin"} {
				r := httptest.NewRequestWithContext(t.Context(), method, path(pattern), strings.NewReader(bodyFor(method)))
				r.Host = "evil.test"
				if as != "-" {
					r.Header.Set("Authorization", "Bearer "+b.token[as])
				}
				b.serve(r).problem(http.StatusMisdirectedRequest, "misdirected_request")
			}
		}
		if n := len(b.records()); n > 2 {
			t.Errorf("%d records", n)
		}
	}
}

// TestHostsOnTheWire sends what net/http's own clients would not.
func TestHostsOnTheWire(t *testing.T) {
	b := newBench(t, tune{options: func(o *api.Options) { o.AllowedHosts = nil }})
	addr := b.listen()
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"its own host", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\n", 200},
		{"another", "GET /healthz HTTP/1.1\r\nHost: evil.test\r\n", 421},
		{"none, HTTP/1.0", "GET /healthz HTTP/1.0\r\n", 421},
		{"none", "GET /healthz HTTP/1.1\r\n", 400},
		{"two", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\nHost: evil.test\r\n", 400},
		{"two of the same", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\nHost: " + addr + "\r\n", 400},
		{"absolute form", "GET http://" + addr + "/healthz HTTP/1.1\r\nHost: " + addr + "\r\n", 200},
		{"absolute form of another", "GET http://evil.test/healthz HTTP/1.1\r\nHost: " + addr + "\r\n", 421},
		{"absolute form with user", "GET http://" + addr + "@evil.test/healthz HTTP/1.1\r\nHost: " + addr + "\r\n", 421},
		{"forwarded host", "GET /healthz HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: " + addr + "\r\nForwarded: host=\"" + addr + "\"\r\n", 421},
		{"all of the server", "OPTIONS * HTTP/1.1\r\nHost: evil.test\r\n", 421},
		{"all of the server, its own", "OPTIONS * HTTP/1.1\r\nHost: " + addr + "\r\n", 404},
		{"a tunnel", "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n", 421},
		{"a tunnel to itself", "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n", 404},
		{"not a host", "GET /healthz HTTP/1.1\r\nHost: a b\r\n", 400},
	} {
		if got := say(t, addr, c.request+"Connection: close\r\n\r\n"); got.StatusCode != c.status {
			t.Errorf("%s: %s, want %d", c.name, got.Status, c.status)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for text, ok := range map[string]bool{
		"localhost": true, "abeyance.example.org": true, "a_b-c.d": true, "host:1": true, "host:65535": true, "192.0.2.1": true, "192.0.2.1:80": true,
		"[2001:db8::1]": true, "[2001:db8::1]:80": true, "UPPER.example": true,
		"": false, "host:": false, "host:0": false, "host:65536": false, "host:x": false, ":80": false, "host.": false, "*.example.org": false,
		"http://host": false, "host/path": false, "a b": false, "2001:db8::1": false, "[2001:db8::1": false, "[host]": false, "0.0.0.0": false, "[::]": false,
		"[2001:0db8::1]": false, "[fe80::1%eth0]": false, "user@host": false, "hôst": false, "host:80:80": false, "[::1]x": false,
	} {
		if err := api.CheckHost(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := api.New(api.Options{Tokens: newBench(t).tokens, AllowedHosts: []string{"*"}}); err == nil {
		t.Error("a server with a host that is none was made")
	}
}

func TestHostOfAnAddressToListenOn(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8417": "127.0.0.1", "10.0.0.5:1": "10.0.0.5", "[2001:db8::1]:1": "[2001:db8::1]", "abeyance.example.org:1": "abeyance.example.org",
		"[fe80::1%eth0]:1": "[fe80::1]", "[::ffff:10.0.0.5]:1": "10.0.0.5",
		":8417": "", "0.0.0.0:1": "", "[::]:1": "", "unix:/x": "", "x": "",
	} {
		if got, ok := api.HostOf(addr); got != want && ok || ok != (want != "") {
			t.Errorf("%s: %q, %t, want %q", addr, got, ok, want)
		}
	}
}

// TestEveryHostOfOursIsTaken: what newHosts is given it takes, and nothing near it.
func TestEveryHostOfOursIsTaken(t *testing.T) {
	for _, host := range []string{"abeyance.example.org", "192.0.2.1", "[2001:db8::1]"} {
		b := newBench(t, tune{options: func(o *api.Options) { o.AllowedHosts = []string{host} }})
		for _, ok := range []string{host, host + ":8417", strings.ToUpper(host)} {
			b.addressed(http.MethodGet, ok, 8417).want(http.StatusOK)
		}
		for i := range host {
			near := host[:i] + "x" + host[i+1:]
			if near != host {
				b.addressed(http.MethodGet, fmt.Sprint(near, ":8417"), 8417).want(http.StatusMisdirectedRequest)
			}
		}
	}
}
