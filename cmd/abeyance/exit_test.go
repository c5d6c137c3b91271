package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// asking are command lines that ask a daemon, with every command that does. TOKEN and the
// like in them are files of the test.
func asking() []string {
	return []string{
		"accounts", "accounts list", "accounts put a1 --provider codex", "accounts set a1 --disabled", "accounts remove a1", "accounts forget a1",
		"backup -", "backup DIR/b.db", "export", "export -f DIR/e.ndjson", "import CDS", "verify",
		"token", "token list", "token create x --scope read", "token delete x",
		"status", "status a1", "status --watch", "status a1 --watch -o jsonl", "why a1", "why --provider p --model m", "why a1 --watch", "why a1 --check",
		"events", "watch", "watch --since 1h", "wait a1", "wait --provider p --model m", "episodes", "episodes --watch", "replay", "replay --step",
		"suspend a1 --forever -r x", "suspend a1 --forever -r x --yes", "suspend a1 --forever -r x --dry-run", "lift a1", "clear a1", "recheck a1", "recheck a1 --yes --wait",
		"groups", "groups list", "groups show", "groups apply -f GROUPS", "groups plan -f GROUPS", "policy", "policy show", "policy show --configured", "policy apply -f POLICY",
		"reload", "reload --dry-run", "pick --provider p --model m", "report --account a --provider p --status 429",
	}
}

// alone are the commands that ask no daemon; what they can end with is told elsewhere.
func alone() []string {
	return []string{
		"serve", "demo", "restore", "classify", "completion", "version", "help", "config", "config show", "config check", "config schema", "config test-webhook", "groups check", "policy check",
		"context", "context list", "context show", "context use", "context set", "context remove",
	}
}

// exitFiles puts the names of files into a command line.
func exitFiles(t *testing.T) func(line string) []string {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string { return writePrivate(t, filepath.Join(dir, name), text) }
	names := strings.NewReplacer("DIR", dir, "CDS", file("a.cds", `{"version": 1}`), "GROUPS", file("g.yaml", "bootstrap: none\n"),
		"POLICY", file("p.yaml", "policy: {rate_limited: {jitter: 2s}}\n"))
	return func(line string) []string { return strings.Fields(names.Replace(line)) }
}

// TestEveryCommandThatAsksIsListed, or said to ask nobody.
func TestEveryCommandThatAsksIsListed(t *testing.T) {
	root := newRootCommand(&environment{})
	root.InitDefaultHelpCmd()
	for cmd := range everyCommand(root) {
		path := strings.TrimPrefix(cmd.CommandPath(), "abeyance ")
		listed := slices.ContainsFunc(asking(), func(line string) bool {
			found, _, err := root.Find(strings.Fields(line))
			return err == nil && found == cmd
		})
		if listed == slices.Contains(alone(), path) {
			t.Errorf("%s: among those that ask: %t", path, listed)
		}
	}
}

