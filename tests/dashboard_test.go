package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// dashboard calls what a dashboard written for CLIProxyAPI's quota groups calls, in its
// manner: it knows a base URL and a management key, reads the members that it shows, and
// shows the error of an answer that is not one of success.
type dashboard struct {
	t      *testing.T
	base   string
	header http.Header // the key
}

// credential is an account as such a dashboard lists it.
type credential struct {
	id, name, provider, status, message string
	unavailable                         bool
	groups                              []quotaGroup
}

// quotaGroup is a line below an account.
type quotaGroup struct {
	ID, Label, Status string
	Manual            bool
	ManualReason      string
	CooldownUntil     string // empty: no button to clear it
	Source            string // model, provider and where the deadline comes from
	Updated, By       string
}

// ask sends a request. A message is the error that the dashboard would show.
func (d *dashboard) ask(method, path string, body any) (doc map[string]any, message string) {
	d.t.Helper()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			d.t.Fatal(err)
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, payload)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header = d.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Sprintf("%d: %v", resp.StatusCode, doc["error"])
	}
	return doc, ""
}

// done sends a change, which has to succeed as such dashboards see it.
func (d *dashboard) done(method, path string, body any) {
	d.t.Helper()
	doc, message := d.ask(method, path, body)
	if diff := cmp.Diff(map[string]any{"status": "ok"}, doc); diff != "" {
		d.t.Fatalf("%s %s: %s\n%s", method, path, message, diff)
	}
}

func (d *dashboard) suspend(account, group string, on bool, reason string) {
	d.t.Helper()
	d.done(http.MethodPatch, "/auth-files/quota-groups/manual", map[string]any{
		"auth_id": account, "group_id": group, "manual_suspended": on, "reason": reason, "dashboard_version": "1.4",
	})
}

// list reads the accounts, then their groups, and puts them together by id.
func (d *dashboard) list() []credential {
	d.t.Helper()
	files, message := d.ask(http.MethodGet, "/auth-files", nil)
	if message != "" {
		d.t.Fatal(message)
	}
	var all []credential
	for _, f := range objects(d.t, files["files"]) {
		c := credential{id: text(f["id"]), name: text(f["name"]), provider: text(f["provider"]), status: text(f["status"]), message: text(f["status_message"])}
		c.unavailable = f["unavailable"] == true
		if f["type"] != f["provider"] || f["disabled"] != (c.status == "disabled") {
			d.t.Errorf("%v", f)
		}
		all = append(all, c)
	}
	answer, message := d.ask(http.MethodGet, "/auth-files/quota-groups", nil)
	if message != "" {
		d.t.Fatal(message)
	}
	for _, i := range objects(d.t, answer["items"]) {
		g := quotaGroup{
			ID: text(i["group_id"]), Label: text(i["label"]), Status: text(i["effective_status"]), Manual: i["manual_suspended"] == true,
			ManualReason: text(i["manual_reason"]), CooldownUntil: text(i["auto_suspended_until"]), Updated: text(i["updated_at"]), By: text(i["updated_by"]),
		}
		if text(i["auto_reason"]) != "" {
			g.Source = fmt.Sprint(i["auto_reason"], " ", i["source_model"], " ", i["source_provider"], " ", i["reset_time_source"])
		}
		for n := range all {
			if all[n].id == text(i["auth_id"]) {
				all[n].groups = append(all[n].groups, g)
			}
		}
	}
	return all
}

// group is a group of an account as the list shows it now, without its instants, which
// have to be some or none as is said.
func (d *dashboard) group(account, group string, cools, touched bool) quotaGroup {
	d.t.Helper()
	for _, c := range d.list() {
		for _, g := range c.groups {
			if c.id != account || g.ID != group {
				continue
			}
			for instant, want := range map[string]bool{g.CooldownUntil: cools, g.Updated: touched} {
				if _, err := time.Parse(time.RFC3339, instant); (err == nil) != want || want == (instant == "") {
					d.t.Errorf("%s of %s: the instant %q, want one: %v", group, account, instant, want)
				}
			}
			g.CooldownUntil, g.Updated = "", ""
			return g
		}
	}
	d.t.Fatalf("%s of %s is not listed", group, account)
	return quotaGroup{}
}

