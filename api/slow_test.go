package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
)

// away is a connection of a peer at an address.
type away struct {
	net.Conn
	addr string
}

func (c away) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.addr))
}

// dial connects to the server from an address.
func (l *live) dial(addr string) net.Conn {
	l.t.Helper()
	conn, there := net.Pipe()
	l.net.conns <- away{there, addr}
	l.t.Cleanup(func() { conn.Close() })
	return conn
}

// drip writes a text, a byte a second, until nobody takes it.
func drip(conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := conn.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// untilClosed reads all there is to read, and says how long it took.
func untilClosed(conn net.Conn) (string, time.Duration) {
	began := time.Now()
	text, _ := io.ReadAll(conn) // the end is what is waited for
	return string(text), time.Since(began)
}

// TestSlowHeadersAreCutOff, however they come.
func TestSlowHeadersAreCutOff(t *testing.T) {
	for name, begin := range map[string]string{
		"nothing": "", "a byte a second": "GET /healthz HTTP/1.1\r\nHost: x\r\n", "headers without end": "GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 100),
	} {
		streaming(t, tune{}, func(l *live) {
			conn := l.dial("192.0.2.1:1")
			var dripping sync.WaitGroup
			dripping.Go(func() { drip(conn, begin) })
			text, took := untilClosed(conn)
			dripping.Wait()
			if took < 4*time.Second || took > 6*time.Second || strings.Contains(text, "200 OK") {
				t.Errorf("%s: cut off after %s with %q, want 5 s", name, took, text)
			}
			l.get("/healthz").want(http.StatusOK)
		})
	}
}

// TestSlowBodiesAreCutOff with an answer, and nothing of them is done.
func TestSlowBodiesAreCutOff(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		before := len(l.records())
		conn := l.dial("192.0.2.1:1")
		body := `{"account":"a1","reason":"r","forever":true}`
		var dripping sync.WaitGroup
		dripping.Go(func() {
			fmt.Fprintf(conn, "POST /v1/suspend HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
				l.token["admin"], len(body))
			drip(conn, body)
		})
		text, took := untilClosed(conn)
		dripping.Wait()
		if !strings.HasPrefix(text, "HTTP/1.1 408 ") || !strings.Contains(text, `"code":"request_timeout"`) || took > 16*time.Second {
			t.Errorf("after %s: %q", took, text)
		}
		if n := len(l.records()); n != before {
			t.Error("half a body was executed")
		}
	})
}

// TestAnswersDoNotWaitForBodies that nobody reads, however slowly they come.
func TestAnswersDoNotWaitForBodies(t *testing.T) {
	for name, c := range map[string]struct {
		line, headers string // of the request; TOKEN(NAME) is a token
		status        int
	}{
		"no token":           {"POST /v1/suspend", "Host: x", 401},
		"the wrong scope":    {"POST /v1/suspend", "Host: x\r\nAuthorization: Bearer TOKEN(read)", 403},
		"another site":       {"POST /v1/suspend", "Host: x\r\nSec-Fetch-Site: cross-site", 403},
		"another host":       {"POST /v1/suspend", "Host: evil.example", 421},
		"no such route":      {"POST /nope", "Host: x", 404},
		"no such method":     {"DELETE /v1/pick", "Host: x", 405},
		"the wrong type":     {"POST /v1/suspend", "Host: x\r\nAuthorization: Bearer TOKEN(admin)\r\nContent-Type: text/plain", 415},
		"a body for nothing": {"GET /healthz", "Host: x", 200},
	} {
		for _, length := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
			streaming(t, tune{}, func(l *live) {
				headers := c.headers
				for of, token := range l.token {
					headers = strings.ReplaceAll(headers, "TOKEN("+of+")", token)
				}
				conn := l.dial("192.0.2.1:1")
				began := time.Now()
				var dripping sync.WaitGroup
				dripping.Go(func() {
					fmt.Fprintf(conn, "%s HTTP/1.1\r\n%s\r\n%s\r\n\r\n", c.line, headers, length)
					drip(conn, strings.Repeat("1", 100))
				})
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if took := time.Since(began); err != nil || res.StatusCode != c.status || !res.Close || took > time.Second {
					t.Errorf("%s, %s: after %s: %v, %v", name, length, took, res, err)
				}
				if _, took := untilClosed(conn); took > time.Second {
					t.Errorf("%s, %s: the connection is closed after %s more", name, length, took)
				}
				dripping.Wait()
			})
		}
	}
}

// TestConnectionsOutliveBodiesThatNobodyReads, if they are short and there.
func TestConnectionsOutliveBodiesThatNobodyReads(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		conn := l.dial("192.0.2.1:1")
		answers := bufio.NewReader(conn)
		for _, pause := range []time.Duration{0, 100 * time.Millisecond, 0} {
			began := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() {
				_, _ = io.WriteString(conn, "POST /v1/suspend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
				time.Sleep(pause)
				_, _ = io.WriteString(conn, "{}")
			})
			res, err := http.ReadResponse(answers, nil)
			if err != nil || res.StatusCode != http.StatusUnauthorized || res.Close || time.Since(began) > pause {
				t.Fatalf("after %s: %v, %v", time.Since(began), res, err)
			}
			if _, err := io.ReadAll(res.Body); err != nil {
				t.Fatal(err)
			}
			sending.Wait()
			time.Sleep(20 * time.Second) // what bounds a request bounds no connection
		}
	})
}

// TestAnswersDoNotAskForBodies that a client holds back until it is asked.
func TestAnswersDoNotAskForBodies(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		conn := l.dial("192.0.2.1:1")
		if _, err := io.WriteString(conn, "POST /v1/suspend HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusUnauthorized || time.Since(began) > time.Second {
			t.Errorf("after %s: %v, %v", time.Since(began), res, err)
		}
	})
}

