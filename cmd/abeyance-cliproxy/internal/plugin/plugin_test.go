package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events/boltlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHost keeps what the plugin tells its log.
type fakeHost struct {
	mu    sync.Mutex
	lines []string
}

func (h *fakeHost) Call(method string, request []byte) ([]byte, error) {
	var q logRequest
	if err := json.Unmarshal(request, &q); err != nil || method != methodLog {
		return nil, fmt.Errorf("%s %s: %w", method, request, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, q.Level+" "+q.Message)
	return []byte(`{"ok":true}`), nil
}

func (h *fakeHost) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

// bench is a plugin in a fake host.
type bench struct {
	testing.TB
	*Plugin
	host *fakeHost
	dir  string
}

func newTestPlugin(t testing.TB) *bench {
	h := &fakeHost{}
	b := &bench{TB: t, Plugin: New(h, "1.2.3"), host: h, dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(b.Close)
	return b
}

// register sends a configuration; data-dir is added.
func (b *bench) register(config string) string {
	b.Helper()
	return b.send(methodRegister, lifecycle{ConfigYAML: []byte("data-dir: " + b.dir + "\n" + config)})
}

// registered is a plugin that was registered.
func registered(t testing.TB, config string) *bench {
	t.Helper()
	b := newTestPlugin(t)
	b.wants(b.register(config), `"ok":true`)
	return b
}

func (b *bench) send(method string, request any) string {
	b.Helper()
	doc, err := json.Marshal(request)
	if err != nil {
		b.Fatal(err)
	}
	return string(b.Call(method, doc))
}

func (b *bench) wants(got string, parts ...string) {
	b.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			b.Fatalf("%.2000s\nlacks %s", got, part)
		}
	}
}

// eventually polls for what is done behind a queue.
func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	b.Fatalf("it did not come to that: %s\n%s", what, b.host.text())
}

const (
	opus = "claude-opus-4-6-thinking"
	pro  = "gemini-3-pro-preview"
	ana  = "antigravity-ana@example.com.json"
	ben  = "antigravity-ben@example.com.json"
)

type testCandidate struct {
	ID, Provider, Status string
	Priority             int
}

func offered(ids ...string) []testCandidate {
	var list []testCandidate
	for _, id := range ids {
		list = append(list, testCandidate{ID: id, Provider: "antigravity", Status: "active"})
	}
	return list
}

// picks is what a pick comes to: an account, "host", or a message.
func (b *bench) picks(model string, list []testCandidate) string {
	b.Helper()
	var a struct {
		OK     bool
		Result struct {
			AuthID  string
			Handled bool
		}
		Error failure
	}
	doc := b.send(methodPick, map[string]any{"Provider": "antigravity", "Model": model, "Candidates": list})
	if err := json.Unmarshal([]byte(doc), &a); err != nil {
		b.Fatal(err)
	}
	switch {
	case !a.OK:
		return fmt.Sprintf("%d %s %t %s", a.Error.HTTPStatus, a.Error.Code, a.Error.Retryable, a.Error.Message)
	case a.Result.Handled:
		return a.Result.AuthID
	default:
		return "host"
	}
}

// limited reports that an account has no quota for a model.
func (b *bench) limited(account, model string) {
	b.Helper()
	b.used(account, model, 429, `{"error":{"code":429,"message":"You have exhausted your capacity on this model. Your quota will reset after 1h0m0s.","status":"RESOURCE_EXHAUSTED"}}`)
}

func (b *bench) used(account, model string, status int, body string) {
	b.Helper()
	b.wants(b.send(methodUsage, usageRecord{
		Provider: "antigravity", Model: model, AuthID: account, RequestedAt: time.Now(),
		Failed: status != 200, Failure: usageFailure{status, body},
	}), `"ok":true`)
}

// manages sends a request to the management API and returns its status and body.
func (b *bench) manages(method, path, body string) (int, string) {
	b.Helper()
	var a struct{ Result managementResponse }
	doc := b.send(methodManage, managementRequest{
		Method: method, Path: "/v0/management/" + path, Body: []byte(body),
		Headers: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer secret"}},
	})
	if err := json.Unmarshal([]byte(doc), &a); err != nil {
		b.Fatal(err)
	}
	return a.Result.StatusCode, string(a.Result.Body)
}

