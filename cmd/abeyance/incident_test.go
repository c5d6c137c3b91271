package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/tests/incident"
)

// update rewrites the goldens, and docs/incident.md, with what the commands print now.
var update = flag.Bool("update", false, "rewrite the goldens and docs/incident.md with what the commands print")

// The questions asked about the recorded incident: each moment with what happens then.
var questions = []struct{ about, args string }{
	{"nothing has happened yet", "why cx-01 codex-spark --at 2026-09-14T00:10:00Z"},
	{"told to wait for 71 hours", "why ag-04 claude --at 2026-09-14T11:30:00Z"},
	{"a probe finds the quota still spent", "why ag-04 claude --at 2026-09-14T12:30:00Z"},
	{"a probe has found it back", "why ag-04 claude --at 2026-09-14T18:15:00Z"},
	{"a shortage that asks for more than the bound", "why ag-01 model:gemini-3-pro-high --at 2026-09-14T14:45:00Z"},
	{"a suspension, a shortage of the model and a quota at once", "why ag-05 --at 2026-09-14T14:40:30Z"},
	{"a model that no account can serve, each with its reason", "why --provider antigravity --model gemini-3-pro-high --at 2026-09-14T14:45:00Z"},
	{"a quota without a reset: the ladder", "why cx-03 codex-spark --at 2026-09-14T10:40:00Z"},
	{"a ban, over a cooldown", "why ag-09 --at 2026-09-14T20:00:00Z"},
	{"expired while the daemon was stopped", "why cx-06 codex-spark --at 2026-09-14T13:35:00Z"},
	{"an operator has asked for a probe", "why ag-07 claude --at 2026-09-15T06:08:30Z"},
	{"cleared in bulk", "why ag-05 claude --at 2026-09-15T06:13:00Z"},
	{"a forgotten suspension", "why cl-03 --at 2026-09-15T09:00:00Z"},
	{"a model that some can serve, at the same time", "why --provider claude --model claude-opus-4-6 --at 2026-09-15T09:00:00Z"},
	{"the request was at fault", "why ag-12 model:gemini-3-flash --at 2026-09-15T10:32:30Z"},
	{"two groups have become one", "why ag-11 gemini --at 2026-09-15T13:10:00Z"},
	{"a suspension has moved with them", "why ag-05 gemini --at 2026-09-15T13:10:00Z"},
	{"lifted", "why cl-03 --at 2026-09-15T16:30:00Z"},
}

// archived runs a command line on the recorded incident, at its end, with the daemon
// stopped.
func archived(t *testing.T, dir, line string) string {
	t.Helper()
	var out, errs strings.Builder
	env := &environment{standard: standard{strings.NewReader(""), &out, &errs}, getenv: func(string) string { return "" }, now: incident.End}
	if code := env.run(t.Context(), append(strings.Fields(line), "--data-dir", dir)); code != exitOK {
		t.Fatalf("%s: exit %d\n%s", line, code, errs.String())
	}
	return out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "incident", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if it should, run go test -update: %s", path, diff)
	}
}

// TestIncidentWhy: what is said about moments of the recorded incident.
func TestIncidentWhy(t *testing.T) {
	dir, _ := incident.Open(t)
	var b strings.Builder
	for _, q := range questions {
		fmt.Fprintf(&b, "# %s\n$ abeyance %s\n%s\n", q.about, q.args, archived(t, dir, q.args))
	}
	golden(t, "why.txt", b.String())
}

// TestIncidentEpisodes: the freezes of half an hour, of two accounts, and the sums.
func TestIncidentEpisodes(t *testing.T) {
	dir, _ := incident.Open(t)
	var b strings.Builder
	for _, args := range []string{
		"episodes --order asc --from 2026-09-15T06:00:00Z --to 2026-09-15T06:30:00Z",
		"episodes ag-04 --target claude --order asc -n 0",
		"episodes cl-03 --order asc -n 0",
		"episodes ag-09 --from 2026-09-14T19:00:00Z --order asc -n 0",
		"episodes ag-11 --from 2026-09-15T12:00:00Z --order asc -n 0",
		"episodes --by provider", "episodes --by target", "episodes --by day", "episodes --by account",
	} {
		fmt.Fprintf(&b, "$ abeyance %s\n%s\n", args, archived(t, dir, args))
	}
	golden(t, "episodes.txt", b.String())
}

// The other rules that the what-ifs try.
var rules = map[string]string{
	"bounded.yaml":   "policy:\n  quota_exhausted: {bound: 30m}\n",
	"no-probes.yaml": "policy:\n  probe: {mode: off}\n",
	"per-model.yaml": "bootstrap: none\n",
}

// TestIncidentReplay: what other rules would have done to the recorded incident, and
// that the rules of the time do what they did, wherever one begins.
func TestIncidentReplay(t *testing.T) {
	dir, head := incident.Open(t)
	files := t.TempDir()
	for name, doc := range rules {
		if err := os.WriteFile(filepath.Join(files, name), []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	for _, args := range []string{"", " --policy bounded.yaml", " --groups per-model.yaml", " --policy no-probes.yaml"} {
		line := "replay" + args
		out := archived(t, dir, strings.NewReplacer("--policy ", "--policy "+files+"/", "--groups ", "--groups "+files+"/").Replace(line))
		fmt.Fprintf(&b, "$ abeyance %s\n%s\n", line, out)
	}
	golden(t, "replay.txt", b.String())
	const none = "freezes differ   0\n"
	for _, from := range []uint64{1, 2, 31, 500, 668, 1408, 1500, 2525, 3218, 4205, uint64(head.Seq) - 1} {
		out := archived(t, dir, fmt.Sprintf("replay --from seq:%d", from))
		if !strings.HasSuffix(out, none) || !strings.Contains(out, "extra free       0s at most") {
			t.Errorf("from record %d the same rules make a difference:\n%s", from, out)
		}
	}
}
