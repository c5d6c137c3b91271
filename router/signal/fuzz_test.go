package signal

import (
	"math"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzClassify feeds any answer of any provider: no panic, a bounded signal, the same
// one twice, and no more memory than the answer is worth.
func FuzzClassify(f *testing.F) {
	for _, c := range testCases(f) {
		name, content := "Retry-After", ""
		for k, v := range c.Headers {
			name, content = k, v
			break
		}
		f.Add(c.Provider, c.Status, name, content, []byte(c.Body), int64(1777636800))
	}
	f.Fuzz(func(t *testing.T, provider string, status int, name, content string, body []byte, observed int64) {
		o := Observation{
			Provider: provider, Status: status, Header: http.Header{name: {content}}, Body: body,
			ObservedAt: time.Unix(observed%(1<<33), 0),
		}
		s := Classify(o)
		checkMemory(t, o, uint64(64*(len(body)+len(name)+len(content)+len(provider))+64<<10))
		checkBounds(t, s)
		if diff := cmp.Diff(s, Classify(o)); diff != "" {
			t.Errorf("the same answer means two things:\n%s", diff)
		}
		ResetAt(s, o.ObservedAt)
	})
}

// checkMemory fails if classifying always allocates more than a bound. The counter is
// the process's, and the race detector empties pools at random: of some rounds, the
// least counts.
func checkMemory(t *testing.T, o Observation, most uint64) {
	t.Helper()
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Classify(o)
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least <= most {
			return
		}
	}
	t.Errorf("classifying allocated %d bytes, at most %d", least, most)
}

// FuzzForms feeds bodies to the readers of the forms: the tree stays within its
// bounds, and what the reader calls a document ends.
func FuzzForms(f *testing.F) {
	for _, c := range testCases(f) {
		f.Add(c.Body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		v := readJSON(body)
		if v.t != nil && len(v.t.nodes) > maxNodes {
			t.Errorf("%d nodes", len(v.t.nodes))
		}
		var look finder
		look.text(body)
		if len(look.found) > maxProblems {
			t.Errorf("%d problems", len(look.found))
		}
		streamEvents(body, func(string, string) bool { return true })
		mayFail([]byte(body))
		unescape(body)
		decodeBase64(body)
	})
}

// FuzzDurations feeds fields and sentences: a delay is positive and finite unless it
// is marked as lost, and an instant lies within the calendar.
func FuzzDurations(f *testing.F) {
	for _, s := range []string{"71h15m27.79s", "500ms", "15 hours 23 minutes", "1777636860000", "2026-05-01T12:01:00Z", "01:32:22", "13.02:36:21", "-0", "NaN", "请在 30 秒后重试", "resets in 1.5h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if seconds, lost := readDelay(s, 1); lost == "" && lostDelay(seconds) != "" {
			t.Errorf("readDelay(%q) = %v", s, seconds)
		}
		if at, lost := readInstant(s, chinaTime); lost == "" && (at.Before(firstInstant) || at.After(lastInstant)) {
			t.Errorf("readInstant(%q) = %v", s, at)
		}
		if _, seconds, ok := sentenceDelay(asciiLower(s)); ok && seconds < 0 {
			t.Errorf("sentenceDelay(%q) = %v", s, seconds)
		}
		sentenceInstant(s, asciiLower(s))
	})
}
