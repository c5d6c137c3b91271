package tests

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// quota is what Antigravity sends when a weekly quota is spent.
const quota = `{"error":{"code":429,"message":"Individual quota reached. Contact your administrator to enable overages. Resets in 71h15m27s.",` +
	`"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED",` +
	`"domain":"cloudcode-pa.googleapis.com","metadata":{"model":"claude-opus-4-6-thinking","quotaResetDelay":"71h15m27.79s"}},` +
	`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"256527.79s"}]}}`

func limit(account, model string, status int, body string) map[string]any {
	return map[string]any{
		"account": account, "provider": "antigravity", "model": model, "status": status, "body": body,
		"headers": map[string]any{"Content-Type": "text/event-stream"},
	}
}

func pick(model string) map[string]any {
	return map[string]any{"provider": "antigravity", "model": model}
}

// picks asks n times and lists the accounts.
func (d *daemon) picks(model string, n int) string {
	d.t.Helper()
	var got []string
	for range n {
		got = append(got, d.must(200, "POST", "/v1/pick", pick(model))["account"].(string))
	}
	return strings.Join(got, " ")
}

// again kills the daemon, serves the directory anew and checks that the cells are
// the same.
func (d *daemon) again() *daemon {
	d.t.Helper()
	before := d.must(200, "GET", "/v1/cells", nil)["items"]
	d.kill()
	next := startDaemon(d.t, d.dir)
	if diff := cmp.Diff(before, next.must(200, "GET", "/v1/cells", nil)["items"]); diff != "" {
		d.t.Fatalf("the cells differ after kill -9 (-before +after):\n%s", diff)
	}
	return next
}

// The session an operator has on the first day, against the real program, killed
// and served anew after every step.
func TestFirstSession(t *testing.T) {
	d := startDaemon(t, t.TempDir())
	for _, id := range []string{"a1", "a2"} {
		d.must(200, "PUT", "/v1/accounts/"+id, map[string]any{"provider": "antigravity"})
	}
	d = d.again()

	got := d.must(200, "POST", "/v1/reports", limit("a1", "claude-opus-4-6-thinking", 429, quota))
	until, err := time.Parse(time.RFC3339, fmt.Sprint(got["until"]))
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Until(until)
	if got["class"] != "quota_exhausted" || got["target"] != "claude" || got["effect"] != "started" ||
		ahead < 71*time.Hour || ahead > 72*time.Hour {
		t.Fatalf("the report was answered %v", got)
	}
	d = d.again()
	if accounts := d.picks("claude-sonnet-4-6", 3); accounts != "a2 a2 a2" {
		t.Errorf("Claude picks gave %s", accounts)
	}
	if accounts := d.picks("gemini-3-flash", 4); accounts != "a1 a2 a1 a2" {
		t.Errorf("Gemini picks gave %s", accounts)
	}

	d.must(200, "POST", "/v1/reports", limit("a2", "claude-opus-4-6-thinking", 429, quota))
	blocked, err := d.call(t.Context(), "POST", "/v1/pick", pick("claude-sonnet-4-6"))
	if err != nil {
		t.Fatal(err)
	}
	wait, _ := strconv.Atoi(blocked.header.Get("Retry-After")) // until the first probe, long before the first return
	if blocked.status != http.StatusTooManyRequests || wait < 60 || wait > 300 {
		t.Errorf("the pick was answered %d with Retry-After %q", blocked.status, blocked.header.Get("Retry-After"))
	}
	problem := d.must(429, "POST", "/v1/pick", pick("claude-sonnet-4-6"))
	if reasons := problem["reasons"].([]any); len(reasons) != 2 || problem["code"] != "all_cooling" {
		t.Errorf("the problem is %v", problem)
	}

	d.must(200, "POST", "/v1/suspend", map[string]any{"account": "a1", "target": "claude", "reason": "invoice", "for": "2d"})
	d.must(200, "POST", "/v1/clear", map[string]any{"account": "a1", "target": "claude"})
	d = d.again()
	if problem := d.must(429, "POST", "/v1/pick", pick("claude-sonnet-4-6")); problem["counts"].(map[string]any)["suspended"] != 1.0 {
		t.Errorf("after the clear the suspension must still block: %v", problem)
	}
	d.must(200, "POST", "/v1/lift", map[string]any{"account": "a1", "target": "claude"})
	if accounts := d.picks("claude-sonnet-4-6", 2); accounts != "a1 a1" {
		t.Errorf("after clear and lift the picks gave %s", accounts)
	}
	d.must(200, "POST", "/v1/clear", map[string]any{"account": "a2"})
	if accounts := d.picks("claude-sonnet-4-6", 2); accounts != "a2 a1" {
		t.Errorf("a clear must free the account at once; the picks gave %s", accounts)
	}
	d = d.again()
	d.checkHistory([]string{
		"groups_defined", "policy_defined", "account_added", "account_added", "limit_observed", "limit_observed",
		"suspended", "cooldown_cleared", "lifted", "cooldown_cleared",
	})
	d.checkReplay()
}

