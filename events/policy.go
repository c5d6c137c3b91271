package events

import "time"

// Policy is the table that turns signals into deadlines, as it was in force. It is
// stored whole: overrides are complete rules, already merged with what they
// inherit, so that reading an old log needs no defaults of a newer binary.
type Policy struct {
	Default Rules
	// Overrides are sorted by Match.
	Overrides []Override
}

// Override is the rules for one provider ("codex") or one group of a provider
// ("codex/codex-main").
type Override struct {
	Match string
	Rules Rules
}

// Rules say what each class does. Classes is sorted by class and lists every one
// but ok.
type Rules struct {
	Classes []ClassRule
	Poison  PoisonRule
	Probe   ProbeRule
}

// ClassRule is what one class does. The zero value blocks nothing.
type ClassRule struct {
	Class Class
	// Blocks is false for classes that only give advice.
	Blocks bool
	// Bound caps deadlines, measured from the observation.
	Bound Bound
	// First and Cap are the ladder for signals without a hint: First, doubling, at
	// most Cap.
	First, Cap time.Duration
	// Jitter is added to deadlines: between 0 and Jitter, never past Bound.
	Jitter time.Duration
	// After and Within: the class blocks from the After-th signal within Within.
	// After 0 or 1 blocks at once.
	After  int
	Within time.Duration
	// Hold lists the reasons, sorted, that make a hold instead of a cooldown.
	Hold []string
}

// Bound is the longest cooldown by quota window.
type Bound struct{ FiveHour, Daily, Weekly, Monthly, Unknown time.Duration }

// For returns the bound for w and its name.
func (b Bound) For(w Window) (time.Duration, string) {
	switch w {
	case WindowFiveHour:
		return b.FiveHour, string(w)
	case WindowDaily:
		return b.Daily, string(w)
	case WindowWeekly:
		return b.Weekly, string(w)
	case WindowMonthly:
		return b.Monthly, string(w)
	default:
		return b.Unknown, "unknown"
	}
}

// PoisonRule stops one bad request from freezing a pool: after Accounts accounts
// gave the same class for one request within Within, further ones are not blocked.
// Accounts 0 turns it off.
type PoisonRule struct {
	Accounts int
	Within   time.Duration
}

// ProbeRule paces the requests that test whether a quota came back early.
type ProbeRule struct {
	Mode                           string // off, when-empty, always
	EmptyFirst, EmptyCap           time.Duration
	BackgroundFirst, BackgroundCap time.Duration
	OnlyLongerThan, Spacing, Claim time.Duration
}

// Group is a quota group: the models of some providers that share one quota.
type Group struct {
	ID        string
	Label     string
	Providers []string // sorted, lower case
	Patterns  []string // wildcards * and ? over lower-case model names, as defined
	Priority  int      // higher is tried first
	Enabled   bool
	// Replaces lists group ids whose manual suspensions move here when they go.
	Replaces []string
}

// Alias maps a model name as clients send it to the provider's own name.
type Alias struct{ Provider, Name, Model string }
