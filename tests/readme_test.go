package tests

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/tests/program"
)

// update rewrites the sessions of the README with what the commands print now.
var update = flag.Bool("update", false, "rewrite the sessions of README.md with what the commands print")

// exchange is one command of a session and what it printed.
type exchange struct {
	command string
	output  string
}

// The address that the README names; the test's daemon has another.
const readmeAddress = "127.0.0.1:8417"

// Every ```console block of the README is one session, run from top to bottom
// against a daemon on an empty directory: the output must be what is printed, but
// for times, hashes and ids.
func TestReadmeSession(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, tool+" is not installed")
		}
	}
	const path = "../README.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	exchanges := parseSession(string(doc))
	if len(exchanges) < 10 {
		t.Fatalf("the README shows %d commands; a first session has more", len(exchanges))
	}
	work := t.TempDir()
	d := startDaemon(t, filepath.Join(work, "data"))
	outputs := runSession(t, work, d, exchanges)
	if *update {
		if err := os.WriteFile(path, []byte(rewrite(string(doc), outputs)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for i, x := range exchanges {
		if diff := cmp.Diff(stable(x.output), stable(outputs[i])); diff != "" {
			t.Errorf("$ %s\n(-README +printed; run go test ./tests -run Readme -update and read the change)\n%s", x.command, diff)
		}
	}
}

// parseSession finds the commands of all console blocks.
func parseSession(doc string) []exchange {
	var list []exchange
	inside := false
	for line := range strings.Lines(doc) {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.TrimSpace(line) == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			list = append(list, exchange{command: strings.TrimSpace(line[2:])})
		case len(list) > 0 && continues(list[len(list)-1].command):
			list[len(list)-1].command += "\n" + strings.TrimRight(line, "\n")
		default:
			list[len(list)-1].output += line
		}
	}
	return list
}

// continues reports whether the next line still belongs to the command.
func continues(command string) bool {
	return strings.HasSuffix(command, `\`) || strings.Contains(command, "<<'END'") && !strings.HasSuffix(command, "\nEND")
}

// separator stands between the outputs of two commands.
const separator = "\x00--\x00\n"

// runSession runs all commands in one shell and returns what each printed.
func runSession(t *testing.T, dir string, d *daemon, exchanges []exchange) []string {
	t.Helper()
	binary, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	// The program was built already, for all tests.
	if err := os.Symlink(binary, filepath.Join(dir, "abeyance")); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, x := range exchanges {
		command := strings.ReplaceAll(x.command, readmeAddress, strings.TrimPrefix(d.url, "http://"))
		fmt.Fprintf(&script, "%s\nprintf '\\0--\\0\\n'\n", command)
	}
	c := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	c.Dir = dir
	c.Env = append(program.Environ(), "NO_COLOR=1", "USER=wei", "LOGNAME=wei")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		t.Logf("the last command of the session failed: %v", err)
	}
	text := strings.ReplaceAll(out.String(), strings.TrimPrefix(d.url, "http://"), readmeAddress)
	outputs := strings.Split(strings.TrimSuffix(text, separator), separator)
	if len(outputs) != len(exchanges) {
		t.Fatalf("%d commands gave %d outputs:\n%s", len(exchanges), len(outputs), text)
	}
	return outputs
}

// rewrite puts the outputs into the console blocks.
func rewrite(doc string, outputs []string) string {
	var b strings.Builder
	inside, next, command := false, 0, ""
	flush := func() {
		if command != "" {
			b.WriteString(outputs[next])
			next++
		}
		command = ""
	}
	for line := range strings.Lines(doc) {
		switch {
		case strings.HasPrefix(line, "```"):
			flush()
			inside = strings.TrimSpace(line) == "```console"
			b.WriteString(line)
		case !inside:
			b.WriteString(line)
		case strings.HasPrefix(line, "$ "):
			flush()
			command = strings.TrimSpace(line)
			b.WriteString(line)
		case continues(command):
			command += "\n" + strings.TrimRight(line, "\n")
			b.WriteString(line)
		}
	}
	return b.String()
}

// changing matches what differs between two runs of the same session.
var changing = []struct {
	shape *regexp.Regexp
	name  string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z)`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`\b(\d+[dhms]){1,3}\b( ago)?`), "DURATION"},
	{regexp.MustCompile(`\b(just now|now)\b`), "DURATION"},
	{regexp.MustCompile(`("after_seconds":|"seconds":|Retry-After: |retry in )\s*[\d.]+`), "$1 N"},
	{regexp.MustCompile(`\d+(\.\d+)?(ms|µs|s)\b`), "DURATION"},
	{regexp.MustCompile(`[ \t]+`), " "}, // columns follow the width of what changes
}

func stable(s string) string {
	for _, c := range changing {
		s = c.shape.ReplaceAllString(s, c.name)
	}
	return s
}

// skip skips a test for a reason that a user's machine may have. In CI it is an
// error: what is missing there has to be installed.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("ABEYANCE_CI") != "" {
		t.Fatalf("cannot run in CI: %s", reason)
	}
	t.Skip(reason)
}
