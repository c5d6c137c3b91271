package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

func (b *bench) importFile(query, body string) answer {
	b.t.Helper()
	return b.do(request{method: http.MethodPost, path: "/v1/import" + query, body: body, header: map[string]string{"Content-Type": ""}})
}

// stateEntry is an entry of the state section that suspends an account's Claude models.
func stateEntry(account string) string {
	return fmt.Sprintf("  - {auth_id: %q, group_id: claude_45, manual_suspended: true, manual_reason: r, updated_at: 2026-11-23T08:00:00Z}\n", account)
}

const stateSection = "oauth-account-quota-group-state:\n"

// TestImportTwiceAppendsNothing imports the corpus of package cliproxy, each file twice.
func TestImportTwiceAppendsNothing(t *testing.T) {
	b := newBench(t)
	names, err := filepath.Glob("cliproxy/testdata/*.[yc][ad]*")
	if err != nil {
		t.Fatal(err)
	}
	imported := 0
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".golden") || b.importFile("?dry_run=true", string(doc)).status != http.StatusOK {
			continue
		}
		first := decode[api.ImportAnswer](b.importFile("", string(doc)).want(http.StatusOK))
		imported += first.Counts.Imported
		n := len(b.records())
		again := decode[api.ImportAnswer](b.importFile("", string(doc)).want(http.StatusOK))
		if len(b.records()) != n || again.Seq != nil || again.Counts.Imported != 0 {
			t.Errorf("%s: the second import appended %d records: %+v", name, len(b.records())-n, again)
		}
		total := func(c api.ImportCounts) int { return c.Imported + c.Expired + c.Unchanged + c.Skipped }
		if total(again.Counts) != total(first.Counts) {
			t.Errorf("%s: %+v, then %+v", name, first.Counts, again.Counts)
		}
	}
	if imported < 15 {
		t.Errorf("%d entries were imported", imported)
	}
	for _, r := range b.records() {
		if r.Kind() == events.KindImported && (r.Actor != "import:admin" || r.CorrelationID == "") {
			t.Errorf("record %d: %+v", r.Seq, r.Origin)
		}
	}
}

// TestImportRemembersIDs: those that enter the log, and no others.
func TestImportRemembersIDs(t *testing.T) {
	b := newBench(t)
	taken, over := "a-"+mail, "b-"+mail
	file := stateSection + stateEntry(taken) + fmt.Sprintf("  - {auth_id: %q, group_id: claude, auto_suspended_until: 2026-11-23T08:30:00Z}\n", over)
	a := decode[api.ImportAnswer](b.importFile("?dry_run=true", file).want(http.StatusOK))
	if b.book.Known(taken) || a.Imported[0].Account != taken || a.Expired[0].Account != over {
		t.Errorf("after the dry run: %+v", a)
	}
	b.importFile("", file).want(http.StatusOK)
	if !b.book.Known(taken) || b.book.Known(over) {
		t.Errorf("known: %v and %v", b.book.Known(taken), b.book.Known(over))
	}
	row := decode[api.Page[api.AccountRow]](b.get("/v1/accounts")).Items[0]
	if row.Account != taken || row.Origin != "observed" || row.Provider != "antigravity" {
		t.Errorf("%+v", row)
	}
}

// TestImportIdempotencyKey: the same key is the same import, although the clock went on.
func TestImportIdempotencyKey(t *testing.T) {
	b := newBench(t)
	send := func(body string) answer {
		return b.do(request{method: http.MethodPost, path: "/v1/import", body: body, header: map[string]string{"Idempotency-Key": "k"}})
	}
	first := decode[api.ImportAnswer](send(stateSection + stateEntry("a")).want(http.StatusOK))
	b.clock.advance(time.Hour)
	again := decode[api.ImportAnswer](send(stateSection + stateEntry("a")).want(http.StatusOK))
	if !again.Repeated || again.Seq == nil || *again.Seq != *first.Seq {
		t.Errorf("%+v, then %+v", first, again)
	}
	send(stateSection+stateEntry("b")).problem(http.StatusConflict, "idempotency_key_reused")
}

func TestImportRefuses(t *testing.T) {
	b := newBench(t)
	n := len(b.records())
	long := strings.Repeat(" ", api.MaxImportBody)
	for _, c := range []struct {
		query, body string
		status      int
		code        string
	}{
		{"", "", 422, "invalid_import"},
		{"", "port: 1\n", 422, "invalid_import"},
		{"", `{"version":1}`, 422, "invalid_import"},
		{"", `{"abeyance_export":1,` + long, 409, "log_not_empty"}, // the first bytes tell, however long it is
		{"", "oauth-quota-groups:\n" + long, 413, "body_too_large"},
		{"?groups=yes", "{}", 422, "invalid"},
		{"?dryrun=true", "{}", 400, "unknown_parameter"},
		{"?groups=true", "oauth-quota-groups:\n  - {id: new}\n", 422, "invalid_groups"},
		{"", stateSection + strings.Repeat("  - {group_id: google-gemini-image}\n", 60_000), 422, "invalid"},
	} {
		b.importFile(c.query, c.body).problem(c.status, c.code)
	}
	a := b.do(request{method: http.MethodPost, path: "/v1/import", body: "x", header: map[string]string{"Content-Encoding": "gzip"}})
	a.problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
	if len(b.records()) != n {
		t.Error("a refused import appended records")
	}
}

