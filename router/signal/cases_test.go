package signal

import (
	"bufio"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// testCase is one line of testdata/cases.jsonl: an answer and what it means. The
// bodies are our own, reduced to the fields and values that providers send.
// Expected fields that are absent are not checked.
type testCase struct {
	ID         string            `json:"id"`
	Provider   string            `json:"provider"`
	Model      string            `json:"model"`
	Operation  events.Operation  `json:"operation"`
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	ObservedAt time.Time         `json:"observed_at"`
	Note       string            `json:"note"`
	Expect     struct {
		Class      events.Class   `json:"class"`
		Scope      events.Scope   `json:"scope"`
		RetryAfter *float64       `json:"retry_after_seconds"`
		ResetAt    *time.Time     `json:"reset_at"`
		Family     *string        `json:"family"`
		Window     *events.Window `json:"window"`
		Reason     *string        `json:"reason"`
	} `json:"expect"`
}

func (c *testCase) observation() Observation {
	header := make(http.Header)
	for name, v := range c.Headers {
		header.Set(name, v)
	}
	return Observation{
		Provider: c.Provider, Model: c.Model, Operation: c.Operation, Status: c.Status,
		Header: header, Body: []byte(c.Body), ObservedAt: c.ObservedAt,
	}
}

func testCases(t testing.TB) []testCase {
	t.Helper()
	f, err := os.Open("testdata/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []testCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c testCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("line %d: %v", len(cases)+1, err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestRule14ClassAndScopeDecide(t *testing.T) {
	for _, c := range testCases(t) {
		t.Run(c.ID, func(t *testing.T) {
			s := Classify(c.observation())
			if s.Class != c.Expect.Class || s.Scope != c.Expect.Scope {
				t.Errorf("got %s/%s, want %s/%s", s.Class, s.Scope, c.Expect.Class, c.Expect.Scope)
			}
			checkText(t, "family", s.Family, c.Expect.Family)
			checkText(t, "window", s.Window, c.Expect.Window)
			checkText(t, "reason", s.Reason, c.Expect.Reason)
			if t.Failed() {
				t.Logf("rule %s, evidence %s", s.Rule, s.Evidence)
			}
		})
	}
}

func checkText[S ~string](t *testing.T, what string, got S, want *S) {
	t.Helper()
	if want != nil && got != *want {
		t.Errorf("%s: got %q, want %q", what, got, *want)
	}
}

// The delay is compared exactly as sent, the instant within a millisecond, which
// is the precision of milliseconds since 1970 in a float.
func TestRule17HintsAsSent(t *testing.T) {
	for _, c := range testCases(t) {
		t.Run(c.ID, func(t *testing.T) {
			o := c.observation()
			s := Classify(o)
			seconds, ok := RetryAfter(s)
			switch want := c.Expect.RetryAfter; {
			case ok != (want != nil):
				t.Errorf("delay: got %v, %v; want %v", seconds, ok, want)
			case ok && math.Abs(seconds-*want) > 1e-6:
				t.Errorf("delay: got %v, want %v", seconds, *want)
			}
			at, ok := ResetAt(s, o.ObservedAt)
			switch want := c.Expect.ResetAt; {
			case ok != (want != nil):
				t.Errorf("instant: got %v, %v; want %v", at, ok, want)
			case ok && at.Sub(*want).Abs() > time.Millisecond:
				t.Errorf("instant: got %v, want %v", at, *want)
			}
			if t.Failed() {
				t.Logf("hints %+v", s.Hints)
			}
		})
	}
}

// The cases must reach every provider with rules and every class, so that a table
// that loses its lines does not pass.
func TestCasesCoverEveryProviderAndClass(t *testing.T) {
	cases := testCases(t)
	if len(cases) < 250 {
		t.Errorf("only %d cases", len(cases))
	}
	providers, classes := map[string]bool{}, map[events.Class]bool{}
	for _, c := range cases {
		providers[c.Provider] = true
		classes[c.Expect.Class] = true
	}
	for id := range families {
		if !providers[id] && id != "gemini" {
			t.Errorf("no case of provider %q", id)
		}
	}
	for _, class := range events.Classes() {
		if !classes[class] {
			t.Errorf("no case of class %q", class)
		}
	}
}
