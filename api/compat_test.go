package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/api/compat"
	"github.com/abeyance/abeyance/events"
)

const (
	compatGroups = "/v0/management/oauth-quota-groups"
	compatFiles  = "/v0/management/auth-files"
	compatItems  = "/v0/management/auth-files/quota-groups"
	compatManual = "/v0/management/auth-files/quota-groups/manual"
	compatClear  = "/v0/management/auth-files/quota-groups/auto/clear"
)

// compatBodies are the compat routes that read a body, each with one that it takes and
// that changes nothing.
func compatBodies() map[string]string {
	return map[string]string{
		"PUT " + compatGroups:   `{"items":[]}`,
		"PATCH " + compatManual: `{"auth_id":"a1","group_id":"claude","manual_suspended":false}`,
		"PATCH " + compatClear:  `{"auth_id":"a1","group_id":"claude"}`,
	}
}

func (b *bench) patch(path, body string) answer {
	b.t.Helper()
	return b.do(request{method: http.MethodPatch, path: path, body: body})
}

// compatItems reads the list of items, which has to be asked for with a token of any scope that
// may read.
func (b *bench) compatItems() []compat.Item {
	b.t.Helper()
	a := b.do(request{method: http.MethodGet, path: compatItems, as: "read"}).want(http.StatusOK)
	if got := a.header.Get("Content-Type"); got != "application/json" {
		b.t.Errorf("Content-Type %q", got)
	}
	return decode[compat.ItemsAnswer](a).Items
}

// statuses is the effective statuses of an account's groups, in order.
func (b *bench) statuses(account string) string {
	b.t.Helper()
	var list []string
	for _, i := range b.compatItems() {
		if i.AuthID == account {
			list = append(list, i.GroupID+" "+i.EffectiveStatus)
		}
	}
	return strings.Join(list, ", ")
}

// last is the newest record.
func (b *bench) last() api.EventRow {
	b.t.Helper()
	return decode[api.Page[api.EventRow]](b.get("/v1/events?page_size=1").want(http.StatusOK)).Items[0]
}

// TestCompatBodies: each kind of bad body is refused, and appends nothing; members that
// are not known are ignored.
func TestCompatBodies(t *testing.T) {
	b := newBench(t)
	b.pool()
	before := len(b.records())
	for route, good := range compatBodies() {
		method, path, _ := strings.Cut(route, " ")
		send := func(body string, header map[string]string) answer {
			return b.do(request{method: method, path: path, body: body, header: header})
		}
		bad := map[string]string{
			"empty":           " ",
			"broken":          `{"auth_id"`,
			"no member":       `{}`,
			"null":            `null`,
			"a number":        `7`,
			"trailing value":  good + good,
			"trailing text":   good + "x",
			"a list in lists": "[[" + good + "]]",
			"a list of texts": `["claude"]`,
			"wrong type":      strings.Replace(good, "{", `{"auth_id":1,"group_id":2,"manual_suspended":"yes","items":{},`, 1),
			"member twice":    strings.Replace(good, "{", `{"x":1,"x":2,`, 1),
			"another case":    strings.Replace(strings.Replace(good, "auth_id", "AUTH_ID", 1), "items", "Items", 1),
			"not JSON at all": "auth_id=a1",
			"not UTF-8":       strings.Replace(good, "{", "{\"updated_by\":\"\xff\",", 1),
		}
		for name, body := range bad {
			a := send(body, nil)
			if a.status != http.StatusBadRequest {
				t.Errorf("%s: %s: status %d: %s", route, name, a.status, a.body)
				continue
			}
			a.problem(http.StatusBadRequest, "invalid_body")
		}
		send(good+strings.Repeat(" ", 1<<20), nil).problem(http.StatusRequestEntityTooLarge, "body_too_large")
		for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", ""} {
			send(good, map[string]string{"Content-Type": media}).problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
		}
		send(good, map[string]string{"Content-Encoding": "gzip"}).problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
		for _, body := range []string{good, strings.Replace(good, "{", `{"actor":"operator:root","Extra":{"a":[1]},`, 1)} {
			if got := decode[compat.Status](send(body, nil).want(http.StatusOK)); got != compat.Done() {
				t.Errorf("%s: %+v", route, got)
			}
		}
		if n := len(b.records()); n != before {
			t.Fatalf("%s: %d records were appended", route, n-before)
		}
	}
	// Queries are ignored, too: such dashboards send some to get past caches.
	b.get(compatItems + "?_=17&x=%zz").want(http.StatusOK)
}

