package main

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// testNow is the clock of commands under test.
var testNow = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// runWith runs one command line with an environment of its own.
func runWith(t *testing.T, vars map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{
		standard: standard{strings.NewReader(stdin), &out, &errs},
		getenv:   func(name string) string { return vars[name] },
		now:      func() time.Time { return testNow },
	}
	code = env.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// cannotRun skips a test for a reason that a user's machine may have. In CI it is an
// error: what is missing there has to be installed.
func cannotRun(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("ABEYANCE_CI") != "" {
		t.Fatalf("cannot run in CI: %s", reason)
	}
	t.Skip(reason)
}

// everyCommand yields the commands below the root, parents first.
func everyCommand(root *cobra.Command) iter.Seq[*cobra.Command] {
	return func(yield func(*cobra.Command) bool) {
		for _, c := range root.Commands() {
			if !yield(c) {
				return
			}
			for d := range everyCommand(c) {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// runOK runs a command that must succeed and returns what it prints.
func runOK(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := runWith(t, nil, "", args...)
	if code != exitOK {
		t.Fatalf("%v: exit %d\n%s", args, code, errs)
	}
	return out
}

func decode(t *testing.T, doc string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(doc), to); err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
}

func TestUsageErrorsExit2AndSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		args string
		want string // in stderr
	}{
		{"", "name a command"},
		{"statsu", `there is no command "abeyance statsu"; did you mean status?`},
		{"nonsense", `there is no command "abeyance nonsense"`},
		{"help statsu", "did you mean status?"},
		{"help token mint", `there is no command "abeyance token mint"`},
		{"accounts lsit", "did you mean list"},
		{"status --nope", "unknown flag: --nope"},
		{"status a b", `status takes at most one ACCOUNT, and "b" is too much`},
		{"status -o xml", `--output "xml" is none of table, json, jsonl, yaml`},
		{"status", "--data-dir"},
		{"serve", "abeyance serve --data-dir ./abeyance-data"},
		{"serve extra", `takes no arguments, and "extra" is one`},
		{"serve --data-dir d --listen 0.0.0.0:1", "--insecure-plain-http"},
		{"serve --data-dir d --listen nowhere", "host:port"},
		{"serve --data-dir d --listen 127.0.0.1:99999", "no port within 0 and 65535"},
		{"serve --data-dir d --listen unix:here", "the path of a unix socket must be absolute"},
		{"serve --data-dir d --listen unix:/s --tls-cert c --tls-key k", "TLS is of no use on a unix socket"},
		{"serve --data-dir d --allow-host http://x", `--allow-host: "http://x" is no host`},
		{"serve --data-dir d --trusted-proxy 10/8", `--trusted-proxy: "10/8" is no network`},
		{"serve --data-dir d --max-connections-per-peer -1", "--max-connections-per-peer: -1 is not within"},
		{"serve --data-dir d --max-changes-per-second -1", "--max-changes-per-second: -1 is not within"},
		{"demo --serve --listen 0.0.0.0:0", "the demo is served on this machine only"},
		{"demo --listen nowhere", "host:port"},
		{"serve --data-dir d --tls-cert c", "--tls-cert and --tls-key belong together"},
		{"serve --data-dir d --log-format xml", "--log-format"},
		{"suspend --data-dir d", "which cells?"},
		{"suspend a1 claude --for 2d", "needs a reason"},
		{"suspend a1 claude -r x", "exactly one of --for 2d, --until TIME and --forever"},
		{"suspend a1 claude -r x --for 2d --forever", "exactly one of"},
		{"suspend a1 claude -r x --for soon", `"soon" is no duration`},
		{"suspend a1 claude -r x --until tomorrow", `--until "tomorrow" is no instant`},
		{"suspend a1 claude extra -r x --for 1h", `"extra" is too much`},
		{"lift a1 --account a2", "name the same thing"},
		{"clear", "which cells?"},
		{"clear --started-after yesterday", "--started-after"},
		{"recheck", "which cells?"},
		{"recheck a1 --wait --dry-run", "--dry-run asks for nothing"},
		{"recheck a1 --timeout 1m", "--timeout belongs to --wait"},
		{"recheck a1 --wait --timeout soon", `--timeout: "soon" is no duration`},
		{"why", "why what?"},
		{"why a1 --provider codex", "not both"},
		{"why --provider codex", "belong together"},
		{"events --order up", `--order "up" is none of desc, asc`},
		{"events --limit -1", "negative"},
		{"events --kind frozen", `--kind "frozen" is none of`},
		{"events --since last-week", "--since"},
		{"export x", `takes no arguments, and "x" is one`},
		{"export", "--data-dir"},
		{"import", "needs at least one FILE"},
		{"import --dry-run .", "is a directory"},
		{"accounts forget", "needs one ACCOUNT"},
		{"watch --since 1h --after 3", "give one of them"},
		{"watch --after x", `invalid argument "x" for "--after"`},
		{"watch -n -1", "negative"},
		{"watch --kind frozen", `--kind "frozen" is none of`},
		{"watch a1 a2", `watch takes at most one ACCOUNT, and "a2" is too much`},
		{"watch", "--data-dir"},
		{"pick --provider codex", "pick needs --provider and --model"},
		{"pick --provider p --model m --strategy random", `"random" is none of round-robin, weighted, fill-first, sticky`},
		{"report --account a --provider p", "report needs --account, --provider and --status"},
		{"report --account a --provider p --status 429 --header nope", "is not 'Name: value'"},
		{"report --account a --provider p --status 429 --body x --body-file y", "not both"},
		{"accounts put a1", "--provider"},
		{"accounts put", "needs one ACCOUNT"},
		{"accounts set a1", "what is to change?"},
		{"groups apply", "-f FILE"},
		{"groups plan", "-f FILE"},
		{"groups plan -f x y", `"y" is one`},
		{"reload x", `takes no arguments, and "x" is one`},
		{"reload", "--data-dir"},
		{"config schema x", `takes no arguments, and "x" is one`},
		{"config show --log-level loud", `--log-level: "loud" is none of debug, info, warn, error`},
		{"policy apply", "-f FILE"},
		{"token create p --scope all", `"all" is no scope`},
		{"token create p", "--scope"},
		{"config check", "needs one FILE"},
		{"completion tcsh", `no completion for "tcsh"`},
		{"status --url http://127.0.0.1:1", "--token-file"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := runWith(t, nil, "", strings.Fields(c.args)...)
			if code != exitUsage || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, want %d; stderr, which should hold %q:\n%s", code, exitUsage, c.want, errs)
			}
			if out != "" {
				t.Errorf("talk on stdout:\n%s", out)
			}
		})
	}
}

func TestEmptyArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"clear", "--account", "", "--provider", "p", "--yes"},
		{"status", "--provider="},
		{"accounts", "put", "", "--provider", "codex"},
		{"accounts", "remove", ""},
		{"status", ""},
		{"events", ""},
		{"why", "a1", ""},
		{"suspend", "", "--provider", "codex", "--forever", "-r", "why", "--yes"},
		{"token", "delete", ""},
	} {
		if code, _, errs := runWith(t, nil, "", args...); code != exitUsage || !strings.Contains(errs, "is empty") {
			t.Errorf("%q: exit %d: %s", args, code, errs)
		}
	}
}

func TestInterruptedCommandsSaySo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	env := &environment{standard: standard{strings.NewReader(""), &out, &errs}, getenv: os.Getenv, now: time.Now}
	if code := env.run(ctx, []string{"demo"}); code != exitInterrupted || errs.String() != "abeyance: interrupted\n" {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestDataDirectoryThatIsAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"status": exitUsage, "events": exitUsage, "serve --listen 127.0.0.1:0": exitFailure} {
		code, _, errs := runWith(t, nil, "", append(strings.Fields(command), "--data-dir", name)...)
		if code != want || !strings.Contains(errs, name+" is a file: name ") {
			t.Errorf("%s: exit %d: %s", command, code, errs)
		}
	}
}

func TestHelpAndVersionGoToStdout(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"suspend", "--help"}, {"version"}, {"version", "-o", "json"}, {"completion", "bash"}, {"help", "why"}} {
		code, out, errs := runWith(t, nil, "", args...)
		if code != exitOK || out == "" || errs != "" {
			t.Errorf("%v: exit %d, %d bytes on stdout, stderr %q", args, code, len(out), errs)
		}
	}
}

// Every command must have a line, a section and an argument check, so that help
// and usage errors are complete.
func TestEveryCommandIsDescribed(t *testing.T) {
	root := newRootCommand(&environment{})
	for _, c := range root.Commands() {
		if c.GroupID == "" {
			t.Errorf("%s is in no section of the help", c.Name())
		}
		for _, d := range append(c.Commands(), c) {
			if d.Short == "" || d.Args == nil || d.RunE == nil {
				t.Errorf("%s: short help %q, argument check %t, runs %t", d.CommandPath(), d.Short, d.Args != nil, d.RunE != nil)
			}
		}
	}
	for _, alias := range []string{"explain", "log", "resume", "reset"} {
		if c, _, err := root.Find([]string{alias}); err != nil || c == root {
			t.Errorf("there is no alias %s", alias)
		}
	}
}

func TestUnknownDirectoryIsNotFound(t *testing.T) {
	code, _, errs := runWith(t, nil, "", "status", "--data-dir", "/nonexistent/abeyance")
	if code != exitNotFound || !strings.Contains(errs, "/nonexistent/abeyance does not exist") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestStoppedDaemonIsNamedWithTheCommandThatStartsIt(t *testing.T) {
	dir := t.TempDir()
	code, _, errs := runWith(t, nil, "", "status", "--data-dir", dir)
	if code != exitFailure || !strings.Contains(errs, "abeyance serve --data-dir "+dir) {
		t.Errorf("exit %d: %s", code, errs)
	}
}
