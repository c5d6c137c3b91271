package api_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

const mail = "mira.k@example.com"

// TestRule35EMailIdsLeaveNoTrace: an id with an e-mail address is accepted and shown
// as given, and stands in no log line, metric, record, page token or header.
func TestRule35EMailIdsLeaveNoTrace(t *testing.T) {
	b := newBench(t)
	given := "claude-" + mail + ".json"
	escaped := url.PathEscape(given)
	stored := b.book.Stored(given)
	row := decode[api.AccountAnswer](b.put("/v1/accounts/"+escaped, `{"provider":"antigravity"}`).want(http.StatusOK)).Account
	if row.Account != given || row.Stored != stored {
		t.Fatalf("%+v", row)
	}
	b.put("/v1/accounts/"+stored, `{"provider":"antigravity","priority":1}`).want(http.StatusOK)
	b.post("/v1/reports", limited(given, "claude-opus-4-6")).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"`+given+`","reason":"asked by `+mail+`","forever":true,"on_behalf_of":"`+mail+`"}`).want(http.StatusOK)

	answers := []answer{
		b.post("/v1/pick", `{"provider":"antigravity","model":"claude-opus-4-6"}`),
		b.get("/v1/why?account=" + url.QueryEscape(given)), b.get("/v1/why?account=" + stored),
		b.get("/v1/why?provider=antigravity&model=claude-x"),
		b.get("/v1/cells?page_size=1&account=" + url.QueryEscape(given)), b.get("/v1/cells?page_size=1&account=" + stored),
		b.get("/v1/events?page_size=1&account=" + url.QueryEscape(given)), b.get("/v1/accounts?account=" + stored),
		b.get("/v1/summary"), b.get("/metrics"), b.get("/v1/events?page_size=1000"),
		b.do(request{method: http.MethodDelete, path: "/v1/accounts/" + escaped}),
		b.post("/v1/clear", `{"account":"nobody-`+mail+`"}`),
	}
	for _, a := range answers[:8] {
		if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
			a.want(http.StatusOK)
		}
		if !strings.Contains(a.body, given) || strings.Contains(strings.ReplaceAll(a.body, `"stored":"`+stored, ""), stored) {
			t.Errorf("the id is not shown as given: %s", a.body)
		}
	}
	for _, a := range answers[4:7] {
		p := decode[struct {
			api.Page[map[string]any]
		}](a)
		token, err := base64.RawURLEncoding.DecodeString(*p.NextPageToken)
		if err != nil || strings.Contains(string(token), "@") {
			t.Errorf("page token %q, %v", token, err)
		}
	}
	for _, a := range answers {
		for name, values := range a.header {
			if strings.Contains(strings.Join(values, " "), "@") {
				t.Errorf("header %s: %v", name, values)
			}
		}
	}
	if strings.Contains(answers[9].body, "@") {
		t.Error("an e-mail address in /metrics")
	}
	if strings.Contains(b.logs.String(), "example.com") || !strings.Contains(b.logs.String(), stored) {
		t.Errorf("the access log: %s", b.logs)
	}
	for _, r := range b.records() {
		if strings.Contains(string(r.Encoded()), "example.com") {
			t.Errorf("record %d holds an e-mail address", r.Seq)
		}
	}
}

// TestRule35RefusedIdsAreNotRemembered: what is refused leaves no entry either.
func TestRule35RefusedIdsAreNotRemembered(t *testing.T) {
	b := newBench(t)
	b.put("/v1/accounts/"+url.PathEscape(mail), `{"provider":"antigravity","weight":99}`).problem(http.StatusUnprocessableEntity, "invalid")
	if b.book.Given(b.book.Stored(mail)) == mail {
		t.Error("the id of a refused account is remembered")
	}
}

func TestTokensAreNeverLogged(t *testing.T) {
	b := newBench(t)
	b.get("/v1/cells").want(http.StatusOK)
	b.do(request{method: http.MethodGet, path: "/v1/cells", as: "-", header: map[string]string{"Authorization": "Bearer aby_wrong"}})
	made := decode[api.TokenCreated](b.post("/v1/tokens", `{"name":"ci","scopes":["route","read","route"]}`).want(http.StatusOK))
	b.get("/v1/tokens").want(http.StatusOK)
	for _, secret := range []string{b.token["admin"], made.Token, "aby_"} {
		if strings.Contains(b.logs.String(), secret) {
			t.Errorf("%s is logged", secret)
		}
	}
	if !strings.Contains(b.logs.String(), `"token":"admin"`) {
		t.Error("the access log does not name the token")
	}
}

// TestAccountPathsAreDecodedOnce: any id fits into a path.
func TestAccountPathsAreDecodedOnce(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"a/b", "a b", "a%2Fb", "100%", "ä", "a?b#c", "a+b", "..", "claude_45"} {
		row := decode[api.AccountAnswer](b.put("/v1/accounts/"+url.PathEscape(id), `{"provider":"kimi"}`).want(http.StatusOK)).Account
		if row == nil || row.Account != id {
			t.Errorf("%q became %+v", id, row)
		}
	}
	if n := len(decode[api.Page[api.AccountRow]](b.get("/v1/accounts")).Items); n != 9 {
		t.Errorf("%d accounts", n)
	}
}
