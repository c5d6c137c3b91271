package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writePrivate writes a file that only its owner can read.
func writePrivate(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestWhichDaemonIsMeant: flags go before the environment, that before the current
// context, and what one names is not mixed with what another does.
func TestWhichDaemonIsMeant(t *testing.T) {
	const (
		file = `{"version": 1, "current": %q, "contexts": {
			"far": {"url": "http://far", "token_file": "/far.token"},
			"near": {"data_dir": "/near"},
			"other": {"data_dir": "/near", "token_file": "/near.token"}}}`
		far, near, other = "http://far /far.token", "/near", "/near /near.token"
	)
	for _, c := range []struct {
		current, args, vars string
		want                string // URL or directory, then the token file
		by                  string
	}{
		{"", "", "", "", ""},
		{"far", "", "", far, byCurrent},
		{"near", "", "", near, byCurrent},
		{"other", "", "", other, byCurrent},
		// The token of the environment is not for a context.
		{"far", "", "TOKEN_FILE=/env.token", far, byCurrent},
		{"near", "", "TOKEN_FILE=/env.token", near, byCurrent},
		{"far", "--token-file /flag.token", "", "http://far /flag.token", byCurrent},
		// The environment goes before the current context.
		{"far", "", "DATA_DIR=/env", "/env", byEnvironment},
		{"far", "", "DATA_DIR=/env TOKEN_FILE=/env.token", "/env /env.token", byEnvironment},
		{"far", "", "URL=http://env TOKEN_FILE=/env.token", "http://env /env.token", byEnvironment},
		{"far", "", "URL=http://env TOKEN_FILE=/env.token DATA_DIR=/env CONTEXT=near", "http://env /env.token", byEnvironment},
		{"far", "", "CONTEXT=near", near, byEnvironment},
		{"far", "", "CONTEXT=near DATA_DIR=/env TOKEN_FILE=/env.token", near, byEnvironment},
		// Flags go before both.
		{"far", "--context near", "URL=http://env TOKEN_FILE=/env.token", near, byFlag},
		{"far", "--context other", "CONTEXT=far", other, byFlag},
		{"far", "--context near --token-file /flag.token", "", "/near /flag.token", byFlag},
		{"far", "--data-dir /flag", "CONTEXT=near", "/flag", byFlag},
		{"far", "--data-dir /flag", "DATA_DIR=/env", "/flag", byFlag},
		{"far", "--data-dir /flag", "TOKEN_FILE=/env.token", "/flag /env.token", byFlag},
		{"far", "--data-dir /flag", "URL=http://env TOKEN_FILE=/env.token", "/flag", byFlag},
		{"far", "--url http://flag", "TOKEN_FILE=/env.token DATA_DIR=/env", "http://flag /env.token", byFlag},
		{"far", "--url http://flag --token-file /flag.token", "URL=http://env TOKEN_FILE=/env.token", "http://flag /flag.token", byFlag},
		{"far", "--url http://flag --data-dir /flag --token-file /flag.token", "", "http://flag /flag.token", byFlag},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.current, c.args, c.vars), func(t *testing.T) {
			vars := map[string]string{envContextsFile: writePrivate(t, filepath.Join(t.TempDir(), "c.json"), fmt.Sprintf(file, c.current))}
			for v := range strings.FieldsSeq(c.vars) {
				name, value, _ := strings.Cut(v, "=")
				vars["ABEYANCE_"+name] = value
			}
			code, out, errs := runWith(t, vars, "", append(strings.Fields("context show -o json "), strings.Fields(c.args)...)...)
			if c.by == "" {
				if code != exitUsage || !strings.Contains(errs, "commands ask no daemon") {
					t.Errorf("exit %d: %s%s", code, out, errs)
				}
				return
			}
			var got placeAnswer
			decode(t, out, &got)
			if text := strings.TrimSpace(got.URL + got.DataDir + " " + got.TokenFile); text != c.want || got.By != c.by {
				t.Errorf("%q by %s, want %q by %s; %s", text, got.By, c.want, c.by, errs)
			}
		})
	}
}

