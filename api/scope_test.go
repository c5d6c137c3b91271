package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/api"
)

// routes lists what is registered as "METHOD pattern".
func (b *bench) routes() []string {
	b.t.Helper()
	var list []string
	err := chi.Walk(b.server.Routes(), func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		list = append(list, method+" "+pattern)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// path makes a pattern a path. That of the stream asks for what is refused: else the
// answer would have no end.
func path(pattern string) string {
	if pattern == "/v1/events/stream" {
		return pattern + "?after=999999"
	}
	return strings.NewReplacer("{id}", "a1", "{seq}", "1", "{name}", "nobody").Replace(pattern)
}

func TestEveryRouteHasOneRowInTheTableOfScopes(t *testing.T) {
	b := newBench(t)
	table := api.RouteScopes()
	routes := b.routes()
	for _, route := range routes {
		if _, ok := table[route]; !ok {
			t.Errorf("%s has no scope", route)
		}
	}
	for route := range table {
		if !slices.Contains(routes, route) {
			t.Errorf("%s has a scope and no handler", route)
		}
	}
	open := 0
	for route, scope := range table {
		if scope == "" {
			open++
			if route != "GET /healthz" && route != "GET /readyz" {
				t.Errorf("%s is open to everybody", route)
			}
		}
	}
	if open != 2 {
		t.Errorf("%d open routes, want 2", open)
	}
}

// allowedScopes says which single scopes are enough where one is needed: it is written
// out here, so that a change of what implies what is seen.
func allowedScopes() map[api.Scope][]api.Scope {
	return map[api.Scope][]api.Scope{
		"":               {"route", "read", "operate", "admin"},
		api.ScopeRoute:   {"route", "admin"},
		api.ScopeRead:    {"read", "operate", "admin"},
		api.ScopeOperate: {"operate", "admin"},
		api.ScopeAdmin:   {"admin"},
	}
}

// TestScopeRouteMatrix makes a good request of every route without a token, and with one
// of every set of scopes.
func TestScopeRouteMatrix(t *testing.T) {
	b := newBench(t, tune{quiet: true})
	b.whole()
	sets := map[string][]api.Scope{}
	for n := range 1 << len(api.Scopes()) {
		var set []api.Scope
		for i, scope := range api.Scopes() {
			if n&(1<<i) != 0 {
				set = append(set, scope)
			}
		}
		if len(set) > 0 { // there is no token without a scope
			name := fmt.Sprintf("set-%d", n)
			var err error
			if b.token[name], err = b.tokens.Create(name, set); err != nil {
				t.Fatal(err)
			}
			sets[name] = set
		}
	}
	tried := 0
	for route, need := range api.RouteScopes() {
		b.one(route, "-").guarded(need == "", need, "")
		for name, set := range sets {
			allowed := slices.ContainsFunc(set, func(s api.Scope) bool { return slices.Contains(allowedScopes()[need], s) })
			b.one(route, name).guarded(allowed, need, name)
			tried++
		}
	}
	if want := 15 * len(api.RouteScopes()); tried != want || len(sets) != 15 {
		t.Errorf("%d pairs of a route and a set of scopes were tried, want %d", tried, want)
	}
}

// one makes a good request of a route.
func (b *bench) one(route, as string) answer {
	b.t.Helper()
	b.pool() // which an earlier request may have changed
	if _, err := b.tokens.Create("nobody", []api.Scope{api.ScopeRead}); err != nil && !errors.Is(err, api.ErrTokenExists) {
		b.t.Fatal(err)
	}
	if err := b.tokens.Delete("t"); err != nil && !errors.Is(err, api.ErrUnknownToken) {
		b.t.Fatal(err)
	}
	method, pattern, _ := strings.Cut(route, " ")
	q := request{method: method, path: path(pattern), as: as, body: goodBodies()[route]}
	switch route {
	case "GET /v1/why":
		q.path += "?account=a1"
	case "POST /v1/import":
		q.path += "?dry_run=true"
		q.body, q.header = stateSection+stateEntry("a1"), map[string]string{"Content-Type": "application/octet-stream"}
	case "DELETE /v1/session": // only a session ends one, and only who may begin one has it
		if a := b.do(q); a.status != http.StatusUnprocessableEntity {
			return a
		}
		return b.logged(b.login(as, "ops"), q)
	case "GET /v1/events/stream":
		q.path = pattern + "?after=2"
		return b.until("id: 3\n", q)
	}
	return b.do(q)
}

// guarded fails unless the guard let a request through exactly if it is allowed.
func (a answer) guarded(allowed bool, need api.Scope, token string) {
	a.t.Helper()
	challenge := ""
	switch {
	case allowed:
		a.want(http.StatusOK)
	case token == "":
		a.problem(http.StatusUnauthorized, "unauthorized")
		challenge = `Bearer realm="abeyance"`
	default:
		a.problem(http.StatusForbidden, "forbidden_scope")
		challenge = `Bearer realm="abeyance", error="insufficient_scope", scope="` + string(need) + `"`
	}
	if got := a.header.Get("WWW-Authenticate"); got != challenge {
		a.t.Errorf("WWW-Authenticate %q, want %q", got, challenge)
	}
}

// bodyFor is a body that passes the guard and changes nothing.
func bodyFor(method string) string {
	if method == http.MethodGet || method == http.MethodDelete {
		return ""
	}
	return `{"dry_run":true}`
}

func TestARouteWithoutARowIsRefusedToAll(t *testing.T) {
	b := newBench(t)
	b.server.Unguarded("GET /v1/head")
	b.get("/v1/head").problem(http.StatusForbidden, "forbidden_scope")
}

func TestScopesImply(t *testing.T) {
	for _, c := range []struct {
		have api.Scope
		need string // the scopes it allows
	}{
		{api.ScopeRoute, "route"},
		{api.ScopeRead, "read"},
		{api.ScopeOperate, "read operate"},
		{api.ScopeAdmin, "route read operate admin"},
	} {
		var got []string
		for _, need := range api.Scopes() {
			if api.Allows([]api.Scope{c.have}, need) {
				got = append(got, string(need))
			}
		}
		if strings.Join(got, " ") != c.need {
			t.Errorf("%s allows %v, want %s", c.have, got, c.need)
		}
	}
}

func TestTokensThatAreNotKnown(t *testing.T) {
	b := newBench(t)
	for _, header := range []string{
		"Bearer", "Bearer ", "Basic " + b.token["admin"], "Bearer aby_" + strings.Repeat("A", 43), b.token["admin"],
		"Bearer " + b.token["admin"] + "x", "Bearer " + strings.Repeat("aby_", 10_000),
	} {
		a := b.do(request{method: http.MethodGet, path: "/v1/head", as: "-", header: map[string]string{"Authorization": header}})
		a.problem(http.StatusUnauthorized, "unauthorized")
	}
	b.do(request{method: http.MethodGet, path: "/v1/head", as: "-", header: map[string]string{"Authorization": "bearer " + b.token["read"]}}).want(http.StatusOK)
	b.get("/v1/head?token="+url.QueryEscape(b.token["admin"])).problem(http.StatusBadRequest, "unknown_parameter")
}
