package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// daemonLog takes what a daemon logs while a test reads it.
type daemonLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *daemonLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *daemonLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// configured is a daemon in this process with a configuration file.
type configured struct {
	*daemon
	t    *testing.T
	name string // of the file
	logs *daemonLog
}

// startConfigured starts a daemon with a file, on a directory of its own. parts follow
// its settings too.
func startConfigured(t *testing.T, file string, parts ...reloadPart) *configured {
	t.Helper()
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) })
	dir := t.TempDir()
	c := &configured{t: t, name: filepath.Join(dir, "c.yaml"), logs: new(daemonLog)}
	file = fmt.Sprintf("data_dir: %q\nlisten: 127.0.0.1:0\n%s", filepath.Join(dir, "data"), file)
	write(t, c.name, file)
	env := &environment{standard: standard{nil, new(bytes.Buffer), c.logs}, getenv: func(string) string { return "" }, now: time.Now}
	f, cmd := new(serveFlags), new(cobra.Command)
	f.add(cmd.Flags())
	f.config = c.name
	s, err := f.resolve(env, cmd)
	if err != nil {
		t.Fatal(err)
	}
	c.daemon = newDaemon(env, s)
	c.resolve = func() (*settings, error) { return f.resolveServable(env, cmd) }
	c.reloaders = parts
	if err := c.listen(); err != nil {
		t.Fatal(err)
	}
	if err := c.start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, c.close()))
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// edit replaces the file's text below its first two lines, without waiting for the
// daemon to notice.
func (c *configured) edit(file string) {
	c.t.Helper()
	doc, err := os.ReadFile(c.name)
	if err != nil {
		c.t.Fatal(err)
	}
	lines := strings.SplitAfter(string(doc), "\n")
	write(c.t, c.name+".new", strings.Join(lines[:2], "")+file)
	rename(c.t, c.name+".new", c.name)
}

func (c *configured) reload(dryRun bool) (api.Reloaded, error) {
	return c.reloads.request(c.t.Context(), api.ReloadCommand{DryRun: dryRun, OnBehalfOf: "operator:tess"})
}

// accounts lists the pool as it is in force.
func (c *configured) accounts() (ids []string) {
	for a := range c.engine.State().Accounts("") {
		ids = append(ids, c.ids.Given(a.ID))
	}
	slices.Sort(ids)
	return ids
}

func changedKeys(list []api.SettingChange) (keys []string) {
	for _, c := range list {
		keys = append(keys, c.Key)
	}
	return keys
}

const twoAccounts = "accounts:\n  - {id: a1, provider: codex}\n  - {id: a2, provider: codex}\n"

