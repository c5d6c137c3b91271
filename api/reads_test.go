package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

func TestCellFilters(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.put("/v1/accounts/k1", `{"provider":"kimi"}`).want(http.StatusOK)
	b.report(limited("a1", "claude-opus-4-6"))
	b.clock.advance(2 * time.Hour)
	b.post("/v1/suspend", `{"account":"a2","target":"gemini-pro","reason":"r","forever":true}`).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"k1","target":"model:kimi-k3[1m]","reason":"r","forever":true}`).want(http.StatusOK)
	for query, want := range map[string]string{
		"":                                   "a1/claude a1/gemini-flash a1/gemini-pro a2/claude a2/gemini-flash a2/gemini-pro k1/model:kimi-k3[1m]",
		"account=a1":                         "a1/claude a1/gemini-flash a1/gemini-pro",
		"provider=Antigravity&account=k1":    "",
		"provider=ANTIGRAVITY&target=g3_pro": "a1/gemini-pro a2/gemini-pro",
		"status=cooling":                     "a1/claude",
		"status=suspended":                   "a2/gemini-pro k1/model:kimi-k3[1m]",
		"status=available&account=a2":        "a2/claude a2/gemini-flash",
		"older_than=1h":                      "a1/claude",
		"older_than=3h":                      "",
		"target=*":                           "",
		"at=seq:4":                           "a1/claude a1/gemini-flash a1/gemini-pro a2/claude a2/gemini-flash a2/gemini-pro",
		"at=seq:3&status=available":          "a1/claude a1/gemini-flash a1/gemini-pro",
		"at=seq:1":                           "",
		"status=cooling&at=2026-11-23T09:59:00%2B00:00": "a1/claude",
		"status=suspended&at=2026-11-23T10:59:00Z":      "",
		"at=2020-01-01T00:00:00Z":                       "",
	} {
		page := decode[api.Page[api.CellRow]](b.get("/v1/cells?" + query).want(http.StatusOK))
		var got []string
		for _, r := range page.Items {
			got = append(got, r.Account+"/"+r.Target)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s:\n got %s\nwant %s", query, strings.Join(got, " "), want)
		}
	}
	if page := decode[api.Page[api.CellRow]](b.get("/v1/cells?at=seq:5")); page.AsOfSeq != 5 || !page.Now.Equal(start()) {
		t.Errorf("as of %d, %s", page.AsOfSeq, page.Now)
	}
}

func TestWhyInThePast(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	b.clock.advance(time.Hour)
	b.post("/v1/clear", `{"account":"a1","target":"claude","reason":"it is back"}`).want(http.StatusOK)
	now := decode[api.WhyAnswer](b.get("/v1/why?account=a1&target=claude"))
	if now.Status != "available" || now.Cells[0].Causes[0].Kind != "cooldown_cleared" {
		t.Errorf("%+v", now)
	}
	for _, at := range []string{"seq:5", url.QueryEscape(start().Add(30 * time.Minute).Format(time.RFC3339))} {
		then := decode[api.WhyAnswer](b.get("/v1/why?account=a1&target=claude&at=" + at))
		c := then.Cells[0]
		if then.Status != "cooling" || then.AsOfSeq != 5 || c.Rule != "google/quota_exhausted" || c.Evidence == "" || c.Hint == nil ||
			len(c.Lost) == 0 || c.Lost[0].Lost == "" || c.PolicyVersion != 1 || c.GroupsVersion != 1 || len(c.Ends) != 1 {
			t.Errorf("at %s: %+v", at, then)
		}
	}
	all := decode[api.WhyAnswer](b.get("/v1/why?provider=antigravity&model=claude-opus-4-6(high)&at=seq:5"))
	if all.Target != "claude" || all.CellCount != 2 || all.Cells[0].Account != "a1" || !strings.Contains(all.Sentence, "1 of 2") {
		t.Errorf("%+v", all)
	}
}

func TestRule32AnAccountIsUnavailableOnlyAsAWhole(t *testing.T) {
	b := newBench(t)
	b.pool()
	available := func() bool {
		t.Helper()
		return decode[api.Page[api.AccountRow]](b.get("/v1/accounts?account=a1")).Items[0].Available
	}
	for _, target := range []string{"claude", "gemini-pro"} {
		b.post("/v1/suspend", `{"account":"a1","target":"`+target+`","reason":"r","for":"1h"}`).want(http.StatusOK)
		if !available() {
			t.Errorf("unavailable although not every group is blocked (%s)", target)
		}
	}
	b.post("/v1/suspend", `{"account":"a1","target":"gemini-flash","reason":"r","for":"1h"}`).want(http.StatusOK)
	if available() {
		t.Error("available although every group is blocked")
	}
	b.clock.advance(time.Hour)
	if !available() {
		t.Error("unavailable at the very instant of the end")
	}
	b.post("/v1/suspend", `{"account":"a1","reason":"r","for":"1h"}`).want(http.StatusOK)
	if available() {
		t.Error("available although everything is blocked")
	}
}

func TestSummaryShowsWhatMayBeForgotten(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.post("/v1/suspend", `{"account":"a1","reason":"until I am back","forever":true}`).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"a2","target":"claude","reason":"r","for":"3d"}`).want(http.StatusOK)
	b.clock.advance(24 * time.Hour)
	if s := decode[api.SummaryAnswer](b.get("/v1/summary")); s.ByHandCount != 0 {
		t.Errorf("after 24 h: %+v", s.ByHand)
	}
	b.clock.advance(time.Minute)
	s := decode[api.SummaryAnswer](b.get("/v1/summary"))
	if s.ByHandCount != 1 || s.ByHand[0].Account != "a1" || s.ByHand[0].By != "operator:admin" {
		t.Errorf("%+v", s.ByHand)
	}
	claude := s.Groups[0]
	if claude.Group != "claude" || claude.Usable != 0 || claude.Suspended != 2 || !claude.FirstBack.Equal(start().Add(72*time.Hour)) {
		t.Errorf("%+v", claude)
	}
}

