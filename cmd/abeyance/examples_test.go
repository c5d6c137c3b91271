package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// exampleNow is when the examples of the help are told. The test moves the instants in
// them as far as its own time lies from that.
var exampleNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// staged is what has to be so before the examples of a command, as lines for a shell.
func staged() map[string]string {
	const (
		limited = "abeyance report --account a1 --provider antigravity --model claude-opus-4-6 --status 429 --header 'Retry-After: 3600'\n"
		prod    = "abeyance context set prod --url https://abeyance.example --token-file prod.token\n"
		// answered clears what is rechecked, once that was asked for.
		answered = "(for i in $(seq 400); do abeyance events a1 --kind recheck_requested -q | grep -q . && break; sleep 0.05; done;" +
			" abeyance clear a1 -r 'no request comes here' --yes) >/dev/null 2>&1 &\n"
	)
	return map[string]string{
		"abeyance lift":                "abeyance suspend a1 claude --forever -r x\nabeyance suspend --provider codex --forever -r x --yes",
		"abeyance clear":               limited,
		"abeyance recheck":             limited + answered,
		"abeyance wait":                "abeyance lift a1 --yes || true\nabeyance clear a1 --yes || true\nabeyance suspend a1 gemini-pro --for 1h -r x",
		"abeyance status":              limited,
		"abeyance why":                 limited,
		"abeyance token delete":        "abeyance token create proxy-1 --scope route || true",
		"abeyance verify":              `abeyance verify | sed -E 's/.* ([0-9]+) records, head ([0-9a-f]+)$/\1:\2/' > head-of-last-week`,
		"abeyance backup":              "rm -f abeyance.db*",
		"abeyance restore":             "rm -f abeyance.db*; abeyance backup abeyance.db; gzip -k abeyance.db",
		"abeyance import":              "rm -f history.ndjson; abeyance export -f history.ndjson",
		"abeyance export":              "rm -f history.ndjson",
		"abeyance context remove":      prod,
		"abeyance config test-webhook": "(umask 077; echo whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= > ops.secret)",
		"abeyance context show":        prod,
		"abeyance context use":         prod,
		"abeyance accounts forget":     "abeyance accounts put mira@example.com --provider codex; abeyance accounts remove mira@example.com",
	}
}

// endless are the examples that go on until somebody ends them, with what they print when
// they have begun.
func endless() map[string]string {
	return map[string]string{
		"abeyance serve --data-dir ./other --listen 127.0.0.1:0":                  "url      http",
		"abeyance serve --data-dir ./other --config abeyance.yaml --observe-only": "url      http",
		"abeyance watch --kind suspended":                                         "watching what comes after",
		"abeyance watch a1 --since 1h":                                            "account_added",
		"abeyance watch --after 0 -o jsonl >> history.jsonl":                      "watching what comes after",
		"abeyance status --watch":                                                 "antigravity  claude",
	}
}

// otherwise are the examples that do not end with 0 here.
func otherwise() map[string]int {
	return map[string]int{
		"abeyance why a1 --at 2026-11-20T09:00:00Z":            exitNotFound, // the log is younger
		"abeyance replay --step --account a1 --from seq:120":   exitUsage,    // and shorter
		"abeyance config test-webhook ops --config hooks.yaml": exitFailure,  // nobody listens
	}
}

// exampleFiles are those that the examples name.
func exampleFiles() map[string]string {
	return map[string]string{
		"abeyance.yaml":  "listen: 127.0.0.1:0\n",
		"groups.yaml":    "groups: [{id: opus, providers: [antigravity], patterns: [\"claude-opus-*\"], priority: 400}]\n",
		"hooks.yaml":     "webhooks: [{name: ops, url: \"http://127.0.0.1:1/\", secret_file: ops.secret, on: [held]}]\n",
		"per-model.yaml": "bootstrap: none\n",
		"policy.yaml":    "policy: {rate_limited: {jitter: 2s}}\n",
		"shorter.yaml":   "policy: {quota_exhausted: {bound: 1h}}\n",
		"answer.json":    `{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}`,
		".cli-proxy-api/config.yaml": "oauth-account-quota-group-state:\n" +
			"  - {auth_id: a1, group_id: g3_pro, manual_suspended: true, manual_reason: x, updated_at: 2026-11-23T00:00:00Z, updated_by: mira}\n",
		".cli-proxy-api/a1.cds": `{"version": 1, "auth_id": "a1", "provider": "antigravity", "updated_at": "2026-11-23T00:00:00Z", "records": []}`,
	}
}

