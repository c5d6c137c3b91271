package stream

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"
)

// client reads one stream.
type client struct {
	ledger
	conn  net.Conn
	lines *bufio.Reader
	bytes int64
	ended bool // the last record has come
	lossy bool
	lost  bool // the frame that a lossy client throws away
	err   error
}

// grace bounds the wait for a line: heartbeats come every 15 s.
const grace = 40 * time.Second

// line returns the next line without its end, good until the next call.
func (c *client) line() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(grace)); err != nil {
		return nil, err
	}
	line, err := c.lines.ReadSlice('\n')
	c.bytes += int64(len(line))
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// lastReason marks the last record.
const lastReason = "the last record"

// read takes frames until the last one.
func (c *client) read() error {
	defer c.conn.Close()
	for !c.ended {
		line, err := c.line()
		if err != nil {
			return err
		}
		if err := c.take(line); err != nil {
			return err
		}
	}
	return nil
}

// take notes the record of a frame when it has come whole.
func (c *client) take(line []byte) error {
	data, ok := bytes.CutPrefix(line, []byte(`data: {"seq":`))
	if !ok {
		return nil
	}
	end := bytes.IndexByte(data, ',')
	if end < 0 || data[len(data)-1] != '}' {
		return fmt.Errorf("no record: %q", line)
	}
	seq, err := strconv.ParseUint(string(data[:end]), 10, 64)
	if err != nil {
		return err
	}
	if c.lossy && !c.lost && c.Frames == 3 {
		c.lost = true
		return nil
	}
	c.note(seq)
	c.ended = bytes.Contains(data, []byte(`"reason":"`+lastReason+`"`))
	return nil
}