func TestDryRunsChangeNothing(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	n := len(b.records())
	for path, body := range map[string]string{
		"/v1/suspend": `{"provider":"antigravity","reason":"r","forever":true,"dry_run":true}`,
		"/v1/clear":   `{"account":"a1","dry_run":true}`,
		"/v1/recheck": `{"account":"a1","dry_run":true}`,
	} {
		a := decode[api.ActionAnswer](b.post(path, body).want(http.StatusOK))
		if !a.DryRun || len(a.Cells) == 0 || len(a.Usable) == 0 || a.Seq != nil {
			t.Errorf("%s: %+v", path, a)
		}
	}
	for _, put := range []request{
		{path: "/v1/groups?dry_run=true", body: `{"groups":[{"id":"claude","patterns":["opus*"]}]}`},
		{path: "/v1/groups", body: `{"groups":[{"id":"claude","patterns":["opus*"]}],"dry_run":true}`},
	} {
		a := decode[api.GroupsAnswer](b.put(put.path, put.body).want(http.StatusOK))
		if !a.Change.DryRun || a.Version != 2 || a.Change.Version != 2 || len(a.Change.Models) != 1 || a.Change.Models[0].From != "claude" {
			t.Errorf("%+v", a.Change)
		}
	}
	for _, path := range []string{"/v1/policy?dry_run=true"} {
		a := decode[api.PolicyAnswer](b.put(path, `{"capacity":"none"}`).want(http.StatusOK))
		if !a.Change.DryRun || a.Version != 2 {
			t.Errorf("%+v", a)
		}
	}
	if len(b.records()) != n {
		t.Error("a dry run appended records")
	}
}

func TestCommandsThatChangeNothingSaySo(t *testing.T) {
	b := newBench(t)
	b.pool()
	n := len(b.records())
	for _, q := range []request{
		{method: http.MethodPut, path: "/v1/accounts/a1", body: `{"provider":"antigravity"}`},
		{method: http.MethodPatch, path: "/v1/accounts/a1", body: `{"disabled":false}`},
		{method: http.MethodPost, path: "/v1/clear", body: `{"account":"a1"}`},
		{method: http.MethodPut, path: "/v1/groups", body: `{}`},
		{method: http.MethodPut, path: "/v1/policy", body: `{}`},
	} {
		if a := b.do(q).want(http.StatusOK); !strings.Contains(a.body, `"unchanged":"`) {
			t.Errorf("%s %s: %s", q.method, q.path, a.body)
		}
	}
	if len(b.records()) != n {
		t.Error("records were appended")
	}
}

