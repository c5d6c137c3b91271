package main

import (
	"strings"
	"testing"
	"time"
)

func TestRelativeTimes(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{71*time.Hour + 15*time.Minute + 27*time.Second, "in 71h16m"},
		{time.Hour, "in 1h"},
		{90 * time.Second, "in 1m30s"},
		{10 * 24 * time.Hour, "in 10d"},
		{59*time.Minute + 59*time.Second + 1, "in 1h"},
		{48*time.Hour - time.Second, "in 48h"},
		{100 * time.Millisecond, "in 1s"},
		{0, "now"},
		{-30 * time.Second, "30s ago"},
		{-50 * time.Hour, "50h ago"},
		{-101 * time.Hour, "4d5h ago"},
	} {
		if got := relative(testNow.Add(c.d), testNow); got != c.want {
			t.Errorf("%v: %q, want %q", c.d, got, c.want)
		}
	}
	if got := relative(time.Time{}, testNow); got != "" {
		t.Errorf("the zero time: %q", got)
	}
}

func TestYAMLKeepsNamesOrderAndTypes(t *testing.T) {
	doc, err := toYAML([]byte(`{"b":"1","a":{"x":[1,true,null,"no"],"empty":[]},"t":"2026-01-01T00:00:00.000Z","n":"","m":"a: b\nc"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `b: "1"
a:
  x:
  - 1
  - true
  - null
  - "no"
  empty: []
t: "2026-01-01T00:00:00.000Z"
n: ""
m: "a: b\nc"
`
	if string(doc) != want {
		t.Errorf("got:\n%s\nwant:\n%s", doc, want)
	}
}

func TestTablesCarryNoControlCharacters(t *testing.T) {
	if got := plain("a\x1b[31mb\tc\nd\u202ee"); got != "a [31mb c d e" {
		t.Errorf("got %q", got)
	}
}

// tabwriter counts escape sequences as text, so all rows must carry as much of it.
func TestPaintAddsTheSameLengthToEveryRow(t *testing.T) {
	paint := painter(true)
	want := len(paint("title", ""))
	for _, status := range []string{"", "held", "frozen", "cooling", "suspended", "disabled", "available"} {
		if got := len(paint(status, "")); got != want {
			t.Errorf("%q adds %d bytes, the title %d", status, got, want)
		}
	}
	if got := painter(false)("held", "x"); got != "x" {
		t.Errorf("without colours: %q", got)
	}
}

func TestColoursNeedATerminal(t *testing.T) {
	env := &environment{standard: standard{nil, &strings.Builder{}, nil}, getenv: func(string) string { return "" }}
	if env.colours() {
		t.Error("colours without a terminal")
	}
}

func TestCountedHasASingular(t *testing.T) {
	for n, want := range map[int]string{0: "0 accounts", 1: "1 account", 2: "2 accounts"} {
		if got := counted(n, "account"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
