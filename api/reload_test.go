package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// reload stands for a server with a configuration file, which says of the policy how long
// a payment blocks.
func (b *bench) reload(ctx context.Context, q api.ReloadCommand) (api.Reloaded, error) {
	bound := projection.Duration(7 * 3600e9)
	do := &projection.Configure{Policy: &projection.PolicyConfig{
		RulesConfig: projection.RulesConfig{Payment: &projection.ClassConfig{Bound: &projection.BoundConfig{All: &bound}}},
	}}
	done := api.Reloaded{
		File: "abeyance.yaml", Owned: map[api.Section]string{api.SectionPolicy: "abeyance.yaml:9"},
		NeedsRestart: []api.SettingChange{{Key: "listen", From: "127.0.0.1:1", To: "127.0.0.1:2", Origin: "abeyance.yaml:1"}},
	}
	command := projection.Command{Origin: events.Origin{Actor: projection.ActorConfig, OnBehalfOf: q.OnBehalfOf, Via: q.Via}, Do: do}
	d, err := projection.Decide(b.engine.State(), command, b.clock.now())
	if err != nil {
		return done, err
	}
	if d.Unchanged == "" {
		done.Changed = []api.SettingChange{{Key: "policy.payment.bound.5h", From: "1d", To: "7h", Origin: "abeyance.yaml:10"}}
	}
	if q.DryRun {
		done.Outcome = projection.Outcome{Decision: d, AsOf: b.engine.State().Head().Seq}
		return done, nil
	}
	err = b.owners.Hand(func() (map[api.Section]string, error) {
		var err error
		done.Outcome, err = b.engine.Execute(ctx, command)
		return done.Owned, err
	})
	return done, err
}

// own has a file own sections.
func (b *bench) own(sections ...api.Section) {
	b.t.Helper()
	places := map[api.Section]string{}
	for i, s := range sections {
		places[s] = fmt.Sprint("abeyance.yaml:", 10+i)
	}
	if err := b.owners.Hand(func() (map[api.Section]string, error) { return places, nil }); err != nil {
		b.t.Fatal(err)
	}
}

// What a file owns is refused with its line, whichever route it comes by; the rest is not.
func TestSectionsOfAFileAreItsOwn(t *testing.T) {
	b := newBench(t)
	b.pool()
	const observed = `{"account":"seen","provider":"antigravity","model":"claude-opus-4-6","status":429,"body":"{}"}`
	b.post("/v1/reports", observed).want(http.StatusOK)
	all := []api.Section{api.SectionAccounts, api.SectionGroups, api.SectionPolicy}
	for _, c := range []struct {
		method, path, body string
		section            api.Section // empty: never a file's
	}{
		{http.MethodPatch, "/v1/accounts/seen", `{"disable_cooling":true}`, ""}, // observed
		{http.MethodPut, "/v1/accounts/a1", `{"provider":"antigravity"}`, api.SectionAccounts},
		{http.MethodPut, "/v1/accounts/new", `{"provider":"antigravity"}`, api.SectionAccounts},
		{http.MethodPut, "/v1/accounts/seen", `{"provider":"antigravity"}`, api.SectionAccounts},
		{http.MethodPatch, "/v1/accounts/a1", `{"priority":1}`, api.SectionAccounts},
		{http.MethodDelete, "/v1/accounts/a1", "", api.SectionAccounts},
		{http.MethodPut, "/v1/groups", someGroups, api.SectionGroups},
		{http.MethodPut, "/v1/policy", somePolicy, api.SectionPolicy},
		{http.MethodPut, "/v1/groups?dry_run=true", someGroups, ""},
		{http.MethodPut, "/v1/groups", strings.Replace(someGroups, "{", `{"dry_run":true,`, 1), ""},
		{http.MethodPut, "/v1/policy?dry_run=true", somePolicy, ""},
		{http.MethodPost, "/v1/suspend", `{"account":"a1","reason":"r","forever":true}`, ""},
		{http.MethodPost, "/v1/accounts/a1/forget", `{}`, ""},
	} {
		for i, s := range all {
			b.own(all[:i+1]...)
			before := b.engine.State().Head()
			a := b.do(request{method: c.method, path: c.path, body: c.body})
			if c.section == "" {
				a.want(http.StatusOK)
				continue
			}
			if s != c.section {
				continue
			}
			p := a.problem(http.StatusConflict, "owned_by_file")
			if want := fmt.Sprint("abeyance.yaml:", 10+i, ": the configuration file owns the ", s); !strings.HasPrefix(p.Detail, want) {
				t.Errorf("%s %s: %s\nwant %s...", c.method, c.path, p.Detail, want)
			}
			if b.engine.State().Head() != before {
				t.Errorf("%s %s was refused and done", c.method, c.path)
			}
		}
		b.own()
		if c.section != "" && c.method != http.MethodDelete { // without a file all is the log's
			b.do(request{method: c.method, path: c.path, body: c.body}).want(http.StatusOK)
		}
	}
	b.own(all...)
	b.do(request{method: http.MethodDelete, path: "/v1/accounts/nobody"}).problem(http.StatusNotFound, "unknown_account")
}

