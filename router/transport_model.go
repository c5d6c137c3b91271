package router

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// ModelInPath returns the model that a path names as Gemini's and Vertex AI's do:
// what follows the last "/models/", without the ":method" at its end. Empty: none.
func ModelInPath(path string) string {
	i := strings.LastIndex(path, "/models/")
	if i < 0 {
		return ""
	}
	name := path[i+len("/models/"):]
	if method := strings.LastIndexByte(name, ':'); method >= 0 {
		name = name[:method]
	}
	return name
}

// ModelInBody returns the member "model" of a JSON object, as OpenAI's, Anthropic's,
// Codex's and Antigravity's requests have it; empty: none that is a string. Members of
// members do not count. Of several the last one counts, as for most JSON readers. The
// body may be cut off: it is read as far as it goes.
func ModelInBody(body []byte) string {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '{' {
		return ""
	}
	model, depth := "", 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := stringEnd(body, i)
			if depth == 1 && string(body[i:end]) == `"model"` {
				if v, ok := memberString(body[end:]); ok {
					model = v
				}
			}
			i = end - 1
		}
	}
	return model
}

// stringEnd returns the position after the JSON string that begins at i; the end of
// the body if it is cut off.
func stringEnd(body []byte, i int) int {
	for end := i + 1; ; end++ {
		next := bytes.IndexByte(body[end:], '"')
		if next < 0 {
			return len(body)
		}
		end += next
		escapes := 0
		for body[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end + 1
		}
	}
}

// memberString reads the value after a member's name, if it is a string.
func memberString(body []byte) (string, bool) {
	rest, isMember := bytes.CutPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte(":"))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	if !isMember || len(rest) == 0 || rest[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(rest[:stringEnd(rest, 0)], &s)
	return s, err == nil
}

// OperationOf tells by method and path what a request asks of the provider: tokens
// are counted at .../count_tokens (Anthropic) and ...:countTokens (Google); a request
// without a body to send, such as a list of models, generates nothing; all else is
// taken for a request to generate.
func OperationOf(r *http.Request) events.Operation {
	switch {
	case strings.HasSuffix(r.URL.Path, "/count_tokens"), strings.HasSuffix(r.URL.Path, ":countTokens"):
		return events.OpCountTokens
	case r.Method == "", r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodOptions:
		return events.OpOther
	}
	return events.OpGenerate
}
