package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sv-tools/openapi"

	"github.com/abeyance/abeyance/api"
)

// committedDocument is the document for whoever generates a client, or reads.
const committedDocument = "openapi.json"

// TestOpenAPIIsCommitted: what is committed is what a server of this code serves, but for
// its version.
func TestOpenAPIIsCommitted(t *testing.T) {
	tokens, _, err := api.OpenTokens(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Options{Tokens: tokens, Version: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := s.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	compareWithFile(t, committedDocument, indented(t, doc))
}

// compareWithFile compares what is generated with what is committed, or with -update
// commits it.
func compareWithFile(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s is not what the code says; if the code is right, write it anew with\n\tgo test ./api -run '%s' -update\n(-committed +generated):\n%s",
			file, t.Name(), diff)
	}
}

func indented(t *testing.T, doc []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, doc, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// validate returns what a validator that is not ours finds wrong with a document: its
// form, references that lead nowhere, components that nothing uses, and examples that are
// not of their schemas.
func validate(doc []byte) (err error) {
	defer func() { // it does so for references that lead nowhere
		if v := recover(); v != nil {
			err = fmt.Errorf("the validator panicked: %v", v)
		}
	}()
	var d openapi.Extendable[openapi.OpenAPI]
	if err := json.Unmarshal(doc, &d); err != nil {
		return err
	}
	v, err := openapi.NewValidator(&d)
	if err != nil {
		return err
	}
	return v.ValidateSpec()
}

func TestOpenAPIIsValid(t *testing.T) {
	doc := newBench(t).get("/openapi.json").want(http.StatusOK).body
	if err := validate([]byte(doc)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(doc, `"openapi":"3.1.`) {
		t.Error("it is no OpenAPI 3.1")
	}
	for _, broken := range [][2]string{ // the validator must find something
		{`"title":"Abeyance"`, `"titel":"Abeyance"`},
		{`"#/components/schemas/PickAnswer"`, `"#/components/schemas/PickAnser"`},
		{`"in":"query"`, `"in":"somewhere"`},
		{`"type":"http"`, `"type":"https"`},
		{`"in":"cookie"`, `"in":"jar"`},
		{`"target":"claude","effect":"started"`, `"target":"claude","effect":"begun"`},
		{`"probe":false,"lease"`, `"probe":"no","lease"`},
	} {
		if !strings.Contains(doc, broken[0]) {
			t.Errorf("the document lacks %s", broken[0])
		}
		if validate([]byte(strings.Replace(doc, broken[0], broken[1], 1))) == nil {
			t.Errorf("a document with %s passes", broken[1])
		}
	}
}

// TestOpenAPIDescribesEveryRoute: the routes of the router are those of the document, and
// each is described wholly.
func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	b := newBench(t)
	d := theDocument(t)
	var documented []string
	ids := map[string]string{}
	for path, item := range d.object("paths") {
		for method := range item.(map[string]any) {
			route := strings.ToUpper(method) + " " + path
			documented = append(documented, route)
			id, _ := d.object(operation(route)...)["operationId"].(string)
			if id == "" || ids[id] != "" {
				t.Errorf("%s: the operationId %q is missing or that of %s", route, id, ids[id])
			}
			ids[id] = route
		}
	}
	slices.Sort(documented)
	registered := b.routes()
	slices.Sort(registered)
	if diff := cmp.Diff(registered, documented); diff != "" {
		t.Errorf("the document describes other routes than are registered (-registered +described):\n%s", diff)
	}
	for _, route := range documented {
		d.complete(t, route)
	}
	if again := b.get("/openapi.json").body; again != b.get("/openapi.json").body {
		t.Error("the document differs from call to call")
	}
}

// complete fails unless the description of a route says everything that there is to say.
func (d *description) complete(t *testing.T, route string) {
	t.Helper()
	op := d.object(operation(route)...)
	scope := string(api.RouteScopes()[route])
	if summary, _ := op["summary"].(string); summary == "" || op["x-abeyance-scope"] != scope {
		t.Errorf("%s: summary %q, scope %v", route, summary, op["x-abeyance-scope"])
	}
	_, path, _ := strings.Cut(route, " ")
	if diff := cmp.Diff(keysOf(route, path, scope), op["security"]); diff != "" {
		t.Errorf("%s: what is to be presented (-want +described):\n%s", route, diff)
	}
	inPath := strings.Count(path, "{")
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		if p.(map[string]any)["in"] == "path" {
			inPath--
		}
	}
	if inPath != 0 {
		t.Errorf("%s: not every parameter of the path is described", route)
	}
	if takes := op["requestBody"] != nil; takes != (goodBodies()[route] != "" || takesFiles(route)) {
		t.Errorf("%s: a body is described: %v", route, takes)
	}
	responses := d.object(append(operation(route), "responses")...)
	for status := range responses {
		r := d.object(append(operation(route), "responses", status)...)
		if text, _ := r["description"].(string); text == "" || r["content"] == nil {
			t.Errorf("%s: the answer %s is not described", route, status)
		}
		if status != "200" && d.object(append(operation(route), "responses", status, "content", "application/problem+json")...) == nil {
			t.Errorf("%s: the answer %s is no problem", route, status)
		}
	}
	if _, rest := responses["default"]; rest || responses["200"] == nil || responses["500"] == nil {
		t.Errorf("%s: the answers are %v", route, slices.Sorted(maps.Keys(responses)))
	}
}

