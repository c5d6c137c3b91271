package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events/boltlog"
)

// How a stream is followed.
const (
	// streamSilence is how long a daemon may say nothing: it sends a heartbeat every 15 s.
	streamSilence = 45 * time.Second
	// The pause before connecting again, which doubles.
	firstPause, lastPause = 100 * time.Millisecond, 5 * time.Second
)

var errSilent = errors.New("the daemon has said nothing for " + streamSilence.String())

// stream follows the live history of a daemon, also through its restarts.
type stream struct {
	env   *environment
	find  func() (*client, error) // asked anew each time: the address may be another one
	query url.Values
	// opened is told after which record the stream begins, when it does. May be nil.
	opened func(after string)
	// heard is told of whatever the daemon says, heartbeats included. May be nil.
	heard func()

	last   string // the newest id; empty: none yet
	begun  bool
	broken bool // and that was said
}

// rows yields records as they come, each once. It ends with the context's error, and
// with one that connecting again cannot mend; before it was connected once, with any.
func (s *stream) rows(ctx context.Context) iter.Seq2[api.EventRow, error] {
	return func(yield func(api.EventRow, error) bool) {
		pause := firstPause
		for {
			goOn := true
			err := s.connect(ctx, func(row api.EventRow) bool {
				pause = firstPause
				goOn = yield(row, nil)
				return goOn
			})
			switch {
			case !goOn:
				return
			case ctx.Err() != nil:
				err = ctx.Err()
			case s.begun && passes(err):
				err = s.pause(ctx, pause, err)
				pause = min(2*pause, lastPause)
			}
			if err != nil {
				yield(api.EventRow{}, err)
				return
			}
		}
	}
}

// pause waits before connecting again, and says why once.
func (s *stream) pause(ctx context.Context, d time.Duration, why error) error {
	if !s.broken {
		s.broken = true
		s.env.say("%v; connecting again", why)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// passes reports whether an error may be gone when the daemon is back.
func passes(err error) bool {
	if p, ok := errors.AsType[*problemError](err); ok {
		return p.Status >= http.StatusInternalServerError
	}
	_, misused := errors.AsType[*usageError](err)
	_, decided := errors.AsType[*exitError](err)
	_, missing := errors.AsType[*boltlog.MissingError](err)
	return !misused && !decided && !missing
}

// connect follows until the connection ends, and says why, or until take returns false.
func (s *stream) connect(ctx context.Context, take func(api.EventRow) bool) error {
	c, err := s.find()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	body, err := c.stream(ctx, s.query, s.last)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxInput)
	var b block
	for lines.Scan() {
		silence.Reset(streamSilence)
		if !b.line(lines.Text()) {
			continue
		}
		goOn, err := s.take(b, take)
		if err != nil || !goOn {
			return err
		}
		b = block{}
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the stream broke: %w", err)
	}
	return errors.New("the daemon is gone")
}

// take handles a block of the stream.
func (s *stream) take(b block, take func(api.EventRow) bool) (goOn bool, err error) {
	if b.id != "" {
		s.last = b.id
	}
	if after, ok := strings.CutPrefix(b.comment, "after record "); ok {
		s.open(after)
	}
	if why, ok := strings.CutPrefix(b.comment, "end: "); ok {
		return false, fmt.Errorf("the daemon ended the stream: %s", why)
	}
	if s.heard != nil {
		s.heard()
	}
	if b.data == "" {
		return true, nil
	}
	var row api.EventRow
	if err := json.Unmarshal([]byte(b.data), &row); err != nil {
		return false, &exitError{exitFailure, fmt.Errorf("a record of the stream cannot be read: %w", err)}
	}
	return take(row), nil
}

// open notes that the stream has begun, or begun again.
func (s *stream) open(after string) {
	if s.broken {
		s.env.say("connected again, going on after record %s", after)
	}
	if !s.begun && s.opened != nil {
		s.opened(after)
	}
	s.begun, s.broken = true, false
}

// block is what stands between two empty lines of a stream of server-sent events.
type block struct{ id, data, comment string }

// line takes a line and reports whether it ends the block. Fields that Abeyance does
// not send are passed over, as the format wants.
func (b *block) line(text string) (whole bool) {
	field, value, _ := strings.Cut(text, ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case text == "":
		return true
	case field == "":
		b.comment = value
	case field == "id":
		b.id = value
	case field == "data":
		b.data += value
	}
	return false
}

// stream opens a stream after the record of an id, or where the query says.
func (c *client) stream(ctx context.Context, query url.Values, last string) (io.ReadCloser, error) {
	req, err := c.request(ctx, get("/v1/events/stream", query))
	if err != nil {
		return nil, err
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	endless := *c.http
	endless.Timeout = 0
	res, err := endless.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		return nil, readProblem(res)
	}
	if media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || media != "text/event-stream" {
		return nil, errors.Join(fmt.Errorf("the server at %s answers otherwise than Abeyance does: is the URL right?", c.address()), res.Body.Close())
	}
	return res.Body, nil
}
