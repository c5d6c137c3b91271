package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

func (b *bench) pick(body string) api.PickAnswer {
	b.t.Helper()
	return decode[api.PickAnswer](b.post("/v1/pick", body).want(http.StatusOK))
}

func (b *bench) report(body string) api.ReportAnswer {
	b.t.Helper()
	return decode[api.ReportAnswer](b.post("/v1/reports", body).want(http.StatusOK))
}

func TestRule31AMixtureThatComesBackIsCooling(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.post("/v1/suspend", `{"account":"a1","reason":"r","for":"90s"}`).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"a2","reason":"r","forever":true}`).want(http.StatusOK)
	a := b.post("/v1/pick", `{"provider":"antigravity","model":"gemini-3-pro"}`)
	a.want(http.StatusTooManyRequests)
	p := decode[api.Blocked](a)
	if p.Code != "all_cooling" || a.header.Get("Retry-After") != "90" || !p.EarliestEnd.Equal(start().Add(90*time.Second)) ||
		p.Counts.Suspended != 2 || len(p.Reasons) != 2 {
		t.Errorf("Retry-After %q, %+v", a.header.Get("Retry-After"), p)
	}
	b.post("/v1/suspend", `{"account":"a1","reason":"r","forever":true}`).want(http.StatusOK)
	a = b.post("/v1/pick", `{"provider":"antigravity","model":"gemini-3-pro"}`)
	a.want(http.StatusServiceUnavailable)
	if p := decode[api.Blocked](a); p.Code != "all_suspended" || a.header.Get("Retry-After") != "" || !p.EarliestEnd.IsZero() {
		t.Errorf("Retry-After %q, %+v", a.header.Get("Retry-After"), p)
	}
}

func TestRule31AtMost100Reasons(t *testing.T) {
	b := newBench(t)
	for i := range 120 {
		b.put(fmt.Sprintf("/v1/accounts/acc%03d", i), `{"provider":"kimi","disabled":true}`).want(http.StatusOK)
	}
	a := b.post("/v1/pick", `{"provider":"kimi","model":"kimi-k3"}`)
	a.want(http.StatusServiceUnavailable)
	if p := decode[api.Blocked](a); p.Code != "all_disabled" || len(p.Reasons) != 100 || p.Counts.Disabled != 120 {
		t.Errorf("%s, %d reasons, %+v", p.Code, len(p.Reasons), p.Counts)
	}
}

func TestPickOfCandidatesGivenOrStored(t *testing.T) {
	b := newBench(t)
	b.put("/v1/accounts/x%40y.test", `{"provider":"antigravity"}`).want(http.StatusOK)
	b.pool()
	stored := b.book.Stored("x@y.test")
	for _, id := range []string{"x@y.test", stored} {
		if got := b.pick(`{"provider":"antigravity","model":"m","candidates":["` + id + `"]}`).Account; got != "x@y.test" {
			t.Errorf("candidate %s gave %s", id, got)
		}
		if got := b.pick(`{"provider":"antigravity","model":"m","candidates":["x@y.test","a1"],"exclude":["` + id + `"]}`).Account; got != "a1" {
			t.Errorf("without %s: %s", id, got)
		}
	}
	first := b.pick(`{"provider":"antigravity","model":"m","dry_run":true}`)
	if again := b.pick(`{"provider":"antigravity","model":"m"}`); again != first {
		t.Errorf("a dry run took the turn: %+v, then %+v", first, again)
	}
}

func TestRule21ObserveOnlySaysWhatWouldBlock(t *testing.T) {
	b := newBench(t, tune{observe: true})
	b.put("/v1/accounts/a1", `{"provider":"antigravity"}`).want(http.StatusOK)
	if r := b.report(limited("a1", "claude-opus-4-6")); r.Effect != "started" {
		t.Errorf("%+v", r)
	}
	if got := b.pick(`{"provider":"antigravity","model":"claude-opus-4-6"}`); got.Account != "a1" || got.WouldBlock != "cooling" {
		t.Errorf("%+v", got)
	}
	if !decode[api.SummaryAnswer](b.get("/v1/summary")).ObserveOnly {
		t.Error("the summary does not say that the server only observes")
	}
}

func TestRule1AReadAfterAReportSeesIt(t *testing.T) {
	b := newBench(t)
	b.pool()
	r := b.report(limited("a1", "claude-opus-4-6"))
	page := decode[api.Page[api.CellRow]](b.get("/v1/cells?account=a1&status=cooling"))
	if r.Seq == nil || page.AsOfSeq < *r.Seq || len(page.Items) != 1 || page.Items[0].Cooling.Seq != *r.Seq {
		t.Errorf("%+v after %+v", page, r)
	}
	lease := b.pick(`{"provider":"antigravity","model":"claude-opus-4-6"}`)
	if lease.Account != "a2" {
		t.Errorf("%+v", lease)
	}
}

func TestRule20AReportIsRepeatedByItsRequestID(t *testing.T) {
	b := newBench(t)
	b.pool()
	body := strings.Replace(limited("a1", "claude-opus-4-6"), "{", `{"request_id":"r-1",`, 1)
	first, n := b.report(body), len(b.records())
	again := b.report(body)
	if !again.Repeated || *again.Seq != *first.Seq || again.Until != first.Until || len(b.records()) != n {
		t.Errorf("%+v, then %+v", first, again)
	}
	other := b.report(strings.Replace(body, `"a1"`, `"a2"`, 1))
	if other.Repeated || *other.Seq == *first.Seq {
		t.Errorf("another account: %+v", other)
	}
}

func TestReportsRecoverWithTheirLease(t *testing.T) {
	b := newBench(t)
	b.put("/v1/accounts/a1", `{"provider":"antigravity"}`).want(http.StatusOK)
	old := b.pick(`{"provider":"antigravity","model":"claude-opus-4-6"}`).Lease
	b.report(limited("a1", "claude-opus-4-6"))
	ok := func(lease string) api.ReportAnswer {
		return b.report(`{"account":"a1","provider":"antigravity","model":"claude-opus-4-6","status":200,"lease":"` + lease + `"}`)
	}
	if r := ok(old); r.Effect != "none" || r.Why != events.WhyOlderSuccess || r.Seq != nil {
		t.Errorf("a success from before the freeze: %+v", r)
	}
	if r := ok("4"); r.Effect != "recovered" || r.Seq == nil || r.Target != "claude" {
		t.Errorf("a success from after it: %+v", r)
	}
	if r := ok("5"); r.Effect != "none" || r.Why != events.WhyNothingBlocked || r.Seq != nil || r.Advice.Action != "stop" {
		t.Errorf("a success where nothing blocks: %+v", r)
	}
}

func TestRule26TheActorIsTheToken(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.do(request{method: http.MethodPost, path: "/v1/reports", as: "route", body: limited("a1", "claude-opus-4-6")}).want(http.StatusOK)
	for via, want := range map[string]events.Via{"cli": events.ViaCLI, "UI": events.ViaUI, "go": events.ViaHTTP, "": events.ViaHTTP} {
		b.do(request{
			method: http.MethodPost, path: "/v1/suspend", as: "operate", header: map[string]string{"X-Abeyance-Via": via},
			body: `{"account":"a1","reason":"` + via + `.","forever":true,"on_behalf_of":"mira"}`,
		}).want(http.StatusOK)
		recs := b.records()
		r := recs[len(recs)-1]
		if r.Actor != "operator:operate" || r.OnBehalfOf != "mira" || r.Via != want {
			t.Errorf("via %q: %+v", via, r.Origin)
		}
	}
	if r := b.records()[4]; r.Actor != "proxy:route" || r.Kind() != events.KindLimitObserved {
		t.Errorf("%+v", r.Origin)
	}
	b.do(request{method: http.MethodDelete, path: "/v1/accounts/a1?force=true&on_behalf_of=mira"}).want(http.StatusOK)
	recs := b.records()
	if r := recs[len(recs)-1]; r.OnBehalfOf != "mira" {
		t.Errorf("%+v", r.Origin)
	}
}

func TestRule20IdempotencyKeys(t *testing.T) {
	b := newBench(t)
	b.pool()
	do := func(body string) answer {
		return b.do(request{method: http.MethodPost, path: "/v1/suspend", body: body, header: map[string]string{"Idempotency-Key": "k"}})
	}
	body := `{"account":"a1","target":"claude","reason":"r","for":"1h"}`
	first := decode[api.ActionAnswer](do(body).want(http.StatusOK))
	b.post("/v1/lift", `{"account":"a1","target":"claude"}`).want(http.StatusOK)
	n := len(b.records())
	again := decode[api.ActionAnswer](do(body).want(http.StatusOK))
	if !again.Repeated || *again.Seq != *first.Seq || again.CorrelationID != first.CorrelationID || len(again.Cells) != 1 || len(b.records()) != n {
		t.Errorf("%+v, then %+v", first, again)
	}
	do(strings.Replace(body, "1h", "2h", 1)).problem(http.StatusConflict, "idempotency_key_reused")
	put := request{method: http.MethodPut, path: "/v1/accounts/z", body: `{"provider":"kimi"}`, header: map[string]string{"Idempotency-Key": "z"}}
	b.do(put).want(http.StatusOK)
	b.do(request{method: http.MethodDelete, path: "/v1/accounts/z"}).want(http.StatusOK)
	if a := decode[api.AccountAnswer](b.do(put).want(http.StatusOK)); !a.Repeated || a.Account != nil {
		t.Errorf("%+v", a)
	}
}

func TestClassifyAppendsNothing(t *testing.T) {
	b := newBench(t)
	b.pool()
	n := len(b.records())
	body := strings.Replace(limited("stranger@x.test", "claude-opus-4-6"), "{", `{"id":"line 1","request_id":"r","observed_at":"2026-11-23T09:00:00Z",`, 1)
	for range 2 {
		a := decode[api.ClassifyAnswer](b.post("/v1/classify", body).want(http.StatusOK))
		if string(a.ID) != `"line 1"` || a.Class != "quota_exhausted" || *a.RetryAfterSeconds != 256527.79 ||
			!a.ResetAt.Equal(start().Add(256527790*time.Millisecond)) || a.Effect != "started" || a.Target != "claude" || a.Advice.Action != "retry_other" {
			t.Errorf("%+v", a)
		}
	}
	if len(b.records()) != n || b.engine.State().Account(b.book.Stored("stranger@x.test")) != nil {
		t.Error("a question was recorded")
	}
	if b.book.Given(b.book.Stored("stranger@x.test")) == "stranger@x.test" {
		t.Error("the id of a question is remembered")
	}
}

func TestReportBodiesAreCut(t *testing.T) {
	b := newBench(t)
	b.pool()
	long := strings.Replace(limited("a1", "claude-opus-4-6"), `"body":"`, `"body":"`+strings.Repeat(" ", 64<<10), 1)
	if r := b.report(long); r.Class == "quota_exhausted" {
		t.Errorf("what lies beyond 64 KiB was read: %+v", r)
	}
}

// TestRule4ReportsAtOnceAllSurvive reports on every group of two accounts at once,
// while picks and reads go on.
func TestRule4ReportsAtOnceAllSurvive(t *testing.T) {
	b := newBench(t)
	b.pool()
	models := []string{"claude-opus-4-6", "gemini-3-pro", "gemini-3-flash"}
	var wg sync.WaitGroup
	for _, account := range []string{"a1", "a2"} {
		for _, model := range models {
			wg.Go(func() {
				if a := b.post("/v1/reports", limited(account, model)); !strings.Contains(a.body, `"effect":"started"`) {
					t.Errorf("%s %s: %s", account, model, a.body)
				}
			})
			wg.Go(func() {
				b.post("/v1/pick", `{"provider":"antigravity","model":"`+model+`"}`)
				for _, path := range []string{"/v1/cells", "/v1/summary", "/metrics", "/v1/events"} {
					if a := b.get(path); a.status != http.StatusOK {
						t.Errorf("%s: %d", path, a.status)
					}
				}
			})
		}
	}
	wg.Wait()
	if rows := decode[api.Page[api.CellRow]](b.get("/v1/cells?status=cooling")).Items; len(rows) != 6 {
		t.Errorf("%d cells cool, want 6", len(rows))
	}
}

func TestRule27AReportedAccountIsOfferedOnlyByName(t *testing.T) {
	b := newBench(t)
	b.report(limited("stranger", "claude-opus-4-6"))
	recs := b.records()
	if a, l := recs[len(recs)-2], recs[len(recs)-1]; a.Kind() != events.KindAccountAdded || l.Kind() != events.KindLimitObserved || a.CorrelationID != l.CorrelationID {
		t.Errorf("%s, %s", a.Kind(), l.Kind())
	}
	row := decode[api.Page[api.AccountRow]](b.get("/v1/accounts?account=stranger")).Items[0]
	if row.Origin != "observed" {
		t.Errorf("%+v", row)
	}
	b.post("/v1/pick", `{"provider":"antigravity","model":"gemini-3-pro"}`).want(http.StatusNotFound)
	if got := b.pick(`{"provider":"antigravity","model":"gemini-3-pro","candidates":["stranger"]}`).Account; got != "stranger" {
		t.Errorf("named: %s", got)
	}
	b.put("/v1/accounts/stranger", `{"provider":"antigravity"}`).want(http.StatusOK)
	if got := b.pick(`{"provider":"antigravity","model":"gemini-3-pro"}`).Account; got != "stranger" {
		t.Errorf("adopted: %s", got)
	}
}
