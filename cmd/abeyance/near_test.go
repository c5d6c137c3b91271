package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestNearestWords(t *testing.T) {
	known := []string{"suspend", "status", "serve", "why", "watch", "wait", "a1", "a2", "work-1", "work-2", "work-3", "work-4", "mira@example.com"}
	for written, want := range map[string]string{
		"statsu":           "status",
		"susepnd":          "suspend",
		"suspendd":         "suspend",
		"wacth":            "watch",
		"STATUS":           "status",
		"sus":              "suspend", // the beginning of it
		"wok-2":            "work-2",
		"work-":            "work-1 work-2 work-3",
		"work":             "work-1 work-2 work-3",
		"mira@exmaple.com": "mira@example.com",
		"A1":               "a1", // no letter is another
		"a3":               "",   // half a word is not a slip
		"wh":               "",
		"nonsense":         "",
		"status":           "", // it is what was meant
		"":                 "",
	} {
		if got := strings.Join(nearest(written, known), " "); got != want {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}

func TestSlipsAreCounted(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"abc", "ab", 1},
		{"abc", "xabc", 1},
		{"abc", "adc", 1},
		{"kitten", "sitting", 3},
		{"ca", "abc", 3}, // a swapped pair is not taken apart again
		{"äöü", "äü", 1},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			if got := slips([]rune(pair[0]), []rune(pair[1])); got != c.want {
				t.Errorf("%q to %q: %d, want %d", pair[0], pair[1], got, c.want)
			}
		}
	}
}

func TestMistypedWordsOfTheProgramAreGuessed(t *testing.T) {
	for args, want := range map[string]string{
		"suspned a1":                                       "did you mean suspend?",
		"expalin a1":                                       "did you mean explain?", // an alias
		"token lsit":                                       "did you mean list?",
		"events --knid suspended":                          "unknown flag: --knid; did you mean --kind?",
		"status -cells":                                    "did you mean --cells?",
		"status --sta cooling":                             "did you mean --status?",
		"events --kind suspnded":                           "did you mean suspended?",
		"watch --kind limit":                               "did you mean limit_observed?",
		"export --kind lifte":                              "did you mean lifted?",
		"events --order decs":                              "did you mean desc?",
		"episodes --by acount":                             "did you mean account?",
		"status --status coolign":                          "did you mean cooling?",
		"wait a1 --for avialable":                          "did you mean available?",
		"clear --class quota-exhausted":                    "did you mean quota_exhausted?",
		"status -o jsn":                                    "did you mean json?",
		"token create x --scope raed":                      "did you mean read?",
		"completion bahs":                                  "did you mean bash?",
		"serve --data-dir d --log-format jsno":             "did you mean json?",
		"pick --provider p --model m --strategy fillfirst": "did you mean fill-first?",
		"report --account a --provider p --status 429 --operation count_token": "did you mean count_tokens?",
	} {
		if code, _, errs := runWith(t, nil, "", strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
}

// pool answers as a daemon does that knows a few accounts, groups and tokens, and refuses
// whatever it does not know. It fails the test if it is asked to change something.
func pool(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		problem := func(code, detail string) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"status":404,"code":%q,"detail":%q}`, code, detail)
		}
		q := r.URL.Query()
		switch account, target := q.Get("account"), q.Get("target"); {
		case account != "" && !slices.Contains([]string{"work-1", "work-2"}, account):
			problem("unknown_account", "no account is known by that id")
		case target != "" && !slices.Contains([]string{"claude", "gemini-pro"}, target):
			problem("unknown_target", "no group of that name is defined")
		case r.URL.Path == "/v1/accounts":
			fmt.Fprint(w, `{"items":[{"account":"work-1","provider":"antigravity","available":true},{"account":"work-2","provider":"codex","disabled":true}]}`)
		case r.URL.Path == "/v1/groups":
			fmt.Fprint(w, `{"groups":[{"id":"claude","label":"Claude","enabled":true,"providers":["antigravity"],"patterns":["claude-*","gpt-oss"]},
				{"id":"gemini-pro","enabled":true,"providers":["antigravity"]},{"id":"off","enabled":false}],"aliases":{"antigravity":{"opus":"claude-opus"}}}`)
		case r.URL.Path == "/v1/tokens" && r.Method == http.MethodGet:
			fmt.Fprint(w, `{"items":[{"name":"proxy-1","scopes":["route"]},{"name":"guest","scopes":["read"]}]}`)
		case strings.HasPrefix(r.URL.Path, "/v1/tokens/"):
			problem("unknown_token", "no token has that name")
		case r.URL.Path == "/v1/pick":
			problem("no_accounts", "no account of that provider is known")
		case r.URL.Path == "/v1/suspend", r.URL.Path == "/v1/lift":
			problem("unknown_account", "no account is known by that id")
		default:
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
	}
}

func TestUnknownThingsOfTheDaemonAreGuessed(t *testing.T) {
	for args, want := range map[string]string{
		"status wrok-1":                        "abeyance: no account is known by that id; did you mean work-1 or work-2?\n",
		"why wrk-2 claude":                     "did you mean work-2?",
		"why work-1 cluade":                    "abeyance: no group of that name is defined; did you mean claude?\n",
		"events --target gemini-por":           "did you mean gemini-pro?",
		"episodes --target gemini":             "did you mean gemini-pro?",
		"watch Work-1":                         "did you mean work-1 or work-2?",
		"suspend work1 --forever -r x -y":      "did you mean work-1?",
		"lift --account work3 -y":              "",
		"pick --provider antigravty --model m": "did you mean antigravity?",
		"token delete geust":                   "did you mean guest?",
		"status nobody":                        "",
	} {
		code, _, errs := against(t, pool(t), strings.Fields(args)...)
		if code != exitNotFound || !strings.Contains(errs, want) || (want == "") == strings.Contains(errs, "did you mean") {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
}

// TestAGuessIsNotWorthAnError: if the list cannot be had, the message is as it was.
func TestAGuessIsNotWorthAnError(t *testing.T) {
	code, _, errs := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/accounts" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"status":403,"code":"forbidden_scope","detail":"not yours"}`)
			return
		}
		pool(t)(w, r)
	}, "status", "wrok-1")
	if code != exitNotFound || errs != "abeyance: no account is known by that id\n" {
		t.Errorf("exit %d: %s", code, errs)
	}
}