// TestPolicyDocumentReadsBack: what is shown as in force, put as the configuration,
// gives the same policy.
func TestPolicyDocumentReadsBack(t *testing.T) {
	b := newBench(t)
	b.put("/v1/policy", `{"auth":{"after":3,"within":"1h"},"payment":"none","providers":{"codex":{"capacity":{"bound":"1m"}},"codex/codex-main":{"rate_limited":"none"}}}`).want(http.StatusOK)
	was := b.engine.State().Policy().Policy
	_, err := b.engine.Execute(t.Context(), projection.Command{
		Origin: events.Origin{Actor: "operator:t", Via: events.ViaGo},
		Do:     &projection.DefinePolicy{Config: api.PolicyDocument(was)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, b.engine.State().Policy().Policy); diff != "" {
		t.Errorf("-was +is:\n%s", diff)
	}
}

// TestEventRowsOfEveryKind: no kind comes without its data or its line of text.
func TestEventRowsOfEveryKind(t *testing.T) {
	log := events.Head{Log: "t", Hash: events.Genesis("t")}
	recs, err := events.Seal(log, eventstest.Epoch(), eventstest.Drafts())
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) != len(events.Kinds()) {
		t.Fatal("not a draft of every kind")
	}
	for _, r := range recs {
		row := api.NewEventRow(r, nil)
		if cmp.Equal(row.Data, api.EventData{}) || row.Text == "" || row.Text == row.Kind || strings.Contains(row.Text, "%!") {
			t.Errorf("%s: %q, %+v", row.Kind, row.Text, row.Data)
		}
	}
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	b.pool()
	backend := b.backend()
	var damage error
	backend.Verify = func(context.Context) (events.Head, error) { return b.engine.State().Head(), damage }
	b.server.Ready(backend)
	head := decode[api.HeadAnswer](b.get("/v1/head"))
	other := strings.Repeat("0", 64)
	for query, ok := range map[string]bool{
		"":                      true,
		"?head=4:" + head.Hash:  true,
		"?head=4:" + other:      false,
		"?head=3:" + head.Hash:  false,
		"?head=99:" + head.Hash: false,
	} {
		a := decode[api.VerifyAnswer](b.get("/v1/verify" + query).want(http.StatusOK))
		if a.OK != ok || (a.Problem == "") != ok || (a.BadSeq == 0) != ok || a.Head.Seq != 4 {
			t.Errorf("%s: %+v", query, a)
		}
	}
	damage = &events.ChainError{Seq: 2, Problem: "is not what was written"}
	if a := decode[api.VerifyAnswer](b.get("/v1/verify").want(http.StatusOK)); a.OK || a.BadSeq != 2 {
		t.Errorf("%+v", a)
	}
	damage = errors.New("the disk is gone")
	b.get("/v1/verify").problem(http.StatusInternalServerError, "internal")
}

func TestMetricsHaveBoundedLabels(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.get("/v1/cells?target=model:someone")
	b.get("/some/where/else")
	b.do(request{method: "BREW", path: "/v1/cells"})
	text := b.do(request{method: http.MethodGet, path: "/metrics", as: "read"}).want(http.StatusOK).body
	for _, want := range []string{
		`abeyance_http_requests_total{code="200",route="GET /v1/cells"} 1`,
		`abeyance_http_requests_total{code="404",route="none"} 1`,
		`abeyance_http_requests_total{code="405",route="none"} 1`,
		`abeyance_usable_accounts{group="claude",provider="antigravity"} 2`,
		"abeyance_log_seq 4", "abeyance_append_seconds_count", `abeyance_observations_total{class="capacity"`, `abeyance_cells{status="cooling"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(text, "someone") || strings.Contains(text, "/some/") || strings.Contains(text, "BREW") {
		t.Error("a label holds what a client sent")
	}
}
