package api_test

import (
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

func TestScopeRouteMatrix(t *testing.T) {
	b := newBench(t)
	b.pool()
	implied := map[string][]string{
		"route": {"route"}, "read": {"read"}, "operate": {"operate", "read"}, "admin": {"admin", "operate", "read", "route"},
	}
	for route, need := range api.RouteScopes() {
		method, pattern, _ := strings.Cut(route, " ")
		for _, as := range []string{"-", "route", "read", "operate", "admin"} {
			a := b.do(request{method: method, path: path(pattern), as: as, body: bodyFor(method)})
			switch {
			case need == "":
				a.want(http.StatusOK)
			case as == "-":
				a.problem(http.StatusUnauthorized, "unauthorized")
				if a.header.Get("WWW-Authenticate") != `Bearer realm="abeyance"` {
					t.Errorf("%s: WWW-Authenticate %q", route, a.header.Get("WWW-Authenticate"))
				}
			case slices.Contains(implied[as], string(need)):
				if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
					t.Errorf("%s as %s: %d", route, as, a.status)
				}
			default:
				a.problem(http.StatusForbidden, "forbidden_scope")
			}
		}
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
