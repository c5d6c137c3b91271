package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// bodySchema is the place of the schema of a route's body.
func bodySchema(route string) []string {
	return append(operation(route), "requestBody", "content", "application/json", "schema")
}

// bodyRoutes lists the routes that take a JSON body.
func (d *description) bodyRoutes() []string {
	var list []string
	for route := range api.RouteScopes() {
		if len(d.object(bodySchema(route)...)) > 0 {
			list = append(list, route)
		}
	}
	slices.Sort(list)
	return list
}

// TestBodiesAreWhatTheDocumentSays draws bodies by the document. One of its schema is not
// refused as malformed; with one thing that the schema excludes it is refused, and
// changes nothing. The server agrees with a validator of JSON Schema that is not ours.
func TestBodiesAreWhatTheDocumentSays(t *testing.T) {
	d := theDocument(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(goodBodies())), d.bodyRoutes()); diff != "" {
		t.Errorf("the document describes other bodies than are taken (-taken +described):\n%s", diff)
	}
	for _, route := range d.bodyRoutes() {
		t.Run(strings.ReplaceAll(route, "/", "."), func(t *testing.T) {
			b := newBench(t)
			b.pool()
			method, pattern, _ := strings.Cut(route, " ")
			seen := map[string]bool{}
			rapid.Check(t, func(t *rapid.T) {
				value := d.draw(t, d.object(bodySchema(route)...))
				good := marshal(t, value)
				if err := d.valid(good, bodySchema(route)...); err != nil {
					t.Fatalf("the generator drew %s: %v", good, err)
				}
				if err := b.server.CheckBody(route, good); err != nil {
					t.Fatalf("%s is refused: %v", good, err)
				}
				a := b.do(request{method: method, path: path(pattern), body: string(good)})
				if a.status >= 500 || strings.Contains(a.body, `"code":"invalid_body"`) {
					t.Fatalf("%s is answered %d: %s", good, a.status, a.body)
				}
				for _, w := range d.spoil(d.object(bodySchema(route)...), value) {
					bad := marshal(t, w.doc)
					if err := d.valid(bad, bodySchema(route)...); err == nil {
						t.Fatalf("%s: %s is of the schema", w.what, bad)
					}
					if err := b.server.CheckBody(route, bad); err == nil {
						t.Fatalf("%s: %s is let through", w.what, bad)
					}
					if !seen[w.what] { // over HTTP each kind once: a request costs more than a check
						seen[w.what] = true
						head := b.engine.State().Head()
						a := b.do(request{method: method, path: path(pattern), body: string(bad)})
						if a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity || b.engine.State().Head() != head {
							t.Fatalf("%s: %s is answered %d: %s", w.what, bad, a.status, a.body)
						}
					}
				}
			})
			if len(seen) < 5 {
				t.Errorf("only %v were tried", slices.Sorted(maps.Keys(seen)))
			}
		})
	}
}

