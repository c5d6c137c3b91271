package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// TestCaller: the program around the server says who asks, within the scopes that it
// gives; nothing that a request presents counts beside it.
func TestCaller(t *testing.T) {
	b := newBench(t)
	b.put("/v1/accounts/a1", `{"provider":"antigravity"}`).want(http.StatusOK)
	call := func(c *api.Caller, method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if c != nil {
			r = api.WithCaller(r, *c)
		}
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, r)
		return w
	}
	reader := &api.Caller{Name: "panel", Scopes: []api.Scope{api.ScopeRead}}
	operator := &api.Caller{Name: "panel", Scopes: []api.Scope{api.ScopeOperate}}
	const suspend = `{"account":"a1","reason":"r","forever":true}`
	for _, test := range []struct {
		caller             *api.Caller
		method, path, body string
		want               int
	}{
		{nil, http.MethodGet, "/v1/head", "", http.StatusUnauthorized},
		{reader, http.MethodGet, "/v1/head", "", http.StatusOK},
		{reader, http.MethodPost, "/v1/suspend", suspend, http.StatusForbidden},
		{operator, http.MethodPost, "/v1/suspend", suspend, http.StatusOK},
		{operator, http.MethodGet, "/v1/tokens", "", http.StatusForbidden},
	} {
		if w := call(test.caller, test.method, test.path, test.body); w.Code != test.want {
			t.Errorf("%s %s by %+v answered %d %s, want %d", test.method, test.path, test.caller, w.Code, w.Body, test.want)
		}
	}
	if w := call(operator, http.MethodGet, "/v1/events?kind=suspended", ""); !strings.Contains(w.Body.String(), `"actor":"operator:panel"`) {
		t.Errorf("the history does not name the caller: %s", w.Body)
	}
}
