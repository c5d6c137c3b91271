package eventstest

import (
	"crypto/sha256"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Epoch is the instant that [Drafts] is about.
func Epoch() time.Time { return time.Date(2026, 3, 14, 15, 9, 26, 535_897_932, time.UTC) }

// Drafts returns one draft of every kind, in the order of events.Kinds, with no
// field left at its zero value. The values are made up and the same on each call;
// together they are no plausible history. The caller may change what it gets.
func Drafts() []events.Draft {
	var drafts []events.Draft
	for _, e := range filled() {
		d := events.Draft{Origin: origin(), Account: "acct_0123456789abcdef0123", Event: e}
		switch e.Kind() {
		case events.KindExpired, events.KindGroupsDefined, events.KindPolicyDefined:
			d.Account = "" // facts about the whole pool
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func origin() events.Origin {
	return events.Origin{
		Actor:          "operator:night-shift",
		OnBehalfOf:     "ops",
		Via:            events.ViaHTTP,
		CorrelationID:  "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90",
		IdempotencyKey: "retry-7",
		RequestHash:    sha256.Sum256([]byte("a request")),
	}
}

func filled() []events.Event {
	return []events.Event{
		limitObserved(),
		&events.Suspended{Target: "claude", Reason: "billing dispute", Until: at(48 * time.Hour)},
		&events.Lifted{Target: "claude", Reason: "dispute settled"},
		&events.CooldownCleared{Target: "gemini-pro", Reason: "quota raised", Until: at(3 * time.Hour)},
		&events.RecheckRequested{Target: "gemini-pro", Reason: "provider says it is back"},
		expired(),
		recovered(),
		&events.AccountAdded{Spec: spec(events.OriginObserved)},
		&events.AccountChanged{Spec: spec(events.OriginConfigured)},
		&events.AccountRemoved{Reason: "plan cancelled", Forced: true},
		groupsDefined(),
		policyDefined(),
		imported(),
		&events.LossAccepted{
			Log: "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f91", Seq: 90_000, Hash: sha256.Sum256([]byte("lost")),
			From: 80_000, FromHash: sha256.Sum256([]byte("left")),
		},
		&events.SettingsChanged{Changes: []events.SettingChange{
			{Key: "observe_only", From: "false", To: "true"}, {Key: "webhooks.ops", To: "to hooks.example.com"},
		}},
	}
}

// at returns the instant d after the Epoch.
func at(d time.Duration) time.Time { return Epoch().Add(d) }

func limitObserved() *events.LimitObserved {
	return &events.LimitObserved{
		Provider:  "antigravity",
		Model:     "claude-sonnet-4-5",
		Target:    "claude",
		Operation: events.OpGenerate,
		Status:    429,
		Signal: events.Signal{
			Class:      events.ClassQuotaExhausted,
			Scope:      events.ScopeGroup,
			Family:     "claude",
			Window:     events.WindowFiveHour,
			Reason:     events.ReasonQuotaNamed,
			Rule:       "google/quota_exhausted",
			Classifier: 1,
		},
		Class:  events.ClassQuotaExhausted,
		Effect: events.EffectExtended,
		Why:    events.WhyStale,
		Until:  at(6 * time.Hour),
		Reset:  at(7 * time.Hour),
		Hint:   hint(""),
		Lost: []events.Hint{
			*hint(events.LostEarlier),
			{Source: "header:retry-after", Raw: "0", Seconds: -1.5, At: at(time.Minute), Lost: events.LostZero},
		},
		Clamp:         &events.Clamp{Bound: "5h", Asked: 25_200, Given: 21_600},
		Source:        "RetryInfo.retryDelay",
		Step:          3,
		StepLength:    20 * time.Minute,
		RequestID:     "req-1a2b3c",
		StartedAt:     at(-2 * time.Second),
		ObservedAt:    at(0),
		Lease:         41,
		Probe:         true,
		GroupsVersion: 2,
		PolicyVersion: 3,
		Evidence:      "You have exhausted your capacity on this model. Your quota will reset after 7h0m0s.",
	}
}

func hint(lost string) *events.Hint {
	return &events.Hint{Source: "RetryInfo.retryDelay", Raw: "25200.5s", Seconds: 25_200.5, At: at(7 * time.Hour), Lost: lost}
}

func expired() *events.Expired {
	return &events.Expired{
		Cells: []events.Cell{
			{Account: "acct_0123456789abcdef0123", Target: "claude"},
			{Account: "acct_0123456789abcdef0123", Target: "model:gemini-2.5-pro"},
			{Account: "spare", Target: events.TargetAll},
		},
		Dimension: events.DimensionCooling,
		Due:       at(6 * time.Hour),
	}
}

func recovered() *events.Recovered {
	return &events.Recovered{
		Target:        "claude",
		Provider:      "antigravity",
		Model:         "claude-sonnet-4-5",
		Operation:     events.OpGenerate,
		Status:        200,
		RequestID:     "req-4d5e6f",
		StartedAt:     at(time.Hour),
		ObservedAt:    at(time.Hour + time.Second),
		Lease:         42,
		Probe:         true,
		GroupsVersion: 2,
		PolicyVersion: 3,
	}
}

func spec(o events.AccountOrigin) events.AccountSpec {
	return events.AccountSpec{
		Provider:          "antigravity",
		Priority:          -7,
		Weight:            16,
		Disabled:          true,
		DisableCooling:    true,
		Origin:            o,
		CredentialVersion: "2026-03-01",
	}
}

func groupsDefined() *events.GroupsDefined {
	return &events.GroupsDefined{
		Version: 2,
		Preset:  "default",
		Groups: []events.Group{{
			ID:        "claude",
			Label:     "Claude",
			Providers: []string{"antigravity", "gemini-cli"},
			Patterns:  []string{"claude-*", "gpt-oss-*"},
			Priority:  300,
			Enabled:   true,
			Replaces:  []string{"claude_45"},
		}},
		Aliases:    []events.Alias{{Provider: "antigravity", Name: "sonnet", Model: "claude-sonnet-4-5"}},
		Configured: []byte(`{"claude":{"priority":300}}`),
		Kept:       12,
		Moved:      3,
		Merged:     1,
	}
}

func policyDefined() *events.PolicyDefined {
	return &events.PolicyDefined{
		Version: 3,
		Policy: events.Policy{
			Default:   rules(),
			Overrides: []events.Override{{Match: "codex/codex-main", Rules: rules()}},
		},
		Configured: []byte(`{"rate_limited":{"bound":"5m"}}`),
	}
}

func rules() events.Rules {
	return events.Rules{
		Classes: []events.ClassRule{{
			Class:  events.ClassForbidden,
			Blocks: true,
			Bound: events.Bound{
				FiveHour: 6 * time.Hour,
				Daily:    26 * time.Hour,
				Weekly:   8 * 24 * time.Hour,
				Monthly:  32 * 24 * time.Hour,
				Unknown:  8 * 24 * time.Hour,
			},
			First:  10 * time.Minute,
			Cap:    6 * time.Hour,
			Jitter: 30 * time.Second,
			After:  2,
			Within: 10 * time.Minute,
			Hold:   []string{events.ReasonBanned, events.ReasonVerification},
		}},
		Poison: events.PoisonRule{Accounts: 3, Within: 10 * time.Minute},
		Probe: events.ProbeRule{
			Mode:            "always",
			EmptyFirst:      5 * time.Minute,
			EmptyCap:        time.Hour,
			BackgroundFirst: time.Hour,
			BackgroundCap:   12 * time.Hour,
			OnlyLongerThan:  2 * time.Hour,
			Spacing:         30 * time.Second,
			Claim:           2 * time.Minute,
		},
	}
}

func imported() *events.Imported {
	return &events.Imported{
		Source:      "cliproxyapi-config",
		Target:      "claude",
		Provider:    "antigravity",
		Model:       "claude-sonnet-4-5",
		CoolUntil:   at(2 * time.Hour),
		Suspended:   true,
		Reason:      "taken over",
		SuspendedAt: at(-24 * time.Hour),
		Class:       events.ClassQuotaExhausted,
		Original:    `{"auto_reason":"quota_exhausted"}`,
	}
}
