package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// playing answers as a daemon does whose pool goes through states.
type playing struct {
	t      *testing.T
	states []string // what every route but the stream answers
	state  atomic.Int64
	asked  atomic.Int64 // how often
	// said is what the stream says next; the empty string ends it.
	said chan string
}

func (p *playing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/events/stream" {
		fmt.Fprint(w, p.states[p.state.Load()])
		p.asked.Add(1)
		return
	}
	streamRows(p.t, w)
	for {
		select {
		case text := <-p.said:
			if text == "" {
				return
			}
			fmt.Fprint(w, text)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// say has the stream say something, and waits until the daemon is asked after it.
func (p *playing) say(text string) {
	p.t.Helper()
	before := p.asked.Load()
	p.said <- text
	until(p.t, "a question", func() bool { return p.asked.Load() > before })
}

// turn changes the state, which is a record.
func (p *playing) turn() {
	p.t.Helper()
	p.state.Add(1)
	p.say("id: 8\ndata: {\"seq\":8}\n\n")
}

// show runs a command until stop is called, which returns its exit code.
func (p *playing) show(args string) (out, errs *lockedBuffer, stop func() int) {
	p.t.Helper()
	env, _, _ := facing(p.t, p.ServeHTTP)
	out, errs = new(lockedBuffer), new(lockedBuffer)
	env.out, env.err = out, errs
	ctx, interrupt := context.WithCancel(p.t.Context())
	ended := make(chan int, 1)
	go func() { ended <- env.run(ctx, strings.Fields(args)) }()
	until(p.t, "the first question", func() bool { return p.asked.Load() > 0 })
	return out, errs, func() int {
		interrupt()
		return <-ended
	}
}

// lockedBuffer may be read while it is written to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// until waits for something to become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("it did not come to this: %s", what)
		}
	}
}

// summaryOf is a pool at a glance, in a minute and at a record.
func summaryOf(usable, minute, seq int) string {
	back := "null"
	if usable < 2 {
		back = `"2026-11-23T00:10:00Z"`
	}
	return fmt.Sprintf(`{"as_of_seq":%d,"now":"2026-11-23T00:%02d:00Z","head":{"seq":%d},"accounts":{"total":2},
		"groups":[{"provider":"p","group":"g","usable":%d,"total":2,"first_back":%s}]}`, seq, minute, seq, usable, back)
}

func TestWatchedStatusIsShownAgainWhenItChanges(t *testing.T) {
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) }) // after the end of the server
	p := &playing{t: t, said: make(chan string), states: []string{
		summaryOf(2, 0, 7),
		summaryOf(2, 1, 8), // only the log has grown
		summaryOf(1, 2, 9),
		summaryOf(1, 3, 9),
		summaryOf(2, 4, 10),
	}}
	out, errs, stop := p.show("status --watch")
	p.turn()
	p.turn()
	p.say(": heartbeat\n\n")
	p.state.Add(1)
	p.say("") // it is connected to again, and asked; nothing has changed
	p.state.Add(1)
	p.say("") // while it was away something has
	until(t, "the last block", func() bool { return strings.Contains(out.String(), "record 10") })
	if code := stop(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	want := `2026-11-23T00:00:00Z
PROVIDER  GROUP  USABLE  BLOCKED  FIRST BACK  NEXT PROBE
p         g      2 of 2  -        -           -
2 accounts, 0 observed only, 0 disabled; groups version 0, policy version 0, log at record 7

2026-11-23T00:02:00Z
PROVIDER  GROUP  USABLE  BLOCKED  FIRST BACK  NEXT PROBE
p         g      1 of 2  -        in 8m       -
2 accounts, 0 observed only, 0 disabled; groups version 0, policy version 0, log at record 9

2026-11-23T00:04:00Z
PROVIDER  GROUP  USABLE  BLOCKED  FIRST BACK  NEXT PROBE
p         g      2 of 2  -        -           -
2 accounts, 0 observed only, 0 disabled; groups version 0, policy version 0, log at record 10
`
	if got := out.String(); got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
	if got := errs.String(); strings.Count(got, "connecting again") != 2 || strings.Count(got, "connected again") != 2 || strings.Contains(got, "interrupted") {
		t.Errorf("stderr: %s", got)
	}
}

func TestWatchingInEveryFormat(t *testing.T) {
	for format, want := range map[string]string{
		"json":  "\n}\n{\n", // one document after the other
		"jsonl": "\n{\"as_of_seq\":9,",
		"yaml":  "---\n",
	} {
		p := &playing{t: t, said: make(chan string), states: []string{summaryOf(2, 0, 7), summaryOf(1, 1, 9)}}
		out, _, stop := p.show("status -w -o " + format)
		p.turn()
		until(t, "two answers", func() bool { return strings.Count(out.String(), `as_of_seq`) == 2 })
		if code := stop(); code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d:\n%s", format, code, out.String())
		}
		if lines := strings.Count(out.String(), "\n"); format == "jsonl" && lines != 2 {
			t.Errorf("%d lines", lines)
		}
	}
}