// TestCompatBodiesOfManySerializers: null stands for a member that is left out, and spaces
// around an id do not count, as dashboards send them and CLIProxyAPI takes them.
func TestCompatBodiesOfManySerializers(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	for _, c := range []struct{ method, path, body, last string }{
		{http.MethodPatch, compatManual, `{"auth_id":" a1 ","group_id":" google-claude ","manual_suspended":true,"reason":null,"updated_by":null}`, "suspended"},
		{http.MethodPatch, compatManual, `{"auth_id":"a1 ","group_id":"google-claude","manual_suspended":false,"reason":null}`, "lifted"},
		{http.MethodPatch, compatClear, `{"auth_id":" a1","group_id":" claude ","updated_by":null}`, "cooldown_cleared"},
		{
			http.MethodPut, compatGroups,
			`[{"id":" q1 ","label":null,"providers":["codex"],"patterns":["x*"],"priority":null,"enabled":null},{"id":"claude","providers":null,"patterns":null}]`,
			"groups_defined",
		},
	} {
		b.do(request{method: c.method, path: c.path, body: c.body}).want(http.StatusOK)
		if last := b.last(); last.Kind != c.last || last.Account != "" && last.Account != "a1" {
			t.Errorf("%s: %+v", c.body, last)
		}
	}
	groups := decode[compat.GroupsAnswer](b.get(compatGroups).want(http.StatusOK)).Groups
	i := slices.IndexFunc(groups, func(d cliproxy.Definition) bool { return d.ID == "q1" })
	if i < 0 || groups[i].Label != "q1" || groups[i].Priority != 0 || !*groups[i].Enabled {
		t.Errorf("%+v", groups)
	}
	// Spaces alone are no id of anybody, and do not stand for everything.
	b.patch(compatManual, `{"auth_id":"a1","group_id":" ","manual_suspended":true}`).problem(http.StatusNotFound, "unknown_target")
	b.patch(compatClear, `{"auth_id":" "}`).problem(http.StatusNotFound, "unknown_account")
	b.patch(compatClear, `{"auth_id":"a1","group_id":" "}`).problem(http.StatusNotFound, "unknown_target")
}

// TestCompatKeys: the token may come as such dashboards send it, on these routes alone.
func TestCompatKeys(t *testing.T) {
	b := newBench(t)
	b.pool()
	ask := func(path string, header map[string]string) answer {
		return b.do(request{method: http.MethodGet, path: path, as: "-", header: header})
	}
	for _, path := range []string{compatGroups, compatFiles, compatItems} {
		ask(path, map[string]string{"X-Management-Key": b.token["read"]}).want(http.StatusOK)
		ask(path, map[string]string{"X-Management-Key": b.token["read"], "Authorization": "Basic eDp5"}).want(http.StatusOK)
		ask(path, map[string]string{"X-Management-Key": b.token["route"]}).problem(http.StatusForbidden, "forbidden_scope")
		ask(path, map[string]string{"X-Management-Key": "aby_wrong"}).problem(http.StatusUnauthorized, "unauthorized")
		ask(path, map[string]string{"X-Management-Key": b.token["read"], "Authorization": "Bearer aby_wrong"}).problem(http.StatusUnauthorized, "unauthorized")
		ask(path, nil).problem(http.StatusUnauthorized, "unauthorized")
	}
	for route, scope := range api.RouteScopes() {
		method, pattern, _ := strings.Cut(route, " ")
		if scope == "" || strings.HasPrefix(pattern, "/v0/management/") {
			continue
		}
		q := request{method: method, path: path(pattern), as: "-", body: bodyFor(method), header: map[string]string{"X-Management-Key": b.token["admin"]}}
		b.do(q).problem(http.StatusUnauthorized, "unauthorized")
	}
	// What is no route says so in the form of these, too.
	ask("/v0/management/config.yaml", nil).problem(http.StatusNotFound, "not_found")
	b.do(request{method: http.MethodDelete, path: compatFiles}).problem(http.StatusMethodNotAllowed, "method_not_allowed")
	q := request{method: http.MethodPatch, path: compatClear, body: `{"auth_id":"a1"}`, header: map[string]string{"Sec-Fetch-Site": "cross-site"}}
	b.do(q).problem(http.StatusForbidden, "cross_origin")
}

