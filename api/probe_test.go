package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

const askClaude = `{"provider":"antigravity","model":"claude-opus-4-6"}`

// served is the report of a served request with a lease.
func served(account, lease string) string {
	return fmt.Sprintf(`{"account":%q,"provider":"antigravity","model":"claude-opus-4-6","status":200,"lease":%q}`, account, lease)
}

// claude is the row of the group in the summary.
func (b *bench) claude() api.GroupSummary {
	b.t.Helper()
	return decode[api.SummaryAnswer](b.get("/v1/summary").want(http.StatusOK)).Groups[0]
}

// nextProbe is when claude on an account is probed, from the start of the test; -1: no
// probe is planned.
func (b *bench) nextProbe(query string) time.Duration {
	b.t.Helper()
	page := decode[api.Page[api.CellRow]](b.get("/v1/cells?target=claude&" + query).want(http.StatusOK))
	if len(page.Items) != 1 || page.Items[0].Cooling == nil {
		b.t.Fatalf("%s: %+v", query, page.Items)
	}
	return sinceStart(page.Items[0].Cooling.NextProbeAt)
}

func sinceStart(t api.Time) time.Duration {
	if t.IsZero() {
		return -1
	}
	return t.Sub(start())
}

// A pool all of which cools lets one request through when its time has come; what that
// finds decides.
func TestRule23OneProbeOverHTTP(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	b.clock.advance(time.Minute)
	b.report(limited("a2", "claude-opus-4-6"))

	blocked := b.post("/v1/pick", askClaude)
	p := decode[api.Blocked](blocked.want(http.StatusTooManyRequests))
	if sinceStart(p.NextProbe) != 5*time.Minute || blocked.header.Get("Retry-After") != "240" {
		t.Errorf("blocked until %s, Retry-After %s", p.NextProbe, blocked.header.Get("Retry-After"))
	}
	b.clock.advance(4 * time.Minute)
	first := b.pick(askClaude)
	if first.Account != "a1" || !first.Probe || !strings.HasSuffix(first.Lease, ".p1") {
		t.Fatalf("the probe is %+v", first)
	}
	b.post("/v1/pick", askClaude).want(http.StatusTooManyRequests)
	spent := b.report(strings.Replace(limited("a1", "claude-opus-4-6"), "{", `{"lease":"`+first.Lease+`",`, 1))
	if spent.Effect != "extended" && spent.Effect != "kept" {
		t.Errorf("a probe that finds the quota spent is answered %+v", spent)
	}
	recs := b.records()
	if e, ok := recs[len(recs)-1].Event.(*events.LimitObserved); !ok || !e.Probe {
		t.Errorf("the record does not say that it was a probe: %+v", recs[len(recs)-1].Event)
	}

	b.clock.advance(time.Minute)
	second := b.pick(askClaude)
	if second.Account != "a2" || !second.Probe {
		t.Fatalf("the second probe is %+v", second)
	}
	if r := b.report(served("a2", second.Lease)); r.Effect != "recovered" || r.Target != "claude" {
		t.Errorf("a probe that is served is answered %+v", r)
	}
	if got := b.pick(askClaude); got.Account != "a2" || got.Probe {
		t.Errorf("after it the pick is %+v", got)
	}
}

// A report frees the claim of its probe, whatever came of the request.
func TestRule23AReportWithoutAnswerFreesTheProbe(t *testing.T) {
	b := newBench(t)
	b.put("/v1/accounts/a1", `{"provider":"antigravity"}`).want(http.StatusOK)
	b.report(limited("a1", "claude-opus-4-6"))
	b.post("/v1/recheck", `{"account":"a1"}`).want(http.StatusOK)
	probe := b.pick(askClaude)
	b.report(fmt.Sprintf(`{"account":"a1","provider":"antigravity","model":"claude-opus-4-6","status":0,"lease":%q}`, probe.Lease))
	b.clock.advance(30 * time.Second) // the spacing; a claim that is not freed lasts two minutes
	if again := b.pick(askClaude); !probe.Probe || !again.Probe || again.Lease == probe.Lease {
		t.Errorf("%+v, then %+v", probe, again)
	}
}