// checkReplay replays the whole log under the rules of the time: nothing may differ.
func (d *daemon) checkReplay() {
	d.t.Helper()
	got := d.must(200, "POST", "/v1/replay", map[string]any{})
	if got["first_difference"] != nil || got["avoided_429s"] != 0.0 || got["differing_count"] != 0.0 ||
		got["extra_free_seconds"] != 0.0 || got["extra_blocked_seconds"] != 0.0 || got["observations"] == 0.0 {
		d.t.Errorf("the same rules make a difference: %v", got)
	}
}

// checkHistory compares the kinds in order; each record names its actor, and the
// limits their evidence.
func (d *daemon) checkHistory(want []string) {
	d.t.Helper()
	var kinds []string
	for _, item := range d.must(200, "GET", "/v1/events?order=asc", nil)["items"].([]any) {
		record := item.(map[string]any)
		kinds = append(kinds, record["kind"].(string))
		if record["actor"] == "" {
			d.t.Errorf("record %v names no actor", record["seq"])
		}
		if doc := fmt.Sprint(record); record["kind"] == "limit_observed" && !strings.Contains(doc, "QUOTA_EXHAUSTED") {
			d.t.Errorf("record %v has no evidence: %s", record["seq"], doc)
		}
	}
	if !slices.Equal(kinds, want) {
		d.t.Errorf("the history is %v\nwant %v", kinds, want)
	}
}

// A shortage of the provider blocks one model of one account for minutes at most; a
// route that does not exist blocks nothing and leaves no record; a ban is held until
// a human clears it.
func TestAnswersThatAreNoQuota(t *testing.T) {
	d := startDaemon(t, t.TempDir())
	d.must(200, "PUT", "/v1/accounts/a1", map[string]any{"provider": "antigravity"})
	short := `{"error":{"code":503,"message":"No capacity available for model gemini-3-pro-high on the server","status":"UNAVAILABLE"}}`
	got := d.must(200, "POST", "/v1/reports", limit("a1", "gemini-3-pro-high", 503, short))
	until, err := time.Parse(time.RFC3339, fmt.Sprint(got["until"]))
	if err != nil || got["target"] != "model:gemini-3-pro-high" || time.Until(until) > 5*time.Minute {
		t.Errorf("the shortage was answered %v", got)
	}
	d.must(200, "POST", "/v1/pick", pick("gemini-3-pro-low"))

	head := d.must(200, "GET", "/v1/head", nil)["seq"]
	absent := limit("a1", "claude-sonnet-4-6", 404, "404 page not found\n")
	absent["operation"] = "count_tokens"
	if got := d.must(200, "POST", "/v1/reports", absent); got["effect"] != "none" || got["seq"] != nil {
		t.Errorf("the absent route was answered %v", got)
	}
	if now := d.must(200, "GET", "/v1/head", nil)["seq"]; now != head {
		t.Errorf("the head went from %v to %v", head, now)
	}

	ban := `{"error":{"code":403,"message":"This service has been disabled in this account for violation of Terms of Service.","status":"PERMISSION_DENIED"}}`
	if got := d.must(200, "POST", "/v1/reports", limit("a1", "gemini-3-flash", 403, ban)); got["effect"] != "held" {
		t.Errorf("the ban was answered %v", got)
	}
	blocked, err := d.call(t.Context(), "POST", "/v1/pick", pick("gemini-3-flash"))
	if err != nil || blocked.status != http.StatusServiceUnavailable || blocked.header.Get("Retry-After") != "" ||
		!strings.Contains(string(blocked.body), "all_held") {
		t.Errorf("a pick of a held account was answered %d %v %s (%v)", blocked.status, blocked.header, blocked.body, err)
	}
	d = d.again()
	d.must(200, "POST", "/v1/clear", map[string]any{"account": "a1"})
	d.must(200, "POST", "/v1/pick", pick("gemini-3-flash"))
	d.checkReplay()
}