func (b *bench) metric(name string) string {
	b.Helper()
	_, body := b.manages(http.MethodGet, "abeyance/metrics", "")
	for l := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(l, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	b.Fatalf("no metric %s:\n%.3000s", name, body)
	return ""
}

func (b *bench) records() string {
	return b.metric(`abeyance_cliproxy_usage_records_total{result="recorded"}`)
}

func TestRegistration(t *testing.T) {
	b := newTestPlugin(t)
	if got := b.picks(opus, offered(ana)); got != "host" {
		t.Errorf("before it is registered a pick came to %s", got)
	}
	answer := b.register("enabled: true\npriority: 7\nstore: {version: 1.2.3}\n")
	b.wants(answer, `"schema_version":1`, `"Version":"1.2.3"`, `"scheduler":true`, `"usage_plugin":true`, `"management_api":true`)
	b.wants(b.send(methodRoutes, nil), "/v0/management/auth-files/quota-groups/auto/clear", `"Path":"/quota"`)
	if strings.Contains(b.send(methodRoutes, nil), `"/v0/management/auth-files"`) {
		t.Error("it claims a path that the host has itself")
	}
	b.wants(b.send("no.such", nil), codeUnknownMethod)
}

// TestPicks: nobody is picked while nothing is blocked, a usable account when something
// is, and when nothing is usable the refusal says for how long.
func TestPicks(t *testing.T) {
	b := registered(t, "")
	both := offered(ana, ben)
	for range 3 {
		if got := b.picks(opus, both); got != "host" {
			t.Fatalf("nothing is blocked, and a pick came to %s", got)
		}
	}
	b.limited(ana, opus)
	b.eventually("the block", func() bool { return b.picks("claude-sonnet-4-6", both) == ben })
	if got := b.picks(pro, both); got != "host" {
		t.Errorf("another family came to %s", got)
	}
	b.wants(b.picks(opus, both[:1]), "429 all_cooling true abeyance: ", "; retry after ", " s")
	both[1].Status = "disabled"
	b.wants(b.picks(opus, both), "429 all_cooling")
	if got := b.picks(opus, both[1:]); got != "host" {
		t.Errorf("nobody enabled came to %s", got)
	}
	both[1] = testCandidate{ID: ben, Provider: "antigravity", Status: "active", Priority: -5}
	third := append(both, testCandidate{ID: "third", Provider: "claude", Status: "active", Priority: 3})
	if got := b.picks(opus, third); got != "third" {
		t.Errorf("the host's priority came to %s", got)
	}
	if got := b.picks(opus, nil); got != "host" {
		t.Errorf("no candidates came to %s", got)
	}
}

// TestSticky: a conversation stays with one account while another is blocked.
func TestSticky(t *testing.T) {
	b := registered(t, "strategy: sticky\n")
	list := offered(ana, ben, "three", "four", "five")
	b.limited(ana, opus)
	b.eventually("the block", func() bool { return b.picks(opus, list) != "host" })
	seen := map[string]bool{}
	for n := range 20 {
		pick := func() string {
			return b.send(methodPick, map[string]any{
				"Model": opus, "Candidates": list, "Options": map[string]any{"Headers": http.Header{"Session-Id": {fmt.Sprint("s", n)}}},
			})
		}
		first := pick()
		for range 3 {
			if got := pick(); got != first {
				t.Fatalf("session %d: %s, then %s", n, first, got)
			}
		}
		seen[first] = true
	}
	if len(seen) < 2 {
		t.Errorf("20 sessions share %d answers", len(seen))
	}
}

// TestAccountsAreTheHosts: what the host says of an account is learnt, and learnt anew.
func TestAccountsAreTheHosts(t *testing.T) {
	b := registered(t, "")
	account := func() string {
		for _, a := range func() []map[string]any {
			var list struct{ Items []map[string]any }
			_, body := b.manages(http.MethodGet, "abeyance/accounts", "")
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				t.Fatal(err)
			}
			return list.Items
		}() {
			if a["account"] == ana {
				return fmt.Sprint(a["provider"], a["priority"], a["disabled"], a["origin"])
			}
		}
		return ""
	}
	c := offered(ana)
	for _, step := range []struct {
		priority int
		status   string
		want     string
	}{
		{0, "active", "antigravity0 falseconfigured"},
		{7, "active", "antigravity7 falseconfigured"},
		{7, "disabled", "antigravity7 trueconfigured"},
		{-1, "active", "antigravity-1 falseconfigured"},
	} {
		c[0].Priority, c[0].Status = step.priority, step.status
		b.eventually(step.want, func() bool {
			b.picks(opus, c)
			return strings.ReplaceAll(account(), " ", "") == strings.ReplaceAll(step.want, " ", "")
		})
	}
	b.used("only-used", pro, 200, "")
	b.eventually("an account of a usage record", func() bool {
		_, body := b.manages(http.MethodGet, "abeyance/accounts", "")
		return strings.Contains(body, "only-used")
	})
	// What cannot be learnt is told once, and does no harm.
	for range 20 {
		b.picks(opus, offered("bad\x01id", ana))
	}
	b.eventually("a pick goes on", func() bool { return b.picks(opus, offered("bad\x01id", ana)) == "host" })
}

