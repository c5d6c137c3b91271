package router

import (
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router/signal"
)

// spent is an answer as Antigravity sends it when a quota is spent.
func spent() signal.Observation {
	return signal.Observation{Status: 429, Body: []byte(`{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
		{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetDelay": "71h15m27.79s"}},
		{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "256527.79s"}]}}`)}
}

func (p *pool) report(l Lease, o signal.Observation) Outcome {
	p.Helper()
	out, err := p.Report(p.Context(), l, o)
	if err != nil {
		p.Fatalf("Report: %v", err)
	}
	return out
}

func (p *pool) lease(q Request) Lease {
	p.Helper()
	q.Provider = provider
	l, err := p.Pick(q)
	if err != nil {
		p.Fatalf("Pick: %v", err)
	}
	return l
}

func TestRule01ReportThenPick(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	l := p.lease(Request{Model: opus})
	out := p.report(l, spent())
	until := out.Until.Sub(p.now()).Hours()
	if out.Class != events.ClassQuotaExhausted || out.Target != "claude" || out.Effect != events.EffectStarted || until < 71.2 || until > 71.3 {
		t.Errorf("outcome %+v, until in %v h", out.ReportResult, until)
	}
	p.wants(p.round(2, Request{Model: sonnet}), "a002", "a002")
	p.wants(p.round(2, Request{Model: flash}), "a001", "a002")
	r, err := p.engine.Record(t.Context(), out.Seq)
	if err != nil {
		t.Fatal(err)
	}
	e := r.Event.(*events.LimitObserved)
	if r.Actor != "proxy:embedded" || r.Via != events.ViaGo || e.Lease != l.Seq || e.Model != opus || e.Evidence == "" {
		t.Errorf("the record is by %q via %q: %+v", r.Actor, r.Via, e)
	}
}

func TestRule19SuccessByLease(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	before := p.lease(Request{Model: opus})
	p.report(before, spent())
	head := p.engine.State().Head()
	if out := p.report(before, signal.Observation{Status: 200}); out.Effect != events.EffectNone || out.Why != events.WhyOlderSuccess {
		t.Errorf("a success of an older lease: %s %q", out.Effect, out.Why)
	}
	after := before
	after.Seq = head.Seq
	if out := p.report(after, signal.Observation{Status: 200}); out.Effect != events.EffectRecovered || out.Target != "claude" {
		t.Errorf("a success of a newer lease: %s %q", out.Effect, out.Why)
	}
	p.wants(p.round(1, Request{Model: opus}), "a001")
}

// A success where nothing blocks is never queued: it is answered although the
// engine takes no commands any more.
func TestRule19SuccessIsNotQueued(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	l := p.lease(Request{Model: opus})
	p.engine.Close()
	out := p.report(l, signal.Observation{Status: 200})
	if out.Effect != events.EffectNone || out.Why != events.WhyNothingBlocked || out.Advice.Action != projection.ActionStop || out.Seq != 0 {
		t.Errorf("outcome %+v", out.ReportResult)
	}
	if _, err := p.Report(t.Context(), l, spent()); err == nil {
		t.Error("a limit is acknowledged without a writer")
	}
}

func TestRule20RepeatedReports(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	limit := spent()
	limit.RequestID = "r1"
	l := p.lease(Request{Model: opus})
	first := p.report(l, limit)
	again := p.report(l, limit)
	if again.Seq != first.Seq || !again.Repeated || again.Effect != first.Effect || !again.Until.Equal(first.Until) {
		t.Errorf("the repeat is answered %+v, want %+v", again, first)
	}
	other := l
	other.Account = "a002" // a retry elsewhere keeps its id and is another observation
	if out := p.report(other, limit); out.Repeated || out.Effect != events.EffectStarted {
		t.Errorf("the retry is answered %+v", out)
	}
	// A success that ended a block is answered the same when nothing blocks any more.
	served := signal.Observation{Status: 200, RequestID: "r2"}
	l.Seq = p.engine.State().Head().Seq
	ended := p.report(l, served)
	if ended.Effect != events.EffectRecovered {
		t.Fatalf("outcome %+v", ended)
	}
	if again := p.report(l, served); !again.Repeated || again.Class != events.ClassOK || again.Effect != events.EffectRecovered || again.Seq != ended.Seq {
		t.Errorf("the repeat is answered %+v, want %+v", again, ended)
	}
}

func TestRule20AKeyOfAnotherCommand(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	origin := events.Origin{Actor: "proxy:p", Via: events.ViaHTTP, IdempotencyKey: "k"}
	if _, err := p.engine.Execute(t.Context(), projection.Command{Origin: origin, Do: &projection.PatchAccount{ID: "a001", Priority: new(1)}}); err != nil {
		t.Fatal(err)
	}
	_, err := p.As(origin).Report(t.Context(), Lease{Account: "a001", Provider: provider, Model: opus}, spent())
	if e, ok := err.(*projection.Error); !ok || e.Code != projection.CodeKeyReused {
		t.Errorf("error %v, want %s", err, projection.CodeKeyReused)
	}
}

