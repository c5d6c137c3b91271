package signal

import (
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

func TestRetryAfterOrder(t *testing.T) {
	at := time.Unix(1777636860, 0)
	delay := func(source string, seconds float64, lost string) events.Hint {
		return events.Hint{Source: source, Seconds: seconds, Lost: lost}
	}
	instant := func(source string, seconds float64) events.Hint {
		return events.Hint{Source: source, Seconds: seconds, At: at}
	}
	for _, c := range []struct {
		name  string
		hints []events.Hint
		want  float64 // -1: none
	}{
		{"none", nil, -1},
		{"a delay before an earlier instant", []events.Hint{instant("timestamp", 59), delay("RetryInfo", 60, "")}, 60},
		{"an instant, if there is no delay", []events.Hint{instant("timestamp", 59)}, 59},
		{"an instant at an unknown distance", []events.Hint{instant("timestamp", 0)}, -1},
		{"resets_at counts as a delay", []events.Hint{instant(sourceResetsAt, 59), delay("error.resets_in_seconds", 60, "")}, 59},
		{"resets_at at an unknown distance", []events.Hint{instant(sourceResetsAt, 0), delay("error.resets_in_seconds", 60, "")}, 60},
		{"a lost delay is passed over", []events.Hint{delay("a", -5, events.LostNegative), delay("b", 7, "")}, 7},
		{"also lost to the policy", []events.Hint{delay("a", 5, events.LostEarlier), delay("b", 7, "")}, 5},
		{"a delay of another window in the body", []events.Hint{delay("RetryInfo.retryDelay", 5, events.LostUnrelated)}, 5},
		{"a header of another window", []events.Hint{delay("header:x-ratelimit-reset-tokens", 5, events.LostUnrelated)}, -1},
		{"zero, if nothing else", []events.Hint{delay("header:retry-after", 0, events.LostZero)}, 0},
		{"not zero, if anything else", []events.Hint{delay("header:retry-after", 0, events.LostZero), delay("message", 3, "")}, 3},
		{"no zero in a sentence", []events.Hint{delay(sourceMessage, 0, events.LostZero)}, -1},
	} {
		got, ok := RetryAfter(events.Signal{Hints: c.hints})
		if ok != (c.want >= 0) || ok && got != c.want {
			t.Errorf("%s: %v, %v; want %v", c.name, got, ok, c.want)
		}
	}
}

func TestResetAt(t *testing.T) {
	now, later := time.Unix(1777636800, 0), time.Unix(1777636860, 0)
	s := func(hints ...events.Hint) events.Signal { return events.Signal{Hints: hints} }
	for _, c := range []struct {
		name     string
		signal   events.Signal
		observed time.Time
		want     time.Time
	}{
		{"the instant stated", s(events.Hint{Seconds: 5}, events.Hint{At: later}), now, later},
		{"also if the clock is unknown", s(events.Hint{At: later}), time.Time{}, later},
		{"else the delay after the observation", s(events.Hint{Seconds: 5}), now, now.Add(5 * time.Second)},
		{"which needs the clock", s(events.Hint{Seconds: 5}), time.Time{}, time.Time{}},
		{"not the instant of another window", s(events.Hint{At: later, Lost: events.LostUnrelated}), now, time.Time{}},
		{"nothing beyond the calendar", s(events.Hint{Seconds: 1e18}), now, time.Time{}},
		{"nothing", s(), now, time.Time{}},
	} {
		got, ok := ResetAt(c.signal, c.observed)
		if ok == c.want.IsZero() || !got.Equal(c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, ok, c.want)
		}
	}
}

// Without the time of the observation neither kind of hint is turned into the
// other, for any case: dropping it leaves delays and instants as they were sent.
func TestRule17NoClock(t *testing.T) {
	for _, c := range testCases(t) {
		o := c.observation()
		o.ObservedAt = time.Time{}
		s := Classify(o)
		for _, h := range s.Hints {
			if !h.At.IsZero() && h.Seconds != 0 {
				t.Errorf("%s: %s has a distance of %v from an unknown moment", c.ID, h.Source, h.Seconds)
			}
		}
		if at, ok := ResetAt(s, time.Time{}); ok && !statesInstant(s, at) {
			t.Errorf("%s: %v is no instant that the answer states", c.ID, at)
		}
	}
}

func statesInstant(s events.Signal, at time.Time) bool {
	for _, h := range s.Hints {
		if h.At.Equal(at) {
			return true
		}
	}
	return false
}

// The order of the hints is the provider's order of precedence.
func TestHintPrecedence(t *testing.T) {
	byID := map[string][]string{
		"antigravity-conflicting-hints": {"RetryInfo.retryDelay", "ErrorInfo.metadata.quotaResetDelay", "message"},
		"antigravity-timestamp-past":    {"ErrorInfo.metadata.quotaResetTimeStamp", "RetryInfo.retryDelay"},
		"claude-5h": {
			"header:anthropic-ratelimit-unified-5h-reset", "header:retry-after", "header:anthropic-ratelimit-unified-7d-reset",
		},
		"codex-ws-frame":                  {"error.resets_at", "error.resets_in_seconds"},
		"openai-retry-after-ms-first":     {"header:retry-after-ms", "header:retry-after", "message"},
		"cliproxy-cooldown":               {"error.reset_seconds", "error.reset_time"},
		"anthropic-retry-after-first":     {"header:retry-after", "header:anthropic-ratelimit-requests-reset"},
		"openrouter-day-ms":               {"error.metadata.headers.X-RateLimit-Reset"},
		"github-secondary-epoch":          {"header:x-ratelimit-reset"},
		"gemini-api-sdk-raw-newlines":     {"message"},
		"codex-headers-weekly-in-primary": {"header:x-codex-primary-reset-after-seconds"},
	}
	for _, c := range testCases(t) {
		want, ok := byID[c.ID]
		if !ok {
			continue
		}
		delete(byID, c.ID)
		s := Classify(c.observation())
		var got []string
		for _, h := range s.Hints {
			got = append(got, h.Source)
		}
		if len(got) < len(want) {
			t.Errorf("%s: %v, want %v", c.ID, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", c.ID, got, want)
				break
			}
		}
	}
	for id := range byID {
		t.Errorf("no case %s", id)
	}
}
