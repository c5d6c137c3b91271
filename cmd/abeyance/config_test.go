package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

const examplePath = "../../abeyance.example.yaml"

// effectiveOf runs config show --effective as the command does, without origins.
func effectiveOf(t *testing.T, args ...string) []effectiveRow {
	t.Helper()
	var rows []effectiveRow
	out := runOK(t, append([]string{"config", "show", "--effective", "-o", "json"}, args...)...)
	decode(t, out, &rows)
	return rows
}

func TestExampleFileHoldsOnlyDefaults(t *testing.T) {
	values := func(rows []effectiveRow) map[string]string {
		m := map[string]string{}
		for _, r := range rows {
			m[r.Key] = r.Value
		}
		return m
	}
	// What the example owns, and has no value of its own for.
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	write(t, empty, "bootstrap: default\npolicy: {}\n")
	if diff := cmp.Diff(values(effectiveOf(t, "--config", empty)), values(effectiveOf(t, "--config", examplePath))); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
	// The tables above are ours; the definitions themselves must be equal too.
	p, err := loadConfig(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	was, err := defined[*events.PolicyDefined](&projection.DefinePolicy{})
	if err != nil {
		t.Fatal(err)
	}
	is, err := defined[*events.PolicyDefined](&projection.DefinePolicy{Config: *p.file.Policy})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was.Policy, is.Policy); diff != "" {
		t.Errorf("policy (-default +example):\n%s", diff)
	}
	groups, err := defined[*events.GroupsDefined](&projection.DefineGroups{Config: *p.file.groups()})
	if err != nil {
		t.Fatal(err)
	}
	none, err := defined[*events.GroupsDefined](&projection.DefineGroups{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(none.Groups, groups.Groups); diff != "" {
		t.Errorf("groups (-default +example):\n%s", diff)
	}
}

// Every value that a file can state must be in the example, with its line as origin.
func TestExampleFileNamesEveryKey(t *testing.T) {
	for _, r := range effectiveOf(t, "--config", examplePath) {
		if r.Origin == originDefault && !strings.HasPrefix(r.Key, "groups.") {
			t.Errorf("%s is not in %s", r.Key, examplePath)
		}
	}
}

// The commented examples must be right too: uncommented they pass the check.
func TestExampleFileCommentsAreRight(t *testing.T) {
	doc, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseConfig("example", []byte(uncommented(string(doc))))
	if err != nil {
		t.Fatal(err)
	}
	f := &p.file
	for what, n := range map[string]int{
		"accounts": len(f.accounts()), "strategies.providers": len(f.Strategies.Providers), "groups": len(*orEmpty(f.Groups)),
		"aliases": len(f.Aliases), "policy.providers": len(f.Policy.Providers), "webhooks": len(f.Webhooks),
	} {
		if n == 0 {
			t.Errorf("the commented %s were not read", what)
		}
	}
}

func orEmpty(g *[]projection.GroupConfig) *[]projection.GroupConfig {
	if g == nil {
		return &[]projection.GroupConfig{}
	}
	return g
}

func TestConfigMistakesHaveLines(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"unknown key", "listen: x\nlisen: y\n", `f:2: unknown key "lisen"`},
		{"unknown key below", "log:\n  fromat: json\n", `f:2: unknown key "fromat"`},
		{"unknown key of a rule", "policy:\n  capacity:\n    bond: 5m\n", `f:3: unknown key "bond"`},
		{"wrong type", "listen:\n  - a\n", `f:2: listen: write one text, not a list`},
		{"no truth value", "policy: {}\nobserve_only: maybe\n", "f:2: observe_only: write true or false, not `maybe`"},
		{"no number", "accounts:\n  - id: a\n    weight: heavy\n", "f:3: accounts.0.weight: write a whole number, not `heavy`"},
		{"no keys", "log: [json]\n", "f:1: log: write keys with values, not a list"},
		{"no address", "observe_only: true\nlisten: 5\n", `f:2: listen: "5" is no address to listen on: write host:port`},
		{"no port", "listen: 127.0.0.1:99999\n", `f:1: listen: "127.0.0.1:99999" has no port within 0 and 65535`},
		{"account without id", "accounts:\n  - provider: codex\n", "f:2: accounts.0: id is missing"},
		{"duplicate", "listen: a\nlisten: b\n", `f:2: mapping key "listen" already defined at line 1`},
		{"bad duration", "policy:\n  auth:\n    within: soon\n", `f:3: policy.auth.within: "soon" is no duration`},
		{"not YAML", "a: [\n", "f:"},
		{"two documents", "listen: a\n---\nlisten: b\n", "f:2: a second document begins here"},
		{"host", "listen: :0\nallowed_hosts: [ok, '*.example.org']\n", `f:2: allowed_hosts: "*.example.org" is no host`},
		{"hosts that are no list", "allowed_hosts: x\n", "f:1: allowed_hosts: write a list, not `x`"},
		{"proxy", "trusted_proxies:\n  - 10.0.0.1/8\n", `f:1: trusted_proxies: "10.0.0.1/8" is no network: its address has more bits than its length says; did you mean 10.0.0.0/8?`},
		{"proxies that are everybody", "trusted_proxies: [0.0.0.0/0]\n", `f:1: trusted_proxies: "0.0.0.0/0" is everybody`},
		{"a proxy's name", "trusted_proxies: [proxy]\n", `f:1: trusted_proxies: "proxy" is no network`},
		{"connections", "max_connections_per_peer: -1\n", "f:1: max_connections_per_peer: -1 is not within 0 and 1000000"},
		{"changes", "max_changes_per_second: 10000000\n", "f:1: max_changes_per_second: 10000000 is not within"},
		{"relative socket", "listen: unix:run/socket\n", `f:1: listen: "unix:run/socket" is no address to listen on: the path of a unix socket must be absolute`},
		{"log format", "log:\n  access: true\n  format: xml\n", `f:3: log.format: "xml" is neither text nor json`},
		{"half of TLS", "listen: :0\ntls:\n  cert: c.pem\n", "f:2: tls: cert and key belong together"},
		{"account without provider", "accounts:\n  - {id: a, provider: codex}\n  - id: b\n", "f:3: accounts.1: the provider is empty"},
		{"account twice", "accounts:\n  - {id: a, provider: codex}\n  - {id: a, provider: codex}\n", `f:3: accounts.1: the account "a" is given twice`},
		{"account weight", "accounts:\n  - id: a\n    provider: codex\n    weight: 99\n", "f:2: accounts.0: weight 99 is not within 1 and 16"},
		{"strategy", "strategies:\n  default: random\n", `f:2: strategies.default: "random" is none of round-robin, weighted, fill-first, sticky`},
		{"no strategy", "strategies:\n  default: ''\n", `f:2: strategies.default: "" is none of round-robin`},
		{"strategy of a provider", "strategies:\n  providers:\n    nobody: weighted\n    codex: sticki\n", `f:4: strategies.providers.codex: "sticki" is none of`},
		{"provider twice", "strategies:\n  providers:\n    gemini: weighted\n    gemini-api: sticky\n", `f:4: strategies.providers.gemini-api: it is the same provider as "gemini"`},
		{"bootstrap", "bootstrap: all\n", `f:1: bootstrap: "all" is not one of`},
		{"second group", "groups:\n  - id: claude\n  - id: mine\n    providers: [codex]\n", "f:3: groups.1: patterns is empty"},
		{"group twice", "groups:\n  - id: claude\n  - id: claude_45\n", "f:3: groups.1: the id \"claude\" is given twice"},
		{"alias", "aliases:\n  codex: {a: b}\n  claude: {a: ''}\n", "f:3: aliases.claude.a: the model is empty"},
		{"policy ladder", "policy:\n  payment:\n    ladder: [2h, 1h]\n", "f:3: policy.payment.ladder: is not [first step, cap]"},
		{"policy poison", "policy:\n  capacity: none\n  poison: {accounts: 1}\n", "f:3: policy.poison: accounts 1 is neither 0"},
		{"policy provider", "policy:\n  providers:\n    codex:\n      auth: {after: 200}\n", "f:4: policy.providers.codex.auth: after 200 is not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig("f", []byte(c.doc))
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %s\nwant %s...", err, c.want)
			}
		})
	}
}

