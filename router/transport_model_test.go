package router

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

func TestModelInBody(t *testing.T) {
	for body, want := range map[string]string{
		``:                         "",
		`[{"model":"m"}]`:          "",
		`"model"`:                  "",
		`{"model":"m"}`:            "m",
		" \n{ \"model\" :\t\"m\"}": "m",
		`{"a":{"model":"inner"},"b":["model","x"],"model":"m"}`: "m",
		`{"model":"first","model":"last"}`:                      "last",
		`{"x":"model","y":"z"}`:                                 "",
		`{"x":"\"model\":\"fake\"","model":"m"}`:                "m",
		`{"x":"ends with \\","model":"m"}`:                      "m",
		`{"model":"caf\u00e9 \"q\""}`:                           `café "q"`,
		`{"model":7}`:                                           "",
		`{"model":{"id":"m"}}`:                                  "",
		`{"model":"cut o`:                                       "",
		`{"model":"m","messages":[{"text":"cut o`:               "m",
		`{"Model":"M"}`:                                         "",
		`}{"model":"m"}`:                                        "",
		`{"model":"openai/gpt-5(high)"}`:                        "openai/gpt-5(high)",
	} {
		if got := ModelInBody([]byte(body)); got != want {
			t.Errorf("ModelInBody(%s) = %q, want %q", body, got, want)
		}
	}
}

// On every JSON object it finds what the JSON reader of the standard library does.
func TestModelInBodyAgreesWithJSON(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"model", `"model":"x"`, `\`, `"`, `\"`, "{", "]"}))
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Int(), func(i int) any { return i }), rapid.Just[any](nil))
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(text, value(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOfN(text, value(2), 0, 5).Draw(t, "object")
		doc, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := object["model"].(string)
		if got := ModelInBody(doc); got != want {
			t.Fatalf("ModelInBody(%s) = %q, want %q", doc, got, want)
		}
	})
}

// Whatever the body is, it is read to its end and not beyond.
func TestModelInBodyTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"{", "}", "[", "]", `"`, `\`, `"model"`, ":", `"m"`, ",", " ", "\x00"})).Draw(t, "parts")
		body := []byte("{")
		for _, p := range parts {
			body = append(body, p...)
		}
		ModelInBody(body)
	})
}

func TestModelInPath(t *testing.T) {
	for path, want := range map[string]string{
		"/v1beta/models/gemini-3-pro-preview:streamGenerateContent": "gemini-3-pro-preview",
		"/v1/projects/p/locations/l/publishers/google/models/m:raw": "m",
		"/v1/models/claude-sonnet-4-6":                              "claude-sonnet-4-6",
		"/v1/models":                                                "",
		"/v1/models/":                                               "",
		"/v1internal:streamGenerateContent":                         "",
		"/v1/chat/completions":                                      "",
	} {
		if got := ModelInPath(path); got != want {
			t.Errorf("ModelInPath(%s) = %q, want %q", path, got, want)
		}
	}
}

func TestOperationOf(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         events.Operation
	}{
		{"POST", "/v1/messages", events.OpGenerate},
		{"POST", "/v1/messages/count_tokens", events.OpCountTokens},
		{"POST", "/v1beta/models/m:countTokens", events.OpCountTokens},
		{"POST", "/v1beta/models/m:generateContent", events.OpGenerate},
		{"GET", "/v1/models/m", events.OpOther},
		{"", "/v1/models/m", events.OpOther},
	} {
		if got := OperationOf(&http.Request{Method: c.method, URL: &url.URL{Path: c.path}}); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}
