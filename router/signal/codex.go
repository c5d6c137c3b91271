package signal

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// codex reads the ChatGPT backend that Codex uses, over HTTP, in a stream after
// status 200, and in WebSocket frames.
var codex = family{name: "codex", hints: codexHints, judge: codexJudge}

// codexHints: resets_at, resets_in_seconds, then the windows used up, then the
// general fields. A window that is not used up is named and set aside.
func codexHints(a *answer) {
	a.errorHeader()
	a.limit = a.activeLimit()
	p := &a.problem
	a.instant(sourceResetsAt, p.field("resets_at").text(), utc)
	a.delay("error.resets_in_seconds", p.field("resets_in_seconds").text(), 1)
	windows := a.codexWindows()
	for _, w := range windows {
		a.windowHints(w)
	}
	a.retryAfter()
	a.sentence(utc)
}

// errorHeader takes the error from a header with base64 JSON, which names the cause
// where the body only says "Unauthorized".
func (a *answer) errorHeader() {
	raw := a.header["X-Error-Json"]
	if len(raw) == 0 {
		return
	}
	var f finder
	if v := readJSON(decodeBase64(raw[0])); v.t != nil {
		f.value(v, v)
	}
	if len(f.found) == 0 || f.found[0].code == "" && f.found[0].kind == "" {
		return
	}
	hidden := f.found[0]
	if hidden.message == "" {
		hidden.message = a.problem.message
	}
	a.problem, a.low = hidden, asciiLower(hidden.message)
}

// codexWindow is one window of a limit as the headers show it.
type codexWindow struct {
	name, at, after string
	minutes         float64
	full            bool
}

// length is the window's length by its minutes: which slot it stands in says
// nothing, plans with one window have the week in the first.
func (w codexWindow) length() events.Window {
	switch m := w.minutes; {
	case m <= 0:
		return events.WindowUnknown
	case m <= 360:
		return events.WindowFiveHour
	case m <= 1500:
		return events.WindowDaily
	case m <= 8*1440:
		return events.WindowWeekly
	}
	return events.WindowMonthly
}

// codexWindows reads the windows of the active limit, the used up ones first, of
// these the one that resets last first.
func (a *answer) codexWindows() []codexWindow {
	prefix := a.limitPrefix()
	var ws []codexWindow
	for _, slot := range [...]string{"Primary", "Secondary"} {
		used, _, known := leadingNumber(a.get(prefix + slot + "-Used-Percent"))
		w := codexWindow{
			name:  asciiLower(prefix + slot),
			at:    a.get(prefix + slot + "-Reset-At"),
			after: a.get(prefix + slot + "-Reset-After-Seconds"),
			full:  known && used >= 100,
		}
		w.minutes, _, _ = leadingNumber(a.get(prefix + slot + "-Window-Minutes"))
		if known || w.at != "" || w.after != "" {
			ws = append(ws, w)
		}
	}
	slices.SortStableFunc(ws, func(x, y codexWindow) int {
		return cmp.Or(boolInt(y.full)-boolInt(x.full), cmp.Compare(y.minutes, x.minutes))
	})
	return ws
}

// mainLimit is the prefix of the headers of the main limit.
const mainLimit = "X-Codex-"

// limitPrefix is the prefix of the headers of the limit the answer names. Only an
// extra limit has headers of its own; the main one's begin with x-codex-primary.
func (a *answer) limitPrefix() string {
	if a.limit != "" {
		own := http.CanonicalHeaderKey("x-"+a.limit) + "-"
		for _, end := range [...]string{"Primary-Used-Percent", "Secondary-Used-Percent", "Primary-Reset-At", "Limit-Name"} {
			if _, ok := a.header[own+end]; ok {
				return own
			}
		}
	}
	return mainLimit
}

// activeLimit is the limit the answer names, with dashes: "codex-bengalfox". Empty if
// it names none, or if the header holds what no limit is called. It is scrubbed here,
// because a credential in lower case is none that the scrubber knows.
func (a *answer) activeLimit() string {
	raw := a.get("X-Codex-Active-Limit")
	if raw == "" || len(raw) > 40 || events.Scrub(raw, 40) != raw {
		return ""
	}
	limit := asciiLower(raw)
	for i := range len(limit) {
		if c := limit[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return ""
		}
	}
	return strings.ReplaceAll(limit, "_", "-")
}

func (a *answer) windowHints(w codexWindow) {
	from := len(a.hints)
	a.instant("header:"+w.name+"-reset-at", w.at, utc)
	a.delay("header:"+w.name+"-reset-after-seconds", w.after, 1)
	if !w.full {
		a.setAside(from)
	}
}

// codexGroup is the group of the limit that the answer names; empty if it names none.
func (a *answer) codexGroup() string {
	limit := a.limit
	title := asciiLower(a.get(a.limitPrefix() + "Limit-Name"))
	switch {
	case limit == "":
		return ""
	case limit == "codex", limit == "premium", limit == "main", limit == "codex-main", limit == "default", limit == "standard":
		return "codex-main"
	case strings.Contains(limit, "bengalfox"), strings.Contains(limit, "spark"), strings.Contains(title, "spark"):
		return "codex-spark"
	}
	if a.limitPrefix() == mainLimit && a.fullWindow() {
		return "codex-main" // a new name for the limit whose headers are full
	}
	rest := strings.Trim(strings.TrimPrefix(limit, "codex"), "-.")
	if rest == "" {
		return "codex-main"
	}
	return "codex-" + rest
}

// codexJudge reads the codes, which decide over the status, then the sentences.
func codexJudge(a *answer) verdict {
	switch {
	case a.coded("usage_limit_reached"):
		return a.codexQuota()
	case a.coded("usage_not_included"):
		return forbidden("usage_not_included", events.ReasonNotEntitled)
	case a.coded("websocket_connection_limit_reached"):
		return rateLimited("connection_limit", events.ScopeNone)
	case a.says("selected model is at capacity"), !a.refusesRequest() && a.lacksCapacity():
		return capacity("text_capacity")
	case a.coded("service_unavailable_error", "server_is_overloaded", "slow_down"):
		return overloaded("server_is_overloaded")
	case a.status == 401 && a.says("deactivated"):
		return forbidden("account_deactivated", events.ReasonBanned)
	}
	if v := a.byCode(); !v.none() {
		return v
	}
	if a.status == 429 && (a.says("usage limit") || a.fullWindow()) {
		return a.codexQuota()
	}
	if v := a.byText(); !v.none() && v.class != events.ClassQuotaExhausted {
		return v
	}
	return a.promoted(a.byStatus(), events.ScopeGroup)
}

// fullWindow reports whether the headers show a window that is used up.
func (a *answer) fullWindow() bool {
	ws := a.codexWindows()
	return len(ws) > 0 && ws[0].full
}

// codexQuota is a spent limit. Its window is that of the headers, else a guess from
// the delay; a free plan has only the week.
func (a *answer) codexQuota() verdict {
	v := quota("usage_limit_reached", events.ScopeGroup).because(events.ReasonQuotaNamed).of(a.codexGroup())
	a.note("active-limit", a.get("X-Codex-Active-Limit"))
	a.note("plan_type", a.problem.field("plan_type").text())
	if ws := a.codexWindows(); len(ws) > 0 && ws[0].full {
		v.window = ws[0].length()
	}
	if d := a.longest(); v.window == events.WindowUnknown && d > 6*hour {
		v.window = events.WindowWeekly
		if d > 8*day {
			v.window = events.WindowMonthly
		}
	}
	return v
}
