package signal

import (
	"net/http"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// typical is the most frequent limit: a spent Antigravity quota.
func typical() Observation {
	return Observation{
		Provider: "antigravity", Model: "gpt-oss-120b-medium", Status: 429,
		Header: http.Header{"Content-Type": {"text/event-stream"}, "Date": {"Sun, 24 May 2026 17:17:26 GMT"}, "Server": {"ESF"}},
		Body: []byte(`{
  "error": {
    "code": 429,
    "message": "Individual quota reached. Resets in 71h15m27s.",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
      {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED", "domain": "cloudcode-pa.googleapis.com",
       "metadata": {"uiMessage": "true", "model": "gpt-oss-120b-medium", "quotaResetDelay": "71h15m27.791609974s", "quotaResetTimeStamp": "2026-05-27T16:32:54Z"}},
      {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "256527.791609974s"}
    ]
  }
}`),
		ObservedAt: time.Date(2026, 5, 24, 17, 17, 26, 0, time.UTC),
	}
}

func served() Observation {
	return Observation{Provider: "claude", Model: "claude-opus-4-6", Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}}
}

// Scrubbing costs what events.Scrub costs; the benchmark without it shows what this
// package adds.
func BenchmarkClassify429(b *testing.B) {
	o := typical()
	b.ReportAllocs()
	for b.Loop() {
		Classify(o)
	}
}

func BenchmarkRules429(b *testing.B) {
	o := typical()
	b.ReportAllocs()
	for b.Loop() {
		a := takeApart(&o)
		found, _, _ := a.problems()
		a.problem, a.low = found[0], asciiLower(found[0].message)
		a.hints = a.store.hints[:0]
		google.hints(a)
		if v := google.judge(a); v.class != events.ClassQuotaExhausted {
			b.Fatal(v)
		}
	}
}

func BenchmarkClassifySuccess(b *testing.B) {
	o := served()
	b.ReportAllocs()
	for b.Loop() {
		Classify(o)
	}
}

func BenchmarkScrubEvidence(b *testing.B) {
	s := Classify(typical())
	b.ReportAllocs()
	for b.Loop() {
		events.Scrub(s.Evidence, events.MaxText)
	}
}

// A served request is on every request's path: nothing may be allocated for it.
func TestSuccessAllocatesNothing(t *testing.T) {
	o := served()
	if n := testing.AllocsPerRun(100, func() { Classify(o) }); n != 0 {
		t.Errorf("an empty success body: %v allocations, want 0", n)
	}
	o.Body = []byte(`{"object":"chat.completion","choices":[{"message":{"content":"hello"}}]}`)
	if n := testing.AllocsPerRun(100, func() { Classify(o) }); n != 0 {
		t.Errorf("a success body: %v allocations, want 0", n)
	}
}

func TestLimitAllocatesLittle(t *testing.T) {
	o := typical()
	a := func() {
		a := takeApart(&o)
		found, _, _ := a.problems()
		a.problem, a.low = found[0], asciiLower(found[0].message)
		a.hints = a.store.hints[:0]
		google.hints(a)
		google.judge(a)
	}
	if n := testing.AllocsPerRun(100, a); n > 12 {
		t.Errorf("the rules for a limit: %v allocations, want at most 12", n)
	}
}