func TestRule23NextProbeIsShown(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	if at := b.nextProbe("account=a1"); at != time.Hour || sinceStart(b.claude().NextProbe) != time.Hour {
		t.Errorf("while a2 can serve: %s, %+v", at, b.claude())
	}
	b.clock.advance(time.Minute)
	b.report(limited("a2", "claude-opus-4-6"))
	if a1, a2 := b.nextProbe("account=a1"), b.nextProbe("account=a2"); a1 != 5*time.Minute || a2 != 6*time.Minute {
		t.Errorf("while nobody can: %s and %s", a1, a2)
	}
	if c := b.claude(); c.Usable != 0 || sinceStart(c.NextProbe) != 5*time.Minute {
		t.Errorf("the summary has %+v", c)
	}
	past := "account=a1&at=" + url.QueryEscape(start().Add(30*time.Second).Format(time.RFC3339))
	if at := b.nextProbe(past); at != time.Hour {
		t.Errorf("before a2 was frozen: %s", at)
	}
	b.put("/v1/policy", `{"probe":{"mode":"off"}}`).want(http.StatusOK)
	if at, c := b.nextProbe("account=a1"), b.claude(); at != -1 || !c.NextProbe.IsZero() {
		t.Errorf("with probes off: %s, %+v", at, c)
	}
	a := decode[api.Blocked](b.post("/v1/pick", askClaude).want(http.StatusTooManyRequests))
	if !a.NextProbe.IsZero() {
		t.Errorf("with probes off a blocked pick names %s", a.NextProbe)
	}
	if w := decode[api.WhyAnswer](b.get("/v1/why?account=a1&target=claude")); !w.Cells[0].Ends[0].NextProbeAt.IsZero() ||
		strings.Contains(w.Cells[0].Ends[0].How, "probe") {
		t.Errorf("with probes off: %+v", w.Cells[0].Ends)
	}
}

func TestRule25RecheckIsAskedForOnce(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	q := request{
		method: http.MethodPost, path: "/v1/recheck", as: "operate", body: `{"provider":"antigravity","reason":"r","on_behalf_of":"mira"}`,
		header: map[string]string{"Idempotency-Key": "k1"},
	}
	first := decode[api.ActionAnswer](b.do(q).want(http.StatusOK))
	again := decode[api.ActionAnswer](b.do(q).want(http.StatusOK))
	if first.Seq == nil || len(first.Cells) != 1 || !again.Repeated || *again.Seq != *first.Seq || len(again.Cells) != 1 {
		t.Errorf("%+v, then %+v", first, again)
	}
	row := decode[api.EventRow](b.get(fmt.Sprintf("/v1/events/%d", *first.Seq)))
	if row.Kind != "recheck_requested" || row.Actor != "operator:operate" || row.OnBehalfOf != "mira" || row.Data.Reason != "r" {
		t.Errorf("%+v", row)
	}
}

func TestRule30StrategiesOverHTTP(t *testing.T) {
	b := newBench(t)
	for i := range 6 {
		b.put(fmt.Sprintf("/v1/accounts/a%d", i), `{"provider":"kimi"}`).want(http.StatusOK)
	}
	picks := func(members string) string {
		t.Helper()
		var got []string
		for range 4 {
			got = append(got, b.pick(`{"provider":"kimi","model":"kimi-k3"`+members+`}`).Account)
		}
		return strings.Join(got, " ")
	}
	if got := picks(""); got != "a0 a1 a2 a3" {
		t.Errorf("without a strategy: %s", got)
	}
	if got := picks(`,"strategy":"fill-first"`); got != "a0 a0 a0 a0" {
		t.Errorf("fill-first: %s", got)
	}
	bound := map[string]bool{}
	for i := range 20 {
		got := picks(fmt.Sprintf(`,"strategy":"sticky","session":"s%d"`, i))
		bound[got] = true
		if account := got[:2]; got != strings.Join([]string{account, account, account, account}, " ") {
			t.Errorf("a session is served by %s", got)
		}
	}
	if len(bound) < 2 {
		t.Errorf("all sessions are served by %v", bound)
	}
	p := b.post("/v1/pick", `{"provider":"kimi","model":"kimi-k3","strategy":"random"}`).problem(http.StatusUnprocessableEntity, "invalid")
	if !strings.Contains(p.Detail, "round-robin, weighted, fill-first, sticky") {
		t.Errorf("the strategies are not listed: %s", p.Detail)
	}
}

