package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completions returns the words of an answer of __complete, without their notes, and the
// directive at its end.
func completions(t *testing.T, out string) (words []string, directive string) {
	t.Helper()
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, ":"); ok {
			return words, rest
		}
		word, _, _ := strings.Cut(line, "\t")
		words = append(words, word)
	}
	t.Fatalf("no directive in %q", out)
	return nil, ""
}

// noFiles is the directive of words in the order in which they come, and of no file.
var noFiles = fmt.Sprint(int(cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder))

func cellsOf(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.ContentLength > 0 || strings.Contains(r.URL.RawQuery, "on_behalf_of") {
			t.Errorf("a completion does more than to ask: %s %s", r.Method, r.URL)
		}
		switch r.URL.Path {
		case "/v1/cells":
			fmt.Fprint(w, `{"items":[
				{"account":"work-1","target":"claude","status":"cooling","cooling":{"until":"2026-11-23T01:00:00Z"}},
				{"account":"work-1","target":"gemini-pro","status":"suspended","suspended":{"reason":"in\tvoice\ndispute"},"cooling":{"until":"2026-11-23T02:00:00Z"}},
				{"account":"work-1","target":"model:m","status":"held","held":{"reason":"banned"}},
				{"account":"work-1","target":"quiet","status":"available"}]}`)
		case "/v1/events":
			fmt.Fprint(w, `{"items":[{"seq":3,"at":"2026-11-22T23:00:00Z","actor":"operator:mira","data":{"provider":"antigravity","model":"claude-new"}},
				{"seq":2,"at":"2026-11-22T22:00:00Z","actor":"proxy:p","data":{"provider":"codex","model":"gpt-5"}}]}`)
		default:
			pool(t)(w, r)
		}
	}
}

func TestCompletionsOfWhatTheDaemonKnows(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"suspend |", "work-1 work-2"},
		{"status work-2|", "work-2"},
		{"why x|", ""},
		{"accounts set |", "work-1 work-2"},
		{"clear --account |", "work-1 work-2"},
		{"pick --exclude work-1,|", "work-1,work-1 work-1,work-2"},
		{"suspend work-1 |", "claude gemini-pro model:m quiet *"},
		{"suspend work-1 model:|", "model:m"},
		{"why work-1 |", "claude gemini-pro model:m quiet *"},
		{"wait work-1 c|", "claude"},
		{"lift work-1 |", "gemini-pro"},
		{"resume work-1 |", "gemini-pro"},
		{"clear work-1 |", "claude gemini-pro model:m"},
		{"recheck work-1 |", "claude gemini-pro"},
		{"clear --account work-1 --target |", "claude gemini-pro model:m"},
		{"events --target |", "claude gemini-pro *"},
		{"status --provider codex --target |", "*"},
		{"clear work-1 claude |", ""},
		{"pick --provider |", "antigravity codex"},
		{"pick --provider antigravity --model |", "claude-new gpt-oss opus"},
		{"report --model |", "claude-new gpt-5 gpt-oss opus"},
		{"watch --actor |", "operator:mira proxy:p"},
		{"token delete |", "proxy-1 guest"},
		{"token create |", ""},
		{"events --kind s|", "suspended settings_changed"},
		{"status --status c|", "cooling"},
		{"wait work-1 --for cooling,su|", "cooling,suspended"},
		{"clear --class quota|", "quota_exhausted"},
		{"events --order |", "desc asc"},
		{"episodes --by d|", "day"},
		{"status -o |", "table json jsonl yaml"},
		{"pick --strategy |", "round-robin weighted fill-first sticky"},
		{"report --operation co|", "count_tokens"},
		{"token create x --scope |", "route read operate admin"},
		{"serve --log-format |", "text json"},
		{"events --since |", ""},
		{"suspend --reason |", ""},
		{"version |", ""},
		{"help tok|", "token"},
		{"help token d|", "delete"},
		{"completion z|", "zsh"},
	} {
		args := strings.Split(c.args, " ")
		args[len(args)-1] = strings.TrimSuffix(args[len(args)-1], "|")
		code, out, errs := against(t, cellsOf(t), append([]string{"__complete"}, args...)...)
		words, _ := completions(t, out)
		if got := strings.Join(words, " "); code != exitOK || got != c.want {
			t.Errorf("%s %q, want %q; %s", c.args, got, c.want, errs)
		}
		if strings.HasPrefix(c.want, "work-1 ") && !strings.Contains(out, "work-1\tantigravity, usable\nwork-2\tcodex, disabled\n:"+noFiles+"\n") {
			t.Errorf("%s\n%s", c.args, out)
		}
	}
	_, out, _ := against(t, cellsOf(t), "__complete", "lift", "work-1", "")
	if want := "gemini-pro\tsuspended: in voice dispute\n:" + noFiles + "\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestCompletionsFollowTheFlagsBeforeThem, which name the daemon.
