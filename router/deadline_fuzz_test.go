package router

import (
	"net/http"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// FuzzDeadline: whatever an upstream answers, a deadline lies after now and within
// the policy's bound for its class, and a cut is recorded where the hint asked for
// more.
func FuzzDeadline(f *testing.F) {
	f.Add("antigravity", 429, "", `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"reason":"QUOTA_EXHAUSTED","metadata":{"quotaResetDelay":"9999h"}}]}}`)
	f.Add("claude", 429, "999999999999", "")
	f.Add("openai-compat", 429, "Fri, 31 Dec 9999 23:59:59 GMT", "")
	f.Add("codex", 429, "-1", `{"error":{"type":"usage_limit_reached","resets_at":99999999999,"resets_in_seconds":1e300}}`)
	f.Add("zai-glm", 429, "NaN", `{"error":{"code":"1308","message":"2026-08-25 07:41:44"}}`)
	f.Add("gemini-api", 503, "0", `{"error":{"message":"The model is overloaded"}}`)
	f.Add("kimi", 403, "", `{"error":{"type":"access_terminated_error","message":"weekly usage limit"}}`)
	now := time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)
	state := defined(f, now)
	f.Fuzz(func(t *testing.T, provider string, status int, retryAfter, body string) {
		o := signal.Observation{
			Provider: provider, Model: "claude-opus-4-6", Status: status, Header: http.Header{"Retry-After": {retryAfter}},
			Body: []byte(body), ObservedAt: now,
		}
		s := signal.Classify(o)
		d, err := projection.Decide(state, projection.Command{Do: &projection.Report{
			Account: "a", Provider: provider, Model: o.Model, Status: status, Signal: s,
		}}, now)
		if err != nil {
			return // the report itself is malformed: no such provider or status
		}
		if _, err := events.Seal(events.Head{}, now, d.Drafts); err != nil {
			t.Fatalf("the decision does not fit a record: %v", err)
		}
		for _, draft := range d.Drafts {
			e, ok := draft.Event.(*events.LimitObserved)
			if !ok || e.Until.IsZero() {
				continue
			}
			limit := now.Add(longest(e))
			if !e.Until.After(now) || e.Until.After(limit) {
				t.Errorf("%s %s: until %s is not within (%s, %s]", e.Class, e.Signal.Window, e.Until, now, limit)
			}
			if e.Reset.After(limit) && e.Clamp == nil {
				t.Errorf("the reset %s was cut to %s without a clamp", e.Reset, e.Until)
			}
		}
	})
}

// longest is the default policy's bound, stated anew (design.md section 6).
func longest(e *events.LimitObserved) time.Duration {
	const day = 24 * time.Hour
	switch e.Class {
	case events.ClassQuotaExhausted:
		switch e.Signal.Window {
		case events.WindowFiveHour:
			return 6 * time.Hour
		case events.WindowDaily:
			return 26 * time.Hour
		case events.WindowMonthly:
			return 32 * day
		}
		return 8 * day
	case events.ClassRateLimited, events.ClassCapacity:
		return 5 * time.Minute
	case events.ClassAuth:
		return 30 * time.Minute
	case events.ClassPayment:
		return day
	case events.ClassForbidden:
		return 6 * time.Hour
	}
	return 0
}

// defined returns a state with the bootstrap groups and the default policy.
func defined(t testing.TB, now time.Time) *projection.State {
	t.Helper()
	s := projection.NewState()
	for _, do := range []projection.Intent{&projection.DefineGroups{}, &projection.DefinePolicy{}} {
		d, err := projection.Decide(s, projection.Command{Do: do}, now)
		if err != nil {
			t.Fatal(err)
		}
		recs, err := events.Seal(s.Head(), now, d.Drafts)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			s.Apply(r)
		}
	}
	return s
}