func TestContextsAreCheckedWhenTheyAreRead(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"no JSON":                         {`{`, "is damaged"},
		"something behind":                {`{"version":1} x`, "something stands behind its end"},
		"an unknown key":                  {`{"version":1,"contexts":{"a":{"url":"http://x","token":"aby_secret"}}}`, `unknown field "token"`},
		"a newer format":                  {`{"version":2}`, "has format 2, and this program knows 1"},
		"no format":                       {`{}`, "has format 0"},
		"a strange name":                  {`{"version":1,"contexts":{"a b":{"data_dir":"/d"}}}`, `"a b" is no name of a context`},
		"no daemon":                       {`{"version":1,"contexts":{"a":{}}}`, "context a: it names no daemon"},
		"two daemons":                     {`{"version":1,"contexts":{"a":{"data_dir":"/d","url":"http://x"}}}`, "context a: url and data_dir both say which daemon"},
		"no token":                        {`{"version":1,"contexts":{"a":{"url":"http://x"}}}`, "context a: url needs token_file beside it"},
		"a wrong URL":                     {`{"version":1,"contexts":{"a":{"url":"x","token_file":"/t"}}}`, `"x" is no address of a daemon`},
		"a current one that is not there": {`{"version":1,"current":"b","contexts":{"a":{"data_dir":"/d"}}}`, `the current context, "b", is none of its contexts`},
	} {
		path := writePrivate(t, filepath.Join(t.TempDir(), "contexts.json"), c.doc)
		for _, command := range []string{"status", "context list", "context show", "context use a"} {
			code, _, errs := runWith(t, map[string]string{envContextsFile: path}, "", strings.Fields(command)...)
			if code != exitFailure && code != exitUsage || !strings.Contains(errs, path) || !strings.Contains(errs, c.want) {
				t.Errorf("%s, %s: exit %d: %s", name, command, code, errs)
			}
			if strings.Contains(errs, "aby_secret") {
				t.Errorf("%s: what is in the file is told: %s", name, errs)
			}
		}
		// Who does not ask for a context is not held up by the file.
		for _, command := range []string{"version", "status --data-dir /nonexistent", "serve"} {
			if _, _, errs := runWith(t, map[string]string{envContextsFile: path}, "", strings.Fields(command)...); strings.Contains(errs, path) {
				t.Errorf("%s, %s: %s", name, command, errs)
			}
		}
	}
}

