package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// pipes is a network in memory, without buffers: what nobody reads is not written.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// live is a bench whose server is served on pipes, in a bubble.
type live struct {
	*bench
	http *http.Server
	net  *pipes
}

// streaming runs a test in a bubble, on a server with two accounts in its pool. The
// clock of the engine stands still; that of the network is the bubble's.
func streaming(t *testing.T, o tune, f func(l *live)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, o)
		l := &live{b, api.NewHTTPServer(b.server.Handler(), nil), &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
		go l.http.Serve(l.net)
		defer l.http.Close()
		b.pool()
		f(l)
	})
}

// reader is a client of a stream.
type reader struct {
	t     testing.TB
	conn  net.Conn
	res   *http.Response
	lines *bufio.Scanner
}

// ask sends a request for a stream and reads the headers of the answer.
func (l *live) ask(query string, headers ...string) *reader {
	l.t.Helper()
	return l.askAs("admin", query, headers...)
}

func (l *live) askAs(token, query string, headers ...string) *reader {
	l.t.Helper()
	conn, there := net.Pipe()
	l.net.conns <- there
	l.t.Cleanup(func() { conn.Close() })
	lines := append([]string{"Host: x", "Authorization: Bearer " + l.token[token]}, headers...)
	_, err := fmt.Fprintf(conn, "GET /v1/events/stream%s HTTP/1.1\r\n%s\r\n\r\n", query, strings.Join(lines, "\r\n"))
	if err != nil {
		l.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return &reader{t: l.t, conn: conn, res: res, lines: bufio.NewScanner(res.Body)}
}

// follow is ask for a stream that begins.
func (l *live) follow(query string, headers ...string) *reader {
	l.t.Helper()
	r := l.ask(query, headers...)
	if r.res.StatusCode != http.StatusOK || r.res.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(r.res.Body)
		l.t.Fatalf("answered %d: %s", r.res.StatusCode, body)
	}
	if first := r.block(); len(first) == 0 || !strings.HasPrefix(first[0], ": after record ") {
		l.t.Fatalf("the stream begins with %q", first)
	}
	return r
}

// problem reads the answer to a request that is refused.
func (r *reader) problem(status int, code string) api.Problem {
	r.t.Helper()
	body, err := io.ReadAll(r.res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{r.t, r.res.StatusCode, r.res.Header, string(body), false}.problem(status, code)
}

// block reads the lines up to an empty one; nil at the end of the stream.
func (r *reader) block() []string {
	var block []string
	for r.lines.Scan() {
		if r.lines.Text() == "" {
			return block
		}
		block = append(block, r.lines.Text())
	}
	return nil
}

// row reads up to the next record. It fails for whatever is neither one nor a comment.
func (r *reader) row() api.EventRow {
	r.t.Helper()
	for range 20 { // heartbeats: minutes
		block := r.block()
		if block == nil {
			r.t.Fatal("the stream has ended")
		}
		if !strings.HasPrefix(block[0], ": ") {
			return r.parse(block)
		}
	}
	r.t.Fatal("no record comes")
	return api.EventRow{}
}

func (r *reader) parse(block []string) api.EventRow {
	r.t.Helper()
	if len(block) != 2 || !strings.HasPrefix(block[0], "id: ") || !strings.HasPrefix(block[1], "data: ") {
		r.t.Fatalf("no frame: %q", block)
	}
	row := decode[api.EventRow](answer{t: r.t, body: block[1][len("data: "):]})
	if block[0] != "id: "+strconv.FormatUint(row.Seq, 10) {
		r.t.Errorf("%s of record %d", block[0], row.Seq)
	}
	return row
}

// seqs reads the seqs of the next n records.
func (r *reader) seqs(n int) []uint64 {
	r.t.Helper()
	var list []uint64
	for range n {
		list = append(list, r.row().Seq)
	}
	return list
}

// end reads to the end of the stream and returns the last comment.
func (r *reader) end() string {
	r.t.Helper()
	last := ""
	for {
		block := r.block()
		if block == nil {
			return last
		}
		last = block[0]
	}
}

// suspend appends n records about an account.
func (b *bench) suspend(account string, n int) {
	b.t.Helper()
	for range n {
		reason := fmt.Sprint("after record ", b.engine.State().Head().Seq) // each changes something
		_, err := b.engine.Execute(b.t.Context(), projection.Command{
			Origin: events.Origin{Actor: "operator:t", Via: events.ViaGo},
			Do:     &projection.Suspend{Filter: projection.Filter{Account: account, Target: "*"}, Reason: reason, Forever: true},
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// upTo lists the seqs from one to another.
func upTo(first, last uint64) []uint64 {
	var list []uint64
	for seq := first; seq <= last; seq++ {
		list = append(list, seq)
	}
	return list
}

// wantSeqs fails unless the next records are those.
func (r *reader) wantSeqs(want ...uint64) {
	r.t.Helper()
	if got := r.seqs(len(want)); !slices.Equal(got, want) {
		r.t.Fatalf("records %v, want %v", got, want)
	}
}

// figure is the value of a metric without labels.
func (b *bench) figure(name string) string {
	b.t.Helper()
	for line := range strings.Lines(b.get("/metrics").want(http.StatusOK).body) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return value
		}
	}
	b.t.Fatalf("no metric %s", name)
	return ""
}

// items are the records as GET /v1/events lists them, oldest first.
func (b *bench) items() []json.RawMessage {
	b.t.Helper()
	return decode[api.Page[json.RawMessage]](b.get("/v1/events?order=asc&page_size=1000").want(http.StatusOK)).Items
}