func TestManagement(t *testing.T) {
	b := registered(t, "")
	b.eventually("the accounts", func() bool {
		b.picks(opus, offered(ana, ben))
		_, body := b.manages(http.MethodGet, "auth-files/quota-groups", "")
		return strings.Contains(body, ana) && strings.Contains(body, ben)
	})
	const about = `"auth_id":"` + ana + `","group_id":"claude"`
	status, body := b.manages(http.MethodPatch, "auth-files/quota-groups/manual", `{`+about+`,"manual_suspended":true,"reason":"r"}`)
	if status != http.StatusOK {
		t.Fatal(status, body)
	}
	if got := b.picks(opus, offered(ana, ben)); got != ben {
		t.Errorf("after a suspension a pick came to %s", got)
	}
	b.wants(b.picks(opus, offered(ana)), "429 all_suspended false ")
	_, body = b.manages(http.MethodGet, "abeyance/events", "")
	b.wants(body, `"actor":"operator:management-key"`, `"via":"compat"`)
	if status, body = b.manages(http.MethodPost, "abeyance/lift", `{"account":"`+ana+`"}`); status != http.StatusOK {
		t.Fatal(status, body)
	}
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{http.MethodGet, "abeyance/nothing", "", http.StatusNotFound},
		{http.MethodPost, "abeyance/events", "{}", http.StatusNotFound},
		{http.MethodGet, "auth-files/nothing", "", http.StatusNotFound},
		{http.MethodPatch, "auth-files/quota-groups/manual", "{", http.StatusBadRequest},
		{http.MethodPatch, "auth-files/quota-groups/manual", `{"auth_id":"nobody","group_id":"claude","manual_suspended":true}`, http.StatusNotFound},
		{http.MethodGet, "oauth-quota-groups", "", http.StatusOK},
		{http.MethodPut, "oauth-quota-groups", "[]", http.StatusOK},
		{http.MethodGet, "abeyance/why?x=1", "", http.StatusNotFound},
	} {
		if status, body := b.manages(test.method, test.path, test.body); status != test.want {
			t.Errorf("%s %s answered %d %s, want %d", test.method, test.path, status, body, test.want)
		}
	}
}

// TestPage: it holds no data, and nothing beside it is to be had.
func TestPage(t *testing.T) {
	b := registered(t, "")
	b.picks(opus, offered(ana))
	for name, want := range map[string]int{"quota": 200, "quota.js": 200, "quota.css": 200, "": 404, "quota.html": 404, "../plugin.go": 404, "data": 404} {
		var a struct{ Result managementResponse }
		doc := b.send(methodManage, managementRequest{Method: http.MethodGet, Path: "/v0/resource/plugins/abeyance/" + name})
		if err := json.Unmarshal([]byte(doc), &a); err != nil {
			t.Fatal(err)
		}
		if a.Result.StatusCode != want {
			t.Errorf("%q answered %d, want %d", name, a.Result.StatusCode, want)
		}
		if want == 200 && (!strings.Contains(a.Result.Headers.Get("Content-Security-Policy"), "default-src 'none'") || len(a.Result.Body) == 0) {
			t.Errorf("%q: %v", name, a.Result.Headers)
		}
		if strings.Contains(string(a.Result.Body), "ana") && strings.Contains(string(a.Result.Body), "example") {
			t.Errorf("%q holds data", name)
		}
	}
}