func TestConfigNamesEveryMistakeAtOnce(t *testing.T) {
	_, err := parseConfig("f", []byte("log: {format: xml}\naccounts:\n  - id: a\nbootstrap: all\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three lines, got:\n%v", err)
	}
}

// TestPathsStartFromTheFolderOfTheFile, wherever the daemon is started, and however the
// file is named.
func TestPathsStartFromTheFolderOfTheFile(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "etc")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "whole.secret")
	write(t, filepath.Join(folder, "a.yaml"), fmt.Sprintf("data_dir: data\ntls: {cert: tls/c.pem, key: ../k.pem}\nwebhooks:\n"+
		"  - {name: a, url: 'https://h', secret_file: a.secret, on: [held]}\n  - {name: b, url: 'https://h', secret_file: %q, on: [held]}\n", whole))
	write(t, filepath.Join(folder, "empty.yaml"), "data_dir: ''\ntls: {cert: '', key: ''}\n")
	for at, name := range map[string]string{dir: filepath.Join("etc", "a.yaml"), folder: "a.yaml", os.TempDir(): filepath.Join(folder, "a.yaml")} {
		t.Chdir(at)
		p, err := loadConfig(name)
		if err != nil {
			t.Fatal(err)
		}
		f := &p.file
		got := []string{*f.DataDir, *f.TLS.Cert, *f.TLS.Key, f.Webhooks[0].SecretFile, f.Webhooks[1].SecretFile}
		want := []string{
			filepath.Join(folder, "data"), filepath.Join(folder, "tls", "c.pem"), filepath.Join(dir, "k.pem"),
			filepath.Join(folder, "a.secret"), whole,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s from %s (-want +got):\n%s", name, at, diff)
		}
		if _, err := p.hooks(); err == nil || !strings.Contains(err.Error(), "a.yaml:4: webhooks.0.secret_file") || !strings.Contains(err.Error(), want[3]) {
			t.Errorf("a secret that is not there: %v", err)
		}
		if s := effectiveOf(t, "--config", name, "--tls-cert", "c.pem"); !slices.ContainsFunc(s, func(r effectiveRow) bool { return r.Key == "tls.cert" && r.Value == "c.pem" }) {
			t.Error("a flag's path is not as it was given")
		}
	}
	p, err := loadConfig(filepath.Join(folder, "empty.yaml"))
	if err != nil || *p.file.DataDir != "" || *p.file.TLS.Cert != "" {
		t.Errorf("paths that are not set: %+v, %v", p.file, err)
	}
}

