package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// TestProblemsAreDocumented: docs/problems.md is what the code says of its problems.
func TestProblemsAreDocumented(t *testing.T) {
	d := theDocument(t)
	routes := map[string][]string{} // by code
	for route := range api.RouteScopes() {
		for status := range d.object(append(operation(route), "responses")...) {
			for code := range d.object(append(operation(route), "responses", status, "content", "application/problem+json", "examples")...) {
				routes[code] = append(routes[code], route)
			}
		}
	}
	var out strings.Builder
	out.WriteString(problemsIntroduction)
	codes := api.Codes()
	slices.SortFunc(codes, func(a, b api.Code) int {
		if a.Status() != b.Status() {
			return a.Status() - b.Status()
		}
		return strings.Compare(string(a), string(b))
	})
	for _, c := range codes {
		fmt.Fprintf(&out, "\n### `%s` (%d %s)\n\n%s\n\n%s\n", c, c.Status(), http.StatusText(c.Status()), c.Text(), answeredBy(c, routes[string(c)]))
	}
	compareWithFile(t, "../docs/problems.md", []byte(out.String()))
	for code := range routes {
		if !slices.Contains(codes, api.Code(code)) {
			t.Errorf("%s is answered by %v, and is no code", code, routes[code])
		}
	}
}

const problemsIntroduction = `# Problems

Every error answer is ` + "`application/problem+json`" + ` (RFC 9457): ` + "`status`" + ` and ` + "`title`" + ` are those of HTTP, ` + "`detail`" + ` says
for people what is wrong and what to do, and ` + "`code`" + ` says for programs which problem it is. This list of codes is whole; a code
never changes its meaning. ` + "`cells`" + ` names the accounts and targets in the way, where that is the reason. A pick that no account
can serve (` + "`no_accounts`" + ` and ` + "`all_*`" + `) also has ` + "`reasons`, `counts`, `earliest_end` and `next_probe`" + `.
The routes below ` + "`/v0/management`" + ` give the detail a second time, as ` + "`error`" + `, where dashboards of CLIProxyAPI look for it.

The same list, by route, is in ` + "`GET /openapi.json`" + ` and in [api/openapi.json](../api/openapi.json). A test writes this page:
` + "`go test ./api -run Problems -update`" + `.
`

// answeredBy says which routes answer a code, in few words.
func answeredBy(c api.Code, routes []string) string {
	if slices.Contains(api.OutsideRoutes(), c) {
		return "Answered where there is no such route."
	}
	slices.Sort(routes)
	all := len(api.RouteScopes())
	switch n := len(routes); {
	case n == 0:
		return "Answered by no route."
	case n == all:
		return "Answered by every route."
	case n >= all-4:
		return "Answered by every route but those that it cannot concern."
	case n > 12:
		return fmt.Sprintf("Answered by %d routes.", n)
	}
	return "Answered by `" + strings.Join(routes, "`, `") + "`."
}

// TestCodesAreClosed: every code has a text, and is answered somewhere, and by some test.
func TestCodesAreClosed(t *testing.T) {
	d := theDocument(t)
	answered := map[string]bool{}
	for route := range api.RouteScopes() {
		for status := range d.object(append(operation(route), "responses")...) {
			for code := range d.object(append(operation(route), "responses", status, "content", "application/problem+json", "examples")...) {
				answered[code] = true
			}
		}
	}
	enum, _ := d.object("components", "schemas", "Problem", "properties", "code")["enum"].([]any)
	described, _ := d.object("components", "schemas", "Problem", "properties", "code")["x-enum-descriptions"].(map[string]any)
	for _, c := range api.Codes() {
		if text := c.Text(); text == "" || !strings.HasSuffix(text, ".") {
			t.Errorf("%s has no text: write one in code_text.go", c)
		}
		if described[string(c)] != c.Text() || !slices.Contains(enum, any(string(c))) {
			t.Errorf("%s is not described in the document", c)
		}
		outside := slices.Contains(api.OutsideRoutes(), c)
		if answered[string(c)] == outside {
			t.Errorf("%s: answered by a route of the document: %v", c, answered[string(c)])
		}
	}
	if len(enum) != len(api.Codes()) || len(described) != len(enum) {
		t.Errorf("the document lists %d codes and describes %d, and there are %d", len(enum), len(described), len(api.Codes()))
	}
	for code := range elsewhere() {
		if !answered[code] {
			t.Errorf("%s is said to be tested elsewhere, and is no code of a route", code)
		}
	}
	for route, o := range api.Outlooks() {
		if _, ok := api.RouteScopes()[route]; !ok {
			t.Errorf("%s has an outlook, and no scope", route)
		}
		if dup := slices.Compact(slices.Sorted(slices.Values(o))); len(dup) != len(o) {
			t.Errorf("%s names a code twice: %v", route, o)
		}
	}
	for route := range api.RouteScopes() {
		if _, ok := api.Outlooks()[route]; !ok {
			t.Errorf("%s has no outlook: add a row in responses.go", route)
		}
	}
}