// TestImportListsAreBounded: the counts are of all.
func TestImportListsAreBounded(t *testing.T) {
	b := newBench(t)
	var file strings.Builder
	file.WriteString(stateSection)
	for i := range 1200 {
		file.WriteString(stateEntry(fmt.Sprint("a", i)))
	}
	a := decode[api.ImportAnswer](b.importFile("", file.String()).want(http.StatusOK))
	if len(a.Imported) != 1000 || a.Counts.Imported != 1200 || a.Counts.AccountsAdded != 1200 || *a.LastSeq-*a.Seq != 2399 {
		t.Errorf("%d listed, %+v, records %d to %d", len(a.Imported), a.Counts, *a.Seq, *a.LastSeq)
	}
	first := b.records()[*a.Seq-1].CorrelationID
	for _, r := range b.records()[*a.Seq-1:] {
		if r.CorrelationID != first {
			t.Fatal("one import has several correlation ids")
		}
	}
}

// TestImportKeepsConfiguredGroups: the file's definitions come beside those configured.
func TestImportKeepsConfiguredGroups(t *testing.T) {
	b := newBench(t)
	b.put("/v1/groups", `{"groups":[{"id":"own","providers":["kimi"],"patterns":["kimi-*"]},{"id":"claude","priority":1}]}`).want(http.StatusOK)
	file := "oauth-quota-groups:\n  - {id: claude_45, priority: 7}\n  - {id: banana, providers: [antigravity], patterns: ['*banana*']}\n"
	looked := decode[api.ImportAnswer](b.importFile("", file).want(http.StatusOK))
	if looked.Groups.InForce || looked.Groups.Imported || looked.Groups.Version != 2 || len(looked.Groups.Found) != 2 || looked.Seq != nil {
		t.Errorf("%+v", looked.Groups)
	}
	b.importFile("?groups=true&dry_run=true", file).want(http.StatusOK)
	taken := decode[api.ImportAnswer](b.importFile("?groups=true", file).want(http.StatusOK))
	if !taken.Groups.Imported || taken.Groups.Version != 3 {
		t.Errorf("%+v", taken.Groups)
	}
	groups := decode[api.GroupsAnswer](b.get("/v1/groups"))
	got := map[string]int{}
	for _, g := range groups.Groups {
		if g.Configured {
			got[g.ID] = g.Priority
		}
	}
	if fmt.Sprint(got) != "map[banana:0 claude:7 own:0]" {
		t.Errorf("%v", got)
	}
	if bad := decode[api.ImportAnswer](b.importFile("", "oauth-quota-groups:\n  - {id: new}\n").want(http.StatusOK)); bad.Groups.Problem == "" {
		t.Errorf("%+v", bad.Groups)
	}
	if out, err := json.Marshal(taken); err != nil || strings.Contains(string(out), "null,\"expired") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestForgetKeepsTheChain: nothing is appended, and every answer shows the stored id.
func TestForgetKeepsTheChain(t *testing.T) {
	b := newBench(t)
	given := "claude-" + mail
	b.put("/v1/accounts/"+given, `{"provider":"antigravity"}`).want(http.StatusOK)
	b.report(limited(given, "claude-opus-4-6"))
	stored, head := b.book.Stored(given), b.engine.State().Head()
	a := decode[api.ForgetAnswer](b.post("/v1/accounts/"+stored+"/forget", `{"on_behalf_of":"`+mail+`"}`).want(http.StatusOK))
	if !a.Forgotten || a.Stored != stored || !a.InPool || b.engine.State().Head() != head {
		t.Errorf("%+v", a)
	}
	for _, path := range []string{"/v1/accounts", "/v1/cells", "/v1/events", "/v1/why?account=" + stored} {
		if text := b.get(path).want(http.StatusOK).body; strings.Contains(text, mail) || !strings.Contains(text, stored) {
			t.Errorf("%s: %s", path, text)
		}
	}
	if log := b.logs.String(); strings.Contains(log, "example.com") || !strings.Contains(log, "forgotten which id") {
		t.Errorf("the log: %s", log)
	}
	// Removed, and forgotten before: the log still tells of it.
	b.do(request{method: http.MethodDelete, path: "/v1/accounts/" + stored}).want(http.StatusOK)
	if a := decode[api.ForgetAnswer](b.post("/v1/accounts/"+stored+"/forget", "{}").want(http.StatusOK)); a.Forgotten || a.InPool || a.Unchanged == "" {
		t.Errorf("%+v", a)
	}
	b.post("/v1/accounts/acct_00000000000000000000/forget", "{}").problem(http.StatusNotFound, "unknown_account")
	// Named again it is known again, by the same pseudonym.
	b.report(limited(given, "claude-opus-4-6"))
	if b.book.Given(stored) != given {
		t.Error("it is not known again")
	}
}