func TestCompletionsFollowTheFlagsBeforeThem(t *testing.T) {
	env, out, _ := facing(t, cellsOf(t))
	dir := t.TempDir()
	token := writePrivate(t, dir+"/token", "aby_x")
	file := writePrivate(t, dir+"/contexts.json", fmt.Sprintf(`{"version":1,"contexts":{"prod":{"url":%q,"token_file":%q},"there":{"data_dir":"/nowhere"}}}`, env.getenv(envURL), token))
	vars := map[string]string{envContextsFile: file, envDataDir: "/nonexistent"}
	env.getenv = func(name string) string { return vars[name] }
	for args, want := range map[string]string{
		"__complete status --context prod ":                "work-1 work-2",
		"__complete --context prod status ":                "work-1 work-2",
		"__complete status ":                               "",
		"__complete status --context there ":               "",
		"__complete status --context none ":                "",
		"__complete status --context prod --data-dir d ":   "",
		"__complete status --context ":                     "prod there",
		"__complete context use p":                         "prod",
		"__complete context remove ":                       "prod there",
		"__complete context use --contexts-file /nowhere ": "",
	} {
		out.Reset()
		code := env.run(t.Context(), strings.Split(args, " "))
		if words, _ := completions(t, out.String()); code != exitOK || strings.Join(words, " ") != want {
			t.Errorf("%s: exit %d, %q, want %q", args, code, words, want)
		}
	}
	vars[envContext] = "prod"
	out.Reset()
	env.run(t.Context(), []string{"__complete", "status", ""})
	if words, _ := completions(t, out.String()); !slices.Equal(words, []string{"work-1", "work-2"}) {
		t.Errorf("by the environment: %q", words)
	}
}

// TestCompletionsWaitForNobody: a daemon that does not answer, or answers for ever, does
// not hold up a shell, and what it said until then is used.
func TestCompletionsWaitForNobody(t *testing.T) {
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want int // words at least
	}{
		"a daemon that hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0},
		"a list without an end": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"items":[{"account":"a"}],"next_page_token":"more"}`)
		}, 1},
		"an error":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, 0},
		"not a daemon":      {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, 0},
		"another structure": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"items":7}`) }, 0},
	} {
		began := time.Now()
		code, out, errs := against(t, c.h, "__complete", "status", "")
		took := time.Since(began)
		words, directive := completions(t, out)
		if code != exitOK || len(words) < c.want || c.want == 0 && len(words) > 0 || directive != noFiles {
			t.Errorf("%s: exit %d: %d words, %s", name, code, len(words), directive)
		}
		if strings.Contains(errs, "abeyance:") || strings.Contains(errs, "rror") {
			t.Errorf("%s: stderr: %s", name, errs)
		}
		if took > 10*time.Second { // the bound is 450 ms; the machine may be busy
			t.Errorf("%s: took %s", name, took)
		}
	}
	if completionPatience+completionPatience/8 > 500*time.Millisecond {
		t.Errorf("a shell waits %s", completionPatience)
	}
}

// TestCompletionsAreSafeToPrint: what a proxy reported as an account stands on a line of
// its own, and does not steer a terminal.
func TestCompletionsAreSafeToPrint(t *testing.T) {
	_, out, _ := against(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"items":[{"account":"good","provider":"p\u001b[2J\nevil"},{"account":"a\u001b[31m"},{"account":"b\nc"},{"account":"d\u202e"},{"account":"e\tf"}]}`)
	}, "__complete", "status", "")
	if want := "good\tp [2J evil, frozen\n:" + noFiles + "\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// TestFilesAreLeftToTheShell.
func TestFilesAreLeftToTheShell(t *testing.T) {
	byShell, dirs := fmt.Sprint(int(cobra.ShellCompDirectiveDefault)), fmt.Sprint(int(cobra.ShellCompDirectiveFilterDirs))
	for args, want := range map[string]string{
		"import ": byShell, "import a b ": byShell, "restore ": byShell, "backup ": byShell, "config check ": byShell, "groups check ": byShell,
		"groups apply -f ": byShell, "replay --policy ": byShell, "serve --config ": byShell, "status --token-file ": byShell,
		"export --file ": byShell, "status --data-dir ": dirs, "status --contexts-file ": byShell,
	} {
		_, out, _ := runWith(t, nil, "", append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if words, directive := completions(t, out); len(words) > 0 || directive != want {
			t.Errorf("%s: %q, %s, want %s", args, words, directive, want)
		}
	}
}

// TestEveryFlagHasItsWords, or takes a text of which nothing is known.
func TestEveryFlagHasItsWords(t *testing.T) {
	free := strings.Fields("at since until from to older-than started-after started-before started-at timeout listen url data-dir reason header body " +
		"request-id lease session correlation-id credential-version head for allow-host trusted-proxy")
	root := newRootCommand(&environment{})
	seen := map[string]bool{}
	check := func(f *pflag.Flag) {
		if !strings.HasPrefix(f.Value.Type(), "string") || seen[f.Name] {
			return
		}
		seen[f.Name] = true
		words, file, none := wordsOfFlag(f.Name) != nil, isFileFlag(f.Name), slices.Contains(free, f.Name)
		if n := len(slices.DeleteFunc([]bool{words, file, none}, func(b bool) bool { return !b })); n != 1 {
			t.Errorf("--%s: words %t, a file %t, a text %t", f.Name, words, file, none)
		}
	}
	for cmd := range everyCommand(root) {
		cmd.Flags().VisitAll(check)
	}
	root.PersistentFlags().VisitAll(check)
}

// TestCompletionScriptsAreMadeForEveryShell.
func TestCompletionScriptsAreMadeForEveryShell(t *testing.T) {
	for shell, sign := range map[string]string{"bash": "complete -o default", "zsh": "#compdef abeyance", "fish": "complete -c abeyance", "powershell": "Register-ArgumentCompleter"} {
		if out := runOK(t, "completion", shell); !strings.Contains(out, sign) || !strings.Contains(out, "__complete") {
			t.Errorf("%s:\n%s", shell, out)
		}
	}
}