// TestRestart: what was learnt is there again, also when the process was killed.
func TestRestart(t *testing.T) {
	b := registered(t, "")
	both := offered(ana, ben)
	b.limited(ana, opus)
	b.eventually("the block", func() bool { return b.picks(opus, both) == ben })
	b.wants(b.send(methodShutdown, nil), `"ok":true`)
	if got := b.picks(opus, both); got != "host" {
		t.Errorf("after the shutdown a pick came to %s", got)
	}
	if status, _ := b.manages(http.MethodGet, "auth-files/quota-groups", ""); status != http.StatusServiceUnavailable {
		t.Errorf("after the shutdown the management API answers %d", status)
	}
	b.wants(b.register(""), `"ok":true`)
	if got := b.picks(opus, both); got != ben {
		t.Errorf("after a start a pick came to %s", got)
	}
	b.wants(b.host.text(), "the log is open")
	if strings.Contains(b.host.text(), "example.com") {
		t.Errorf("an address is in the host's log:\n%s", b.host.text())
	}
}

// TestReconfigure: nothing is lost by it, and what is wrong changes nothing.
func TestReconfigure(t *testing.T) {
	b := registered(t, "")
	both := offered(ana, ben)
	b.limited(ana, opus)
	b.eventually("the block", func() bool { return b.picks(opus, both) == ben })
	again := func(config string) { b.Helper(); b.wants(b.register(config), `"ok":true`) }

	again("mode: sometimes\n")
	again("unknown-key: 1\n")
	again("mode: [\n")
	again("listen: 0.0.0.0:0\n")
	again("groups: [{id: 'BAD ID'}]\n")
	if got := b.picks(opus, both); got != ben {
		t.Errorf("after a bad configuration a pick came to %s", got)
	}
	b.eventually("the host is told", func() bool { return strings.Count(b.host.text(), "stays in force") == 5 })
	b.wants(b.host.text(), `unknown key \"unknown-key\"`)

	again("mode: observe\n")
	if got := b.picks(opus, both); got != "host" {
		t.Errorf("observe: a pick came to %s", got)
	}
	b.limited(ben, pro)
	b.eventually("observe records", func() bool {
		_, body := b.manages(http.MethodGet, "abeyance/cells?status=cooling", "")
		return strings.Contains(body, "gemini-pro") || b.records() == "2"
	})
	again("")
	if got := b.picks(opus, both); got != ben {
		t.Errorf("enforce again: a pick came to %s", got)
	}
	b.eventually("what observe recorded holds", func() bool { return b.picks(pro, both) == ana })

	again("groups: [{id: all-of-it, providers: [antigravity], patterns: ['nothing-*'], priority: 999}]\n")
	_, body := b.manages(http.MethodGet, "oauth-quota-groups", "")
	b.wants(body, "all-of-it")

	dir := b.dir
	b.dir = filepath.Join(t.TempDir(), "no", "parent")
	again("")
	b.dir = dir
	again("")
	if got := b.picks(opus, both); got != ben {
		t.Errorf("after a directory that cannot be: a pick came to %s", got)
	}
	b.dir = filepath.Join(t.TempDir(), "other")
	again("")
	if got := b.picks(opus, both); got != "host" {
		t.Errorf("in another directory a pick came to %s", got)
	}
}