// TestCompatActsAreEvents: who does something here is the token's name, whatever the body
// says, and on whose behalf is what it says.
func TestCompatActsAreEvents(t *testing.T) {
	b := newBench(t)
	b.pool()
	token, err := b.tokens.Create("dashboard", []api.Scope{api.ScopeOperate})
	if err != nil {
		t.Fatal(err)
	}
	b.token["dashboard"] = token
	b.post("/v1/reports", limited("a2", "claude-opus-4-6")).want(http.StatusOK)
	for _, act := range []struct {
		path, body  string
		kind        events.Kind
		onBehalfOf  string
		reason      string
		account     string
		suspendedBy string // afterwards, as items show it
	}{
		{
			compatManual, `{"auth_id":"a1","group_id":"CLAUDE_45","manual_suspended":true,"reason":"billing dispute","updated_by":"mira"}`,
			events.KindSuspended, "mira", "billing dispute", "a1", "mira",
		},
		{
			compatManual, `{"auth_id":"a1","group_id":"google-claude","manual_suspended":true,"reason":" "}`,
			events.KindSuspended, "", "no reason given", "a1", "operator:dashboard",
		},
		{
			compatManual, `{"auth_id":"a1","group_id":"claude","manual_suspended":false,"reason":"","updated_by":"mira"}`,
			events.KindLifted, "mira", "", "a1", "",
		},
		{
			compatClear, `{"auth_id":"a2","group_id":"claude","updated_by":"mira"}`,
			events.KindCooldownCleared, "mira", "", "a2", "",
		},
	} {
		q := request{method: http.MethodPatch, path: act.path, body: act.body, as: "dashboard"}
		b.do(q).want(http.StatusOK)
		row := b.last()
		want := api.EventRow{
			Seq: row.Seq, At: row.At, Hash: row.Hash, CorrelationID: row.CorrelationID, Text: row.Text,
			Kind: string(act.kind), Account: act.account, Actor: "operator:dashboard", OnBehalfOf: act.onBehalfOf, Via: "compat",
			Data: api.EventData{Target: "claude", Reason: act.reason, Forever: act.kind == events.KindSuspended, Until: row.Data.Until},
		}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Errorf("%s (-want +got):\n%s", act.body, diff)
		}
		for _, i := range b.compatItems() {
			if i.AuthID == act.account && i.GroupID == "claude" && i.UpdatedBy != act.suspendedBy {
				t.Errorf("%s: updated_by is %q, want %q", act.body, i.UpdatedBy, act.suspendedBy)
			}
		}
		// A second time it is so already.
		before := len(b.records())
		b.do(q).want(http.StatusOK)
		if n := len(b.records()); n != before {
			t.Errorf("%s: a second time %d records are appended", act.body, n-before)
		}
	}
}