// TestABurstIsOneChange: a thousand records in a moment are few questions.
func TestABurstIsOneChange(t *testing.T) {
	p := &playing{t: t, said: make(chan string), states: []string{summaryOf(2, 0, 7)}}
	_, _, stop := p.show("status -w")
	began := time.Now()
	for range 1000 {
		p.said <- "id: 8\ndata: {\"seq\":8}\n\n"
	}
	took := time.Since(began)
	if n, most := p.asked.Load(), int64(took/calm)+3; n > most {
		t.Errorf("%d questions within %s, at most %d wanted", n, took, most)
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestWatchingEndsWhereAgainIsOfNoUse: a token that is deleted, an account that is removed.
func TestWatchingEndsWhereAgainIsOfNoUse(t *testing.T) {
	for _, command := range []string{"status a1 -w", "why a1 -w", "episodes a1 -w", "wait a1 --for held"} {
		var gone atomic.Bool
		ended := make(chan struct{})
		code, _, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case gone.Load():
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprint(w, `{"status":401,"code":"unauthorized","detail":"the token is not known"}`)
			case r.URL.Path == "/v1/events/stream":
				streamRows(t, w)
				<-ended
			default:
				fmt.Fprint(w, `{"items":[],"cells":[],"status":"available"}`)
				gone.Store(true)
				close(ended)
			}
		}, strings.Fields(command)...)
		if code != exitAuth || !strings.Contains(errs, "the token is not known") {
			t.Errorf("%s: exit %d: %s", command, code, errs)
		}
	}
}

// TestWatchingGoesOnThroughTroubles that pass: a question that fails does not end it.
func TestWatchingGoesOnThroughTroubles(t *testing.T) {
	p := &playing{t: t, said: make(chan string), states: []string{
		summaryOf(2, 0, 7),
		"nonsense",
		summaryOf(1, 1, 9),
	}}
	out, _, stop := p.show("status -w -q")
	p.turn()
	p.turn()
	until(t, "the second block", func() bool { return strings.Contains(out.String(), "record 9") })
	if code := stop(); code != exitOK || strings.Count(out.String(), "PROVIDER") != 2 {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
}

func TestWhatOnlyFollowsTheClockIsNoChange(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"now":"x","as_of_seq":1,"head":{"seq":1},"sentence":"in 3 s"}`, `{"now":"y","as_of_seq":2,"head":{"seq":2},"sentence":"in 2 s"}`, true},
		{`{"items":[{"seconds":3,"ended":""}],"sums":[1]}`, `{"items":[{"seconds":4,"ended":""}],"sums":[2]}`, true},
		{`{"items":[{"seconds":3,"ended":""}]}`, `{"items":[{"seconds":3,"ended":"expired"}]}`, false},
		{`{"cells":[{"status":"cooling"}]}`, `{"cells":[{"status":"held"}]}`, false},
	} {
		a, err := timeless(jsonText(c.a))
		b, err2 := timeless(jsonText(c.b))
		if err != nil || err2 != nil || (string(a) == string(b)) != c.same {
			t.Errorf("%s and %s: %s, %s, %v %v", c.a, c.b, a, b, err, err2)
		}
	}
}

// jsonText is an answer as it came.
type jsonText string

func (j jsonText) MarshalJSON() ([]byte, error) { return []byte(j), nil }

func TestPagesOfAScreen(t *testing.T) {
	var b strings.Builder
	s := &screen{out: &b, size: func() (int, int) { return 80, 4 }}
	for _, c := range []struct{ text, note, want string }{
		{"a\nb\n", "", "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J"},
		{"1\n2\n3\n4\n", "", "\x1b[H1\x1b[K\n2\x1b[K\n3\x1b[K\n4\x1b[K\x1b[J"},
		{"1\n2\n3\n4\n5\n6\n", "", "\x1b[H1\x1b[K\n2\x1b[K\n3\x1b[K\nand 3 more lines\x1b[K\x1b[J"},
		{"1\n2\n3\n4\n5\n", "it\x1b[2Jbroke", "\x1b[H1\x1b[K\n2\x1b[K\n3\x1b[K\nit [2Jbroke\x1b[K\x1b[J"},
		{"1\n", "it broke", "\x1b[H1\x1b[K\n\x1b[K\nit broke\x1b[K\x1b[J"},
	} {
		b.Reset()
		if err := s.draw(c.text, c.note); err != nil || b.String() != c.want {
			t.Errorf("%q: %q, want %q; %v", c.text, b.String(), c.want, err)
		}
	}
	b.Reset()
	s.size = func() (int, int) { return 0, 0 } // not known: nothing is left out
	if err := s.draw(strings.Repeat("x\n", 100), ""); err != nil || strings.Count(b.String(), "x") != 100 {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestQuestionsAreNotABurden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		if got := p.wait(); got != 0 {
			t.Errorf("the first waits %s", got)
		}
		for took, want := range map[time.Duration]time.Duration{0: calm, 10 * time.Millisecond: calm, time.Second: 4 * time.Second} {
			began := time.Now()
			time.Sleep(took)
			p.asked(began)
			time.Sleep(50 * time.Millisecond)
			if got := p.wait(); got != want-50*time.Millisecond {
				t.Errorf("after %s: %s, want %s", took, got, want)
			}
			time.Sleep(time.Hour)
			if got := p.wait(); got != 0 {
				t.Errorf("an hour later: %s", got)
			}
		}
	})
}
