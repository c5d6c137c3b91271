package signal

import (
	"testing"

	"github.com/abeyance/abeyance/events"
)

func TestWindowIn(t *testing.T) {
	for low, want := range map[string]events.Window{
		"generaterequestsperdayperprojectpermodel-freetier": events.WindowDaily,
		"generaterequestsperminuteperprojectpermodel":       events.WindowUnknown,
		"tokens per day (tpd): limit 100000":                events.WindowDaily,
		"userbymodelbyday":                                  events.WindowDaily,
		"exceeded your daily rate limit":                    events.WindowDaily,
		"post https://daily-cloudcode-pa.googleapis.com":    events.WindowUnknown,
		"weekly (7-day) usage limit":                        events.WindowWeekly,
		"weekly/monthly limit exhausted":                    events.WindowMonthly,
		"weekly":                                            events.WindowWeekly,
		"upgrade your monthly plan":                         events.WindowUnknown,
		"reached its monthly spending limit":                events.WindowMonthly,
		"reached for this month":                            events.WindowMonthly,
		"you've exceeded your 5 hour session limits":        events.WindowFiveHour,
		"已达到 5 小时的使用上限":                                     events.WindowFiveHour,
		"tokens per minute":                                 events.WindowUnknown,
		"":                                                  events.WindowUnknown,
	} {
		if got := windowIn(low); got != want {
			t.Errorf("windowIn(%q) = %q, want %q", low, got, want)
		}
	}
}

// The status alone never says that a quota is spent, and faults of the request, of
// the provider or of the way there block nothing.
func TestRule15StatusAlone(t *testing.T) {
	for status := -1; status <= 1000; status++ {
		for _, provider := range []string{"claude", "codex", "antigravity", "openai-compat", "nobody"} {
			s := Classify(Observation{Provider: provider, Status: status})
			switch {
			case s.Class == events.ClassQuotaExhausted:
				t.Errorf("%s %d: a spent quota without any sign of it", provider, status)
			case status == 429 || status == 449 || status == 401 || status == 402 || status == 403:
			case s.Scope != events.ScopeNone:
				t.Errorf("%s %d: %s reaches %s", provider, status, s.Class, s.Scope)
			}
		}
	}
}

// Side endpoints have limits of their own: whatever the family, their answers are
// classified, and the policy decides by the operation.
func TestRule15UnknownRoute(t *testing.T) {
	for _, provider := range []string{"claude", "codex", "antigravity", "openai-compat", "zai-glm", "kimi", "minimax"} {
		for _, body := range []string{"", "404 page not found", `{"detail":"Not Found"}`, "Cannot POST /v1/messages/count_tokens", `{"error":{"message":"Not found"}}`} {
			s := Classify(Observation{Provider: provider, Operation: events.OpCountTokens, Status: 404, Body: []byte(body)})
			if s.Class != events.ClassNotFound || s.Scope != events.ScopeNone {
				t.Errorf("%s, %q: %s/%s", provider, body, s.Class, s.Scope)
			}
		}
	}
}

func TestProviderInAnyCase(t *testing.T) {
	for _, id := range []string{"codex", "Codex", " CODEX "} {
		if s := Classify(Observation{Provider: id, Status: 429}); s.Rule != "codex/status_429" {
			t.Errorf("%q is read by %s", id, s.Rule)
		}
	}
}