// An import puts its groups in force unless a file owns them.
func TestImportedGroupsOfAFile(t *testing.T) {
	b := newBench(t)
	b.own(api.SectionGroups)
	file := request{method: http.MethodPost, path: "/v1/import?groups=true", body: "oauth-quota-groups:\n- id: claude\n  label: Mine\n"}
	b.do(file).problem(http.StatusConflict, "owned_by_file")
	file.path += "&dry_run=true"
	b.do(file).want(http.StatusOK)
	file.path = "/v1/import"
	b.do(file).want(http.StatusOK)
}

// A reload is by the configuration itself, for whoever asked for it.
func TestReloadNamesWhoAsked(t *testing.T) {
	b := newBench(t)
	a := decode[api.ReloadAnswer](b.post("/v1/reload", `{"on_behalf_of":"wei"}`).want(http.StatusOK))
	records := b.records()
	last := records[len(records)-1]
	if last.Actor != "system:config" || last.OnBehalfOf != "operator:admin for wei" || a.Seq == nil || *a.Seq != uint64(last.Seq) {
		t.Errorf("record %d is by %s for %s; the answer %+v", last.Seq, last.Actor, last.OnBehalfOf, a)
	}
	b.put("/v1/policy", somePolicy).problem(http.StatusConflict, "owned_by_file")
}

func TestReloadsThatFail(t *testing.T) {
	b := newBench(t)
	backend := b.backend()
	for _, c := range []struct {
		err    error
		status int
		code   string
		detail string
	}{
		{&api.ConfigError{Err: errors.Join(errors.New("c.yaml:1: no"), errors.New("c.yaml:2: no"))}, http.StatusUnprocessableEntity, "invalid_config", "c.yaml:1: no\nc.yaml:2: no"},
		{&projection.Error{Code: projection.CodeSuspensionLive, Message: "c.yaml:3: suspended"}, http.StatusConflict, "manual_suspension_live", "c.yaml:3: suspended"},
		{events.ErrFull, http.StatusServiceUnavailable, "disk_full", ""},
		{projection.ErrStopped, http.StatusServiceUnavailable, "stopped", ""},
	} {
		backend.Reload = func(context.Context, api.ReloadCommand) (api.Reloaded, error) { return api.Reloaded{}, c.err }
		b.server.Ready(backend)
		if p := b.post("/v1/reload", "{}").problem(c.status, c.code); c.detail != "" && p.Detail != c.detail {
			t.Errorf("the detail is %q, want %q", p.Detail, c.detail)
		}
	}
	backend.Reload = nil
	b.server.Ready(backend)
	b.post("/v1/reload", "{}").problem(http.StatusNotImplemented, "not_available")
}

// More changes than an answer lists are counted.
func TestReloadAnswersAreBounded(t *testing.T) {
	b := newBench(t)
	backend := b.backend()
	backend.Reload = func(context.Context, api.ReloadCommand) (api.Reloaded, error) {
		return api.Reloaded{Changed: make([]api.SettingChange, 1234)}, nil
	}
	b.server.Ready(backend)
	a := decode[api.ReloadAnswer](b.post("/v1/reload", "{}").want(http.StatusOK))
	if len(a.Changed) != 1000 || a.ChangedCount != 1234 || a.Unchanged != "" {
		t.Errorf("%d of %d changes are listed, unchanged %q", len(a.Changed), a.ChangedCount, a.Unchanged)
	}
}

// Ownership is handed over only if the file is in force.
func TestOwnersKeepWhatTheyHadIfTheFileIsRefused(t *testing.T) {
	b := newBench(t)
	b.own(api.SectionGroups)
	err := b.owners.Hand(func() (map[api.Section]string, error) {
		return map[api.Section]string{api.SectionPolicy: "c.yaml:1"}, errors.New("refused")
	})
	if err == nil {
		t.Error("no error")
	}
	b.put("/v1/groups", someGroups).problem(http.StatusConflict, "owned_by_file")
	b.put("/v1/policy", somePolicy).want(http.StatusOK)
}
