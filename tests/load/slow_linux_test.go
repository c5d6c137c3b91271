package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/abeyance/abeyance/tests/child"
)

// cuts are what became of the slow.
type cuts struct {
	Closed   int // by the server
	Answered int // with 408
	Longest  time.Duration
}

// slow opens connections that send a byte a second, until the server closes them. It says
// "ready" once all are open.
func (j *job) slow() error {
	begin := fmt.Sprintf("POST /v1/pick HTTP/1.1\r\nHost: %s\r\n", j.Addr)
	if j.Bodies {
		begin += fmt.Sprintf("Authorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", j.Token)
	} else {
		begin += "X-Slow: "
	}
	var c cuts
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range j.Conns {
		conn, err := net.DialTimeout("tcp", j.Addr, patience)
		if err != nil {
			return err
		}
		wg.Go(func() {
			text, took := drip(conn, begin)
			mu.Lock()
			defer mu.Unlock()
			if took < patience {
				c.Closed++
			}
			if bytes.HasPrefix(text, []byte("HTTP/1.1 408 ")) {
				c.Answered++
			}
			c.Longest = max(c.Longest, took)
		})
	}
	child.Ready("")
	wg.Wait()
	return json.NewEncoder(os.Stdout).Encode(c)
}

// drip begins a request, goes on with a byte a second, and returns what came back until
// the server closed the connection, and how long that took; patience if it did not.
func drip(conn net.Conn, begin string) (text []byte, took time.Duration) {
	began := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = conn.SetReadDeadline(began.Add(patience))
		text, _ = io.ReadAll(conn)
		took = time.Since(began)
	}()
	_, err := io.WriteString(conn, begin)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for err == nil {
		select {
		case <-tick.C:
			_, err = conn.Write([]byte("x"))
		case <-ended:
			err = io.EOF
		}
	}
	<-ended
	conn.Close()
	return text, took
}
