package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// whyOf is an answer with the blocks of one cell; each is "block" or "block until 15:04:05".
func whyOf(status string, blocks ...string) api.WhyAnswer {
	a := api.WhyAnswer{Status: status, Sentence: "it is " + status, Now: api.Time{Time: testNow}, CellCount: 1}
	cell := api.WhyCell{Account: "a1", Target: "claude", Status: status}
	for _, b := range blocks {
		name, until, timed := strings.Cut(b, " until ")
		e := api.WhyEnding{Block: name}
		if timed {
			at, err := time.Parse(time.TimeOnly, until)
			if err != nil {
				panic(err)
			}
			e.At.Time = testNow.Add(at.Sub(at.Truncate(24 * time.Hour)))
		}
		cell.Ends = append(cell.Ends, e)
	}
	a.Cells = []api.WhyCell{cell}
	return a
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func TestWhatSatisfiesAWait(t *testing.T) {
	for _, c := range []struct {
		answer api.WhyAnswer
		want   string // the statuses that satisfy, of all there are
		model  bool
	}{
		{answer: whyOf("available"), want: "available"},
		{answer: whyOf("cooling", "cooling"), want: "cooling"},
		{answer: whyOf("suspended", "suspended", "held", "cooling"), want: "suspended held cooling"},
		{answer: whyOf("disabled", "cooling"), want: "disabled cooling"},
		{answer: whyOf("cooling", "cooling", "held"), want: "cooling", model: true},
		{answer: whyOf("available", "cooling"), want: "available", model: true},
	} {
		var got []string
		for _, s := range projection.Statuses() {
			w := &waiter{want: []string{string(s)}}
			if c.model {
				w.query.provider = "p"
			}
			if w.satisfied(&c.answer) {
				got = append(got, string(s))
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %q, want %q", jsonOf(t, c.answer), text, c.want)
		}
	}
}

func TestTheNextEndIsKnown(t *testing.T) {
	for _, c := range []struct {
		answer api.WhyAnswer
		want   time.Duration
	}{
		{whyOf("available"), 24 * time.Hour},
		{whyOf("held", "held"), 24 * time.Hour},
		{whyOf("cooling", "cooling until 00:10:00", "suspended until 00:02:00"), 2 * time.Minute},
		{whyOf("cooling", "cooling until 00:00:00"), 0},
	} {
		if got := untilNextEnd(&c.answer); got != c.want+time.Millisecond {
			t.Errorf("%s: %s", jsonOf(t, c.answer), got)
		}
	}
}

func TestWaitEndsWithARecord(t *testing.T) {
	p := &playing{t: t, said: make(chan string), states: []string{
		jsonOf(t, whyOf("cooling", "cooling until 09:00:00")),
		jsonOf(t, whyOf("suspended", "suspended", "cooling until 09:00:00")),
		jsonOf(t, whyOf("available")),
	}}
	env, _, _ := facing(t, p.ServeHTTP)
	out, errs := new(lockedBuffer), new(lockedBuffer)
	env.out, env.err = out, errs
	ended := make(chan int, 1)
	go func() { ended <- env.run(t.Context(), strings.Fields("wait a1 claude --timeout 1h")) }()
	until(t, "waiting", func() bool { return errs.String() == "waiting: it is cooling\n" })
	p.turn()
	p.say(": heartbeat\n\n")
	select {
	case code := <-ended:
		t.Fatalf("exit %d while it is suspended: %s", code, errs)
	default:
	}
	p.state.Add(1)
	p.say("") // it recovered while the daemon was restarted
	if code := <-ended; code != exitOK || out.String() != "it is available\n" || !strings.Contains(errs.String(), "connected again") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestWaitEndsWhenABlockDoes, without a record that says so: picks return the account then,
// too.
func TestWaitEndsWhenABlockDoes(t *testing.T) {
	var asked atomic.Int64
	began := time.Now()
	end := began.Add(300 * time.Millisecond).UTC()
	code, out, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events/stream" {
			if r.URL.RawQuery != "account=a1" {
				t.Errorf("the stream of %s", r.URL.RawQuery)
			}
			streamRows(t, w)
			<-r.Context().Done()
			return
		}
		asked.Add(1)
		a := whyOf("available")
		if now := time.Now().UTC(); now.Before(end) {
			a = whyOf("cooling", "cooling")
			a.Cells[0].Ends[0].At.Time = end
			a.Now.Time = now
		}
		fmt.Fprint(w, jsonOf(t, a))
	}, "wait", "a1", "claude", "--timeout", "1m")
	if took := time.Since(began); code != exitOK || out != "it is available\n" || took < 300*time.Millisecond || took > 30*time.Second || asked.Load() > 6 {
		t.Errorf("exit %d after %s and %d questions: %s%s", code, took, asked.Load(), out, errs)
	}
}

func TestWaitTellsWhatItWaitedFor(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events/stream" {
			streamRows(t, w)
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, jsonOf(t, whyOf("cooling", "cooling until 09:00:00")))
	}
	code, out, errs := against(t, h, strings.Fields("wait a1 --for held,suspended --timeout 1s")...)
	if code != exitTimedOut || out != "" || errs != "waiting: it is cooling\nabeyance: not held or suspended within 1s: it is cooling\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := against(t, h, strings.Fields("wait a1 -q --timeout 100ms")...); code != exitTimedOut || strings.Contains(errs, "waiting") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, _ := against(t, h, strings.Fields("wait a1 --for cooling -o json")...); code != exitOK || !strings.Contains(out, `"status": "cooling"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	for args, want := range map[string]string{
		"wait":                           "wait for what? Name an ACCOUNT",
		"wait a1 --provider p --model m": "not both",
		"wait --model m":                 "belong together",
		"wait a1 --timeout soon":         `--timeout: "soon" is no duration`,
		"wait a1 --for blocked":          `--for "blocked" is none of disabled, suspended, held, cooling, available`,
	} {
		if code, _, errs := against(t, h, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
}

// TestWaitForAPoolThatIsNotThere would never end, or at once.
func TestWaitForAPoolThatIsNotThere(t *testing.T) {
	code, out, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events/stream" {
			streamRows(t, w)
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, `{"status":"available","sentence":"no account of p is known.","cell_count":0}`)
	}, strings.Fields("wait --provider p --model m")...)
	if code != exitNotFound || out != "" || !strings.Contains(errs, "no account of p is known") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
