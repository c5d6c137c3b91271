package main

import (
	"fmt"
	"time"
)

// How progress is shown: not for what is done in a moment, and not more often than
// eyes follow.
const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

// progress counts records on a terminal's stderr while a log is read.
type progress struct {
	env   *environment
	what  string
	n     int
	next  time.Time
	shown bool
}

// newProgress starts to count; what is the work, as in "checking the log".
func (env *environment) newProgress(what string) *progress {
	return &progress{env: env, what: what, next: time.Now().Add(progressAfter)}
}

// step counts one record.
func (p *progress) step() {
	p.n++
	if p.n%1024 != 0 || p.env.quiet {
		return
	}
	if now := time.Now(); now.After(p.next) && isTerminal(p.env.err) {
		p.next, p.shown = now.Add(progressEvery), true
		fmt.Fprintf(p.env.err, "\r%s: %d records", p.what, p.n)
	}
}

// done takes the line away.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.env.err, "\r\x1b[K")
	}
}