// A log that cannot be written: limits are known for minutes to this process alone,
// and every answer says so.
func TestRule05DegradedOverHTTP(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.report(limited("a1", "claude-opus-4-6"))
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	b.post("/v1/reports", limited("a2", "gemini-3-flash")).problem(http.StatusServiceUnavailable, "outcome_unknown")
	<-b.engine.Done()
	b.post("/v1/reports", limited("a2", "claude-opus-4-6")).problem(http.StatusServiceUnavailable, "stopped")
	p := decode[api.Blocked](b.post("/v1/pick", askClaude).want(http.StatusTooManyRequests))
	if len(p.Reasons) != 2 || p.Reasons[0].Volatile || !p.Reasons[1].Volatile || sinceStart(p.Reasons[1].Until) != 5*time.Minute ||
		!p.NextProbe.IsZero() {
		t.Errorf("%+v", p)
	}
	if got := b.pick(`{"provider":"antigravity","model":"gemini-3-flash"}`); got.Account != "a1" || !got.Degraded {
		t.Errorf("%+v", got)
	}
	if at, c := b.nextProbe("account=a1"), b.claude(); at != -1 || !c.NextProbe.IsZero() {
		t.Errorf("probes are planned: %s, %+v", at, c)
	}
	if doc := b.get("/metrics").body; !strings.Contains(doc, "\nabeyance_degraded 1\n") {
		t.Error("the metrics do not say that the engine is degraded")
	}
	b.clock.advance(5 * time.Minute)
	if got := b.pick(askClaude); got.Account != "a2" {
		t.Errorf("after five minutes the pick is %+v", got)
	}
}

// fullDisk is a log on a disk that may be full.
type fullDisk struct {
	events.Log
	full atomic.Bool
}

func (l *fullDisk) Append(ctx context.Context, recs []events.Record) error {
	if l.full.Load() {
		return fmt.Errorf("writing: %w", events.ErrFull)
	}
	return l.Log.Append(ctx, recs)
}

// A full disk rejects what cannot be stored, says so everywhere, and is over once
// there is room.
func TestRule05AFullDiskOverHTTP(t *testing.T) {
	disk := new(fullDisk)
	b := newBench(t, tune{log: func(l events.Log) events.Log {
		disk.Log = l
		return disk
	}})
	b.pool()
	disk.full.Store(true)
	rejected := b.post("/v1/reports", limited("a1", "claude-opus-4-6"))
	rejected.problem(http.StatusServiceUnavailable, "disk_full")
	if after := rejected.header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
	if got := b.pick(askClaude); got.Account != "a2" || !got.Degraded {
		t.Errorf("on a full disk the pick is %+v", got)
	}
	if !decode[api.SummaryAnswer](b.get("/v1/summary")).Degraded {
		t.Error("the summary does not say it")
	}
	b.get("/readyz").want(http.StatusOK)
	disk.full.Store(false)
	b.report(limited("a1", "claude-opus-4-6"))
	if got := b.pick(askClaude); got.Degraded || decode[api.SummaryAnswer](b.get("/v1/summary")).Degraded {
		t.Errorf("with room again the pick is %+v", got)
	}
}
