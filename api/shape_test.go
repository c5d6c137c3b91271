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
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
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

// resolved follows the reference that a schema may be.
func (d *description) resolved(s map[string]any) map[string]any {
	if ref, ok := s["$ref"].(string); ok {
		return d.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return s
}

func members(s map[string]any) map[string]any {
	m, _ := s["properties"].(map[string]any)
	return m
}

func required(s map[string]any) []string {
	var list []string
	names, _ := s["required"].([]any)
	for _, name := range names {
		list = append(list, name.(string))
	}
	return list
}

// typeOf is the type of a schema, null left out.
func typeOf(s map[string]any) string {
	switch typ := s["type"].(type) {
	case string:
		return typ
	case []any:
		return typ[0].(string)
	}
	return ""
}

func intOf(s map[string]any, keyword string, otherwise int) int {
	if n, ok := s[keyword].(json.Number); ok {
		v, _ := n.Int64()
		return int(v)
	}
	return otherwise
}

// draw draws a value of a schema.
func (d *description) draw(t *rapid.T, s map[string]any) any {
	s = d.resolved(s)
	if list, ok := s["oneOf"].([]any); ok {
		return d.draw(t, rapid.SampledFrom(list).Draw(t, "alternative").(map[string]any))
	}
	if words, ok := s["enum"].([]any); ok {
		return rapid.SampledFrom(words).Draw(t, "word")
	}
	switch typeOf(s) {
	case "object":
		return d.drawObject(t, s)
	case "array":
		list := []any{}
		least := intOf(s, "minItems", 0)
		for range rapid.IntRange(least, min(least+2, intOf(s, "maxItems", 3))).Draw(t, "items") {
			list = append(list, d.draw(t, s["items"].(map[string]any)))
		}
		return list
	case "integer":
		return rapid.IntRange(intOf(s, "minimum", -9), intOf(s, "maximum", 9)).Draw(t, "integer")
	case "number":
		return rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
	case "boolean":
		return rapid.Bool().Draw(t, "boolean")
	case "null":
		return nil
	}
	return drawText(t, s)
}

func (d *description) drawObject(t *rapid.T, s map[string]any) any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(members(s))) {
		if slices.Contains(required(s), name) || rapid.IntRange(0, 2).Draw(t, name) == 0 {
			object[name] = d.draw(t, members(s)[name].(map[string]any))
		}
	}
	if others, ok := s["additionalProperties"].(map[string]any); ok {
		for range rapid.IntRange(0, 2).Draw(t, "others") {
			object[rapid.SampledFrom([]string{"kimi", "codex", "X-Some", "codex/codex-main"}).Draw(t, "name")] = d.draw(t, others)
		}
	}
	return object
}

func drawText(t *rapid.T, s map[string]any) string {
	if s["format"] == "date-time" {
		return rapid.SampledFrom([]string{"2026-11-23T09:00:00Z", "2026-11-23T10:00:00.123456+01:00", "2200-01-01T00:00:00Z", "1999-12-31T23:59:59Z"}).Draw(t, "time")
	}
	text := rapid.StringN(intOf(s, "minLength", 0), 20, -1)
	if pattern, ok := s["pattern"].(string); ok {
		text = rapid.StringMatching(pattern)
	}
	longest := intOf(s, "maxLength", 1000)
	return text.Filter(func(v string) bool {
		return utf8.ValidString(v) && len(v) >= intOf(s, "minLength", 0) && utf8.RuneCountInString(v) <= longest
	}).Draw(t, "text")
}

// wrong is a document in which one thing is not as the schema says.
type wrong struct {
	what string
	doc  any
}