func objects(t *testing.T, list any) (all []map[string]any) {
	t.Helper()
	items, ok := list.([]any)
	if !ok {
		t.Fatalf("%v is no list", list)
	}
	for _, i := range items {
		all = append(all, i.(map[string]any))
	}
	return all
}

// text is a member that is a text, empty for any that is none, as such dashboards read.
func text(member any) string {
	s, _ := member.(string)
	return s
}

// acts lists what was done through the compat routes, oldest first.
func (d *daemon) acts() (list []string) {
	d.t.Helper()
	page := d.must(200, "GET", "/v1/events?order=asc&page_size=1000", nil)
	for _, e := range objects(d.t, page["items"]) {
		if e["via"] == "compat" {
			data := e["data"].(map[string]any)
			line := fmt.Sprint(e["kind"], " ", e["account"], " ", data["target"], " by ", e["actor"], " for ", e["on_behalf_of"], ": ", data["reason"], " ", data["forever"])
			list = append(list, strings.ReplaceAll(line, "<nil>", "-"))
		}
	}
	return list
}

// A dashboard written for CLIProxyAPI works against this server, with its base URL and a
// token as its key, and what it does is in the history under the token's name.
func TestDashboardOfCLIProxyAPI(t *testing.T) {
	d := startDaemon(t, t.TempDir())
	const mira = "antigravity-mira@example.com.json"
	for _, id := range []string{"antigravity-mira%40example.com.json", "a2"} {
		d.must(200, "PUT", "/v1/accounts/"+id, map[string]any{"provider": "antigravity"})
	}
	key := func(name string, scopes ...string) string {
		return d.must(200, "POST", "/v1/tokens", map[string]any{"name": name, "scopes": scopes})["token"].(string)
	}
	ui := &dashboard{t: t, base: d.url + "/v0/management", header: http.Header{"Authorization": {"Bearer " + key("panel", "operate")}}}
	admin := &dashboard{t: t, base: ui.base, header: http.Header{"X-Management-Key": {key("panel-admin", "admin")}}}

	// It lists: every account with every group, nothing blocked.
	all := ui.list()
	if len(all) != 2 || all[0].id != "a2" || all[1].name != mira || all[1].status != "active" || all[1].unavailable || len(all[1].groups) != 3 {
		t.Fatalf("%+v", all)
	}
	free := quotaGroup{ID: "claude", Label: "Claude and gpt-oss", Status: "available"}
	same := func(got, want quotaGroup) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what is shown (-want +got):\n%s", diff)
		}
	}
	same(ui.group(mira, "claude", false, false), free)

	// It suspends with a reason and without, beside a cooldown, and lifts.
	d.must(200, "POST", "/v1/reports", limit(mira, "claude-opus-4-6-thinking", 429, quota))
	cooling := free
	cooling.Status, cooling.Source = "auto_suspended", "quota_exhausted claude-opus-4-6-thinking antigravity retry_after"
	same(ui.group(mira, "claude", true, true), cooling)
	ui.suspend(mira, "claude", true, "dashboard_manual_suspend")
	both := cooling
	both.Status, both.Manual, both.ManualReason, both.By = "manual_suspended", true, "dashboard_manual_suspend", "operator:panel"
	same(ui.group(mira, "claude", true, true), both)
	ui.suspend("a2", "g3_pro", true, "")
	same(ui.group("a2", "gemini-pro", false, true), quotaGroup{
		ID: "gemini-pro", Label: "Gemini Pro", Status: "manual_suspended", Manual: true, ManualReason: "no reason given", By: "operator:panel",
	})
	if got := d.picks("gemini-3-pro", 2); got != mira+" "+mira {
		t.Errorf("picks gave %s", got)
	}
	ui.suspend(mira, "claude", false, "")
	same(ui.group(mira, "claude", true, true), cooling)

	// It clears one cooldown, then all of an account; a second time nothing is left to do.
	for _, model := range []string{"gemini-3-pro", "gemini-3-flash"} {
		d.must(200, "POST", "/v1/reports", limit(mira, model, 429, strings.ReplaceAll(quota, "claude-opus-4-6-thinking", model)))
	}
	if c := ui.list()[1]; !c.unavailable || c.status != "error" || !strings.Contains(c.message, "the first comes back at 20") {
		t.Errorf("%+v", c)
	}
	clearPath := "/auth-files/quota-groups/auto/clear"
	ui.done(http.MethodPatch, clearPath, map[string]any{"auth_id": mira, "group_id": "claude"})
	same(ui.group(mira, "claude", false, false), free)
	if c := ui.list()[1]; c.unavailable || c.status != "active" || c.groups[1].CooldownUntil == "" {
		t.Errorf("%+v", c)
	}
	for range 2 {
		ui.done(http.MethodPatch, clearPath, map[string]any{"auth_id": mira, "updated_by": "Mira K"})
	}
	if got := d.picks("gemini-3-flash", 2); got != mira+" a2" && got != "a2 "+mira {
		t.Errorf("picks gave %s", got)
	}

	// It replaces the groups, with the key that may.
	replaced := []any{map[string]any{"id": "claude_45", "label": "Claude", "providers": []string{"antigravity"}, "patterns": []string{"claude-*"}, "enabled": true}}
	if _, message := ui.ask(http.MethodPut, "/oauth-quota-groups", replaced); message != "403: the token panel lacks the scope admin" {
		t.Errorf("the dashboard shows %q", message)
	}
	admin.done(http.MethodPut, "/oauth-quota-groups", replaced)
	same(ui.group(mira, "claude_45", false, false), quotaGroup{ID: "claude_45", Label: "Claude", Status: "available"})
	ui.suspend("a2", "claude_45", true, "after the change")
	in, message := admin.ask(http.MethodGet, "/oauth-quota-groups", nil)
	if message != "" {
		t.Fatal(message)
	}
	if first := objects(t, in["oauth-quota-groups"])[0]; first["id"] != "claude_45" || first["priority"] != 300.0 || first["enabled"] != true {
		t.Errorf("%v", first)
	}

	// What it cannot do it is told where it looks for that.
	for body, want := range map[string]string{
		`{"auth_id":"nobody","group_id":"claude","manual_suspended":true}`: `404: no account "nobody" is known`,
		`{"auth_id":"a2","group_id":"nothing","manual_suspended":true}`:    `404: no quota group "nothing" is defined`,
	} {
		if _, message := ui.ask(http.MethodPatch, "/auth-files/quota-groups/manual", json.RawMessage(body)); message != want {
			t.Errorf("the dashboard shows %q, want %q", message, want)
		}
	}

	acts := d.acts()
	want := []string{
		"suspended " + mira + " claude by operator:panel for -: dashboard_manual_suspend true",
		"suspended a2 gemini-pro by operator:panel for -: no reason given true",
		"lifted " + mira + " claude by operator:panel for -: - -",
		"cooldown_cleared " + mira + " claude by operator:panel for -: - -",
		"cooldown_cleared " + mira + " gemini-flash by operator:panel for Mira K: - -",
		"cooldown_cleared " + mira + " gemini-pro by operator:panel for Mira K: - -",
		"groups_defined - - by operator:panel-admin for -: - -",
		"suspended a2 claude by operator:panel for -: after the change true",
	}
	if diff := cmp.Diff(want, acts); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
	// All of it is there after kill -9.
	before := ui.list()
	d.kill()
	d = startDaemon(t, d.dir)
	ui.base = d.url + "/v0/management"
	if diff := cmp.Diff(before, ui.list(), cmp.AllowUnexported(credential{})); diff != "" {
		t.Errorf("the list differs after kill -9 (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(acts, d.acts()); diff != "" {
		t.Errorf("the history differs after kill -9 (-before +after):\n%s", diff)
	}
}