// TestCheckRefusesWhatServeDoes: a file that would send tokens over the network in clear,
// unless the flags that it is served with make it right.
func TestCheckRefusesWhatServeDoes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	write(t, name, "# first\nlisten: 0.0.0.0:1\ndata_dir: d\n")
	for _, c := range []struct {
		flags string
		vars  map[string]string
		right bool
	}{
		{"", nil, false},
		{"--insecure-plain-http", nil, true},
		{"--tls-cert c.pem --tls-key k.pem", nil, true},
		{"--listen 127.0.0.1:1", nil, true},
		{"", map[string]string{"ABEYANCE_INSECURE_PLAIN_HTTP": "true"}, true},
	} {
		code, _, errs := runWith(t, c.vars, "", append([]string{"config", "check", name}, strings.Fields(c.flags)...)...)
		if c.right && (code != exitOK || !strings.Contains(errs, "is right")) {
			t.Errorf("%q %v: exit %d, %s", c.flags, c.vars, code, errs)
		}
		if want := "abeyance: " + name + ":2: listening on 0.0.0.0 would send tokens over the network in clear"; !c.right && (code != exitFailure || !strings.HasPrefix(errs, want)) {
			t.Errorf("%q: exit %d, %s", c.flags, code, errs)
		}
	}
	if code, _, errs := runWith(t, nil, "", "config", "check", name, "--log-level", "loud"); code != exitUsage || !strings.Contains(errs, "--log-level") {
		t.Errorf("a flag that is wrong: exit %d, %s", code, errs)
	}
}