// TestCompatPrivacy: ids with an e-mail address are shown and taken as given, and leave
// no trace; rule 35.
func TestCompatPrivacy(t *testing.T) {
	b := newBench(t)
	given := "antigravity-" + mail + ".json"
	b.put("/v1/accounts/"+url.PathEscape(given), `{"provider":"antigravity"}`).want(http.StatusOK)
	quoted, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"auth_id":%s,"group_id":"claude","manual_suspended":true,"reason":"asked by %s","updated_by":%q}`, quoted, mail, mail)
	b.patch(compatManual, body).want(http.StatusOK)
	item := b.compatItems()[0]
	if item.AuthID != given || strings.Contains(item.ManualReason+item.UpdatedBy, mail) || !item.ManualSuspended {
		t.Errorf("%+v", item)
	}
	if f := decode[compat.FilesAnswer](b.get(compatFiles)).Files[0]; f.ID != given || f.Name != given {
		t.Errorf("%+v", f)
	}
	stored := b.book.Stored(given)
	b.patch(compatManual, fmt.Sprintf(`{"auth_id":%q,"group_id":"claude","manual_suspended":false}`, stored)).want(http.StatusOK)
	p := b.patch(compatClear, `{"auth_id":"other-`+mail+`"}`).problem(http.StatusNotFound, "unknown_account")
	if !strings.Contains(p.Detail, "other-"+mail) {
		t.Errorf("the id is not shown as given: %s", p.Detail)
	}
	b.patch(compatManual, fmt.Sprintf(`{"auth_id":%s,"group_id":"nothing","manual_suspended":true}`, quoted)).problem(http.StatusNotFound, "unknown_target")
	if strings.Contains(b.logs.String(), "example.com") || !strings.Contains(b.logs.String(), stored) {
		t.Errorf("the access log: %s", b.logs)
	}
	for _, r := range b.records() {
		if strings.Contains(string(r.Encoded()), "example.com") {
			t.Errorf("record %d holds an e-mail address", r.Seq)
		}
	}
}

// TestCompatWholeAccount: what blocks everything is shown on each group. Clearing one of
// them ends it; a suspension by hand is lifted for none of them, and that is not said to
// be ok.
func TestCompatWholeAccount(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.post("/v1/suspend", `{"account":"a1","reason":"invoice","for":"2d"}`).want(http.StatusOK)
	b.post("/v1/reports", `{"account":"a2","provider":"antigravity","model":"gemini-3-pro","status":403,"body":"{\"error\":{\"code\":403,\"message\":\"This service has been disabled in this account for violation of Terms of Service.\",\"status\":\"PERMISSION_DENIED\"}}"}`).want(http.StatusOK)
	if got := b.statuses("a1"); got != "claude manual_suspended, gemini-pro manual_suspended, gemini-flash manual_suspended" {
		t.Error(got)
	}
	if got := b.statuses("a2"); got != "claude auto_suspended, gemini-pro auto_suspended, gemini-flash auto_suspended" {
		t.Error(got)
	}
	before := len(b.records())
	b.patch(compatManual, `{"auth_id":"a1","group_id":"claude","manual_suspended":false}`).problem(http.StatusConflict, "whole_account")
	// The other kind of block is no hindrance.
	b.patch(compatClear, `{"auth_id":"a1","group_id":"claude"}`).want(http.StatusOK)
	b.patch(compatClear, `{"auth_id":"a1"}`).want(http.StatusOK)
	b.patch(compatManual, `{"auth_id":"a2","group_id":"claude","manual_suspended":false}`).want(http.StatusOK)
	if n := len(b.records()); n != before {
		t.Errorf("%d records were appended", n-before)
	}
	clear := request{
		method: http.MethodPatch, path: compatClear, body: `{"auth_id":"a2","group_id":"claude"}`, header: map[string]string{"Idempotency-Key": "k1"},
	}
	for range 2 { // the answer to the first may be lost
		b.do(clear).want(http.StatusOK)
	}
	if n := len(b.records()); n != before+1 {
		t.Errorf("%d records were appended", n-before)
	}
	if got := b.last(); got.Kind != "cooldown_cleared" || got.Data.Target != "*" {
		t.Errorf("%+v", got)
	}
	if got := b.statuses("a2"); strings.Contains(got, "suspended") {
		t.Error(got)
	}
}

// TestCompatItemsCanBeImported: what is shown here is what an import reads.
func TestCompatItemsCanBeImported(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.patch(compatManual, `{"auth_id":"a1","group_id":"g3_pro","manual_suspended":true,"reason":"billing"}`).want(http.StatusOK)
	b.post("/v1/reports", limited("a1", "claude-opus-4-6")).want(http.StatusOK)
	list := func(path, name string) string { // as YAML: JSON on one line
		text := strings.ReplaceAll(b.get(path).want(http.StatusOK).body, "\n", "")
		return strings.TrimSuffix(strings.TrimPrefix(text, `{"`+name+`":`), "}")
	}
	doc := "oauth-account-quota-group-state: " + list(compatItems, "items") +
		"\noauth-quota-groups: " + list(compatGroups, "oauth-quota-groups") + "\n"
	file, err := cliproxy.Parse([]byte(doc))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
	if len(file.Entries) != 6 || len(file.Groups) < 10 {
		t.Fatalf("%d entries, %d groups", len(file.Entries), len(file.Groups))
	}
	claude, pro := file.Entries[0], file.Entries[1]
	if claude.Target != "claude" || claude.Model != "claude-opus-4-6" || claude.CoolUntil.IsZero() || claude.Provider != "antigravity" || claude.Suspended {
		t.Errorf("%+v", claude)
	}
	if pro.Target != "gemini-pro" || !pro.Suspended || pro.Reason != "billing" || !pro.CoolUntil.IsZero() {
		t.Errorf("%+v", pro)
	}
	// What was read back is in force.
	a := decode[api.ImportAnswer](b.do(request{
		method: http.MethodPost, path: "/v1/import?groups=true", body: doc, header: map[string]string{"Content-Type": "application/yaml"},
	}).want(http.StatusOK))
	if a.Counts.Imported != 0 || a.Counts.Unchanged != 6 || !a.Groups.InForce {
		t.Errorf("%+v %+v", a.Counts, a.Groups)
	}
}

// TestCompatReplacesGroups: a list or an object replaces the configured groups and leaves
// what this API does not show.
func TestCompatReplacesGroups(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.put("/v1/groups", `{"bootstrap":"two-pools","groups":[{"id":"old","providers":["kimi"],"patterns":["k*"]}],"aliases":{"kimi":{"x":"k1"}}}`).want(http.StatusOK)
	mine := `{"id":"claude_45","label":"Claude of mine","providers":[],"patterns":["claude-*"],"priority":0,"color":"red"}`
	extra := `{"id":"extra","label":"Extra","providers":["antigravity"],"patterns":["extra-*"],"priority":7,"enabled":false}`
	image := `{"id":"google-gemini-image","label":"Images","patterns":["imagen*"]}`
	b.put(compatGroups, "["+mine+","+extra+","+image+"]").want(http.StatusOK)
	in := decode[api.GroupsAnswer](b.get("/v1/groups"))
	if in.Bootstrap != "two-pools" || in.Aliases["kimi"]["x"] != "k1" || len(in.Configured.Groups) != 2 {
		t.Errorf("%+v", in.Configured)
	}
	if row := b.last(); row.Kind != "groups_defined" || row.Actor != "operator:admin" || row.Via != "compat" {
		t.Errorf("%+v", row)
	}
	var got []string
	for _, d := range decode[compat.GroupsAnswer](b.get(compatGroups).want(http.StatusOK)).Groups {
		if d.ID == "claude_45" || d.ID == "extra" || d.ID == "gemini" {
			got = append(got, fmt.Sprint(d.ID, " ", d.Label, " ", d.Providers, " ", d.Patterns, " ", d.Priority, " ", *d.Enabled))
		}
	}
	want := []string{
		"claude_45 Claude of mine [antigravity gemini-api gemini-cli] [claude-*] 300 true",
		"gemini Gemini [antigravity gemini-api gemini-cli] [gemini-*] 200 true",
		"extra Extra [antigravity] [extra-*] 7 false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := b.statuses("a1"); got != "claude_45 available, gemini available" {
		t.Error(got)
	}
	// The list that is shown, put back, changes nothing.
	before := len(b.records())
	shown := b.get(compatGroups).body
	b.put(compatGroups, strings.Replace(shown, "oauth-quota-groups", "items", 1)).want(http.StatusOK)
	if n := len(b.records()); n != before {
		t.Errorf("%d records were appended by what is in force", n-before)
	}
	b.patch(compatManual, `{"auth_id":"a1","group_id":"claude_45","manual_suspended":true}`).want(http.StatusOK)
	if got := b.last().Data.Target; got != "claude" {
		t.Errorf("the target in the log is %s", got)
	}
	b.put(compatGroups, `{"items":[`+mine+`]}`).want(http.StatusOK)
	b.put(compatGroups, `[{"id":"x y"}]`).problem(http.StatusUnprocessableEntity, "invalid")
	b.put(compatGroups, "["+mine+","+mine+"]").problem(http.StatusUnprocessableEntity, "invalid_groups")
	b.put(compatGroups, `[{"id":"new"}]`).problem(http.StatusUnprocessableEntity, "invalid_groups")
	b.put(compatGroups, `[]`).want(http.StatusOK)
	if got := b.statuses("a1"); got != "claude manual_suspended, gemini available" {
		t.Error(got)
	}
}

// TestCompatIdempotency: keys work as on every command.
func TestCompatIdempotency(t *testing.T) {
	b := newBench(t)
	b.pool()
	send := func(body string) answer {
		return b.do(request{method: http.MethodPatch, path: compatManual, body: body, header: map[string]string{"Idempotency-Key": "k1"}})
	}
	on := `{"auth_id":"a1","group_id":"claude","manual_suspended":true}`
	send(on).want(http.StatusOK)
	b.post("/v1/lift", `{"account":"a1"}`).want(http.StatusOK)
	before := len(b.records())
	send(on).want(http.StatusOK)
	send(strings.Replace(on, "true", "false", 1)).problem(http.StatusConflict, "idempotency_key_reused")
	if n := len(b.records()); n != before {
		t.Errorf("%d records were appended", n-before)
	}
}

// TestCompatListsAreLong: a list is answered whole, however long.
func TestCompatListsAreLong(t *testing.T) {
	b := newBench(t, tune{quiet: true})
	const accounts = 300
	for i := range accounts {
		b.put(fmt.Sprintf("/v1/accounts/a%03d", i), `{"provider":"antigravity"}`).want(http.StatusOK)
	}
	b.put("/v1/accounts/other", `{"provider":"unheard-of"}`).want(http.StatusOK)
	if items := b.compatItems(); len(items) != 3*accounts || items[0].AuthID != "a000" || items[len(items)-1].AuthID != "a299" {
		t.Errorf("%d items", len(items))
	}
	if files := decode[compat.FilesAnswer](b.get(compatFiles)).Files; len(files) != accounts+1 || files[accounts].Type != "unheard-of" {
		t.Errorf("%d files", len(files))
	}
}

// TestCompatListsOfNothing are lists all the same.
func TestCompatListsOfNothing(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]string{compatFiles: `{"files":[]}`, compatItems: `{"items":[]}`} {
		if got := strings.TrimSpace(b.get(path).want(http.StatusOK).body); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// TestCompatIsDescribed: the document says what differs on these routes.
func TestCompatIsDescribed(t *testing.T) {
	d := theDocument(t)
	for route := range api.RouteScopes() {
		_, path, _ := strings.Cut(route, " ")
		want := "#/components/schemas/Problem"
		if strings.HasPrefix(path, "/v0/management/") {
			want = "#/components/schemas/CompatProblem"
		}
		schema := d.object(append(operation(route), "responses", "500", "content", "application/problem+json", "schema")...)
		parts, _ := schema["allOf"].([]any)
		if len(parts) != 2 || parts[0].(map[string]any)["$ref"] != want {
			t.Errorf("%s: problems are %v, not %s", route, schema, want)
		}
	}
	for name, want := range map[string]string{
		"CompatManual": "auth_id group_id manual_suspended", "CompatClear": "auth_id", "CompatDefinition": "id",
	} {
		s := d.object("components", "schemas", name)
		if got := strings.Join(required(s), " "); got != want || s["additionalProperties"] != true {
			t.Errorf("%s: required are %s; others are allowed: %v", name, got, s["additionalProperties"])
		}
	}
}
