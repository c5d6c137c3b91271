package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func classifyLines(t *testing.T, in string) (code int, lines []string, stderr string) {
	t.Helper()
	code, out, stderr := runWith(t, nil, in, "classify")
	return code, strings.Split(strings.TrimSuffix(out, "\n"), "\n"), stderr
}

func TestClassifyPrintsOneLinePerLineInOrder(t *testing.T) {
	in := `{"id":"ok","provider":"codex","status":200,"headers":{},"body":""}
{"id":7,"provider":"general","status":429,"headers":{"retry-after":"17"},"body":"","observed_at":"2026-01-01T00:00:00Z"}

{"provider":"general","status":429,"headers":{"Retry-After":["17","18"]},"body":"","source":"passed over"}`
	code, lines, stderr := classifyLines(t, in)
	want := []string{
		`{"id":"ok","class":"ok","scope":"none","retry_after_seconds":null,"reset_at":null}`,
		`{"id":7,"class":"rate_limited","scope":"model","retry_after_seconds":17,"reset_at":"2026-01-01T00:00:17.000Z"}`,
		`{"id":null,"class":"rate_limited","scope":"model","retry_after_seconds":17,"reset_at":null}`,
	}
	if diff := cmp.Diff(want, lines); diff != "" || code != 0 || stderr != "" {
		t.Errorf("exit %d, stderr %q (-want +got):\n%s", code, stderr, diff)
	}
}

func TestClassifyPutsErrorsInTheirPlace(t *testing.T) {
	in := strings.Join([]string{
		`{"id":"a","provider":"codex","status":"429"}`,
		`not JSON`,
		`{"id":"c","provider":"codex","status":200}`,
		`{"id":"d","status":429}`,
		`{"id":"e","provider":"codex"}`,
		`{"id":"f","provider":"codex","status":429,"observed_at":"yesterday"}`,
		`{"id":"g","provider":"codex","status":429,"operation":"dance"}`,
		`{"id":"h","provider":"codex","status":429,"headers":{"a":1}}`,
		`["i"]`,
		`{"id":"j","provider":"codex","status":1000}`,
	}, "\n")
	code, lines, stderr := classifyLines(t, in)
	if code != exitFailure {
		t.Errorf("exit %d", code)
	}
	want := []string{
		`{"id":"a","error":`, `{"id":null,"error":`, `{"id":"c","class":"ok"`, `{"id":"d","error":"provider is missing"`, `{"id":"e","error":"status is missing`,
		`{"id":"f","error":`, `{"id":"g","error":`, `{"id":"h","error":`, `{"id":null,"error":`, `{"id":"j","error":"status 1000 is no HTTP status"`,
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines for %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d: %s\nwant %s...", i+1, lines[i], want[i])
		}
	}
	if strings.Count("\n"+stderr, "\nline ") != 9 || !strings.Contains(stderr, "line 2: ") || !strings.Contains(stderr, "9 of the lines could not be read") {
		t.Errorf("stderr:\n%s", stderr)
	}
}

func TestClassifyWordsMistakesWithoutOurTypes(t *testing.T) {
	for in, want := range map[string]string{
		`{"provider":"codex","status":"429"}`:          "status must be a whole number, and is a string",
		`{"provider":"codex","status":4.5}`:            "status must be a whole number, and is a number 4.5",
		`{"provider":["codex"],"status":429}`:          "provider must be a string, and is an array",
		`{"provider":"codex","status":1,"body":true}`:  "body must be a string, and is true or false",
		`{"provider":"codex","status":1,"headers":""}`: "headers must be an object, and is a string",
		`["i"]`:    "the line must be an object, and is an array",
		`not JSON`: "the line is not JSON: ",
		`{"id":1`:  "the line is not JSON: unexpected end of JSON input",
		`{"provider":"codex","status":1,"headers":{"a":1}}`: "a header is a string or a list of strings",
	} {
		_, lines, _ := classifyLines(t, in)
		var got misread
		decode(t, lines[0], &got)
		if !strings.HasPrefix(got.Error, want) {
			t.Errorf("%s: %q, want %q", in, got.Error, want)
		}
		for _, leak := range []string{"json:", "Go ", "observationLine"} {
			if strings.Contains(got.Error, leak) {
				t.Errorf("%s: %q holds %q", in, got.Error, leak)
			}
		}
	}
}

func TestClassifyPassesOverALineThatIsTooLong(t *testing.T) {
	ok := `{"id":"x","provider":"codex","status":200}`
	long := `{"id":"long","body":"` + strings.Repeat("a", maxClassifyLine) + `"}`
	code, lines, _ := classifyLines(t, ok+"\n"+long+"\n"+ok+"\n"+long)
	if code != exitFailure || len(lines) != 4 {
		t.Fatalf("exit %d, %d lines", code, len(lines))
	}
	for i, want := range []string{`{"id":"x","class"`, `{"id":null,"error":"the line has more than`, `{"id":"x","class"`, `{"id":null,"error":`} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d: %.80s", i+1, lines[i])
		}
	}
}

func FuzzClassifyAnswersEveryLine(f *testing.F) {
	f.Add(`{"id":"a","provider":"codex","status":429}`)
	f.Add(`{"id":{"b":[1]},"provider":"claude","status":0,"headers":{"x":["y"]},"body":"{}"}`)
	f.Add("nonsense\n\n{}")
	f.Fuzz(func(t *testing.T, in string) {
		want := 0
		for line := range strings.SplitSeq(in, "\n") {
			if len(strings.TrimSpace(line)) > 0 {
				want++
			}
		}
		_, out, _ := runWith(t, nil, in, "classify")
		if got := strings.Count(out, "\n"); got != want {
			t.Errorf("%d lines for %d", got, want)
		}
	})
}
