package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// A typing error in a filter must not look like a pool where all is well.
func TestFiltersThatNameWhatNobodyKnows(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.put("/v1/accounts/gone", `{"provider":"antigravity"}`).want(http.StatusOK)
	b.do(request{method: http.MethodDelete, path: "/v1/accounts/gone"}).want(http.StatusOK)
	old := `{"groups":[{"id":"old","providers":["kimi"],"patterns":["k*"]}]}`
	b.put("/v1/groups", old).want(http.StatusOK)
	b.put("/v1/accounts/k1", `{"provider":"kimi"}`).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"k1","target":"old","reason":"r","forever":true}`).want(http.StatusOK)
	b.post("/v1/lift", `{"account":"k1","target":"old"}`).want(http.StatusOK)
	b.put("/v1/groups", `{}`).want(http.StatusOK)
	stranger := url.QueryEscape("nobody-" + mail)
	for path, code := range map[string]string{
		"/v1/cells?account=nosuch":                     "unknown_account",
		"/v1/cells?account=gone":                       "unknown_account",
		"/v1/cells?account=" + stranger:                "unknown_account",
		"/v1/cells?target=nosuch":                      "unknown_target",
		"/v1/cells?target=old":                         "unknown_target",
		"/v1/cells?account=a1&target=nosuch":           "unknown_target",
		"/v1/cells?account=k1&at=seq:1":                "unknown_account",
		"/v1/events?account=nosuch":                    "unknown_account",
		"/v1/events?account=" + stranger:               "unknown_account",
		"/v1/events?target=nosuch":                     "unknown_target",
		"/v1/events?account=a1&target=nosuch":          "unknown_target",
		"/v1/events?account=gone&target=nosuch":        "unknown_target",
		"/v1/events?account=nosuch&kind=account_added": "unknown_account",
	} {
		b.get(path).problem(http.StatusNotFound, code)
	}
	for path, want := range map[string]int{
		"/v1/events?account=gone":                            2, // added, removed
		"/v1/events?target=old":                              2, // suspended, lifted
		"/v1/events?account=gone&target=old":                 0,
		"/v1/events?account=a1&target=claude":                0,
		"/v1/events?target=model:never-seen":                 0,
		"/v1/events?target=*":                                0,
		"/v1/events?account=gone&until=2026-01-01T00:00:00Z": 0,
		"/v1/cells?target=model:never-seen":                  0,
		"/v1/cells?target=*":                                 0,
		"/v1/cells?account=a1&target=CLAUDE":                 1,
		"/v1/cells?account=k1&status=held":                   0,
	} {
		if items := decode[api.Page[map[string]any]](b.get(path).want(http.StatusOK)).Items; len(items) != want {
			t.Errorf("%s: %d items, want %d", path, len(items), want)
		}
	}
}

// An address that was refused is in no book: the answer must still name it as the
// request did.
func TestRefusalsNameTheAccountAsGiven(t *testing.T) {
	b := newBench(t)
	b.pool()
	id := "nobody-" + mail
	for _, q := range []request{
		{method: http.MethodPost, path: "/v1/clear", body: `{"account":"` + id + `"}`},
		{method: http.MethodPost, path: "/v1/suspend", body: `{"account":"` + id + `","reason":"r","forever":true}`},
		{method: http.MethodGet, path: "/v1/why?account=" + url.QueryEscape(id)},
		{method: http.MethodGet, path: "/v1/cells?account=" + url.QueryEscape(id)},
		{method: http.MethodGet, path: "/v1/events?account=" + url.QueryEscape(id)},
		{method: http.MethodDelete, path: "/v1/accounts/" + url.PathEscape(id)},
	} {
		if p := b.do(q).problem(http.StatusNotFound, "unknown_account"); !strings.Contains(p.Detail, `"`+id+`"`) {
			t.Errorf("%s %s: %s", q.method, q.path, p.Detail)
		}
	}
	if strings.Contains(b.logs.String(), "example.com") {
		t.Errorf("the access log: %s", b.logs)
	}
}