// TestEveryCommandEndsWithTheCodeOfItsFailure: each command against each way in which a
// daemon can refuse.
func TestEveryCommandEndsWithTheCodeOfItsFailure(t *testing.T) {
	args := exitFiles(t)
	problem := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":"what is wrong"}`, status, code)
		}
	}
	for _, failure := range []struct {
		name string
		h    http.HandlerFunc
		want int
		said string
	}{
		{"malformed", problem(http.StatusBadRequest, "malformed_json"), exitUsage, "what is wrong"},
		{"invalid", problem(http.StatusUnprocessableEntity, "invalid"), exitUsage, "what is wrong"},
		{"no token", problem(http.StatusUnauthorized, "unauthorized"), exitAuth, "what is wrong"},
		{"wrong scope", problem(http.StatusForbidden, "forbidden_scope"), exitAuth, "what is wrong"},
		{"unknown account", problem(http.StatusNotFound, "unknown_account"), exitNotFound, "what is wrong"},
		{"unknown target", problem(http.StatusNotFound, "unknown_target"), exitNotFound, "what is wrong"},
		{"unknown token", problem(http.StatusNotFound, "unknown_token"), exitNotFound, "what is wrong"},
		{"conflict", problem(http.StatusConflict, "wrong_verb"), exitConflict, "what is wrong"},
		{"too large", problem(http.StatusRequestEntityTooLarge, "body_too_large"), exitFailure, "what is wrong"},
		{"internal", problem(http.StatusInternalServerError, "internal"), exitFailure, "what is wrong"},
		{"starting", problem(http.StatusServiceUnavailable, "starting"), exitFailure, "what is wrong"},
		{"another server", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusTeapot) }, exitFailure, "is the URL right?"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, exitFailure, "does not answer"},
	} {
		t.Run(failure.name, func(t *testing.T) {
			for _, line := range asking() {
				code, out, errs := against(t, failure.h, args(line)...)
				if code != failure.want || !strings.Contains(errs, failure.said) {
					t.Errorf("%s: exit %d, want %d: %s", line, code, failure.want, errs)
				}
				if out != "" {
					t.Errorf("%s: talk on stdout: %s", line, out)
				}
			}
		})
	}
	if list, err := filepath.Glob(args("DIR/*.*")[0]); err != nil || len(list) != 3 {
		t.Errorf("failures left %v, %v", list, err)
	}
}

// TestEveryCommandNeedsADaemon that it can find, and a token for it.
func TestEveryCommandNeedsADaemon(t *testing.T) {
	args := exitFiles(t)
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		vars map[string]string
		want int
		said string
	}{
		{"none named", nil, exitUsage, "--data-dir"},
		{"no token", map[string]string{envURL: "http://127.0.0.1:1"}, exitUsage, "--token-file"},
		{"no token file", map[string]string{envURL: "http://127.0.0.1:1", envTokenFile: dir + "/none"}, exitAuth, "the token file"},
		{"a strange token", map[string]string{envURL: "http://127.0.0.1:1", envTokenFile: writePrivate(t, dir+"/two", "aby_a aby_b")}, exitAuth, "does not hold one secret"},
		{"a strange URL", map[string]string{envURL: "127.0.0.1", envTokenFile: writePrivate(t, dir+"/token", "aby_a")}, exitUsage, "no address of a daemon"},
		{"nobody listens", map[string]string{envURL: "http://127.0.0.1:1", envTokenFile: writePrivate(t, dir+"/token", "aby_a")}, exitFailure, "does not answer"},
		{"no directory", map[string]string{envDataDir: dir + "/none"}, exitNotFound, "does not exist"},
		{"a file", map[string]string{envDataDir: writePrivate(t, dir+"/file", "")}, exitUsage, "is a file"},
		{"an unknown context", map[string]string{envContext: "prod", envContextsFile: dir + "/contexts.json"}, exitNotFound, `there is no context "prod"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, line := range asking() {
				code, out, errs := runWith(t, c.vars, "", args(line)...)
				if code != c.want || !strings.Contains(errs, c.said) || out != "" {
					t.Errorf("%s: exit %d, want %d: %s%s", line, code, c.want, out, errs)
				}
			}
		})
	}
}

// TestEveryCommandSaysWhatItCannotMean: an unknown flag, an empty one, and too much.
func TestEveryCommandSaysWhatItCannotMean(t *testing.T) {
	args := exitFiles(t)
	for _, line := range slices.Concat(asking(), alone()) {
		for _, wrong := range []string{"--no-such-flag", "-o xml", "--url=", "--context x --data-dir y"} {
			if line == "help" && wrong != "--no-such-flag" {
				continue // it asks nobody and is answered in one form
			}
			code, out, errs := runWith(t, nil, "", args(line+" "+wrong)...)
			if code != exitUsage || errs == "" || out != "" {
				t.Errorf("%s %s: exit %d: %s%s", line, wrong, code, out, errs)
			}
		}
		if strings.HasPrefix(line, "import") || strings.HasPrefix(line, "help") {
			continue // any number of files, or of words that lead to a command
		}
		if code, _, errs := runWith(t, nil, "", args(line+" more more more")...); code != exitUsage || errs == "" {
			t.Errorf("%s, with too many arguments: exit %d: %s", line, code, errs)
		}
	}
}

// TestEveryCommandCanBeInterrupted, while a daemon takes its time. What goes on until then
// anyway has done its work.
func TestEveryCommandCanBeInterrupted(t *testing.T) {
	args := exitFiles(t)
	for _, line := range asking() {
		ctx, interrupt := context.WithCancel(t.Context())
		env, _, errs := facing(t, func(_ http.ResponseWriter, r *http.Request) {
			// Only when the body is read does the server see that the client is gone.
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			interrupt()
			<-r.Context().Done()
		})
		want := exitInterrupted
		if strings.Contains(line, "watch") && line != "watch --since 1h" {
			want = exitOK
		}
		if code := env.run(ctx, args(line)); code != want {
			t.Errorf("%s: exit %d, want %d: %s", line, code, want, errs)
		}
	}
}

// TestBlockedAndTimedOut are the codes that only some commands have.
func TestBlockedAndTimedOut(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/pick":
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"status":429,"code":"all_cooling","detail":"all cool"}`)
		case "/v1/why":
			fmt.Fprint(w, `{"status":"cooling","sentence":"it cools"}`)
		case "/v1/events/stream":
			streamRows(t, w)
			<-r.Context().Done()
		case "/v1/recheck":
			fmt.Fprint(w, `{"seq":7,"last_seq":7,"cells":[{"account":"a1","target":"claude"}]}`)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	}
	for line, want := range map[string]int{
		"pick --provider p --model m":         exitBlocked,
		"pick --provider p --model m -o json": exitBlocked,
		"why a1 --check":                      exitBlocked,
		"why a1":                              exitOK,
		"wait a1 --timeout 50ms":              exitTimedOut,
		"wait a1 claude --for suspended,held --timeout 50ms -o json": exitTimedOut,
		"wait a1 --for cooling --timeout 1m":                         exitOK,
		"recheck a1 --yes --wait --timeout 50ms":                     exitTimedOut,
	} {
		if code, _, errs := against(t, h, strings.Fields(line)...); code != want {
			t.Errorf("%s: exit %d, want %d: %s", line, code, want, errs)
		}
	}
}