// TestServeNamesTheFileThatNamesNoDirectory, as at a reload nobody sees what was typed.
func TestServeNamesTheFileThatNamesNoDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	write(t, name, "listen: 127.0.0.1:0\n")
	code, _, errs := runWith(t, nil, "", "serve", "--config", name)
	if code != exitUsage || !strings.Contains(errs, name+" names no data_dir") || strings.Contains(errs, "Try:") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestEffectiveShowsNothingOfTheLog that it does not know to be in force.
func TestEffectiveShowsNothingOfTheLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	sections := func(args ...string) map[string]string {
		found := map[string]string{} // section → origin of its rows
		for _, r := range effectiveOf(t, args...) {
			section, _, _ := strings.Cut(r.Key, ".")
			found[section] = r.Origin
			if r.Origin == originLog && r.Key != section {
				t.Errorf("%s is %s, of the log", r.Key, r.Value)
			}
		}
		return found
	}
	for section, doc := range map[string]string{
		"accounts": "accounts: [{id: a, provider: codex}]\n", "groups": "bootstrap: two-pools\n", "policy": "policy: {auth: none}\n",
	} {
		write(t, name, doc)
		none, owned := sections(), sections("--config", name)
		for _, one := range []string{"accounts", "groups", "policy"} {
			if none[one] != originLog || (owned[one] == originLog) != (one != section) {
				t.Errorf("%s: without a file it is from %q, with %q from %q", one, none[one], doc, owned[one])
			}
		}
	}
	if out := runOK(t, "config", "show"); strings.Contains(out, originLog) {
		t.Errorf("nothing is set, and it shows\n%s", out)
	}
}

func TestStrategiesOfAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	doc := "strategies:\n  providers:\n    Gemini: sticky\n    nobody-yet: fill-first\n"
	if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []effectiveRow
	for _, r := range effectiveOf(t, "--config", name) {
		if strings.HasPrefix(r.Key, "strategies.") {
			got = append(got, r)
		}
	}
	want := []effectiveRow{
		{"strategies.default", "round-robin", originDefault},
		{"strategies.providers.Gemini", "sticky", name + ":3"},
		{"strategies.providers.nobody-yet", "fill-first", name + ":4"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p, err := loadConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	if s := p.file.strategies(); s.Providers["gemini-api"] != router.Sticky || s.Default != "" {
		t.Errorf("the router gets %+v", s)
	}
}

func TestEmptyConfigIsRight(t *testing.T) {
	for _, doc := range []string{"", "\n", "# nothing\n\n  # more\n"} {
		if _, err := parseConfig("f", []byte(doc)); err != nil {
			t.Errorf("%q: %v", doc, err)
		}
	}
}

func TestEffectiveNamesOrigins(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	doc := "data_dir: /from/file\nlisten: 127.0.0.1:1\nobserve_only: true\npolicy:\n  capacity: {bound: 7m}\n  overloaded: none\n  providers:\n    codex:\n      auth: {after: 3}\n"
	if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	origins := map[string]effectiveRow{}
	args := []string{"config", "show", "--effective", "-o", "json", "--config", name, "--listen", "127.0.0.1:2"}
	code, out, errs := runWith(t, map[string]string{envDataDir: "/from/env"}, "", args...)
	if code != 0 {
		t.Fatal(errs)
	}
	var rows []effectiveRow
	decode(t, out, &rows)
	for _, r := range rows {
		origins[r.Key] = r
	}
	for key, want := range map[string]effectiveRow{
		"listen":                            {"listen", "127.0.0.1:2", "flag --listen"},
		"data_dir":                          {"data_dir", "/from/env", "environment ABEYANCE_DATA_DIR"},
		"observe_only":                      {"observe_only", "true", name + ":3"},
		"log.format":                        {"log.format", "text", originDefault},
		"policy.capacity.bound.5h":          {"policy.capacity.bound.5h", "7m", name + ":5"},
		"policy.capacity.jitter":            {"policy.capacity.jitter", "1s", originDefault},
		"policy.overloaded":                 {"policy.overloaded", "none", name + ":6"},
		"policy.providers.codex.auth.after": {"policy.providers.codex.auth.after", "3", name + ":9"},
	} {
		if diff := cmp.Diff(want, origins[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}
