package signal

import (
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// google reads Antigravity, Gemini CLI, the Gemini API and Vertex AI: one error
// schema (google.rpc.Status with details), four meanings of a bare 429.
var google = family{name: "google", hints: googleHints, judge: googleJudge}

// googleDetails are the details of one error. Their order in the list is not stable.
type googleDetails struct {
	reason     string
	info       value // ErrorInfo.metadata
	retry      value // RetryInfo.retryDelay
	violations value // QuotaFailure.violations
	legacy     string
}

// details reads the list of details, and the legacy list of errors beside it.
func (a *answer) details() googleDetails {
	obj := a.problem.obj
	d := googleDetails{legacy: obj.get("errors").first().get("reason").string()}
	for e := obj.get("details").first(); e.t != nil; e = e.next() {
		if v := e.get("reason"); d.reason == "" && v.kind() == text {
			d.reason = v.partial()
		}
		if v := e.get("metadata"); d.info.t == nil && v.kind() == object {
			d.info = v
		}
		if v := e.get("retryDelay", "retry_delay"); d.retry.t == nil && !v.null() {
			d.retry = v
		}
		if v := e.get("violations"); d.violations.t == nil && v.kind() == array {
			d.violations = v
		}
	}
	return d
}

// googleHints: timestamp, then RetryInfo, then quotaResetDelay, then the header,
// then the sentence. Where a day's quota or a quota of zero is spent, RetryInfo is
// an estimate for the minute and is set aside.
func googleHints(a *answer) {
	d := a.details()
	a.problem.reason = d.reason
	a.note("model", d.model(a))
	from := len(a.hints)
	a.instant("ErrorInfo.metadata.quotaResetTimeStamp", d.info.get("quotaResetTimeStamp", "quotaResetTimestamp").text(), utc)
	a.retryInfo(d.retry)
	a.delay("ErrorInfo.metadata.quotaResetDelay", d.info.get("quotaResetDelay").text(), 1)
	a.retryAfter()
	a.sentence(utc)
	if id, daily := d.daily(a); daily || d.limitZero(a) {
		a.note("quotaId", id)
		a.setAside(from)
	}
}

// retryInfo reads a protobuf duration, as a string or as the object that gRPC
// transcoders write.
func (a *answer) retryInfo(v value) {
	const source = "RetryInfo.retryDelay"
	if v.kind() != object {
		a.delay(source, v.text(), 1)
		return
	}
	whole, err := strconv.ParseFloat("0"+v.get("seconds").text(), 64)
	nanos, err2 := strconv.ParseFloat("0"+v.get("nanos").text(), 64)
	raw := v.get("seconds").text() + "s+" + v.get("nanos").text() + "ns"
	if err != nil || err2 != nil {
		a.addDelay(source, raw, 0, events.LostUnreadable)
		return
	}
	seconds := whole + nanos/1e9
	a.addDelay(source, raw, seconds, lostDelay(seconds))
}

// model is the model that the answer names.
func (d googleDetails) model(a *answer) string {
	if m := d.info.get("model").text(); m != "" {
		return m
	}
	for v := d.violations.first(); v.t != nil; v = v.next() {
		if m := v.get("quotaDimensions").get("model").text(); m != "" {
			return m
		}
	}
	return ""
}

// daily reports whether any violated quota is one per day, and its id. The
// longest-lived violation decides.
func (d googleDetails) daily(a *answer) (string, bool) {
	for v := d.violations.first(); v.t != nil; v = v.next() {
		for _, name := range [...]string{"quotaId", "quotaMetric", "description"} {
			if id := v.get(name).text(); windowIn(asciiLower(id)) == events.WindowDaily {
				return id, true
			}
		}
	}
	if id := d.info.get("quota_limit").text(); windowIn(asciiLower(id)) == events.WindowDaily {
		return id, true
	}
	return "", a.window() == events.WindowDaily
}

// limitZero reports whether the violated quota is zero: this account has no access
// to the model, and waiting never helps.
func (d googleDetails) limitZero(a *answer) bool {
	if d.info.get("quota_limit_value").text() == "0" {
		return true
	}
	for v := d.violations.first(); v.t != nil; v = v.next() {
		if v.get("quotaValue").text() == "0" {
			return true
		}
	}
	_, after, ok := strings.Cut(a.low, "limit: 0")
	return ok && !digitAt(after, 0) && (!strings.HasPrefix(after, ".") || !digitAt(after, 1))
}

// googleJudge: the request's own fault, then identity and entitlement, then
// capacity, then quotas from the longest window down, then the bare 429.
func googleJudge(a *answer) verdict {
	d := a.details()
	for _, rule := range [...]func(*answer, googleDetails) verdict{googleRequest, googleAccess, googleCapacity, googleMoney, googleQuota, googleBare} {
		if v := rule(a, d); !v.none() {
			if v.family == "" {
				v.family = namedModel(d.model(a))
			}
			return v
		}
	}
	return a.byStatus()
}

// googleRequest keeps text of the prompt, which such an error echoes, from being read.
func googleRequest(a *answer, d googleDetails) verdict {
	if a.status != 400 && !strings.EqualFold(a.problem.state, "INVALID_ARGUMENT") && !strings.EqualFold(a.problem.state, "FAILED_PRECONDITION") {
		return verdict{}
	}
	switch {
	case d.reason == "API_KEY_INVALID", d.reason == "API_KEY_EXPIRED":
		return auth("api_key")
	case a.coded("invalid_grant"):
		return auth("invalid_grant").because(events.ReasonInvalidGrant)
	case a.coded("FAILED_PRECONDITION") && a.says("enable billing"):
		return payment("enable_billing")
	case d.reason == "QUOTA_EXHAUSTED", d.reason == "RATE_LIMIT_EXCEEDED":
		return verdict{}
	}
	return badRequest("invalid_argument")
}

// googleAccess reads refusals of the credential and of the account.
func googleAccess(a *answer, d googleDetails) verdict {
	switch d.reason {
	case "VALIDATION_REQUIRED":
		return forbidden("validation_required", events.ReasonVerification)
	case "SUBSCRIPTION_REQUIRED":
		return forbidden("subscription_required", events.ReasonSubscription)
	case "SERVICE_DISABLED":
		return forbidden("service_disabled", events.ReasonNotEntitled)
	case "CONSUMER_SUSPENDED", "CONSUMER_INVALID", "ACCOUNT_DISABLED":
		return forbidden("suspended", events.ReasonBanned)
	case "BILLING_DISABLED", "BILLING_NOT_ACTIVE":
		return payment("billing_disabled")
	case "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "API_KEY_INVALID":
		return auth("unauthenticated")
	}
	if a.status == 401 || a.coded("UNAUTHENTICATED", "invalid_grant") {
		v := auth("unauthenticated")
		if a.coded("invalid_grant") {
			v.reason = events.ReasonInvalidGrant
		}
		return v
	}
	if a.status != 403 && !a.coded("PERMISSION_DENIED") {
		return verdict{}
	}
	return googleDenied(a, d)
}

// googleDenied reads a 403 without a reason of its own. Older Google APIs send
// quotas as 403, too.
func googleDenied(a *answer, d googleDetails) verdict {
	switch d.legacy {
	case "dailyLimitExceeded", "quotaExceeded":
		return quota("legacy_quota", events.ScopeModel).because(events.ReasonQuotaNamed).over(a.window())
	case "rateLimitExceeded", "userRateLimitExceeded":
		return rateLimited("legacy_rate", events.ScopeModel)
	}
	low := strings.Join(strings.Fields(a.low), " ") // the ban's sentence has a line break in it
	switch {
	case strings.Contains(low, "terms of service"), strings.Contains(low, "has been suspended"),
		strings.Contains(low, "denied access"), strings.Contains(low, "reported as leaked"):
		return forbidden("terms_of_service", events.ReasonBanned)
	case strings.Contains(low, "verify your account"):
		return forbidden("validation_required", events.ReasonVerification)
	case strings.Contains(low, "license"), strings.Contains(low, "not eligible"):
		return forbidden("subscription_required", events.ReasonSubscription)
	case strings.Contains(low, "unregistered callers"):
		return auth("no_credential")
	case strings.Contains(low, "has not been used in project"):
		return forbidden("service_disabled", events.ReasonNotEntitled)
	}
	return forbidden("permission_denied", "")
}

// googleCapacity: the reason beats everything else in the body; the sentence counts
// only where no reason says otherwise, because Google calls a quota "your capacity".
func googleCapacity(a *answer, d googleDetails) verdict {
	if a.status == 529 || a.coded("overloaded_error") {
		return overloaded("overloaded_error") // Claude on Vertex AI, in Anthropic's format
	}
	if d.reason == "MODEL_CAPACITY_EXHAUSTED" || d.reason == "MODEL_CAPACITY_EXCEEDED" {
		return capacity("model_capacity_exhausted")
	}
	if d.reason == "" && a.lacksCapacity() {
		return capacity("text_capacity")
	}
	if a.provider == "vertex-ai" && d.bare() && !a.says("quota") && a.coded("RESOURCE_EXHAUSTED", "429") || a.says("error-code-429") {
		return capacity("shared_capacity") // dynamic shared quota: no quota of this project
	}
	if d.reason == "" && a.status >= 500 && a.says("overloaded") {
		return capacity("text_overloaded")
	}
	return verdict{}
}

// bare reports whether an error has no details that say why.
func (d googleDetails) bare() bool {
	return d.reason == "" && d.violations.t == nil && d.retry.t == nil
}

func googleMoney(a *answer, d googleDetails) verdict {
	switch {
	case d.reason == "INSUFFICIENT_G1_CREDITS_BALANCE":
		// Only the credits for overage are spent: the plan's own quota comes back,
		// and the account's other groups have theirs.
		v := payment("g1_credits")
		v.scope = events.ScopeGroup
		return v
	case a.limits() && a.says("prepayment credits", "spending cap", "credits are depleted"):
		return payment("spending_cap")
	}
	return verdict{}
}

// limits reports whether the answer is about a limit at all.
func (a *answer) limits() bool {
	return a.status == 429 || a.status == 0 || a.coded("RESOURCE_EXHAUSTED")
}

// googleQuota reads the quotas that name themselves.
func googleQuota(a *answer, d googleDetails) verdict {
	named := d.reason == "QUOTA_EXHAUSTED" || d.reason == "RATE_LIMIT_EXCEEDED" || d.violations.t != nil
	if !named && !a.limits() {
		return verdict{}
	}
	_, daily := d.daily(a)
	switch {
	case d.limitZero(a):
		return quota("limit_zero", events.ScopeModel).because(events.ReasonFreeTierZero)
	case daily:
		return quota("per_day", a.pool()).because(events.ReasonQuotaNamed).over(events.WindowDaily)
	case d.reason == "QUOTA_EXHAUSTED", strings.TrimSpace(a.low) == "quota_exhausted":
		return quota("quota_exhausted", events.ScopeGroup).because(events.ReasonQuotaNamed).over(a.googleWindow())
	case d.reason == "RATE_LIMIT_EXCEEDED":
		return a.promoted(rateLimited("rate_limit_exceeded", events.ScopeModel), a.pool()).over(a.googleWindow())
	case d.violations.t != nil:
		return a.promoted(rateLimited("quota_failure", events.ScopeModel), a.pool())
	}
	return verdict{}
}

// pool is what a spent quota covers: a family of models where Google sells a plan,
// the model of the project where it sells an API.
func (a *answer) pool() events.Scope {
	if a.provider == "antigravity" || a.provider == "gemini-cli" {
		return events.ScopeGroup
	}
	return events.ScopeModel
}

// googleWindow guesses the window of a spent plan quota from its delay: Antigravity
// has five hours and a week, Gemini CLI a day.
func (a *answer) googleWindow() events.Window {
	switch d := a.longest(); {
	case d > 26*hour:
		return events.WindowWeekly
	case a.provider == "gemini-cli" && (d == 0 || d > promoteAfter):
		return events.WindowDaily
	case a.provider == "antigravity" && d > 6*hour:
		return events.WindowWeekly
	}
	return events.WindowUnknown
}

// googleBare reads a 429 that only has a sentence. "Resource has been exhausted
// (e.g. check quota)." is no proof of a spent quota: odd requests get it, too.
func googleBare(a *answer, _ googleDetails) verdict {
	if !a.limits() {
		return verdict{}
	}
	switch {
	case a.says("individual quota reached"):
		return quota("text_individual_quota", a.pool()).over(a.googleWindow())
	case a.says("exhausted your capacity"):
		if d := a.longest(); d > 0 && d <= promoteAfter {
			return rateLimited("text_short", events.ScopeModel)
		}
		return quota("text_quota", a.pool()).over(a.googleWindow())
	}
	return a.promoted(rateLimited("resource_exhausted", events.ScopeModel), a.pool())
}

// namedModel is a family that an answer names by one of its models: the engine
// looks up the group of that model.
func namedModel(model string) string {
	if model == "" {
		return ""
	}
	return events.ModelTarget + model
}
