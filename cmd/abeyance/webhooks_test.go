package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/api/hooks"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestWebhookMistakesHaveLines(t *testing.T) {
	good := "webhooks:\n  - name: ops\n    url: https://h.example.com/x\n    secret_file: s\n    on: [held]\n"
	if _, err := parseConfig("f", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, doc, want string }{
		{"no name", strings.Replace(good, "name: ops", "name: Ops", 1), `f:2: webhooks.0.name: "Ops" is no name`},
		{"name twice", good + good[len("webhooks:\n"):], `f:6: webhooks.1.name: "ops" is given twice`},
		{"plain http", strings.Replace(good, "https:", "http:", 1), "f:3: webhooks.0.url: plain http leaves this machine"},
		{"no url", strings.Replace(good, "    url: https://h.example.com/x\n", "", 1), "f:2: webhooks.0.url: it is missing"},
		{"password", strings.Replace(good, "https://", "https://a:b@", 1), "f:3: webhooks.0.url: it holds a user"},
		{"no secret", strings.Replace(good, "    secret_file: s\n", "", 1), "f:2: webhooks.0.secret_file: it is missing"},
		{"a secret in the file", good + "    secret: whsec_x\n", `f:6: unknown key "secret"`},
		{"nothing to tell", strings.Replace(good, "[held]", "[]", 1), "f:5: webhooks.0.on: it is missing: list some of exhausted"},
		{"no kind", strings.Replace(good, "[held]", "[helt]", 1), `f:5: webhooks.0.on: "helt" is none of exhausted`},
		{"no duration", good + "    longer_than: soon\n", `f:6: webhooks.0.longer_than: "soon" is no duration`},
		{"a duration of nothing", good + "    longer_than: 1h\n", "f:6: webhooks.0.longer_than: it is of frozen"},
		{"no provider", good + "    provider: a b\n", "f:6: webhooks.0.provider: the provider must be"},
		{"no group", good + "    group: 'a b'\n", `f:6: webhooks.0.group: the group "a b" is no group id`},
		{"unknown key", good + "    headers: {}\n", `f:6: unknown key "headers"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig("f", []byte(c.doc))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s...", err, c.want)
			}
		})
	}
	var many strings.Builder
	many.WriteString("webhooks:\n")
	for i := range hooks.MaxHooks + 1 {
		fmt.Fprintf(&many, "  - {name: h%d, url: 'https://h.example.com', secret_file: s, on: [held]}\n", i)
	}
	if _, err := parseConfig("f", []byte(many.String())); err == nil || !strings.HasPrefix(err.Error(), "f:1: webhooks: 17 are listed, and at most 16") {
		t.Errorf("too many: %v", err)
	}
}

func TestWebhookOfAFile(t *testing.T) {
	doc := "webhooks:\n  - {name: a, url: 'https://h', secret_file: s, on: [frozen, recovered], longer_than: 0s, provider: Gemini, group: g3_pro, given_ids: true}\n" +
		"  - {name: b, url: 'http://h', insecure: true, secret_file: s, on: [held]}\n"
	p, err := parseConfig("f", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	a, b := p.file.Webhooks[0].hook(), p.file.Webhooks[1].hook()
	if a.Filter.Provider != "gemini-api" || a.Filter.Group != "gemini-pro" || a.Filter.LongerThan != 0 || !a.GivenIDs || a.Insecure {
		t.Errorf("%+v", a)
	}
	if b.Filter.Provider != "" || b.Filter.Group != "" || b.Filter.LongerThan != time.Hour || b.GivenIDs || !b.Insecure {
		t.Errorf("%+v", b)
	}
}

func TestEffectiveShowsNoAddress(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	doc := "webhooks:\n  - {name: ops, url: 'https://h.example.com/T0KEN?x=T0KEN', secret_file: s, on: [held, frozen]}\n"
	if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	out := runOK(t, "config", "show", "--config", name)
	if !strings.Contains(out, "to h.example.com on held, frozen") || !strings.Contains(out, name+":2") || strings.Contains(out, "T0KEN") {
		t.Errorf("shown as %q", out)
	}
}

// inbox is a receiver that checks nothing and takes all, with a status of its choice.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	bodies []string
	ids    []string
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	b := &inbox{status: 204}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if !strings.HasPrefix(r.Header.Get("webhook-signature"), "v1,") || r.Header.Get("User-Agent") != "abeyance/"+strings.Trim(buildInfo().Version, "()") {
			t.Errorf("headers %v", r.Header)
		}
		b.bodies, b.ids = append(b.bodies, string(body)), append(b.ids, r.Header.Get("webhook-id"))
		w.WriteHeader(b.status)
	}))
	t.Cleanup(b.Close)
	return b
}

// wait returns the first n bodies, when they have come.
func (b *inbox) wait(t *testing.T, n int) []string {
	t.Helper()
	for range 500 {
		b.mu.Lock()
		bodies := b.bodies
		b.mu.Unlock()
		if len(bodies) >= n {
			return bodies
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d messages came, want %d", len(b.bodies), n)
	return nil
}

// webhookFile writes a configuration with a webhook, and its secret.
func webhookFile(t *testing.T, url, more string) string {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "c.yaml")
	doc := fmt.Sprintf("webhooks:\n  - name: ops\n    url: %s\n    secret_file: %s\n    on: [held, frozen, recovered]\n%s", url, secret, more)
	if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConfigTestWebhook(t *testing.T) {
	b := newInbox(t)
	file := webhookFile(t, b.URL+"/x", "")
	code, _, errs := runWith(t, nil, "", "config", "test-webhook", "ops", "--config", file)
	if code != exitOK || !strings.Contains(errs, "delivered: status 204") || len(b.bodies) != 1 || !strings.Contains(b.bodies[0], `"type":"test"`) {
		t.Errorf("exit %d, %q; received %q", code, errs, b.bodies)
	}
	b.status = 500
	if code, _, errs := runWith(t, nil, "", "config", "test-webhook", "ops", "--config", file); code != exitFailure || !strings.Contains(errs, "status 500") {
		t.Errorf("exit %d, %q", code, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"nobody", "--config", file}, exitNotFound, `has no webhook "nobody"`},
		{[]string{"ops"}, exitUsage, "--config FILE"},
		{nil, exitUsage, "needs one NAME"},
	} {
		code, _, errs := runWith(t, nil, "", append([]string{"config", "test-webhook"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, %q", c.args, code, errs)
		}
	}
	if err := os.Chmod(filepath.Join(filepath.Dir(file), "secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errs = runWith(t, nil, "", "config", "test-webhook", "ops", "--config", file)
	if code != exitFailure || !strings.Contains(errs, file+":4: webhooks.0.secret_file") || !strings.Contains(errs, "chmod 600") {
		t.Errorf("a secret that others may read: exit %d, %q", code, errs)
	}
}

// startWithHooks starts a daemon with a configuration file.
func startWithHooks(t *testing.T, dir, file string) (*daemon, error) {
	t.Helper()
	p, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	env := &environment{standard: standard{nil, new(bytes.Buffer), new(bytes.Buffer)}, getenv: os.Getenv, now: time.Now}
	d := newDaemon(env, &settings{Listen: "127.0.0.1:0", DataDir: dir, LogFormat: logText, file: p})
	if err := d.listen(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(t.Context()); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// hold has an account of the daemon held.
func hold(t *testing.T, d *daemon, account string) {
	t.Helper()
	_, err := d.engine.Execute(t.Context(), projection.Command{
		Origin: events.Origin{Actor: "proxy:test", Via: events.ViaGo},
		Do: &projection.Report{
			Account: account, Provider: "codex", Model: "gpt-5", Status: 403, StartedAt: time.Now(),
			Signal: events.Signal{Class: events.ClassForbidden, Scope: events.ScopeAccount, Reason: events.ReasonBanned, Rule: "test", Classifier: 1},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestServeTellsItsWebhooks(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b := newInbox(t)
	defer b.Close()
	file := webhookFile(t, b.URL+"/x", "accounts:\n  - {id: bob@example.com, provider: codex}\n  - {id: c2, provider: codex}\n")
	dir := filepath.Join(t.TempDir(), "data")
	d, err := startWithHooks(t, dir, file)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, d, d.ids.Stored("bob@example.com"))
	body := b.wait(t, 1)[0]
	var m struct {
		Type string
		Data hooks.News
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Type != "cell.held" || strings.Contains(body, "example.com") || m.Data.Why == "" {
		t.Errorf("received %s, %v", body, err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, hooks.FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the cursors: %v, %v", info, err)
	}
	again, err := startWithHooks(t, dir, file)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, again, "c2")
	if got := b.wait(t, 2); len(got) != 2 || !strings.Contains(got[1], `"account":"c2"`) {
		t.Errorf("received after a restart: %q", got[1:])
	}
	if err := again.close(); err != nil {
		t.Error(err)
	}
	if b.ids[0] == b.ids[1] {
		t.Error("two messages have one id")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestServeWithoutASecretDoesNotStart(t *testing.T) {
	file := webhookFile(t, "https://h.example.com", "")
	if err := os.Remove(filepath.Join(filepath.Dir(file), "secret")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := startWithHooks(t, dir, file); err == nil || !strings.Contains(err.Error(), file+":4: webhooks.0.secret_file") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
}
