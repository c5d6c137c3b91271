package signal

import (
	"strings"

	"github.com/abeyance/abeyance/events"
)

// general is the family of providers nobody described, and of those whose answers
// need no rules of their own: OpenAI-compatible and Anthropic-compatible servers.
var general = family{name: "general", hints: generalHints, judge: generalJudge}

// generalHints reads the delays in use everywhere: the standard headers, fields of
// the error object, the sentence, and the headers of buckets that are empty.
func generalHints(a *answer) {
	a.retryAfter()
	a.bodyDelays()
	a.sentence(utc)
	a.buckets()
}

// bodyDelays reads the fields by which servers state a delay in the error object.
func (a *answer) bodyDelays() {
	p := &a.problem
	a.delay("error.retry_after_ms", p.field("retry_after_ms", "retryAfterMs").text(), 1e-3)
	for _, name := range [...]string{"retry_after_seconds", "retry_after", "retryAfter", "resets_in_seconds", "reset_seconds", "reset_in"} {
		a.delay("error."+name, p.field(name).text(), 1)
	}
	for _, name := range [...]string{"resets_at", "reset_at", "resetAt", "reset_time"} {
		if raw := p.field(name).text(); raw != "" {
			a.reset("error."+name, raw)
		}
	}
}

// generalJudge goes from codes over sentences to the status.
func generalJudge(a *answer) verdict {
	for _, rule := range [...]func() verdict{a.byLimitText, a.byCode, a.byText} {
		v := rule()
		if v.none() {
			continue
		}
		if v.class == events.ClassQuotaExhausted && v.window == events.WindowUnknown {
			v.window = a.window()
		}
		return a.promoted(v, events.ScopeModel)
	}
	return a.promoted(a.byStatus(), events.ScopeModel)
}

// byLimitText finds what a rate limit's sentence says beyond its code: a window of a
// day or more, or a lack of capacity.
func (a *answer) byLimitText() verdict {
	if a.status != 429 && a.status != 0 {
		return verdict{}
	}
	if a.lacksCapacity() {
		return capacity("text_capacity")
	}
	if v := a.byCode(); !v.none() && v.class != events.ClassRateLimited {
		return verdict{}
	}
	if v := a.byText(); !v.none() {
		return v
	}
	if w := a.window(); w != events.WindowUnknown && a.says("limit", "quota", "exceeded", "exhausted", "too many", "used up", "额度", "限额", "配额", "上限") {
		return quota("text_window", events.ScopeModel).over(w)
	}
	if a.status == 0 && a.says("rate limit", "rate-limit", "too many requests") {
		return rateLimited("text_rate_limit", events.ScopeModel) // of a stream, which has no status of its own
	}
	return verdict{}
}

// buckets reads the rate limit headers of OpenAI, Anthropic, GitHub and the IETF
// draft. A reset counts only for a bucket that has nothing left: of the others it
// is the time to full, and belongs to no wait.
func (a *answer) buckets() {
	for _, b := range [...]struct{ name, remaining, reset string }{
		{"x-ratelimit-reset-requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"},
		{"x-ratelimit-reset-tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"},
		{"x-ratelimit-reset-requests-day", "X-Ratelimit-Remaining-Requests-Day", "X-Ratelimit-Reset-Requests-Day"},
		{"x-ratelimit-reset-tokens-day", "X-Ratelimit-Remaining-Tokens-Day", "X-Ratelimit-Reset-Tokens-Day"},
		{"x-ratelimit-reset-requests-minute", "X-Ratelimit-Remaining-Requests-Minute", "X-Ratelimit-Reset-Requests-Minute"},
		{"x-ratelimit-reset-tokens-minute", "X-Ratelimit-Remaining-Tokens-Minute", "X-Ratelimit-Reset-Tokens-Minute"},
		{"x-ratelimit-reset", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
		{"x-rate-limit-reset", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
		{"ratelimit-reset", "Ratelimit-Remaining", "Ratelimit-Reset"},
		{"x-ratelimit-reset-after", "X-Ratelimit-Remaining", "X-Ratelimit-Reset-After"},
	} {
		raw := a.get(b.reset)
		if raw == "" {
			continue
		}
		from := len(a.hints)
		a.reset("header:"+b.name, raw)
		if left := a.get(b.remaining); left != "" && !isZeroText(left) {
			a.setAside(from)
		}
	}
	a.draftBucket()
}

// draftBucket reads the IETF draft's single header: `limit=10, remaining=0, reset=5`,
// and in later versions `"default";r=0;t=5`.
func (a *answer) draftBucket() {
	raw := a.get("Ratelimit")
	if raw == "" {
		return
	}
	left, wait := "", ""
	for part := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == ',' || r == ';' }) {
		name, content, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "remaining", "r":
			left = content
		case "reset", "t":
			wait = content
		}
	}
	from := len(a.hints)
	a.delay("header:ratelimit", wait, 1)
	if left != "" && !isZeroText(left) {
		a.setAside(from)
	}
}

// isZeroText reports whether a header counts nothing left. Below zero are servers that
// charge a request after it was let in.
func isZeroText(s string) bool {
	return s != "" && (s[0] == '-' || strings.Trim(s, "0.") == "")
}