func TestReportDefaultsToItsLease(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	o := spent()
	o.Model = flash // what the proxy really asked for
	if out := p.report(p.lease(Request{Model: opus}), o); out.Target != "gemini-flash" {
		t.Errorf("target %q, want that of the observation", out.Target)
	}
	_, err := p.Report(t.Context(), Lease{Account: "a001", Provider: "codex", Model: opus}, spent())
	if e, ok := err.(*projection.Error); !ok || e.Code != projection.CodeProviderMismatch {
		t.Errorf("error %v, want %s", err, projection.CodeProviderMismatch)
	}
}

func TestClassifyRecordsNothing(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	limit := spent()
	limit.RequestID = "r1"
	l := Lease{Account: "a001", Provider: provider, Model: opus}
	head := p.engine.State().Head()
	would, err := p.Classify(l, limit)
	if err != nil || would.Effect != events.EffectStarted || p.engine.State().Head() != head {
		t.Errorf("outcome %+v, %v", would, err)
	}
	did := p.report(l, limit)
	if !did.Until.Equal(would.Until) || did.Target != would.Target {
		t.Errorf("the report did %+v, classified %+v", did.ReportResult, would.ReportResult)
	}
	// Asking again about a request that was reported says what it would mean now.
	now, err := p.Classify(l, limit)
	if err != nil || now.Repeated || now.Effect != events.EffectKept {
		t.Errorf("outcome %+v, %v", now, err)
	}
	l.Account = ""
	if out, err := p.Classify(l, limit); err != nil || out.Effect != events.EffectStarted {
		t.Errorf("without an account: %+v, %v", out, err)
	}
}

func TestRule15ExamplesOfTheIssue(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	l := p.lease(Request{Model: opus})
	head := p.engine.State().Head()
	out := p.report(l, signal.Observation{Status: 404, Operation: events.OpCountTokens, Body: []byte(`{"error": {"code": 404, "status": "NOT_FOUND"}}`)})
	if out.Effect != events.EffectNone || p.engine.State().Head() != head {
		t.Errorf("a count_tokens 404: %+v", out.ReportResult)
	}
	out = p.report(l, signal.Observation{Status: 503, Body: []byte(`{"error": {"code": 503, "message": "No capacity available", "status": "UNAVAILABLE"}}`)})
	if out.Target != "model:"+opus || out.Until.Sub(p.now()) > 5*time.Minute || out.Effect != events.EffectStarted {
		t.Errorf("a shortage: %+v", out.ReportResult)
	}
	p.wants(p.round(2, Request{Model: sonnet}), "a002", "a001")
	out = p.report(l, signal.Observation{Status: 403, Body: []byte(`{"error": {"code": 403, "message": "Gemini has been disabled in this account for violation of Terms of Service.", "status": "PERMISSION_DENIED"}}`)})
	if out.Effect != events.EffectHeld || out.Target != "*" || out.Advice.Action != projection.ActionHuman {
		t.Errorf("a ban: %+v", out.ReportResult)
	}
	b := p.blocked(Request{Model: flash, Candidates: []string{"a001"}})
	if b.Code != BlockHeld || b.RetryAfter() != 0 {
		t.Errorf("%s, Retry-After %s; want all_held without one", b.Code, b.RetryAfter())
	}
	p.do(&projection.Clear{Filter: projection.Filter{Account: "a001", Target: "*"}})
	p.wants(p.round(1, Request{Model: flash, Candidates: []string{"a001"}}), "a001")
}

func TestRule35ReportsStorePseudonyms(t *testing.T) {
	book := identity.New()
	p := newPool(t, setup{ids: book})
	l := Lease{Account: "bob@example.com", Provider: provider, Model: opus}
	p.report(l, signal.Observation{Status: 200})
	if got := book.Given(book.Stored(l.Account)); got == l.Account {
		t.Error("a success that records nothing makes an identity")
	}
	out := p.report(l, spent())
	r, err := p.engine.Record(t.Context(), out.Seq)
	if err != nil || r.Account != book.Stored(l.Account) || book.Given(r.Account) != l.Account {
		t.Errorf("recorded under %q, %v", r.Account, err)
	}
	p.wants(p.round(1, Request{Model: opus, Candidates: []string{l.Account}}), "all_cooling")
}

func TestAsKeepsTheTurns(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	first := p.lease(Request{Model: opus})
	other, err := p.As(events.Origin{Actor: "proxy:two", Via: events.ViaHTTP}).Pick(Request{Provider: provider, Model: opus})
	if err != nil || other.Account == first.Account {
		t.Errorf("%+v after %+v, %v", other, first, err)
	}
}
