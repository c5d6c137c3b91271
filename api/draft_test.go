package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/api"
)

// draft writes the requests that the document alone can tell of.
func (d *description) draft(route string) string {
	var out strings.Builder
	method, pattern, _ := strings.Cut(route, " ")
	good := goodBodies()[route]
	send := func(comment, target, body string, lines ...string) {
		if comment != "" {
			fmt.Fprintf(&out, "# %s\n", comment)
		}
		fmt.Fprintf(&out, "> %s %s\n", method, target)
		for _, line := range lines {
			fmt.Fprintf(&out, "> %s\n", line)
		}
		if body != "" {
			fmt.Fprintf(&out, "> %s\n", body)
		}
	}
	out.WriteString("= pool\n")
	target, _, _ := strings.Cut(path(pattern), "?")
	summary, _ := d.object(operation(route)...)["summary"].(string)
	send(summary+".", target, good)
	if need := api.RouteScopes()[route]; need != "" {
		send("Who may.", target, good, "as -")
		for _, scope := range api.Scopes() {
			if !slices.Contains(allowedScopes()[need], scope) {
				send("", target, good, "as "+string(scope))
			}
		}
	}
	if method != http.MethodGet {
		send("A page of another site.", target, good, "Sec-Fetch-Site: cross-site")
	}
	if strings.HasPrefix(pattern, "/v1/") {
		send("What it does not take.", target+"?unknown=1", good)
	}
	d.draftParameters(route, send)
	if good != "" {
		send("Bodies.", target, good, "to 1048577 bytes")
		send("", target, good, "Content-Type: text/plain")
		send("", target, good, "Content-Encoding: gzip")
		send("", target, "", "Content-Type: application/json")
		send("", target, "| ")
		send("", target, good[:len(good)-1])
		send("", target, good+" "+good)
		var value any
		if err := json.Unmarshal([]byte(good), &value); err == nil {
			tried := map[string]bool{}
			for _, w := range d.spoil(d.object(bodySchema(route)...), ints(value)) {
				if doc, err := json.Marshal(w.doc); err == nil && !tried[w.what] {
					tried[w.what] = true
					send("", target, brace(shorten(string(doc))))
				}
			}
		}
	}
	return ordered(out.String())
}

// brace makes a body that begins with no brace raw, for it would be taken for another
// line.
func brace(body string) string {
	if strings.HasPrefix(body, "{") {
		return body
	}
	return "| " + body
}

// ordered puts the padding of a body behind it.
func ordered(text string) string {
	return regexp.MustCompile(`(> to \d+ bytes\n)(> \{.*\n)`).ReplaceAllString(text, "$2$1")
}

// ints makes the whole numbers of a JSON value ints, as the generator has them.
func ints(v any) any {
	switch v := v.(type) {
	case float64:
		return int(v)
	case map[string]any:
		for name := range v {
			v[name] = ints(v[name])
		}
	case []any:
		for i := range v {
			v[i] = ints(v[i])
		}
	}
	return v
}

// shorten abbreviates long runs of one character.
func shorten(text string) string {
	run := regexp.MustCompile(`1{40,}`)
	return run.ReplaceAllStringFunc(text, func(s string) string { return fmt.Sprintf("{1*%d}", len(s)) })
}

func (d *description) draftParameters(route string, send func(comment, target, body string, lines ...string)) {
	_, pattern, _ := strings.Cut(route, " ")
	good := goodBodies()[route]
	parameters, _ := d.object(operation(route)...)["parameters"].([]any)
	for _, p := range parameters {
		p := p.(map[string]any)
		schema, name, in := p["schema"].(map[string]any), p["name"].(string), p["in"].(string)
		bad := badTexts(schema)
		for _, what := range slices.Sorted(maps.Keys(bad)) {
			text := shorten(bad[what])
			if text == bad[what] {
				text = escape(text)
			}
			target, _, _ := strings.Cut(path(strings.ReplaceAll(pattern, "{"+name+"}", text)), "?")
			switch in {
			case "query":
				send("", target+"?"+name+"="+text, good)
			case "header":
				if !strings.Contains(bad[what], "\x01") { // which no client can send
					send("", target, good, name+": "+shorten(bad[what]))
				}
			default:
				send("", target, good)
			}
		}
	}
}