func TestBadFirstConfiguration(t *testing.T) {
	b := newTestPlugin(t)
	b.wants(string(b.Call(methodRegister, []byte(`{"config_yaml":""}`))), codeConfig, "data-dir")
	b.eventually("the host is told", func() bool { return strings.Contains(b.host.text(), "does nothing") })
	b.wants(string(b.Call(methodRegister, []byte(`{"config_yaml":"%"}`))), codeInvalid)
	if got := b.picks(opus, offered(ana)); got != "host" {
		t.Errorf("a pick came to %s", got)
	}
	b.wants(b.register(""), `"ok":true`)
}

// TestLogInUse: while another process has the log, picks are left to the host, and the
// log is opened when it can be.
func TestLogInUse(t *testing.T) {
	b := newTestPlugin(t)
	other, err := boltlog.Open(b.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.wants(b.register(""), `"ok":true`)
	if got := b.picks(opus, offered(ana, ben)); got != "host" {
		t.Errorf("a pick came to %s", got)
	}
	b.limited(ana, opus) // waits in the queue
	b.eventually("the host is told", func() bool { return strings.Contains(b.host.text(), "in use") })
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	b.eventually("the log is opened, and the record written", func() bool { return b.picks(opus, offered(ana, ben)) == ben })
}

// TestHotReload: a newer version in the same process gets the log from the one that the
// host has forgotten, and that one keeps still.
func TestHotReload(t *testing.T) {
	older := registered(t, "")
	both := offered(ana, ben)
	older.limited(ana, opus)
	older.eventually("the block", func() bool { return older.picks(opus, both) == ben })
	newer := newTestPlugin(t)
	newer.dir = older.dir
	newer.wants(newer.register(""), `"ok":true`)
	newer.eventually("the newer has the log", func() bool { return newer.picks(opus, both) == ben })
	if got := older.picks(opus, both); got != "host" {
		t.Errorf("a pick of the older came to %s", got)
	}
	older.eventually("the host is told", func() bool { return strings.Contains(older.host.text(), "handed over") })
	if _, err := os.Stat(filepath.Join(newer.dir, handoverFile)); err == nil {
		t.Error("what asked for the log is left")
	}
	older.Close()
	if got := newer.picks(opus, both); got != ben {
		t.Errorf("after the older was closed a pick came to %s", got)
	}
	// Back to the older, as after a release that did not please.
	newer.Close()
	older.wants(older.register(""), `"ok":true`)
	if got := older.picks(opus, both); got != ben {
		t.Errorf("back again a pick came to %s", got)
	}
}

// TestOverflow: what the queue has no room for is counted and told.
func TestOverflow(t *testing.T) {
	b := newTestPlugin(t)
	other, err := boltlog.Open(b.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.wants(b.register(""), `"ok":true`)
	for range maxQueued + 5 {
		b.limited(ana, opus)
	}
	b.eventually("the host is told", func() bool { return strings.Contains(b.host.text(), "usage records were lost") })
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	b.eventually("all that was queued is recorded", func() bool { return b.core.Load() != nil && b.records() == fmt.Sprint(maxQueued) })
	if got := b.metric(`abeyance_cliproxy_usage_records_total{result="lost"}`); got != "5" {
		t.Errorf("%s records are counted as lost, want 5", got)
	}
}

// TestCloseDrains: what is queued at the end is durable after it.
func TestCloseDrains(t *testing.T) {
	b := registered(t, "")
	for i := range 500 {
		b.limited(fmt.Sprintf("a%03d", i), opus)
	}
	b.Close()
	b.Close() // once is enough
	b.wants(b.register(""), `"ok":true`)
	for i := range 500 {
		b.wants(b.picks(opus, offered(fmt.Sprintf("a%03d", i))), "all_cooling")
	}
}

// TestListen: the ordinary API is where the command line looks for it, and is left when
// the configuration says so.
func TestListen(t *testing.T) {
	b := registered(t, "listen: 127.0.0.1:0\n")
	found := func() (url string) {
		doc, err := os.ReadFile(filepath.Join(b.dir, daemonFile))
		if err != nil {
			return ""
		}
		var f struct{ URL string }
		if err := json.Unmarshal(doc, &f); err != nil {
			t.Fatal(err)
		}
		return f.URL
	}
	get := func(url, path string) int {
		token, err := os.ReadFile(filepath.Join(b.dir, "token"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	url := found()
	if url == "" || get(url, "/v1/head") != 200 || get(url, "/metrics") != 200 || get(url, "/v0/management/auth-files") != 200 {
		t.Fatalf("%q answers %d %d", url, get(url, "/v1/head"), get(url, "/metrics"))
	}
	b.wants(b.register(""), `"ok":true`)
	if found() != "" || get(url, "/v1/head") != 0 {
		t.Error("the address was not left")
	}
	b.wants(b.register("listen: 127.0.0.1:0\n"), `"ok":true`)
	b.wants(b.register("listen: 127.0.0.1:0\nmode: observe\n"), `"ok":true`)
	if url = found(); url == "" || get(url, "/v1/head") != 200 {
		t.Error("nothing listens after the mode was changed")
	}
	b.Close()
	if found() != "" {
		t.Error("the file that says where it listens is left")
	}
}

// TestListenAgain: an address that somebody else has is taken as soon as it is free, and
// the host is told once until then.
func TestListenAgain(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := other.Addr().String()
	b := registered(t, "listen: "+addr+"\n")
	ctx := t.Context()
	for range 3 {
		b.mend(ctx) // as its keeper does
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	b.eventually("it listens", func() bool { return strings.Contains(b.host.text(), "listening url=http://"+addr) })
	if n := strings.Count(b.host.text(), "nothing is listened on"); n != 1 {
		t.Errorf("the host was told %d times:\n%s", n, b.host.text())
	}
	b.mend(ctx)
	b.wants(b.register(""), `"ok":true`)
	b.eventually("the address is left", func() bool {
		l, err := net.Listen("tcp", addr)
		return err == nil && l.Close() == nil
	})
	b.mend(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.core.Load().door != nil {
		t.Error("it listens again, unasked")
	}
}

// TestAddressOfAProcessThatIsGone: what a killed host left is not taken for the word of
// this one, whose id may be the same.
func TestAddressOfAProcessThatIsGone(t *testing.T) {
	b := newTestPlugin(t)
	b.wants(b.register(""), `"ok":true`)
	b.Close()
	left := filepath.Join(b.dir, daemonFile)
	if err := os.WriteFile(left, fmt.Appendf(nil, `{"url":"http://127.0.0.1:1","pid":%d}`, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.wants(b.register(""), `"ok":true`)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestPanics: nothing that goes wrong inside takes the host along.
func TestPanics(t *testing.T) {
	b := registered(t, "")
	c := b.core.Load()
	b.core.Store(&core{engine: c.engine}) // half a core
	for _, method := range []string{methodPick, methodUsage} {
		b.wants(string(b.Call(method, []byte(`{"AuthID":"a","Provider":"p","Failed":true,"Model":"m","Candidates":[{"ID":"a"}]}`))), codeInternal)
	}
	b.core.Store(c)
	b.eventually("the host is told", func() bool { return strings.Count(b.host.text(), "a call panicked") == 2 })
	if got := b.picks(opus, offered(ana)); got != "host" {
		t.Errorf("after it a pick came to %s", got)
	}
}

// TestProbe: a pick may let one request through to see whether a quota is back, and the
// record of that request frees the next.
func TestProbe(t *testing.T) {
	b := registered(t, "policy: {probe: {mode: always, empty: [1ms, 1ms], spacing: 1ms, claim: 10m}}\n")
	b.limited(ana, opus)
	only := offered(ana)
	b.eventually("a probe", func() bool { return b.picks(opus, only) == ana })
	b.wants(b.picks(opus, only), "all_cooling") // one is out
	b.used(ana, opus, 200, "")
	b.eventually("its success ends the cooldown", func() bool { return b.picks(opus, only) == "host" })
}

// TestConcurrent drives everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	b := registered(t, "")
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 60 {
				b.picks(opus, offered(ana, ben, fmt.Sprint("x", i)))
				b.limited(fmt.Sprint("x", i), opus)
				b.manages(http.MethodGet, "auth-files/quota-groups", "")
				if n == 0 && i%20 == 0 {
					b.register([]string{"", "mode: observe\n"}[i/20%2])
				}
			}
		})
	}
	all.Wait()
}
