package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every flag of every command has a variable, and no two share one.
func TestEveryFlagHasAVariableOfItsOwn(t *testing.T) {
	root := newRootCommand(&environment{})
	// of :: variable → flag
	of := map[string]string{}
	for cmd := range tree(root) {
		for _, f := range flagsOf(cmd) {
			name, flag := variableOf(cmd, f), "--"+f.Name
			if _, setting := f.Annotations[settingFlag]; !setting && root.PersistentFlags().Lookup(f.Name) != f {
				flag = cmd.CommandPath() + " " + flag
			}
			if other, known := of[name]; known && other != flag {
				t.Errorf("%s stands for %s and for %s", name, other, flag)
			}
			of[name] = flag
			if isServiceVariable(name) {
				t.Errorf("%s of %s is one that Kubernetes sets", name, flag)
			}
		}
	}
	for name, flag := range map[string]string{
		"ABEYANCE_LISTEN": "--listen", "ABEYANCE_CONFIG": "--config", "ABEYANCE_DATA_DIR": "--data-dir", "ABEYANCE_LOG_LEVEL": "--log-level",
		"ABEYANCE_OUTPUT": "--output", "ABEYANCE_QUIET": "--quiet", "ABEYANCE_EVENTS_LIMIT": "abeyance events --limit",
		"ABEYANCE_ACCOUNTS_PUT_PROVIDER": "abeyance accounts put --provider",
	} {
		if of[name] != flag {
			t.Errorf("%s stands for %q, want %s", name, of[name], flag)
		}
	}
	if len(of) < 60 {
		t.Errorf("only %d variables", len(of))
	}
}

// Flags win over the environment, which wins over the file, which wins over defaults.
func TestVariablesStandBetweenFlagsAndTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte("listen: 127.0.0.1:1\nlog: {format: json, level: debug, access: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{
		"ABEYANCE_CONFIG": name, "ABEYANCE_LISTEN": "127.0.0.1:2", "ABEYANCE_LOG_FORMAT": "text", "ABEYANCE_OBSERVE_ONLY": "1",
		"ABEYANCE_LOG_ACCESS": "", "ABEYANCE_OUTPUT": "json",
	}
	for _, line := range []string{"config show --effective --log-format json", "config --output json"} {
		code, out, errs := runWith(t, vars, "", strings.Fields(line)...)
		if code != exitOK {
			t.Fatalf("%s: exit %d: %s", line, code, errs)
		}
		var rows []effectiveRow
		decode(t, out, &rows)
		got := map[string]string{}
		for _, r := range rows {
			got[r.Key] = r.Value + " from " + r.Origin
		}
		want := map[string]string{
			"listen":       "127.0.0.1:2 from environment ABEYANCE_LISTEN",
			"observe_only": "true from environment ABEYANCE_OBSERVE_ONLY",
			"log.access":   "true from " + name + ":2",
			"log.level":    "debug from " + name + ":2",
			"log.format":   "text from environment ABEYANCE_LOG_FORMAT",
		}
		if strings.Contains(line, "--log-format") {
			want["log.format"] = "json from flag --log-format"
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %s, want %s", line, key, got[key], value)
			}
		}
	}
}

// A bad value names the variable that has it.
func TestBadVariablesAreNamed(t *testing.T) {
	for _, c := range []struct{ variable, value, args, want string }{
		{"ABEYANCE_OBSERVE_ONLY", "maybe", "config show", `ABEYANCE_OBSERVE_ONLY: write true or false, not "maybe"`},
		{"ABEYANCE_LISTEN", "nowhere", "config show", "--listen is set by ABEYANCE_LISTEN"},
		{"ABEYANCE_OUTPUT", "xml", "version", "--output is set by ABEYANCE_OUTPUT"},
		{"ABEYANCE_LOG_FORMAT", "xml", "serve --data-dir d", "--log-format is set by ABEYANCE_LOG_FORMAT"},
		{"ABEYANCE_LOG_LEVEL", "loud", "serve --data-dir d", "--log-level is set by ABEYANCE_LOG_LEVEL"},
		{"ABEYANCE_EVENTS_SINCE", "yore", "events --data-dir d", "--since is set by ABEYANCE_EVENTS_SINCE"},
		{"ABEYANCE_EVENTS_LIMIT", "x", "events --data-dir d", `ABEYANCE_EVENTS_LIMIT: write a whole number, not "x"`},
		{"ABEYANCE_SUSPEND_FOR", "2d", "suspend a1 -r x --forever --data-dir d", "--for is set by ABEYANCE_SUSPEND_FOR"},
	} {
		code, _, errs := runWith(t, map[string]string{c.variable: c.value}, "", strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%s=%s %s: exit %d, stderr, which should hold %q:\n%s", c.variable, c.value, c.args, code, c.want, errs)
		}
	}
}

