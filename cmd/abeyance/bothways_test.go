package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/tests/incident"
)

// TestStepIsTheSameWithoutTheDaemon: what a walk through the incident shows, and refuses,
// does not depend on who reads the log.
func TestStepIsTheSameWithoutTheDaemon(t *testing.T) {
	s := startSession(t, t.TempDir(), incident.End().Format(time.RFC3339))
	recs := incident.Records(t)
	lines := []string{
		"--from seq:99999", "--from 2031-01-01T00:00:00Z", "--from seq:10 --to seq:5", "--to seq:99999", "--to 2031-01-01T00:00:00Z",
		"--from seq:5 --to seq:5", "--account nobody", "--from seq:1450 --to seq:1490", "--to seq:40", "--from seq:5950 -o jsonl",
		"--from seq:4190 --to seq:4225", "--from seq:4204 --to seq:4205 -o jsonl", "--from seq:3200 --account ag-05 --to seq:4250",
		// A record at the instant itself belongs to the state that is begun with, and to the end.
		fmt.Sprintf("--from %s --to %s", recs[1406].At.Format(time.RFC3339Nano), recs[1430].At.Format(time.RFC3339Nano)),
	}
	stopped := bothWays(t, s, "replay --step", lines)
	i := slices.IndexFunc(stopped, func(a commandAnswer) bool { return strings.Contains(a.line, "--from seq:4190") })
	if !strings.Contains(stopped[i].out, "gemini: available -> suspended") {
		t.Errorf("the new groups move nothing:\n%s", stopped[i].out)
	}
	for _, a := range stopped[:5] {
		if a.code != exitUsage || a.out != "" {
			t.Errorf("%s: exit %d\n%s%s", a.line, a.code, a.out, a.err)
		}
	}
}

// commandAnswer is what a command printed, and how it ended.
type commandAnswer struct {
	line, out, err string
	code           int
}

// bothWays runs a command with each of some arguments, with the daemon of a session and
// after it, and returns the answers, which must be the same.
func bothWays(t *testing.T, s *session, command string, lines []string) []commandAnswer {
	t.Helper()
	ask := func() (list []commandAnswer) {
		for _, line := range lines {
			var out, errs strings.Builder
			env := s.environment(&out)
			env.err = &errs
			line = command + " " + line
			code := env.run(t.Context(), strings.Fields(line))
			list = append(list, commandAnswer{line, out.String(), errs.String(), code})
		}
		return list
	}
	running := ask()
	s.end()
	stopped := ask()
	if diff := cmp.Diff(stopped, running, cmp.AllowUnexported(commandAnswer{})); diff != "" {
		t.Errorf("-stopped +running:\n%s", diff)
	}
	return stopped
}

// TestRefusalsAreTheSameWithoutTheDaemon: the same words and the same exit codes.
func TestRefusalsAreTheSameWithoutTheDaemon(t *testing.T) {
	s := startSession(t, t.TempDir(), incident.End().Format(time.RFC3339))
	want := map[string]int{
		"episodes --from seq:99999": exitUsage, "replay --from seq:99999": exitUsage, "replay --from seq:10 --to seq:5": exitUsage,
		"export --target nope": exitNotFound, "export --account nobody": exitNotFound, "export --from seq:99999": exitUsage,
		"export --target gemini-pro --from seq:5900": exitOK, // a group that is no more
		"why ag-04 codex-main":                       exitNotFound, "why ag-04 nope": exitNotFound, "why nobody": exitNotFound, "events --target nope": exitNotFound,
	}
	for _, a := range bothWays(t, s, "", slices.Sorted(maps.Keys(want))) {
		if line := strings.TrimSpace(a.line); a.code != want[line] || (a.code != exitOK) != (a.out == "") {
			t.Errorf("%s: exit %d, want %d\n%s%s", line, a.code, want[line], a.out, a.err)
		}
	}
}

// TestWhyOfAModelToItsEnd: every candidate is told of, by either, or as many as are asked
// for, with how many more there are.
func TestWhyOfAModelToItsEnd(t *testing.T) {
	s := startSession(t, t.TempDir(), incident.End().Format(time.RFC3339))
	const model = "--provider antigravity --model gemini-3-pro-high --at 2026-09-14T14:45:00Z"
	answers := bothWays(t, s, "why", []string{model, model + " -n 0", model + " --limit 3"})
	if all := answers[0].out; answers[1].out != all || strings.Contains(all, "more cell") {
		t.Errorf("the whole is\n%s, and without a limit\n%s", all, answers[1].out)
	}
	if cut := answers[2].out; strings.Count(cut, "\n  decided ") != 3 || !strings.Contains(cut, " more cells; --limit 0 shows all\n") {
		t.Errorf("of three cells is printed\n%s", cut)
	}
}

// TestEventsSayWhetherThereAreMore: no more are promised than there are.
func TestEventsSayWhetherThereAreMore(t *testing.T) {
	s := startSession(t, t.TempDir(), incident.End().Format(time.RFC3339))
	const some = "--kind groups_defined" // two records
	answers := bothWays(t, s, "events", []string{some + " -n 1", some + " -n 2", some + " -n 3", some + " -n 2 --order asc"})
	for i, more := range []bool{true, false, false, false} {
		if a := answers[i]; strings.Contains(a.err, "--limit 0 shows all") != more {
			t.Errorf("%s prints\n%s%s", a.line, a.out, a.err)
		}
	}
}

// TestWhyAsksForPages, each for what is still wanted.
func TestWhyAsksForPages(t *testing.T) {
	for line, want := range map[string][]string{
		"why a1 -n 0": {"1000 ", "1000 x", "1000 y"}, "why a1 -n 3": {"3 ", "1 x"}, "why a1 -n 2": {"2 "}, "why a1": {"100 ", "98 x", "97 y"},
	} {
		var asked []string
		code, out, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			asked = append(asked, q.Get("page_size")+" "+q.Get("page_token"))
			cell := func(target string) string {
				return `{"account":"a1","target":"` + target + `","status":"cooling","sentence":"s","causes":[],"ends":[]}`
			}
			switch q.Get("page_token") {
			case "":
				fmt.Fprintf(w, `{"sentence":"s","cell_count":5,"next_page_token":"x","cells":[%s,%s]}`, cell("c1"), cell("c2"))
			case "x":
				fmt.Fprintf(w, `{"sentence":"s","cell_count":5,"next_page_token":"y","cells":[%s]}`, cell("c3"))
			default:
				fmt.Fprintf(w, `{"sentence":"s","cell_count":5,"next_page_token":null,"cells":[%s,%s]}`, cell("c4"), cell("c5"))
			}
		}, strings.Fields(line)...)
		if !slices.Equal(asked, want) || code != exitOK {
			t.Errorf("%s asks for %q, want %q; exit %d: %s%s", line, asked, want, code, out, errs)
		}
	}
}
