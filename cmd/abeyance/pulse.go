package main

import (
	"context"
	"net/url"
	"time"
)

// pulse tells when the answer of a daemon may have become another: whenever its stream
// says something. A record is such a word, and so is the heartbeat, every 15 s, after
// which also what makes no record is seen.
type pulse struct {
	// beat has a value in it while something was said that nobody has taken.
	beat chan struct{}
	// said are the troubles of the stream, for people: lines with their ends. A stream that
	// breaks is connected to again.
	said chan string
	// end gets why the stream ended for good, once.
	end chan error

	ctx  context.Context // of the following
	stop context.CancelFunc
}

// feel follows the stream that a query asks for, until close is called.
func (env *environment) feel(ctx context.Context, query url.Values) *pulse {
	p := &pulse{beat: make(chan struct{}, 1), said: make(chan string), end: make(chan error, 1)}
	p.ctx, p.stop = context.WithCancel(ctx)
	own := *env
	own.err = p
	s := &stream{env: &own, find: own.daemon, query: query, heard: p.heard}
	go func() {
		defer close(p.end)
		for _, err := range s.rows(p.ctx) {
			if err != nil {
				p.end <- err
			}
		}
	}()
	return p
}

func (p *pulse) heard() {
	select {
	case p.beat <- struct{}{}:
	default: // there is something to take already
	}
}

// Write implements io.Writer for what the stream says of itself.
func (p *pulse) Write(text []byte) (int, error) {
	select {
	case p.said <- string(text):
	case <-p.ctx.Done():
	}
	return len(text), nil
}

// close ends it, and waits until it has.
func (p *pulse) close() {
	p.stop()
	for range p.end {
	}
}

// answerTime is how long one answer may take while somebody looks on.
const answerTime = 30 * time.Second

// calm is how long at least lies between two questions: a burst of records is one change.
const calm = 200 * time.Millisecond

// pace lets a question through at once, and then one for every calm, or for four times as
// long as the answer took: to look on must not be a burden.
type pace struct {
	last time.Time
	took time.Duration
}

// wait returns how long the next question has to wait.
func (p *pace) wait() time.Duration { return max(0, max(calm, 4*p.took)-time.Since(p.last)) }

// asked notes a question that was begun at an instant, and is answered now.
func (p *pace) asked(began time.Time) { p.last, p.took = time.Now(), time.Since(began) }