// spoil lists documents like value, each with one thing that a schema excludes.
func (d *description) spoil(s map[string]any, value any) []wrong {
	s = d.resolved(s)
	var list []wrong
	put := func(what string, doc any) { list = append(list, wrong{what, doc}) }
	if alternatives, ok := s["oneOf"].([]any); ok {
		for _, one := range alternatives {
			one := d.resolved(one.(map[string]any))
			if is(one, value) {
				list = d.spoil(one, value)
			}
		}
		return slices.DeleteFunc(list, func(w wrong) bool { // what another alternative takes
			return slices.ContainsFunc(alternatives, func(one any) bool {
				return (w.what == "another type" || w.what == "null") && is(d.resolved(one.(map[string]any)), w.doc)
			})
		})
	}
	if !strings.Contains(fmt.Sprint(s["type"]), "null") {
		put("null", nil)
	}
	for _, other := range []any{"x", 1, true, []any{}, map[string]any{}} {
		if !is(s, other) {
			put("another type", other)
		}
	}
	switch v := value.(type) {
	case map[string]any:
		d.spoilObject(s, v, put)
	case []any:
		d.spoilArray(s, v, put)
	case string:
		spoilText(s, put)
	case int:
		if n, ok := s["minimum"].(json.Number); ok {
			put("below the minimum", json.RawMessage(next(n, -1)))
		}
		if n, ok := s["maximum"].(json.Number); ok {
			put("over the maximum", json.RawMessage(next(n, 1)))
		}
		put("a fraction", json.RawMessage("0.5"))
	}
	return list
}

// next is a number beside a bound.
func next(n json.Number, by int64) string {
	v, _ := n.Int64()
	return fmt.Sprint(v + by)
}

// is reports whether a value has the type of a schema.
func is(s map[string]any, value any) bool {
	switch value.(type) {
	case map[string]any:
		return typeOf(s) == "object"
	case []any:
		return typeOf(s) == "array"
	case string:
		return typeOf(s) == "string"
	case bool:
		return typeOf(s) == "boolean"
	case nil:
		return strings.Contains(fmt.Sprint(s["type"]), "null")
	default:
		return typeOf(s) == "integer" || typeOf(s) == "number"
	}
}

func (d *description) spoilObject(s, v map[string]any, put func(string, any)) {
	with := func(name string, value any) map[string]any {
		object := maps.Clone(v)
		object[name] = value
		return object
	}
	for _, name := range required(s) {
		object := maps.Clone(v)
		delete(object, name)
		put("without "+name, object)
	}
	if s["additionalProperties"] == false {
		put("an unknown member", with("unknown", 1))
	}
	others, _ := s["additionalProperties"].(map[string]any)
	for name, value := range v {
		member, ok := members(s)[name].(map[string]any)
		if !ok {
			member = others
		}
		for _, w := range d.spoil(member, value) {
			put(name+": "+w.what, with(name, w.doc))
		}
	}
}

func (d *description) spoilArray(s map[string]any, v []any, put func(string, any)) {
	items := s["items"].(map[string]any)
	for i, item := range v {
		for _, w := range d.spoil(items, item) {
			list := slices.Clone(v)
			list[i] = w.doc
			put("an item: "+w.what, list)
		}
	}
	if most := intOf(s, "maxItems", -1); most >= 0 && len(v) > 0 {
		put("too many items", slices.Repeat(v[:1], most+1))
	}
	if fewest := intOf(s, "minItems", 0); fewest > 0 && len(v) > 0 {
		put("too few items", v[:fewest-1])
	}
}

func spoilText(s map[string]any, put func(string, any)) {
	if s["enum"] != nil {
		put("another word", "frozen")
		return
	}
	if longest := intOf(s, "maxLength", -1); longest >= 0 {
		put("too long", strings.Repeat("1", longest+1))
	}
	if intOf(s, "minLength", 0) > 0 {
		put("empty", "")
	}
	if s["pattern"] != nil {
		put("not of the pattern", "\x00/\\")
	}
	if s["format"] == "date-time" {
		put("no time", "yesterday")
	}
}

// TestBodiesAreWhatTheDocumentSays draws bodies by the document. One of its schema is not
// refused as malformed; with one thing that the schema excludes it is refused, and
// changes nothing. The server agrees with a validator of JSON Schema that is not ours.
func TestBodiesAreWhatTheDocumentSays(t *testing.T) {
	d := theDocument(t)
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
				if a := b.do(q); a.status != http.StatusUnprocessableEntity || decode[api.Problem](a).Code != "invalid" ||
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
	q := request{method: method, path: strings.ReplaceAll(pattern, "{"+name+"}", escape(text)), body: takingBodies()[route], header: map[string]string{}}
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