// keysOf is what the document must say of what is presented to a route: one of these.
func keysOf(route, path, scope string) any {
	names := []string{"bearer", "session", "management_key"}
	switch {
	case scope == "":
		return nil
	case route == "POST /v1/session": // which a session cannot begin
		names = names[:1]
	case !strings.HasPrefix(path, "/v0/management/"):
		names = names[:2]
	}
	var list []any
	for _, name := range names {
		list = append(list, map[string]any{name: []any{scope}})
	}
	return list
}

// TestOpenAPISaysWhatEverythingIs: every parameter and every member has a description,
// and what is taken has bounds.
func TestOpenAPISaysWhatEverythingIs(t *testing.T) {
	d := theDocument(t)
	for name, schema := range d.object("components", "schemas") {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		for member, s := range properties {
			if text, _ := s.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s.%s has no description: give it a doc tag, or a word in words.go", name, member)
			}
		}
	}
	for path, item := range d.object("paths") {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				p := p.(map[string]any)
				if text, _ := p["description"].(string); text == "" {
					t.Errorf("%s %s: the parameter %s has no description", method, path, p["name"])
				}
				d.bounded(t, method+" "+path+" "+p["name"].(string), p["schema"].(map[string]any), p["description"])
			}
			if body := d.object("paths", path, method, "requestBody", "content", "application/json", "schema"); len(body) > 0 {
				d.bounded(t, method+" "+path, body, nil)
			}
		}
	}
}

// bounded fails for a part of a request that may be as long or as large as one likes,
// unless its description says what becomes of it.
func (d *description) bounded(t *testing.T, where string, s map[string]any, description any) {
	t.Helper()
	if ref, ok := s["$ref"].(string); ok {
		s = d.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	text, _ := description.(string)
	cut := strings.Contains(text, "cut at")
	is := func(typ string) bool { return s["type"] == typ || strings.Contains(fmt.Sprint(s["type"]), typ) }
	switch {
	case is("string") && s["maxLength"] == nil && s["enum"] == nil && s["format"] != "date-time" && !cut,
		is("integer") && (s["minimum"] == nil || s["maximum"] == nil) && !strings.HasSuffix(where, "after") && !strings.HasSuffix(where, "Last-Event-ID"),
		is("number"):
		if !strings.Contains(where, "headers") && !strings.HasSuffix(where, "/v1/classify.id") {
			t.Errorf("%s has no bounds: %v", where, s)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, p := range properties {
		p := p.(map[string]any)
		d.bounded(t, where+"."+name, p, p["description"])
	}
	for _, part := range []string{"items", "additionalProperties"} {
		if p, ok := s[part].(map[string]any); ok {
			d.bounded(t, where+"."+part, p, nil)
		}
	}
	alternatives, _ := s["oneOf"].([]any)
	for _, p := range alternatives {
		d.bounded(t, where, p.(map[string]any), description)
	}
}
