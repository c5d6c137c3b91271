package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

// picture is an answer of the daemon that can be shown as of later instants.
type picture struct {
	answer any       // what it shows
	at     time.Time // the daemon's clock when it answered
	// paint prints it as of an instant.
	paint func(env *environment, now time.Time) error
	// frozen: what it shows of times was worded by the daemon, which must be asked anew for
	// another instant.
	frozen bool

	taken time.Time // our clock when it came
}

// now is the time on the daemon's clock.
func (p *picture) now() time.Time { return p.at.Add(time.Since(p.taken)) }

// live shows an answer again whenever it has become another: on a terminal in its place,
// with times that go on, else below the one before.
type live struct {
	env   *environment
	query url.Values // of the stream that tells when to ask
	fetch func(ctx context.Context) (*picture, error)

	screen  *screen // nil: no terminal
	shown   *picture
	printed []byte // what the newest block shows
	notice  string // the newest trouble, on a screen
}

// watchFlag is the flag of the commands that can do it.
const watchFlag = "watch"

// run shows until the context ends, which is its usual end, or until there is an error
// that asking again cannot mend.
func (l *live) run(ctx context.Context) error {
	if _, err := l.env.daemon(); err != nil {
		return err
	}
	var ticks <-chan time.Time
	if f, ok := l.env.out.(*os.File); ok && l.env.output == outputTable && isTerminal(f) && l.env.getenv("TERM") != "dumb" {
		l.screen = newScreen(f)
		defer l.leave()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		ticks = ticker.C
	}
	p := l.env.feel(ctx, l.query)
	defer p.close()
	err := l.follow(ctx, p, ticks)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *live) follow(ctx context.Context, p *pulse, ticks <-chan time.Time) error {
	var pace pace
	var due <-chan time.Time
	for {
		asks := false
		select {
		case <-p.beat:
			if due == nil {
				due = time.After(pace.wait())
			}
			continue
		case <-due:
			due, asks = nil, true
		case text := <-p.said:
			if l.notice = strings.TrimSpace(text); l.screen == nil {
				fmt.Fprint(l.env.err, text)
			}
		case <-ticks:
			asks = l.shown != nil && l.shown.frozen
		case err := <-p.end:
			return err
		}
		if asks {
			began := time.Now()
			err := l.ask(ctx)
			pace.asked(began)
			if err != nil && !passes(err) {
				return err
			}
		}
		if err := l.show(); err != nil {
			return err
		}
	}
}

// ask fetches the answer. Where that fails the one before stays: whatever is wrong, the
// stream notices it, too.
func (l *live) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	taken := time.Now()
	next, err := l.fetch(ctx)
	if err != nil {
		return err
	}
	next.taken = taken
	l.shown = next
	l.notice = ""
	return nil
}

// show draws on the screen, or prints a block if it shows something new.
func (l *live) show() error {
	if l.shown == nil {
		return nil
	}
	if l.screen != nil {
		text, err := l.text()
		if err != nil {
			return err
		}
		return l.screen.draw(text, l.notice)
	}
	content, err := timeless(l.shown.answer)
	if err != nil || bytes.Equal(content, l.printed) {
		return err
	}
	again := l.printed != nil
	l.printed = content
	switch l.env.output {
	case outputJSONL: // the lines of two lists would be one list
		return writeLine(l.env.out, l.shown.answer)
	case outputYAML:
		fmt.Fprintln(l.env.out, "---")
	case outputTable:
		if again {
			fmt.Fprintln(l.env.out)
		}
		fmt.Fprintln(l.env.out, l.shown.at.UTC().Format(time.RFC3339))
	}
	return l.shown.paint(l.env, l.shown.now())
}

// text is what the screen shows.
func (l *live) text() (string, error) {
	var b bytes.Buffer
	onto := *l.env
	onto.out, onto.err, onto.coloured, onto.quiet = &b, &b, true, false
	err := l.shown.paint(&onto, l.shown.now())
	return b.String(), err
}

// leave gives the terminal back, with what was shown last.
func (l *live) leave() {
	l.screen.close()
	if l.shown == nil {
		return
	}
	if text, err := l.text(); err == nil {
		_, _ = io.WriteString(l.env.out, text) // nobody is left to tell
	}
}

// timeless returns the contents of an answer without what goes on by itself: it is
// another only if something has happened.
func timeless(answer any) ([]byte, error) {
	doc, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return nil, err
	}
	strip(v)
	return json.Marshal(v)
}

// strip takes out the members that follow the clock or the log, and say nothing else.
func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"now", "as_of_seq", "head", "next_page_token", "sentence", "seconds", "sums"} {
			delete(v, name)
		}
		for _, member := range v {
			strip(member)
		}
	case []any:
		for _, item := range v {
			strip(item)
		}
	}
}
