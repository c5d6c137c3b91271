package api_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/abeyance/abeyance/api"
)

// description is the OpenAPI document as a validator that is not ours reads it.
type description struct {
	doc      map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema // by JSON pointer
}

// described returns the document, read once a process: all servers have the same.
var described = sync.OnceValues(func() (*description, error) {
	tokens, _, err := api.OpenTokens(scratch)
	if err != nil {
		return nil, err
	}
	s, err := api.New(api.Options{Tokens: tokens, Version: "test"})
	if err != nil {
		return nil, err
	}
	text, err := s.OpenAPI()
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	d := &description{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource("http://document", doc)
})

// theDocument is described for a test.
func theDocument(t testing.TB) *description {
	t.Helper()
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns what stands at a place of the document, references followed, and the place
// where that is. It is nil if there is none.
func (d *description) at(place ...string) (value any, where []string) {
	value, where = d.doc, place
	for i, step := range place {
		object, _ := value.(map[string]any)
		value = object[step]
		if object, ok := value.(map[string]any); ok {
			if ref, ok := object["$ref"].(string); ok {
				return d.at(append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), place[i+1:]...)...)
			}
		}
	}
	return value, where
}

// object is at for an object, empty if there is none.
func (d *description) object(place ...string) map[string]any {
	value, _ := d.at(place...)
	object, _ := value.(map[string]any)
	return object
}

// valid checks a JSON document against the schema at a place.
func (d *description) valid(doc []byte, place ...string) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	_, place = d.at(place...)
	var pointer strings.Builder
	for _, step := range place {
		pointer.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(step)))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema := d.schemas[pointer.String()]
	if schema == nil {
		if schema, err = d.compiler.Compile("http://document#" + pointer.String()); err != nil {
			return err
		}
		d.schemas[pointer.String()] = schema
	}
	return schema.Validate(value)
}

// operation is the place of a route's operation.
func operation(route string) []string {
	method, path, _ := strings.Cut(route, " ")
	return []string{"paths", path, strings.ToLower(method)}
}

// codes lists the problem codes that a route's document has for a status.
func (d *description) codes(route string, status int) []string {
	place := append(operation(route), "responses", strconv.Itoa(status), "content", "application/problem+json", "examples")
	return slices.Sorted(maps.Keys(d.object(place...)))
}

// conforms fails for an answer that the document does not describe: whose status, media
// type, problem code or body is another. Every answer that a test of this package gets
// from a bench is held against the document by it.
func (b *bench) conforms(r *http.Request, a answer) {
	b.t.Helper()
	d := theDocument(b.t)
	route := b.routeOf(r)
	media, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		b.t.Errorf("%s %s: status %d has the Content-Type %q", r.Method, r.URL.Path, a.status, a.header.Get("Content-Type"))
		return
	}
	place := append(operation(route), "responses", strconv.Itoa(a.status), "content", media)
	if media == "application/problem+json" {
		var p api.Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			b.t.Errorf("%s: %v in %s", route, err, a.body)
		}
		if route == "" || a.status == http.StatusServiceUnavailable && p.Code == api.CodeStarting {
			return // not the answer of a route
		}
		if !slices.Contains(d.codes(route, a.status), string(p.Code)) {
			b.t.Errorf("%s answered %d %s, which the document does not tell of: add the code to the route's row of outlooks in responses.go (%s)",
				route, a.status, p.Code, p.Detail)
			return
		}
	}
	if d.object(place...) == nil {
		b.t.Errorf("%s answered %d %s, which the document does not tell of: %.200s", route, a.status, media, a.body)
		return
	}
	for _, name := range []string{"Retry-After", "WWW-Authenticate", "Set-Cookie"} {
		if a.header.Get(name) != "" && d.object(append(operation(route), "responses", strconv.Itoa(a.status), "headers", name)...) == nil {
			b.t.Errorf("%s answered %d with the header %s, which the document does not tell of", route, a.status, name)
		}
	}
	if media != "application/json" && media != "application/problem+json" {
		return // a format of its own
	}
	if err := d.valid([]byte(a.body), append(place, "schema")...); err != nil {
		b.t.Errorf("%s: the answer is not as the document says: %v\n%.2000s", route, err, a.body)
	}
}

// routeOf names the route of a request, empty if there is none.
func (b *bench) routeOf(r *http.Request) string {
	ctx, path := chi.NewRouteContext(), r.URL.EscapedPath()
	if !b.server.Routes().Match(ctx, r.Method, path) {
		return ""
	}
	return r.Method + " " + ctx.RoutePattern()
}

// faulted notes that a test would fail.
type faulted struct {
	testing.TB
	failed bool
}

func (f *faulted) Helper()               {}
func (f *faulted) Errorf(string, ...any) { f.failed = true }

// TestAnswersThatDoNotConformAreFound: the check that all tests rely on finds faults.
func TestAnswersThatDoNotConformAreFound(t *testing.T) {
	b := newBench(t)
	r := httptest.NewRequest(http.MethodGet, "/v1/head", nil)
	good := b.get("/v1/head").want(http.StatusOK)
	problem := func(code string, status int) answer {
		body, err := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": "x", "code": code})
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: status, header: http.Header{"Content-Type": {"application/problem+json"}}, body: string(body)}
	}
	with := func(status int, media, body string) answer {
		return answer{status: status, header: http.Header{"Content-Type": {media}}, body: body}
	}
	sets := with(200, "application/json", good.body)
	sets.header.Set("Set-Cookie", "a=b")
	for name, c := range map[string]struct {
		a  answer
		ok bool
	}{
		"another header":     {sets, false},
		"as it is":           {good, true},
		"a documented code":  {problem("unauthorized", 401), true},
		"another status":     {with(201, "application/json", good.body), false},
		"another media type": {with(200, "text/plain", good.body), false},
		"no media type":      {with(200, "", good.body), false},
		"a member missing":   {with(200, "application/json", `{"seq":1}`), false},
		"a member too many":  {with(200, "application/json", strings.Replace(good.body, "{", `{"more":1,`, 1)), false},
		"another type":       {with(200, "application/json", strings.Replace(good.body, `"seq":2`, `"seq":"2"`, 1)), false},
		"another code":       {problem("unknown_account", 404), false},
		"a code's status":    {problem("unauthorized", 403), false},
	} {
		f := &faulted{TB: t}
		probe := *b
		probe.t = f
		probe.conforms(r, c.a)
		if f.failed == c.ok {
			t.Errorf("%s: found to differ: %v", name, f.failed)
		}
	}
	f := &faulted{TB: t}
	probe := *b
	probe.t = f
	probe.conforms(httptest.NewRequest(http.MethodGet, compatFiles, nil), problem("unauthorized", 401))
	if !f.failed {
		t.Error("a problem of a compat route without an error is not found")
	}
}
