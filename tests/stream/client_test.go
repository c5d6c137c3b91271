package stream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/abeyance/abeyance/tests/child"
)

// clients are what the other process is to do.
type clients struct {
	Addr, Token string
	Live        int // read everything
	Stalled     int // take nothing after the beginning
	Lossy       int // read everything and throw one frame away
}

// report is what the other process has seen.
type report struct {
	Live  []ledger
	Lossy []ledger
	Bytes int64 // of the streams that were read
}

// follow is the other process. It is ready once every stream has begun, and when every
// reader has come to the last record it writes a report.
func (c clients) follow() error {
	all := make([]*client, c.Live+c.Stalled+c.Lossy)
	for i := range all {
		var err error
		if all[i], err = connect(c.Addr, c.Token); err != nil {
			return err
		}
		all[i].lossy = i >= c.Live+c.Stalled
		if c.Live <= i && i < c.Live+c.Stalled {
			// Else this kernel would take megabytes for it, and the server could not know.
			if err := all[i].conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				return err
			}
		}
	}
	child.Ready("")
	readers := append(all[:c.Live:c.Live], all[c.Live+c.Stalled:]...)
	var wg sync.WaitGroup
	for _, x := range readers {
		wg.Go(func() { x.err = x.read() })
	}
	wg.Wait()
	var out report
	for _, x := range readers {
		if x.err != nil {
			return fmt.Errorf("a reader at record %d: %w", x.Last, x.err)
		}
		out.Bytes += x.bytes
		if x.lossy {
			out.Lossy = append(out.Lossy, x.ledger)
		} else {
			out.Live = append(out.Live, x.ledger)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// connect opens a stream and reads where it begins.
func connect(addr, token string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "GET /v1/events/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", addr, token)
	if err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("a stream was answered %s", res.Status)
	}
	x := &client{conn: conn, lines: bufio.NewReaderSize(res.Body, 16<<10)}
	for {
		line, err := x.line()
		if err != nil {
			return nil, err
		}
		if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			x.Last, err = strconv.ParseUint(string(id), 10, 64)
			return x, err
		}
	}
}