// TestAnswersThatNobodyTakesAreCutOff within 10 s.
func TestAnswersThatNobodyTakesAreCutOff(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		conn := l.dial("192.0.2.1:1")
		if _, err := fmt.Fprintf(conn, "GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", l.token["admin"]); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if text, took := untilClosed(conn); took > time.Second || strings.HasSuffix(strings.TrimSpace(text), "}") {
			t.Errorf("after %s more: %d bytes", took, len(text))
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	streaming(t, tune{}, func(l *live) {
		conn := l.dial("192.0.2.1:1")
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(err)
		}
		if _, took := untilClosed(conn); took < 59*time.Second || took > 61*time.Second {
			t.Errorf("closed after %s, want 60 s", took)
		}
	})
}

// TestMalformedRequests: too much, and what front ends and servers read differently.
func TestMalformedRequests(t *testing.T) {
	b := newBench(t)
	addr := b.listen()
	authorized := "POST /v1/clear HTTP/1.1\r\nHost: " + addr + "\r\nAuthorization: Bearer " + b.token["admin"] + "\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"a long header", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 431},
		{"many headers", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\n" + strings.Repeat("X: y\r\n", 10_000) + "\r\n", 431},
		{"a long path", "GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1\r\nHost: " + addr + "\r\n\r\n", 431},
		{"a long body", authorized + "Content-Length: 9999999999\r\n\r\n", 413},
		{"a body of no length", authorized + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 17), 413},
		{"a chunk without end", authorized + "Transfer-Encoding: chunked\r\n\r\n" + "7fffffffffffffff\r\n" + strings.Repeat(" ", 1<<20+1), 413},
		{"a chunk of no length", authorized + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
		{"a long chunk extension", authorized + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 64<<10) + "\r\n{\r\n0\r\n\r\n", 400},
		{"deep nesting", authorized + "Content-Length: 200000\r\n\r\n" + strings.Repeat("[", 200_000), 400},
		{"deep nesting in a member", authorized + "Content-Length: 200011\r\n\r\n" + `{"account":` + strings.Repeat("[", 200_000), 400},
		{"two lengths", authorized + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400},
		{"a signed length", authorized + "Content-Length: +2\r\n\r\n{}", 400},
		{"two encodings", authorized + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501},
		{"an unknown encoding", authorized + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"a space before the colon", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length : 5\r\n\r\n", 400},
		{"a control character in a header", "GET /healthz HTTP/1.1\r\nHost: " + addr + "\r\nX: a\x00b\r\n\r\n", 400},
		{"HTTP/9.9", "GET /healthz HTTP/9.9\r\nHost: " + addr + "\r\n\r\n", 505},
		{"no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
	} {
		if a := told(t, say(t, addr, c.request)); a.status != c.status {
			t.Errorf("%s: %d, want %d: %.200s", c.name, a.status, c.status, a.body)
		}
	}
	if n := len(b.records()); n != 2 {
		t.Errorf("%d records, want the two of the start", n)
	}
	// Both a length and chunks: the chunks count, and what follows them is a request of
	// its own, which needs a token of its own.
	smuggled := "GET /v1/tokens HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\n\r\n"
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, authorized+fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n%s", 17+len(smuggled), smuggled)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "HTTP/1.1 400 ") || strings.Contains(string(text), `"items"`) || strings.Contains(string(text), "HTTP/1.1 200") {
		t.Errorf("the smuggled request was answered: %s", text)
	}
}

// TestConnectionsOfOnePeerAreBounded, but for this machine and trusted proxies.
func TestConnectionsOfOnePeerAreBounded(t *testing.T) {
	options := func(o *api.Options) { o.MaxConnectionsPerPeer, o.TrustedProxies = 3, inside() }
	ask := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			_, err = io.ReadAll(res.Body)
		}
		return err
	}
	streaming(t, tune{options: options}, func(l *live) {
		for _, c := range []struct {
			name    string
			addr    string // with %d
			bounded bool
		}{
			{"IPv4", "192.0.2.1:%d", true},
			{"another", "192.0.2.2:%d", true},
			{"one /64", "[2001:67c::%d]:1", true},
			{"this machine", "127.0.0.1:%d", false},
			{"this machine, IPv6", "[::1]:%d", false},
			{"a trusted proxy", "10.0.0.1:%d", false},
		} {
			var open []net.Conn
			for i := range 6 {
				conn := l.dial(fmt.Sprintf(c.addr, i+1))
				open = append(open, conn)
				if err := ask(conn); (err == nil) != (!c.bounded || i < 3) {
					t.Errorf("%s: connection %d: %v", c.name, i+1, err)
				}
			}
			for _, conn := range open {
				conn.Close()
			}
			time.Sleep(time.Millisecond) // of the bubble: the server notices
			again := l.dial(fmt.Sprintf(c.addr, 9))
			if err := ask(again); err != nil {
				t.Errorf("%s: after the others are closed: %v", c.name, err)
			}
			again.Close()
		}
		time.Sleep(time.Millisecond)
		if n := l.server.OpenConnections(); n != 0 {
			t.Errorf("%d peers are still counted", n)
		}
		if n := l.figure("abeyance_http_connections_refused_total"); n != "9" {
			t.Errorf("%s refusals are counted, want 9", n)
		}
		if n := strings.Count(l.logs.String(), "connections are refused"); n != 1 {
			t.Errorf("%d lines tell of refusals in one moment", n)
		}
	})
}