// TestContextsAreWrittenOnlyWhereSomebodySaid. They are read where a user's configuration
// is, too.
func TestContextsAreWrittenOnlyWhereSomebodySaid(t *testing.T) {
	home := t.TempDir()
	vars := map[string]string{"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, "config")}
	token := writePrivate(t, filepath.Join(t.TempDir(), "token"), "aby_x")
	path := filepath.Join(home, "config", "abeyance", "contexts.json")
	set := []string{"context", "set", "a", "--url", "http://x", "--token-file", token}
	code, _, errs := runWith(t, vars, "", set...)
	if code != exitUsage || !strings.Contains(errs, "--contexts-file "+path) {
		t.Errorf("exit %d: %s", code, errs)
	}
	if list, err := os.ReadDir(home); err != nil || len(list) > 0 {
		t.Errorf("%v was made: %v", list, err)
	}

	if code, _, errs := runWith(t, vars, "", append(set, "--contexts-file", path)...); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("{\n  \"version\": 1,\n  \"contexts\": {\n    \"a\": {\n      \"url\": \"http://x\",\n      \"token_file\": %q\n    }\n  }\n}\n", token)
	if diff := cmp.Diff(want, string(doc)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	if code, out, _ := runWith(t, vars, "", "context", "list", "-o", "jsonl"); code != exitOK || !strings.Contains(out, `"name":"a"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, change := range []string{"use a", "remove a", "set b --data-dir /d"} {
		if code, _, errs := runWith(t, vars, "", strings.Fields("context "+change)...); code != exitUsage || !strings.Contains(errs, "which file?") {
			t.Errorf("%s: exit %d: %s", change, code, errs)
		}
	}
}

func TestContextsWithoutAHome(t *testing.T) {
	for _, vars := range []map[string]string{nil, {"HOME": "/dev/null"}, {"XDG_CONFIG_HOME": "/dev/null"}, {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "relative"}} {
		if code, out, errs := runWith(t, vars, "", "context", "list"); code != exitOK || out != "" || !strings.Contains(errs, "no contexts") {
			t.Errorf("%v: exit %d: %s%s", vars, code, out, errs)
		}
		code, _, errs := runWith(t, vars, "", "status", "--context", "prod")
		if code != exitUsage && code != exitNotFound || !strings.Contains(errs, `there is no context "prod"`) && !strings.Contains(errs, "no file of contexts") {
			t.Errorf("%v: exit %d: %s", vars, code, errs)
		}
	}
}

func TestContextCommands(t *testing.T) {
	dir := t.TempDir()
	token := writePrivate(t, filepath.Join(dir, "token"), "aby_x")
	vars := map[string]string{envContextsFile: filepath.Join(dir, "new", "contexts.json")}
	for _, c := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"context", exitOK, "no contexts: make one"},
		{"context use prod", exitNotFound, `there is no context "prod" in`},
		{"context set prod --url http://x", exitUsage, "url needs token_file"},
		{"context set prod --url nonsense --token-file " + token, exitUsage, "no address of a daemon"},
		{"context set prod --url http://x --data-dir d --token-file " + token, exitUsage, "both say which daemon"},
		{"context set prod", exitUsage, "context set needs --url and --token-file, or --data-dir"},
		{"context set -- -x --data-dir", exitUsage, "too much"},
		{"context set a/b --data-dir d", exitUsage, `"a/b" is no name of a context`},
		{"context set prod --url http://x --token-file " + dir + "/none", exitAuth, "no such file"},
		{"context set prod --url http://x --token-file " + token, exitOK, "context prod made: http://x"},
		{"context set prod --url http://y --token-file " + token + " --use", exitOK, "context prod replaced: http://y\ncommands ask prod now\n"},
		{"context set here --data-dir " + dir, exitOK, "context here made: " + dir},
		{"context use pord", exitNotFound, "did you mean prod?"},
		{"context show", exitOK, "context prod: http://y, by 'abeyance context use'"},
		{"context show here", exitOK, dir},
		{"context show there", exitNotFound, "did you mean here?"},
		{"context list", exitOK, "prod  *        http://y"},
		{"context use here -q", exitOK, ""},
		{"context show -o jsonl", exitOK, `{"context":"here","data_dir":"` + dir + `","by":"'abeyance context use'"}`},
		{"context rm here", exitOK, "no context is the current one now"},
		{"context rm here", exitNotFound, "there is no context"},
		{"status", exitUsage, "which daemon?"},
		{"status --context prd", exitNotFound, "did you mean prod?"},
		{"status --context prod --data-dir d", exitUsage, "give one of them"},
		{"status --context prod --url http://x", exitUsage, "give one of them"},
		{"context prod", exitUsage, "there is no command"},
	} {
		code, out, errs := runWith(t, vars, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
	vars[envDataDir] = "/elsewhere"
	if _, _, errs := runWith(t, vars, "", "context", "use", "prod"); errs != "commands ask prod now\nbut ABEYANCE_DATA_DIR is set, which goes first here\n" {
		t.Errorf("stderr: %s", errs)
	}
}

// TestContextsShowTheirTokensToNobody: a token that others can read is not used, and what
// others could have changed is not believed.
func TestContextsShowTheirTokensToNobody(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes there")
	}
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer srv.Close()
	dir := t.TempDir()
	token := writePrivate(t, filepath.Join(dir, "token"), "aby_x")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(token, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "contexts.json")
	vars := map[string]string{envContextsFile: file}
	set := func(name string) []string {
		return []string{"context", "set", "a", "--use", "--url", srv.URL, "--token-file", name}
	}
	if code, _, errs := runWith(t, vars, "", set(token)...); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if code, _, errs := runWith(t, vars, "", set(link)...); code != exitAuth || !strings.Contains(errs, link+" is a link") {
		t.Errorf("a link: exit %d: %s", code, errs)
	}
	for _, c := range []struct {
		name string
		want int
	}{{token, exitAuth}, {file, exitFailure}} {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602} {
			if err := os.Chmod(c.name, mode); err != nil {
				t.Fatal(err)
			}
			code, _, errs := runWith(t, vars, "", "status")
			if code != c.want || !strings.Contains(errs, c.name) || !strings.Contains(errs, "run chmod 600 on it") {
				t.Errorf("%s with mode %o: exit %d: %s", c.name, mode, code, errs)
			}
		}
		if err := os.Chmod(c.name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if asked > 0 {
		t.Errorf("the daemon was asked %d times", asked)
	}
	runWith(t, vars, "", "status")
	if asked == 0 {
		t.Error("with the right modes the daemon is not asked either: the test shows nothing")
	}
}
