package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// whole gives a bench what a server over a log on disk has besides: it can verify and
// copy it.
func (b *bench) whole() {
	b.t.Helper()
	backend := b.backend()
	backend.Verify = func(context.Context) (events.Head, error) { return b.engine.State().Head(), nil }
	backend.Copy = func(context.Context) (api.Copy, error) { return &fakeCopy{text: "the bytes of a bbolt file"}, nil }
	b.server.Ready(backend)
}

// TestExamplesRun makes the requests of the document's examples of one server, one after
// another: each is answered as it says. With -update what is answered is written down.
func TestExamplesRun(t *testing.T) {
	list, err := api.Examples()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.whole()
	for i := range list {
		e := &list[i]
		a := b.example(e)
		if a.status != http.StatusOK {
			t.Errorf("%s: status %d: %s", e.Name, a.status, a.body)
		}
		got := exampleText(t, a)
		if !*update && (a.status != e.Status || string(got) != string(compact(t, e.Answer))) {
			t.Errorf("%s is answered otherwise than the document says; if the code is right, write it down with\n\tgo test ./api -run '%s' -update\n"+
				"status %d, documented %d (-documented +answered):\n%s", e.Name, t.Name(), a.status, e.Status,
				cmp.Diff(string(compact(t, e.Answer)), string(got)))
		}
		e.Status, e.Answer = a.status, got
		b.clock.advance(100 * time.Millisecond) // far more would be a jump of the clock
	}
	var out bytes.Buffer
	w := json.NewEncoder(&out)
	w.SetEscapeHTML(false)
	w.SetIndent("", "  ")
	if err := w.Encode(list); err != nil {
		t.Fatal(err)
	}
	compareWithFile(t, "examples.json", out.Bytes())
}

// example makes the request of an example.
func (b *bench) example(e *api.Example) answer {
	b.t.Helper()
	method, _, _ := strings.Cut(e.Route, " ")
	q := request{method: method, path: e.Path, body: string(e.Request)}
	var file string
	if json.Unmarshal(e.Request, &file) == nil && e.Request != nil {
		q.body, q.header = file, map[string]string{"Content-Type": "application/octet-stream"}
	}
	switch e.Route {
	case "GET /v1/events/stream":
		return b.until("id: 4\n", q)
	case "DELETE /v1/session":
		return b.logged(b.login("admin", "mira"), q)
	}
	return b.do(q)
}

// until makes a request whose answer has no end, and leaves once it holds a text.
func (b *bench) until(text string, q request) answer {
	b.t.Helper()
	r := b.build(q)
	ctx, leave := context.WithTimeout(r.Context(), time.Minute)
	defer leave()
	w := &leaving{ResponseRecorder: httptest.NewRecorder(), text: text, leave: leave}
	b.server.ServeHTTP(w, r.WithContext(ctx))
	a := answer{t: b.t, status: w.Code, header: w.Header(), body: w.Body.String()}
	b.conforms(r, a)
	return a
}

// leaving is a client that leaves once it has read a text.
type leaving struct {
	*httptest.ResponseRecorder
	text  string
	leave func()
}

func (l *leaving) Write(p []byte) (int, error) {
	n, err := l.ResponseRecorder.Write(p)
	if strings.Contains(l.Body.String(), l.text) {
		l.leave()
	}
	return n, err
}

// exampleText is an answer as the document shows it: what differs from run to run is
// replaced, and what is not JSON is a string.
func exampleText(t *testing.T, a answer) json.RawMessage {
	t.Helper()
	text := a.body
	switch media := a.header.Get("Content-Type"); {
	case strings.HasPrefix(media, "text/plain"): // an excerpt of the metrics: times differ
		var lines []string
		for line := range strings.Lines(text) {
			if strings.Contains(line, "abeyance_usable_accounts") {
				lines = append(lines, line)
			}
		}
		text = strings.Join(lines, "")
	case media == "application/openapi+json": // the document does not hold itself
		var doc struct {
			OpenAPI string `json:"openapi"`
			Info    struct {
				Title   string `json:"title"`
				Version string `json:"version"`
			} `json:"info"`
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return marshalled(t, doc)
	}
	for pattern, fixed := range map[string]string{
		`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`: "019ab000-0000-7000-8000-000000000000",
		`\b[0-9a-f]{64}\b`:                            strings.Repeat("0123456789abcdef", 4),
		`acct_[0-9a-f]{20}`:                           "acct_0123456789abcdef0123",
		`(aby_[a-z-]+_)[a-z2-7]{8}_[A-Za-z0-9_-]{43}`: "${1}abcd2345_" + strings.Repeat("x", 43),
		`("name": *"[^"]*",\s*"id": *")[a-z2-7]{8}"`:  `${1}abcd2345"`,
		`"record":"[A-Za-z0-9+/=]+"`:                  `"record":"AQID"`,
		`"created_at":"2[-0-9T:.]+Z"`:                 `"created_at":"2026-11-23T09:00:00.000Z"`,
		`"expires_at":"2[-0-9T:.]+Z"`:                 `"expires_at":"2026-11-23T21:00:00.000Z"`,
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, fixed)
	}
	if a.header.Get("Content-Type") == "application/json" {
		return compact(t, []byte(text))
	}
	return marshalled(t, text)
}

func marshalled(t *testing.T, v any) json.RawMessage {
	t.Helper()
	var out bytes.Buffer
	w := json.NewEncoder(&out)
	w.SetEscapeHTML(false)
	if err := w.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(out.Bytes())
}

func compact(t *testing.T, doc []byte) json.RawMessage {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, doc); len(doc) > 0 && err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestEverythingHasAnExample: each body that is taken, and each answer, of whatever
// status; and each is of its schema.
func TestEverythingHasAnExample(t *testing.T) {
	d := theDocument(t)
	shown := 0
	look := func(where string, place []string) {
		media := d.object(append(place, "content")...)
		if len(media) != 1 && !takesFiles(where) {
			t.Errorf("%s: media types %v", where, slices.Collect(maps.Keys(media)))
		}
		for kind := range media {
			examples := d.object(append(place, "content", kind, "examples")...)
			if len(examples) == 0 {
				t.Errorf("%s: no example of %s: add one to examples.json", where, kind)
			}
			for name, e := range examples {
				doc, err := json.Marshal(e.(map[string]any)["value"])
				if err != nil {
					t.Fatal(err)
				}
				if err := d.valid(doc, append(place, "content", kind, "schema")...); err != nil {
					t.Errorf("%s: the example %s: %v", where, name, err)
				}
				shown++
			}
		}
	}
	for route := range api.RouteScopes() {
		if d.object(append(operation(route), "requestBody")...)["content"] != nil {
			look(route, append(operation(route), "requestBody"))
		}
		for status := range d.object(append(operation(route), "responses")...) {
			look(route+" "+status, append(operation(route), "responses", status))
		}
	}
	if shown < 200 {
		t.Errorf("only %d examples were looked at", shown)
	}
}