// TestNothingColoursWhatIsNoTerminal, nor a terminal whose owner does not want it.
func TestNothingColoursWhatIsNoTerminal(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		on   bool // a terminal
		want bool
	}{
		{nil, false, false},
		{nil, true, true},
		{map[string]string{"NO_COLOR": "1"}, true, false},
		{map[string]string{"NO_COLOR": ""}, true, true}, // as https://no-color.org has it: not empty
		{map[string]string{"TERM": "dumb"}, true, false},
	} {
		env := &environment{standard: standard{out: new(strings.Builder)}, coloured: c.on, getenv: func(name string) string { return c.vars[name] }}
		if got := env.colours(); got != c.want {
			t.Errorf("%v on a terminal %t: %t", c.vars, c.on, got)
		}
	}
}

// TestAStrangeCertificate is no daemon that does not answer: every command says what to do.
func TestAStrangeCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // "remote error: bad certificate"
	srv.StartTLS()
	t.Cleanup(srv.Close)
	args := exitFiles(t)
	vars := map[string]string{envURL: srv.URL, envTokenFile: writePrivate(t, filepath.Join(t.TempDir(), "token"), "aby_a")}
	for _, line := range asking() {
		code, out, errs := runWith(t, vars, "", args(line)...)
		if code != exitFailure || !strings.Contains(errs, "SSL_CERT_FILE") || strings.Contains(errs, "does not answer") || out != "" {
			t.Errorf("%s: exit %d: %s%s", line, code, out, errs)
		}
	}
}