func marshal(t *rapid.T, v any) []byte {
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestParametersAreWhatTheDocumentSays: what the schema of a parameter excludes is
// refused, on every route.
func TestParametersAreWhatTheDocumentSays(t *testing.T) {
	b := newBench(t)
	b.pool()
	d := theDocument(t)
	tried := 0
	for route := range api.RouteScopes() {
		parameters, _ := d.object(operation(route)...)["parameters"].([]any)
		for _, p := range parameters {
			p := p.(map[string]any)
			schema, name := p["schema"].(map[string]any), p["name"].(string)
			for what, text := range badTexts(schema) {
				q := b.with(route, p["in"].(string), name, text)
				if a := b.do(q); a.status != http.StatusUnprocessableEntity || a.decodeProblem().Code != "invalid" ||
					!strings.Contains(a.body, name) {
					t.Errorf("%s: %s %s: %d %s", route, name, what, a.status, a.body)
				}
				tried++
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d were tried", tried)
	}
}

// with is a request of a route that is good but for one parameter.
func (b *bench) with(route, in, name, text string) request {
	method, pattern, _ := strings.Cut(route, " ")
	q := request{method: method, path: strings.ReplaceAll(pattern, "{"+name+"}", escape(text)), body: goodBodies()[route], header: map[string]string{}}
	q.path, _, _ = strings.Cut(path(q.path), "?")
	switch in {
	case "query":
		q.path += "?" + name + "=" + escape(text)
	case "header":
		q.header[name] = text
	}
	return q
}

// escape percent-encodes every byte.
func escape(text string) string {
	var out strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&out, "%%%02X", text[i])
	}
	return out.String()
}

// badTexts are texts that the schema of a parameter excludes, by what is wrong.
func badTexts(s map[string]any) map[string]string {
	bad := map[string]string{}
	switch typeOf(s) {
	case "boolean":
		bad["a word"], bad["a digit"] = "yes", "1"
	case "integer":
		bad["a word"], bad["a fraction"], bad["hex"] = "x", "1.5", "0x1"
		if n, ok := s["minimum"].(json.Number); ok {
			bad["below"] = next(n, -1)
		}
		if n, ok := s["maximum"].(json.Number); ok {
			bad["over"] = next(n, 1)
		}
	case "string":
		if s["enum"] != nil {
			bad["another word"] = "frozen"
		}
		if longest := intOf(s, "maxLength", -1); longest >= 0 {
			bad["too long"] = strings.Repeat("1", longest+1)
		}
		if s["pattern"] != nil {
			bad["not of the pattern"] = "\x01/\\"
		}
	}
	return bad
}

// TestBoundsAreThoseOfTheCode: what the document says of ids, providers and definitions
// is what the packages behind it refuse: they serve callers in Go, who have no document.
func TestBoundsAreThoseOfTheCode(t *testing.T) {
	b := newBench(t)
	b.pool()
	decide := func(do projection.Intent) error {
		_, err := projection.Decide(b.engine.State(), projection.Command{Do: do}, b.engine.Now())
		return err
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	account := func(spec events.AccountSpec) projection.Intent {
		spec.Provider, spec.Weight = "antigravity", max(spec.Weight, 1)
		return &projection.PutAccount{ID: "a1", Spec: spec}
	}
	group := func(g projection.GroupConfig) projection.Intent {
		if g.ID == "" {
			g.ID = "g"
		}
		if g.Providers == nil {
			g.Providers = []string{"p"}
		}
		if g.Patterns == nil {
			g.Patterns = []string{"m*"}
		}
		return &projection.DefineGroups{Config: projection.GroupsConfig{Groups: []projection.GroupConfig{g}}}
	}
	policy := func(r projection.RulesConfig) projection.Intent {
		return &projection.DefinePolicy{Config: projection.PolicyConfig{RulesConfig: r}}
	}
	for name, c := range map[string]struct{ in, out projection.Intent }{
		"account id":         {&projection.PutAccount{ID: long(256), Spec: events.AccountSpec{Provider: "p", Weight: 1}}, &projection.PutAccount{ID: long(257), Spec: events.AccountSpec{Provider: "p", Weight: 1}}},
		"provider":           {&projection.PutAccount{ID: "n", Spec: events.AccountSpec{Provider: long(128), Weight: 1}}, &projection.PutAccount{ID: "n", Spec: events.AccountSpec{Provider: long(129), Weight: 1}}},
		"weight":             {account(events.AccountSpec{Weight: 16}), account(events.AccountSpec{Weight: 17})},
		"priority":           {account(events.AccountSpec{Priority: 2147483647}), account(events.AccountSpec{Priority: 2147483648})},
		"low priority":       {account(events.AccountSpec{Priority: -2147483648}), account(events.AccountSpec{Priority: -2147483649})},
		"credential_version": {account(events.AccountSpec{CredentialVersion: long(128)}), account(events.AccountSpec{CredentialVersion: long(129)})},
		"status":             {&projection.Report{Account: "a1", Provider: "antigravity", Status: 999}, &projection.Report{Account: "a1", Provider: "antigravity", Status: 1000}},
		"request_id":         {&projection.Report{Account: "a1", Provider: "antigravity", RequestID: long(256)}, &projection.Report{Account: "a1", Provider: "antigravity", RequestID: long(257)}},
		"group id":           {group(projection.GroupConfig{ID: long(64)}), group(projection.GroupConfig{ID: long(65)})},
		"group id's form":    {group(projection.GroupConfig{ID: "0.a_B-"}), group(projection.GroupConfig{ID: ".a"})},
		"label":              {group(projection.GroupConfig{Label: new(long(256))}), group(projection.GroupConfig{Label: new(long(257))})},
		"group provider":     {group(projection.GroupConfig{Providers: []string{long(128)}}), group(projection.GroupConfig{Providers: []string{long(129)}})},
		"pattern":            {group(projection.GroupConfig{Patterns: []string{long(256)}}), group(projection.GroupConfig{Patterns: []string{long(257)}})},
		"backslash":          {group(projection.GroupConfig{Patterns: []string{"a"}}), group(projection.GroupConfig{Patterns: []string{`a\`}})},
		"group priority":     {group(projection.GroupConfig{Priority: new(2147483647)}), group(projection.GroupConfig{Priority: new(2147483648)})},
		"replaces":           {group(projection.GroupConfig{Replaces: []string{long(64)}}), group(projection.GroupConfig{Replaces: []string{long(65)}})},
		"bootstrap":          {&projection.DefineGroups{Config: projection.GroupsConfig{Bootstrap: "two-pools"}}, &projection.DefineGroups{Config: projection.GroupsConfig{Bootstrap: "three-pools"}}},
		"poison":             {policy(projection.RulesConfig{Poison: &projection.PoisonConfig{Accounts: new(100)}}), policy(projection.RulesConfig{Poison: &projection.PoisonConfig{Accounts: new(101)}})},
		"after":              {policy(projection.RulesConfig{Auth: &projection.ClassConfig{After: new(100)}}), policy(projection.RulesConfig{Auth: &projection.ClassConfig{After: new(101)}})},
		"mode":               {policy(projection.RulesConfig{Probe: &projection.ProbeConfig{Mode: new("when-empty")}}), policy(projection.RulesConfig{Probe: &projection.ProbeConfig{Mode: new("never")}})},
		"ladder":             {policy(projection.RulesConfig{Auth: &projection.ClassConfig{Ladder: make([]projection.Duration, 0)}}), policy(projection.RulesConfig{Auth: &projection.ClassConfig{Ladder: make([]projection.Duration, 3)}})},
	} {
		if name == "ladder" {
			c.in = policy(projection.RulesConfig{Auth: &projection.ClassConfig{Ladder: []projection.Duration{1e9, 2e9}}})
		}
		if err := decide(c.in); err != nil {
			t.Errorf("%s: what the document allows is refused: %v", name, err)
		}
		if decide(c.out) == nil {
			t.Errorf("%s: what the document excludes is taken", name)
		}
	}
}

// A schema with a keyword that the check of requests does not know must not be shown.
func TestKeywordsThatNothingHolds(t *testing.T) {
	for name, s := range map[string]*huma.Schema{
		"const":         {Type: "string", Const: "x"},
		"multipleOf":    {Type: "integer", MultipleOf: new(2.0)},
		"uniqueItems":   {Type: "array", Items: &huma.Schema{Type: "string"}, UniqueItems: true},
		"format":        {Type: "string", Format: "uuid"},
		"enum":          {Type: "integer", Enum: []any{1, 2}},
		"pattern":       {Type: "string", Pattern: "("},
		"not":           {Type: "string", Not: &huma.Schema{Type: "string"}},
		"no type":       {},
		"another type":  {Type: "decimal"},
		"inside":        {Type: "object", Properties: map[string]*huma.Schema{"a": {Type: "string", Const: "x"}}},
		"in items":      {Type: "array", Items: &huma.Schema{Type: "string", Format: "uuid"}},
		"in the others": {Type: "object", AdditionalProperties: &huma.Schema{Type: "string", Format: "uuid"}},
		"in one of":     {OneOf: []*huma.Schema{{Type: "string", Format: "uuid"}}},
		"alike":         {OneOf: []*huma.Schema{{Type: "string"}, {Type: "string"}}},
	} {
		if err := api.Mould(s); err == nil {
			t.Errorf("%s is held by nothing, and let through", name)
		}
	}
	if err := api.Mould(&huma.Schema{Type: "string", MaxLength: new(3), Pattern: "^x*$"}); err != nil {
		t.Error(err)
	}
}

// The short way round a pattern leads to where the pattern does.
func TestNamesMatchTheirPatterns(t *testing.T) {
	patterns := api.FormatsOfNames()
	if len(patterns) < 4 {
		t.Errorf("%v", patterns)
	}
	for name, pattern := range patterns {
		p := regexp.MustCompile(pattern)
		rapid.Check(t, func(t *rapid.T) {
			text := rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`).Draw(t, "name")
			if !api.IsName(text) || !p.MatchString(text) {
				t.Errorf("%s: %q is a name: %v, and is matched: %v", name, text, api.IsName(text), p.MatchString(text))
			}
		})
	}
	for _, text := range []string{"", " ", "a b", "a/b", "a@b", "a\x00", "é", "a\n"} {
		if api.IsName(text) {
			t.Errorf("%q is taken for a name", text)
		}
	}
}