// A variable for one command changes no other.
func TestVariablesOfOneCommandAreItsOwn(t *testing.T) {
	vars := map[string]string{"ABEYANCE_CLEAR_ACCOUNT": "a1", "ABEYANCE_ACCOUNT": "a1", "ABEYANCE_YES": "true"}
	for args, want := range map[string]int{"lift": exitUsage, "recheck": exitUsage, "clear": exitUsage} {
		code, _, errs := runWith(t, vars, "", args)
		asked := strings.Contains(errs, "which cells?")
		if code != want || asked == (args == "clear") { // clear has its cells, and lacks a daemon
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
}

func TestUnknownVariablesAreWarnedOf(t *testing.T) {
	for entry, want := range map[string]string{
		"ABEYANCE_LISTN=x":                "the environment variable ABEYANCE_LISTN is unknown; did you mean ABEYANCE_LISTEN?",
		"ABEYANCE_DATADIR=x":              "did you mean ABEYANCE_DATA_DIR?",
		"ABEYANCE_TOKENS_FILE=x":          "did you mean ABEYANCE_TOKEN_FILE?",
		"ABEYANCE_SOMETHING_ELSE=x":       "ABEYANCE_SOMETHING_ELSE is unknown, and sets nothing",
		"ABEYANCE_LISTEN=127.0.0.1:0":     "",
		"ABEYANCE_EVENTS_LIMIT=3":         "", // of another command
		"ABEYANCE_PORT=tcp://10.0.0.1:80": "",
		"ABEYANCE_PORT_80_TCP_ADDR=x":     "",
		"ABEYANCE_SERVICE_HOST=10.0.0.1":  "",
		"OTHER_LISTN=x":                   "",
	} {
		for _, quiet := range []bool{false, true} {
			var out, errs bytes.Buffer
			env := &environment{
				standard: standard{strings.NewReader(""), &out, &errs}, getenv: func(string) string { return "" }, now: time.Now,
				environ: func() []string { return []string{"HOME=/", entry} },
			}
			args := []string{"config"} // settles twice, and warns once
			if quiet {
				args = append(args, "-q")
			}
			if code := env.run(t.Context(), args); code != exitOK {
				t.Fatalf("%s: exit %d: %s", entry, code, &errs)
			}
			warned := strings.Count(errs.String(), "warning: ")
			if quiet || want == "" {
				if warned != 0 {
					t.Errorf("%s, quiet %t: %s", entry, quiet, &errs)
				}
			} else if warned != 1 || !strings.Contains(errs.String(), want) {
				t.Errorf("%s: %s", entry, &errs)
			}
		}
	}
}

// The help of shared flags and of settings names their variables.
func TestHelpNamesVariables(t *testing.T) {
	out := runOK(t, "serve", "--help")
	for _, want := range []string{"ABEYANCE_LISTEN", "ABEYANCE_CONFIG", "ABEYANCE_DATA_DIR", "ABEYANCE_INSECURE_PLAIN_HTTP"} {
		if strings.Count(out, "("+want+")") != 1 {
			t.Errorf("the help of serve does not name %s once:\n%s", want, out)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "bc", 1},
		{"kitten", "sitting", 3},
	} {
		if got := []int{distance(c.a, c.b), distance(c.b, c.a)}; !slices.Equal(got, []int{c.want, c.want}) {
			t.Errorf("from %q to %q and back: %v, want %d", c.a, c.b, got, c.want)
		}
	}
}
