package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/abeyance/abeyance/tests/child"
)

// figures are what the clients saw.
type figures struct {
	Asked, Errors int
	First         string // of the errors
	P50, P99, Max time.Duration
}

// client is one connection.
type client struct {
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	due     chan time.Time // when each request is to go out
	took    []time.Duration
	errs    []error
}

// patience bounds the wait for one answer.
const patience = 20 * time.Second

// picks asks in an open loop, once every connection was served one pick. It says "ready"
// then, begins when it is told to, and ends with its figures.
func (j *job) picks() error {
	all, err := j.connect()
	if err != nil {
		return err
	}
	child.Ready("")
	if err := child.Await(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(c.run)
	}
	n := int(float64(j.Rate) * j.Seconds)
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(j.Rate))
		time.Sleep(time.Until(due))
		all[i%len(all)].due <- due
	}
	for _, c := range all {
		close(c.due)
	}
	wg.Wait()
	return json.NewEncoder(os.Stdout).Encode(sum(all))
}

// connect opens the connections, some at a time.
func (j *job) connect() ([]*client, error) {
	const atOnce = 64
	all := make([]*client, j.Conns)
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for w := range atOnce {
		wg.Go(func() {
			for i := w; i < len(all) && errs[w] == nil; i += atOnce {
				if all[i], errs[w] = j.dial(); errs[w] == nil {
					errs[w] = all[i].ask()
				}
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func (j *job) dial() (*client, error) {
	conn, err := net.DialTimeout("tcp", j.Addr, patience)
	if err != nil {
		return nil, err
	}
	const body = `{"provider":"antigravity","model":"claude-opus-4-6"}`
	return &client{
		conn: conn, answers: bufio.NewReaderSize(conn, 1<<10), due: make(chan time.Time, 64),
		request: fmt.Appendf(nil, "POST /v1/pick HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			j.Addr, j.Token, len(body), body),
	}, nil
}

// run asks when it is due. Time counts from then, however late it is.
func (c *client) run() {
	defer c.conn.Close()
	for due := range c.due {
		if err := c.ask(); err != nil {
			c.errs = append(c.errs, err)
			continue // the next ones fail too, and are counted
		}
		c.took = append(c.took, time.Since(due))
	}
}

// ask sends a request and reads its answer, which must name an account.
func (c *client) ask() error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	length, line := -1, []byte(nil)
	for first := true; first || len(line) > 0; first = false {
		var err error
		if line, err = c.answers.ReadSlice('\n'); err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answered %q", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 || length > 1<<10 {
		return fmt.Errorf("an answer of %d bytes", length)
	}
	body, err := c.answers.Peek(length)
	if err != nil {
		return err
	}
	if !bytes.Contains(body, []byte(`"account":"a`)) {
		return fmt.Errorf("an answer without an account: %s", body)
	}
	_, err = c.answers.Discard(length)
	return err
}

func sum(all []*client) (f figures) {
	var took []time.Duration
	for _, c := range all {
		took = append(took, c.took...)
		f.Errors += len(c.errs)
		if len(c.errs) > 0 && f.First == "" {
			f.First = c.errs[0].Error()
		}
	}
	f.Asked = len(took) + f.Errors
	if slices.Sort(took); len(took) > 0 {
		f.P50, f.P99, f.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return f
}
