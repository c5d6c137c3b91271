package signal

import (
	"strings"
	"testing"
)

// What is cut off, has stray commas, Python's quotes or raw line breaks reads as
// the value that was meant.
func TestReadJSONTolerates(t *testing.T) {
	for _, c := range []struct{ name, src string }{
		{"plain", `{"a":{"b":"c"},"n":7,"l":[1,2]}`},
		{"spaces and byte order mark", "\ufeff \r\n{ \"a\" : { \"b\" : \"c\" } , \"n\" : 7 , \"l\" : [ 1 , 2 ] }"},
		{"stray commas", "{\"a\":{\"b\":\"c\",\n ,},\n , \"n\":7,,\"l\":[,1,2,],}"},
		{"python", `{'a': {'b': 'c'}, 'n': 7, 'l': [1, 2], 'x': None, 'y': True}`},
		{"bare names", `{a:{b:"c"},n:7,l:[1,2]}`},
		{"number as text", `{"a":{"b":"c"},"n":"7","l":[1,2]}`},
		{"cut in the list", `{"a":{"b":"c"},"n":7,"l":[1,2,3`},
		{"cut after a key", `{"a":{"b":"c"},"n":7,"l":[1,2],"z"`},
		{"cut after a colon", `{"a":{"b":"c"},"n":7,"l":[1,2],"z":`},
		{"cut in a string", `{"a":{"b":"c"},"n":7,"l":[1,2],"z":"unfin`},
		{"wrong bracket", `{"a":{"b":"c"},"n":7,"l":[1,2}}`},
		{"trailing text", `{"a":{"b":"c"},"n":7,"l":[1,2]} and more`},
	} {
		v := readJSON(c.src)
		if got := v.get("a").get("b").string(); got != "c" {
			t.Errorf("%s: a.b is %q", c.name, got)
		}
		if got := v.get("n").int(); got != 7 {
			t.Errorf("%s: n is %d", c.name, got)
		}
		if got := v.get("l").first().next().text(); got != "2" {
			t.Errorf("%s: l[1] is %q", c.name, got)
		}
	}
}

func TestReadJSONStrings(t *testing.T) {
	for src, want := range map[string]string{
		`"a\nb\t\"q\"\\ \/ \u00e9 \ud83d\ude00"`: "a\nb\t\"q\"\\ / é 😀",
		`"lone \ud83d surrogate"`:                "lone \ufffd surrogate",
		`"broken \u12"`:                          `broken \u12`,
		`"odd \q escape"`:                        `odd \q escape`,
		`"ends in \`:                             `ends in \`,
		"\"raw\nline\"":                          "raw\nline",
		`""`:                                     "",
		`"unfinished`:                            "unfinished",
	} {
		if got := readJSON(src).partial(); got != want {
			t.Errorf("%s reads as %q, want %q", src, got, want)
		}
	}
}

// Half a value is no value: "retryDelay":"43 may have been 434702s.
func TestRule17ValuesCutOffAreNotRead(t *testing.T) {
	for _, src := range []string{`{"a":43`, `{"a":"43`, `{"a":"43\\`, `{"a":[43`, `{"a":{"b":"43`, `{"a":tru`} {
		v := readJSON(src).get("a")
		for v.kind() == array || v.kind() == object {
			v = v.first()
		}
		if v.text() != "" || v.int() != 0 || !v.cut() {
			t.Errorf("%s reads as %q", src, v.text())
		}
	}
	body := `{"error":{"code":429,"message":"Resets in 71h15m27s.","details":[{"reason":"QUOTA_EXHAUSTED"},{"retryDelay":"256527.79s"}]}}`
	want, _ := RetryAfter(Classify(Observation{Provider: "antigravity", Status: 429, Body: []byte(body)}))
	for n := range body {
		s := Classify(Observation{Provider: "antigravity", Status: 429, Body: []byte(body[:n])})
		if got, ok := RetryAfter(s); ok && got != want && got != 256527 {
			t.Fatalf("cut after %d bytes, %q: %v seconds", n, body[:n], got)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for _, src := range []string{"", "   ", "text", "429", "null", "<html>", "]"} {
		if v := readJSON(src); v.t != nil {
			t.Errorf("%q was read as JSON", src)
		}
	}
}

// A document of a million brackets costs neither memory nor the stack.
func TestReadJSONIsBounded(t *testing.T) {
	for _, c := range []struct{ name, src string }{
		{"open objects", strings.Repeat(`{"a":`, 100_000)},
		{"open arrays", strings.Repeat(`[`, 1_000_000)},
		{"members", "{" + strings.Repeat(`"a":1,`, 100_000) + "}"},
		{"elements", "[" + strings.Repeat(`1,`, 100_000) + "]"},
		{"closed and deep", strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)},
		{"colons", "{" + strings.Repeat(":", 100_000)},
		{"quotes", strings.Repeat(`"`, 100_001)},
	} {
		v := readJSON(c.src)
		if n := len(v.t.nodes); n > maxNodes {
			t.Errorf("%s: %d nodes, at most %d", c.name, n, maxNodes)
		}
	}
}

// The absent value answers every question, so that rules need no checks.
func TestAbsentValue(t *testing.T) {
	var v value
	if v.get("a").first().next().get("b").text() != "" || v.int() != 0 || v.key() != "" || !v.null() || v.kind() != absent {
		t.Error("the absent value is not absent throughout")
	}
}
