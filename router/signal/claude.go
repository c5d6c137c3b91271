package signal

import (
	"cmp"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// claude reads Claude with a subscription (OAuth). Its limits stand in headers
// named anthropic-ratelimit-unified-*, which accompany served answers as well: only
// a window that says "rejected" is spent.
var claude = family{name: "claude", hints: claudeHints, judge: claudeJudge}

// unified is the prefix of the subscription's headers, canonical.
const unified = "Anthropic-Ratelimit-Unified-"

// claudeWindow is one window of the subscription.
type claudeWindow struct {
	name     string // "5h", "7d", "7d_opus"
	rejected bool
	reset    string // epoch seconds, as sent
}

// shared reports whether the window is one that all models share.
func (w claudeWindow) shared() bool { return w.name == "5h" || w.name == "7d" }

// length is the window's length, which its name begins with.
func (w claudeWindow) length() events.Window {
	if strings.HasPrefix(w.name, "5h") {
		return events.WindowFiveHour
	}
	return events.WindowWeekly
}

// claudeGroup is the group id of a window that only some models share.
func claudeGroup(window string) string {
	if window == "7d_oi" {
		return "claude-fable-weekly" // the family whose overage is included
	}
	return "claude-" + strings.ReplaceAll(strings.TrimPrefix(window, "7d_"), "_", "-") + "-weekly"
}

// windows reads the windows the answer names, sorted: shared ones first, then by
// the reset, latest first.
func (a *answer) windows() []claudeWindow {
	var ws []claudeWindow
	for header := range a.header {
		name, ok := strings.CutPrefix(header, unified)
		if !ok {
			continue
		}
		name, ok = strings.CutSuffix(name, "-Status")
		window := asciiLower(name)
		if !ok || name == "Overage" || !isWindow(window) {
			continue
		}
		ws = append(ws, claudeWindow{
			name:     window,
			rejected: isRejected(a.get(header)),
			reset:    a.get(unified + name + "-Reset"),
		})
	}
	slices.SortFunc(ws, func(x, y claudeWindow) int {
		return cmp.Or(cmp.Compare(len(y.reset), len(x.reset)), cmp.Compare(y.reset, x.reset), cmp.Compare(x.name, y.name))
	})
	return ws[:min(len(ws), 16)]
}

// isRejected reports whether a status header refuses. "rejected" is what is sent now;
// the others are older.
func isRejected(status string) bool {
	switch asciiLower(status) {
	case "rejected", "rate_limited", "blocked", "queueing_hard", "payment_required":
		return true
	}
	return false
}

// rejectsAll reports whether the summary over all windows refuses.
func (a *answer) rejectsAll() bool { return isRejected(a.get(unified + "Status")) }

// claim is the window that the answer blames, by the name of a header window.
func (a *answer) claim() string {
	switch c := a.get(unified + "Representative-Claim"); c {
	case "five_hour":
		return "5h"
	case "seven_day":
		return "7d"
	case "seven_day_overage_included":
		return "7d_oi"
	default:
		if model, ok := strings.CutPrefix(c, "seven_day_"); ok && isWindow(model) {
			return "7d_" + model
		}
		return ""
	}
}

// isWindow reports whether s can be part of a window's name, which goes into names
// of our own and so must be nothing else.
func isWindow(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9' || i > 2) && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 24
}

// exhausted returns the spent windows that decide: the shared ones if any is spent,
// because they cover all models; else those of some models only.
func (a *answer) exhausted() []claudeWindow {
	ws := a.windows()
	spent := slices.DeleteFunc(slices.Clone(ws), func(w claudeWindow) bool { return !w.rejected })
	if a.rejectsAll() && len(spent) == 0 {
		name := a.claim()
		named := func(w claudeWindow) bool { return w.name == name }
		if name != "" && !slices.ContainsFunc(ws, named) { // a window that allows is not to blame
			return []claudeWindow{{name: name, rejected: true, reset: a.get(unified + "Reset")}}
		}
	}
	if slices.ContainsFunc(spent, claudeWindow.shared) {
		return slices.DeleteFunc(spent, func(w claudeWindow) bool { return !w.shared() })
	}
	return spent
}

// claudeHints: the reset of the spent windows, the latest first because all of them
// must be over; then Retry-After; then the summary reset, which counts only while
// something is rejected. Resets of other windows are named and set aside.
func claudeHints(a *answer) {
	spent := a.exhausted()
	for _, w := range spent {
		a.note(w.name, "rejected")
		a.instant("header:anthropic-ratelimit-unified-"+w.name+"-reset", w.reset, utc)
	}
	a.retryAfter()
	from := len(a.hints)
	a.instant("header:anthropic-ratelimit-unified-reset", a.get(unified+"Reset"), utc)
	if len(spent) == 0 && !a.rejectsAll() || a.status >= 500 {
		a.setAside(from)
	}
	a.apiBuckets()
	a.sentence(utc)
	a.buckets()
	a.otherWindows(spent)
}

func (a *answer) otherWindows(spent []claudeWindow) {
	from := len(a.hints)
	for _, w := range a.windows() {
		if !slices.ContainsFunc(spent, func(s claudeWindow) bool { return s.name == w.name }) {
			a.instant("header:anthropic-ratelimit-unified-"+w.name+"-reset", w.reset, utc)
		}
	}
	a.setAside(from)
}

// claudeJudge: what Anthropic says in every mode, then the subscription's windows.
func claudeJudge(a *answer) verdict {
	if v := anthropicCommon(a); !v.none() {
		return v
	}
	if a.status != 429 && !a.coded("rate_limit_error") {
		return a.byStatus()
	}
	if a.obs.Operation == events.OpUsage || a.obs.Operation == events.OpToken {
		return rateLimited("side_endpoint", events.ScopeNone)
	}
	if v := claudeWindows(a); !v.none() {
		return v
	}
	return claudeWindowless(a)
}

// claudeWindows concludes from the windows that are spent.
func claudeWindows(a *answer) verdict {
	spent := a.exhausted()
	if len(spent) == 0 {
		return a.claudeSummary()
	}
	w := spent[0] // of several, the one that ends last
	if slices.ContainsFunc(spent, func(s claudeWindow) bool { return s.length() == events.WindowWeekly && s.reset == "" }) {
		w.name = "7d"
	}
	if !spent[0].shared() {
		return quota("family_window", events.ScopeGroup).because(events.ReasonQuotaNamed).
			of(claudeGroup(spent[0].name)).over(spent[0].length())
	}
	return quota("shared_window", events.ScopeAccount).because(events.ReasonQuotaNamed).over(w.length())
}

// claudeSummary concludes from the summary alone. Where the shared windows allow, a
// refused overage concerns the requested model only: it is one that the plan serves
// from overage.
func (a *answer) claudeSummary() verdict {
	switch {
	case !a.rejectsAll():
		return verdict{}
	case len(a.windows()) > 0 && isRejected(a.get(unified+"Overage-Status")):
		a.note("overage-status", "rejected")
		return quota("overage_rejected", events.ScopeModel).because(events.ReasonQuotaNamed)
	}
	return quota("unified_rejected", events.ScopeAccount).because(events.ReasonQuotaNamed)
}

// claudeWindowless concludes from a 429 without a spent window. Most are bursts or
// gates that every account meets with the same request; freezing on them empties
// the pool.
func claudeWindowless(a *answer) verdict {
	status := a.get(unified + "Status")
	switch {
	case status == "" && a.get(unified+"Overage-Disabled-Reason") == "out_of_credits":
		a.note("overage-disabled-reason", "out_of_credits")
		return quota("out_of_credits", events.ScopeModel).because(events.ReasonQuotaNamed)
	case status == "" && a.says("exceed your account's rate limit", "exceed your account’s rate limit"):
		return quota("text_account_limit", events.ScopeAccount).over(a.window())
	case a.says("per minute"):
		return rateLimited("per_minute", events.ScopeModel)
	case a.says("usage limit reached", "reached your usage limit", "hit your limit"):
		return quota("text_usage_limit", events.ScopeAccount).over(a.window())
	}
	return rateLimited("windowless", events.ScopeNone)
}