func TestReloadPutsAllOfAFileInForce(t *testing.T) {
	c := startConfigured(t, twoAccounts)
	c.follow.stop() // nobody else is to notice
	c.edit("observe_only: true\nlog: {level: warn, format: json, access: true}\nstrategies: {default: fill-first}\n" +
		"accounts:\n  - {id: a1, provider: codex, weight: 3}\n  - {id: b@example.com, provider: codex}\n" +
		"groups:\n  - {id: kimi, providers: [openai-compat], patterns: ['kimi-*']}\n" +
		"policy: {payment: none, providers: {gemini: {auth: {after: 4}}}}\n")
	before := c.engine.State().Head().Seq
	would, err := c.reload(true)
	if err != nil || c.engine.State().Head().Seq != before || c.engine.View().ObserveOnly {
		t.Fatalf("a dry run: record %d, error %v", c.engine.State().Head().Seq, err)
	}
	done, err := c.reload(false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(would.Changed, done.Changed); diff != "" {
		t.Errorf("the dry run said otherwise (-dry run):\n%s", diff)
	}
	want := []string{
		"accounts.a1", "accounts.a2", "accounts.b@example.com",
		"groups.kimi.enabled", "groups.kimi.patterns", "groups.kimi.priority", "groups.kimi.providers",
		"log.access", "log.format", "log.level", "observe_only",
		"policy.payment", "policy.payment.bound.5h", "policy.payment.bound.daily", "policy.payment.bound.monthly", "policy.payment.bound.unknown",
		"policy.payment.bound.weekly", "policy.payment.jitter", "policy.payment.ladder",
		"policy.providers.gemini.auth.after", "policy.providers.gemini.payment", "policy.providers.gemini.payment.bound.5h",
		"policy.providers.gemini.payment.bound.daily", "policy.providers.gemini.payment.bound.monthly", "policy.providers.gemini.payment.bound.unknown",
		"policy.providers.gemini.payment.bound.weekly", "policy.providers.gemini.payment.jitter", "policy.providers.gemini.payment.ladder",
		"strategies.default",
	}
	if diff := cmp.Diff(want, changedKeys(done.Changed)); diff != "" {
		t.Errorf("the keys that changed (-want):\n%s", diff)
	}
	for _, change := range []api.SettingChange{
		{Key: "accounts.a1", From: "codex, priority 0, weight 1", To: "codex, priority 0, weight 3", Origin: c.name + ":7"},
		{Key: "accounts.a2", From: "codex, priority 0, weight 1"},
		{Key: "policy.payment", To: "none", Origin: c.name + ":11"},
		{Key: "policy.providers.gemini.auth.after", From: "2", To: "4", Origin: c.name + ":11"},
		{Key: "log.level", From: "info", To: "warn", Origin: c.name + ":4"},
	} {
		if !slices.Contains(done.Changed, change) {
			t.Errorf("not listed: %+v", change)
		}
	}
	// One command, by the configuration itself, for whoever asked.
	records := done.Outcome.Records
	for _, r := range records {
		if r.Actor != projection.ActorConfig || r.OnBehalfOf != "operator:tess" || r.CorrelationID != records[0].CorrelationID {
			t.Errorf("record %d is by %s for %s", r.Seq, r.Actor, r.OnBehalfOf)
		}
	}
	// What is not the log's is in it, too: who looks back sees since when nothing was blocked.
	settings, ok := records[len(records)-1].Event.(*events.SettingsChanged)
	if !ok || !slices.Contains(settings.Changes, events.SettingChange{Key: "observe_only", From: "false", To: "true"}) {
		t.Errorf("the last record is %+v", records[len(records)-1].Event)
	}
	if len(records) != 6 || !c.engine.View().ObserveOnly || !slices.Equal(c.accounts(), []string{"a1", "b@example.com"}) {
		t.Errorf("%d records, observe only %t, the pool %v", len(records), c.engine.View().ObserveOnly, c.accounts())
	}
	for range 3 {
		if l, err := c.picks.Pick(router.Request{Provider: "codex", Model: "gpt-5"}); err != nil || l.Account != "a1" {
			t.Errorf("fill-first serves %s, error %v", l.Account, err)
		}
	}
	if again, err := c.reload(false); err != nil || len(again.Changed)+len(again.Outcome.Records) != 0 {
		t.Errorf("a second time changed %v, error %v", again.Changed, err)
	}
	c.logger.Warn("last")
	if text := c.logs.String(); strings.Contains(text, "@example") || !strings.Contains(text, `"msg":"last"`) || strings.Contains(text, "setting changed") {
		t.Errorf("the log, of warnings since then and without addresses:\n%s", text)
	}
}

// Whatever refuses a reload, nothing of it is in force afterwards, and the next good one
// is taken whole.
func TestReloadHappensWholeOrNotAtAll(t *testing.T) {
	var applied int
	var refuse error
	part := reloadPart{keys: []string{"tls"}, prepare: func(*settings) (func(), error) {
		return func() { applied++ }, refuse
	}}
	c := startConfigured(t, twoAccounts, part)
	c.follow.stop()
	const next = "observe_only: true\nlog: {level: debug}\nstrategies: {default: fill-first}\npolicy: {payment: none}\n"
	untouched := func(why string, code projection.Code, want string) {
		t.Helper()
		before := c.engine.State().Head()
		_, err := c.reload(false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: error %v", why, err)
		}
		e, refused := errors.AsType[*projection.Error](err)
		_, config := errors.AsType[*api.ConfigError](err)
		if code != "" && (!refused || e.Code != code) || code == "" && !config {
			t.Errorf("%s: the error is %#v", why, err)
		}
		if c.engine.State().Head() != before || c.engine.View().ObserveOnly || applied != 0 || c.reloads.running["log.level"] != logInfo {
			t.Errorf("%s: something is in force", why)
		}
	}
	c.edit(next + "accounts: [{id: a1, provider: claude}]\n")
	untouched("another provider", projection.CodeProviderMismatch, c.name+`:7: accounts.0: account "a1" belongs to provider "codex"`)
	_, err := c.engine.Execute(t.Context(), projection.Command{Do: &projection.Suspend{
		Filter: projection.Filter{Account: "a1", Target: "codex-main"}, Reason: "why", Forever: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.edit(next + twoAccounts + "groups: []\nbootstrap: none\n")
	untouched("groups that drop a suspension", projection.CodeSuspensionLive, c.name+":10: groups: the definition would drop 1 manual suspension,")
	c.edit(next + "acounts: []\n")
	untouched("an unknown key", "", c.name+`:7: unknown key "acounts"`)
	c.edit(next + "accounts: [\n")
	untouched("no YAML", "", c.name+":")
	c.edit(next)
	refuse = errors.New("no such certificate")
	untouched("a part that cannot follow", "", "no such certificate")
	refuse = nil
	doc, err := os.ReadFile(c.name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.name, strings.Replace(string(doc), "127.0.0.1:0", "0.0.0.0:0", 1))
	untouched("what the next start would refuse", "", "listening on 0.0.0.0 would send tokens over the network in clear")
	write(t, c.name, string(doc))
	if err := os.Rename(c.name, c.name+".away"); err != nil {
		t.Fatal(err)
	}
	untouched("no file", "", "no such file")
	rename(t, c.name+".away", c.name)
	if done, err := c.reload(false); err != nil || applied != 1 || !c.engine.View().ObserveOnly {
		t.Errorf("the good one: %v, error %v, applied %d times", done.Changed, err, applied)
	}
	// The section is no longer the file's, and its accounts stay.
	if got := c.accounts(); !slices.Equal(got, []string{"a1", "a2"}) {
		t.Errorf("the pool is %v", got)
	}
	if got := c.metric(t, "abeyance_config_reloads_total", reloadFailed); got != 7 {
		t.Errorf("%v reloads were refused, want 7", got)
	}
	if got := c.metric(t, "abeyance_config_reloads_total", reloadApplied); got != 1 {
		t.Errorf("%v reloads were applied, want 1", got)
	}
}

// metric returns a counter of an outcome.
func (c *configured) metric(t *testing.T, name, outcome string) float64 {
	t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// What failed for no fault of the file is tried again by whoever follows it; a mistake is
// not, until the file changes.
func TestReloadsThatFailByChanceAreTriedAgain(t *testing.T) {
	c := startConfigured(t, "")
	c.follow.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.edit("policy: {payment: none}\n")
	if _, err := c.reloads.request(ctx, api.ReloadCommand{}); !errors.Is(err, context.Canceled) || !c.reloads.unread(fingerprintOf(c.name)) {
		t.Errorf("error %v, to be tried again: %t", err, c.reloads.unread(fingerprintOf(c.name)))
	}
	c.edit("policy: {payments: none}\n")
	if _, err := c.reload(false); err == nil || c.reloads.unread(fingerprintOf(c.name)) {
		t.Errorf("error %v, to be tried again: %t", err, c.reloads.unread(fingerprintOf(c.name)))
	}
}

// What only a restart brings is told each time until then, and is not in force.
func TestReloadTellsWhatNeedsARestart(t *testing.T) {
	c := startConfigured(t, "")
	c.follow.stop()
	doc, err := os.ReadFile(c.name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.name, strings.Replace(string(doc), "127.0.0.1:0", "127.0.0.1:1", 1))
	for range 2 {
		done, err := c.reload(false)
		want := []api.SettingChange{{Key: "listen", From: "127.0.0.1:0", To: "127.0.0.1:1", Origin: c.name + ":2"}}
		if err != nil || len(done.Changed) != 0 || cmp.Diff(want, done.NeedsRestart) != "" {
			t.Errorf("changed %v, needs a restart %v, error %v", done.Changed, done.NeedsRestart, err)
		}
	}
	write(t, c.name, string(doc))
	if done, err := c.reload(false); err != nil || len(done.NeedsRestart) != 0 {
		t.Errorf("taken back: %v, error %v", done.NeedsRestart, err)
	}
}

// A change is noticed, also one that was only looked at before; the same mistake is
// logged once.
func TestFollowingAFile(t *testing.T) {
	c := startConfigured(t, twoAccounts)
	until := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("never: %s; the log:\n%s", what, c.logs)
			}
		}
	}
	pool := func(ids ...string) func() bool {
		return func() bool { return slices.Equal(c.accounts(), ids) }
	}
	c.edit("accounts:\n  - {id: a1, provider: codex}\n")
	if _, err := c.reload(true); err != nil {
		t.Fatal(err)
	}
	until("a2 is gone", pool("a1"))
	c.edit("accounts: [{id: mail@example.com, provider: codex}, {id: mail@example.com, provider: codex}]\n")
	mistakes := func() int { return strings.Count(c.logs.String(), "the last good one stays in force") }
	until("the mistake is logged", func() bool { return mistakes() == 1 })
	// A file that is written bit by bit is read when it is done.
	half := "accounts:\n  - {id: a1, provider: codex}\n"
	c.edit(half)
	f, err := os.OpenFile(c.name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var longest time.Duration // between two writes: on a busy machine the file may seem done
	for i := range 20 {
		began := time.Now()
		time.Sleep(settleTime / 10)
		if _, err := fmt.Fprintf(f, "  - {id: b%02d, provider: codex}\n", i); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(began))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	until("the whole pool", func() bool { return len(c.accounts()) == 21 })
	if n := strings.Count(c.logs.String(), `msg="loading the configuration" because="the file changed"`); n < 3 || n > 3 && longest < settleTime || mistakes() != 1 {
		t.Errorf("the file was read %d times for its changes, want 3, and %d mistakes; the log:\n%s", n, mistakes(), c.logs)
	}
	if strings.Contains(c.logs.String(), "example.com") {
		t.Errorf("an address in the log:\n%s", c.logs)
	}
}

// A change that nobody tells of is noticed too, only later.
func TestFollowingAFileWithoutAWatcher(t *testing.T) {
	c := startConfigured(t, twoAccounts)
	c.follow.stop()
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.followFile(ctx, &fileWatch{name: c.name}) // its first look is one settleTime away
	}()
	c.edit("accounts: []\n")
	for deadline := time.Now().Add(20 * time.Second); len(c.accounts()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never noticed")
		}
	}
	end()
	<-ended
}

// Requests and reloads may come at once: the file's say is the last.
func TestRequestsAndReloadsAtOnce(t *testing.T) {
	c := startConfigured(t, "")
	c.follow.stop()
	c.edit("policy: {payment: {bound: 7h}}\n")
	var puts sync.WaitGroup
	for range 4 {
		puts.Go(func() {
			for i := range 20 {
				err := c.put(t.Context(), fmt.Sprintf(`{"payment":{"bound":"%dh"}}`, i+8))
				if err != nil {
					return // the file owns it
				}
			}
		})
	}
	if _, err := c.reload(false); err != nil {
		t.Fatal(err)
	}
	owned := c.engine.State().Head().Seq
	puts.Wait()
	if err := c.put(t.Context(), `{}`); err == nil || !strings.Contains(err.Error(), c.name+":3: the configuration file owns the policy") {
		t.Errorf("a request changed what the file owns: %v", err)
	}
	config, err := c.engine.State().Policy().Config()
	if err != nil || config.Payment == nil || time.Duration(*config.Payment.Bound.All) != 7*time.Hour || c.engine.State().Head().Seq != owned {
		t.Errorf("the policy is %+v at record %d, want that of %d; error %v", config, c.engine.State().Head().Seq, owned, err)
	}
}

// put sends a policy over the API.
func (c *configured) put(ctx context.Context, body string) error {
	token, err := readToken(filepath.Join(c.settings.DataDir, api.TokenFile))
	if err != nil {
		return err
	}
	client, err := newClient(c.url, token)
	if err != nil {
		return err
	}
	defer client.http.CloseIdleConnections()
	var config projection.PolicyConfig
	decode(c.t, body, &config)
	return client.do(ctx, call{method: "PUT", path: "/v1/policy", body: api.PolicyPut{PolicyConfig: config}}, nil)
}