// TestEveryExampleOfTheHelpRuns, as it stands there, in a shell, against a daemon.
func TestEveryExampleOfTheHelpRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the examples are for a POSIX shell")
	}
	for _, tool := range []string{"bash", "grep", "gzip", "sed", "seq"} {
		if _, err := exec.LookPath(tool); err != nil {
			cannotRun(t, tool+" is not installed")
		}
	}
	t.Parallel()
	s := newStage(t)
	root := newRootCommand(&environment{})
	root.InitDefaultHelpCmd()
	for cmd := range everyCommand(root) {
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) {
			if !strings.Contains(cmd.Example, cmd.CommandPath()) {
				t.Fatalf("none of its examples is of this command:\n%s", cmd.Example)
			}
			if lines := staged()[cmd.CommandPath()]; lines != "" {
				if code, out := s.shell(t, lines); code != exitOK {
					t.Fatalf("what has to be so before: exit %d\n%s", code, out)
				}
			}
			var before strings.Builder // what was exported to the lines that follow
			for _, line := range examplesOf(cmd) {
				if strings.HasPrefix(line, "export ") {
					before.WriteString(line + "\n")
					continue
				}
				s.play(t, before.String(), line)
			}
		})
	}
}

// examplesOf returns the example lines of a command.
func examplesOf(cmd *cobra.Command) (list []string) {
	whole := strings.ReplaceAll(cmd.Example, "\\\n", " ")
	for line := range strings.Lines(whole) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// stage is a directory with a daemon, and with what the examples name.
type stage struct {
	dir string
	env []string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir()}
	s.env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ABEYANCE_") }),
		"HOME="+s.dir, "XDG_CONFIG_HOME=", "USER=tess", "GORACE=atexit_sleep_ms=0",
		envDataDir+"="+filepath.Join(s.dir, "data"), envContextsFile+"="+filepath.Join(s.dir, "contexts.json"))
	for name, doc := range exampleFiles() {
		path := filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(doc), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	stop := s.start(t, "abeyance serve --listen 127.0.0.1:0", "url      http")
	t.Cleanup(func() {
		if code, out := stop(); code != exitOK {
			t.Errorf("the daemon: exit %d\n%s", code, out)
		}
	})
	for _, account := range []string{"a1 --provider antigravity", "a2 --provider antigravity", "a3 --provider antigravity", "c1 --provider codex"} {
		if code, out := s.shell(t, "abeyance accounts put "+account); code != exitOK {
			t.Fatalf("exit %d: %s", code, out)
		}
	}
	if code, out := s.shell(t, "cp data/token prod.token"); code != exitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	return s
}

// exampleTime bounds one example: the demo takes some ten seconds.
const exampleTime = 2 * time.Minute

// command returns a shell with lines.
func (s *stage) command(ctx context.Context, lines string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-c", lines)
	c.Dir, c.Env, c.WaitDelay = s.dir, s.env, time.Second
	return c
}

func (s *stage) shell(t *testing.T, lines string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exampleTime)
	defer cancel()
	c := s.command(ctx, lines)
	doc, err := c.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("%s: %v\n%s", lines, err, doc)
	}
	return c.ProcessState.ExitCode(), string(doc)
}

// play runs an example.
func (s *stage) play(t *testing.T, before, line string) {
	t.Helper()
	moved := instants.ReplaceAllStringFunc(line, func(text string) string {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		return at.Add(time.Since(exampleNow)).UTC().Format(time.RFC3339)
	})
	code, out := 0, ""
	if sign, goesOn := endless()[line]; goesOn {
		code, out = s.start(t, moved, sign)()
	} else {
		code, out = s.shell(t, before+moved)
	}
	if want := otherwise()[line]; code != want {
		t.Errorf("$ %s\nexit %d, want %d\n%s", line, code, want, out)
	}
}

var instants = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// start runs a command that goes on, and waits for a sign in what it prints. It returns
// what ends the command, as Ctrl-C does.
func (s *stage) start(t *testing.T, line, sign string) (stop func() (code int, out string)) {
	t.Helper()
	c := s.command(context.WithoutCancel(t.Context()), "exec "+line)
	out := new(lockedBuffer)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); !strings.Contains(out.String(), sign); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > startTimeout {
			t.Errorf("%s does not print %q:\n%s", line, sign, out.String())
			break
		}
	}
	return func() (int, string) {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		killer := time.AfterFunc(startTimeout, func() { _ = c.Process.Kill() })
		defer killer.Stop()
		_ = c.Wait() // the exit code tells
		return c.ProcessState.ExitCode(), out.String()
	}
}
