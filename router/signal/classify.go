package signal

import (
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Version is the version of the rules in this package; it rises when the meaning of
// an answer changes.
const Version = 1

var utc = time.UTC

// success is the signal of a served request, made once: that path allocates nothing.
var success = events.Signal{Class: events.ClassOK, Scope: events.ScopeNone, Rule: "general/success", Classifier: Version}

// Classify says what an upstream answer means. It is pure and total: the same
// observation gives the same signal, nothing panics, and the work is bounded by
// MaxBody and the number of headers. The order is that of the sources: the
// transport first (a page of a CDN says nothing about an account), then structured
// reasons, then the status, then sentences, and those only inside the provider's
// own error.
//
// Hints are in the provider's order of precedence. Lost is set only for what the
// answer itself rules out. A hint with At set also carries in Seconds its distance
// from ObservedAt, if that is known.
func Classify(o Observation) events.Signal {
	if isSuccess(o.Status) && !mayFail(o.Body) {
		return success
	}
	return classify(new(o))
}

// classify is Classify for all that is not plainly a success. It is a function of
// its own because the answer keeps the observation, which would otherwise cost the
// success path an allocation.
func classify(o *Observation) events.Signal {
	a := takeApart(o)
	if v := a.byTransport(); !v.none() {
		return a.signal("transport", v)
	}
	problems, frame, status := a.problems()
	if isSuccess(o.Status) && len(problems) == 0 {
		return success
	}
	a.frame(frame, status)
	f := familyOf(a.provider)
	best := a.judge(f, problems[:min(len(problems), 1)])
	for i := 1; i < len(problems); i++ {
		if other := a.judge(f, problems[i:i+1]); outweighs(other, best) {
			best = other
		}
	}
	return best
}

// outweighs reports whether the later of two errors in one body decides: a spent
// quota outlasts whatever else the body complains about.
func outweighs(later, first events.Signal) bool {
	return later.Class == events.ClassQuotaExhausted && first.Class == events.ClassRateLimited
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

// takeApart prepares an observation for the rules.
func takeApart(o *Observation) *answer {
	body := string(o.Body[:min(len(o.Body), MaxBody)])
	body = strings.TrimLeft(body, " \t\r\n\ufeff")
	a := &answer{obs: o, status: o.Status, header: canonical(o.Header), form: formOf(body), body: body}
	a.provider = strings.ToLower(strings.TrimSpace(o.Provider[:min(len(o.Provider), events.MaxName)]))
	a.when.observed = o.ObservedAt
	if date := a.get("Date"); date != "" {
		a.when.sent, _ = readInstant(date, utc)
	}
	return a
}

// byTransport recognises answers that did not come from the provider's API.
func (a *answer) byTransport() verdict {
	if a.status <= 0 && a.form == formEmpty {
		return serverError("no_response")
	}
	if a.get("Cf-Mitigated") != "" {
		return serverError("challenge")
	}
	if a.form != formHTML {
		return verdict{}
	}
	low := asciiLower(a.body)
	switch {
	case strings.Contains(low, "challenge-platform"), strings.Contains(low, "_cf_chl_opt"), strings.Contains(low, "cf-mitigated"):
		return serverError("challenge")
	case a.status == 429 && (strings.Contains(low, "cloudflare") || strings.Contains(low, "unusual traffic")):
		return rateLimited("cdn_rate_limit", events.ScopeNone) // of the address, not of the account
	case a.status == 403, a.status >= 500, a.status < 400:
		return serverError("html")
	}
	return verdict{}
}

// problems finds the errors in the body, and what a WebSocket frame around them says.
func (a *answer) problems() (found []problem, frame value, status int) {
	f := finder{refused: a.refusesRequest() || a.status == 401}
	f.found = f.store[:0]
	switch a.form {
	case formJSON:
		f.body(readJSON(a.body), isSuccess(a.status))
	case formStream:
		f.stream(a.body, isSuccess(a.status))
	case formXML:
		f.add(problem{code: tag(a.body, "Code"), message: tag(a.body, "Message")})
	case formText:
		if !isSuccess(a.status) {
			f.text(strings.TrimSpace(a.body))
		}
	}
	if len(f.found) == 0 && !isSuccess(a.status) {
		f.add(problem{})
	}
	return f.found, f.headers, f.status
}

// frame takes over the status and the headers a body brought along.
func (a *answer) frame(headers value, status int) {
	a.header = withFrame(a.header, headers)
	switch {
	case isSuccess(a.status), a.status <= 0:
		a.status = status
	}
}

// judge lets the family read one problem.
func (a *answer) judge(f family, one []problem) events.Signal {
	a.problem = problem{}
	outer := a.status
	defer func() { a.status = outer }()
	if len(one) > 0 {
		a.problem = one[0]
		if s := one[0].ownStatus(); s != 0 && (a.status <= 0 || one[0].wrapped && a.status >= 500) {
			a.status = s // of a stream, or of what a proxy in between failed because of
		}
	}
	a.low = asciiLower(a.problem.message)
	a.hints, a.notes = a.store.hints[:0], a.store.notes[:0]
	f = a.spoken(f)
	f.hints(a)
	if v := a.byEdge(); !v.none() {
		return a.signal("transport", v)
	}
	return a.signal(f.name, f.judge(a))
}

// byEdge recognises what Cloudflare answers in place of the provider, in text or in
// JSON: limits and bans of the caller's address, and failures to reach the provider.
func (a *answer) byEdge() verdict {
	code, plain := strings.CutPrefix(a.low, "error code: 1")
	p := &a.problem
	switch {
	case plain && len(code) == 3, strings.EqualFold(p.field("cloudflare_error").word(), "true"):
	default:
		return verdict{}
	}
	if a.status == 429 {
		return rateLimited("cdn_rate_limit", events.ScopeNone)
	}
	return serverError("cdn_refused")
}
