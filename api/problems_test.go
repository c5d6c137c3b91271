package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

func TestEveryCodeHasOneStatus(t *testing.T) {
	seen := map[api.Code]bool{}
	for _, c := range api.Codes() {
		if seen[c] {
			t.Errorf("%s is listed twice", c)
		}
		seen[c] = true
		if (c.Status() == http.StatusInternalServerError) != (c == api.CodeInternal) {
			t.Errorf("%s has the status %d", c, c.Status())
		}
	}
	for code, status := range map[api.Code]int{
		"invalid": 422, "empty_filter": 400, "unknown_account": 404, "unknown_target": 404, "wrong_verb": 409, "account_removed": 409,
		"provider_mismatch": 422, "idempotency_key_reused": 409, "manual_suspension_live": 409, "pool_full": 409,
		"model_cells_full": 409, "definition_too_large": 413, "invalid_groups": 422, "invalid_policy": 422, "no_accounts": 404,
		"all_excluded": 503, "all_disabled": 503, "all_suspended": 503, "all_held": 503, "all_cooling": 429,
		"invalid_body": 400, "unknown_parameter": 400, "invalid_page_token": 400, "at_in_future": 400, "unauthorized": 401,
		"forbidden_scope": 403, "cross_origin": 403, "misdirected_request": 421, "too_many_wrong_tokens": 429, "too_many_changes": 429, "not_found": 404, "unknown_event": 404, "unknown_token": 404,
		"method_not_allowed": 405, "request_timeout": 408, "token_exists": 409, "last_admin_token": 409, "body_too_large": 413,
		"unsupported_media_type": 415, "invalid_import": 422, "log_not_empty": 409, "whole_account": 409, "owned_by_file": 409, "invalid_config": 422, "internal": 500, "not_available": 501, "starting": 503, "busy": 503, "disk_full": 503, "stopped": 503,
		"outcome_unknown": 503, "canceled": 503,
	} {
		if code.Status() != status {
			t.Errorf("%s: status %d, want %d", code, code.Status(), status)
		}
		if !seen[code] {
			t.Errorf("%s is not listed", code)
		}
		delete(seen, code)
	}
	for code := range seen {
		t.Errorf("%s is not tested", code)
	}
}

// TestProblemsOverHTTP reaches the codes that a client can cause.
func TestProblemsOverHTTP(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.put("/v1/accounts/gone", `{"provider":"antigravity"}`).want(http.StatusOK)
	b.do(request{method: http.MethodDelete, path: "/v1/accounts/gone"}).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"a2","reason":"r","forever":true}`).want(http.StatusOK)
	key := map[string]string{"Idempotency-Key": "k1"}
	b.do(request{method: http.MethodPost, path: "/v1/suspend", body: `{"account":"a1","target":"claude","reason":"r","for":"1h"}`, header: key}).want(http.StatusOK)
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		q      request
		status int
		code   string
	}{
		{request{method: "POST", path: "/v1/clear", body: `{}`}, 400, "empty_filter"},
		{request{method: "POST", path: "/v1/clear", body: `{"dry_run":true}`}, 400, "empty_filter"},
		{request{method: "POST", path: "/v1/clear", body: `{"account":"nobody"}`}, 404, "unknown_account"},
		{request{method: "POST", path: "/v1/clear", body: `{"target":"nothing"}`}, 404, "unknown_target"},
		{request{method: "POST", path: "/v1/clear", body: `{"account":"a2"}`}, 409, "wrong_verb"},
		{request{method: "POST", path: "/v1/clear", body: `{"class":"sad"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/suspend", body: `{"account":"a1","forever":true}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/suspend", body: `{"account":"a1","reason":"r"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/suspend", body: `{"account":"a1","reason":"r","for":"2d","forever":true}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/suspend", body: `{"account":"a1","reason":"r","for":"a while"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/suspend", body: `{"account":"a1","reason":"r","until":"2020-01-01T00:00:00Z"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/lift", body: `{"account":"a1"}`, header: key}, 409, "idempotency_key_reused"},
		{request{method: "POST", path: "/v1/pick", body: `{"model":"m"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/pick", body: `{"provider":"antigravity","model":"m","candidates":[""]}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/pick", body: `{"provider":"antigravity","model":"m","exclude":["` + strings.Repeat(`x","`, 256) + `x"]}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/pick", body: `{"provider":"antigravity","model":"m","strategy":"random"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/pick", body: `{"provider":"antigravity","model":"m","session":"` + long + `"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/recheck", body: `{"dry_run":true}`}, 400, "empty_filter"},
		{request{method: "POST", path: "/v1/recheck", body: `{"account":"nobody"}`}, 404, "unknown_account"},
		{request{method: "POST", path: "/v1/recheck", body: `{"account":"a2"}`}, 409, "wrong_verb"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"a1","provider":"antigravity","status":429,"lease":"1.p0"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"a1","provider":"codex","status":429}`}, 422, "provider_mismatch"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"gone","provider":"antigravity","status":429,"lease":"1"}`}, 409, "account_removed"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"a1","provider":"antigravity","status":429,"lease":"x"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"a1","provider":"antigravity","status":429,"lease":"999"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"a1","provider":"antigravity","status":1000}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"a1","provider":"antigravity","status":429,"operation":"dance"}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/reports", body: `{"account":"` + long + `","provider":"antigravity","status":429}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/reports", body: `{"provider":"antigravity","status":429}`}, 422, "invalid"},
		{request{method: "PUT", path: "/v1/accounts/a1", body: `{"provider":"codex"}`}, 422, "provider_mismatch"},
		{request{method: "PUT", path: "/v1/accounts/b1", body: `{}`}, 422, "invalid"},
		{request{method: "PUT", path: "/v1/accounts/b1", body: `{"provider":"codex","weight":17}`}, 422, "invalid"},
		{request{method: "PUT", path: "/v1/accounts/" + long, body: `{"provider":"codex"}`}, 422, "invalid"},
		{request{method: "PUT", path: "/v1/accounts/" + long + "@x", body: `{"provider":"codex"}`}, 422, "invalid"},
		{request{method: "PATCH", path: "/v1/accounts/nobody", body: `{"disabled":true}`}, 404, "unknown_account"},
		{request{method: "DELETE", path: "/v1/accounts/nobody"}, 404, "unknown_account"},
		{request{method: "DELETE", path: "/v1/accounts/a2"}, 409, "manual_suspension_live"},
		{request{method: "PUT", path: "/v1/groups", body: `{"bootstrap":"none"}`}, 409, "manual_suspension_live"},
		{request{method: "PUT", path: "/v1/groups", body: `{"groups":[{"id":"new"}]}`}, 422, "invalid_groups"},
		{request{method: "PUT", path: "/v1/policy", body: `{"auth":{"after":-1}}`}, 422, "invalid"},
		{request{method: "PUT", path: "/v1/policy", body: `{"auth":{"after":2,"within":"0"}}`}, 422, "invalid_policy"},
		{request{method: "GET", path: "/v1/cells?at=2030-01-01T00:00:00Z"}, 400, "at_in_future"},
		{request{method: "GET", path: "/v1/why?account=a1&at=seq:9999"}, 400, "at_in_future"},
		{request{method: "GET", path: "/v1/why?account=nobody"}, 404, "unknown_account"},
		{request{method: "GET", path: "/v1/events/9999"}, 404, "unknown_event"},
		{request{method: "GET", path: "/v1/events?page_token=x"}, 400, "invalid_page_token"},
		{request{method: "GET", path: "/v1/verify"}, 501, "not_available"},
		{request{method: "POST", path: "/v1/tokens", body: `{"name":"read","scopes":["read"]}`}, 409, "token_exists"},
		{request{method: "POST", path: "/v1/tokens", body: `{"name":"A","scopes":["read"]}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/tokens", body: `{"name":"x","scopes":[]}`}, 422, "invalid"},
		{request{method: "POST", path: "/v1/tokens", body: `{"name":"x","scopes":["root"]}`}, 422, "invalid"},
		{request{method: "DELETE", path: "/v1/tokens/nobody"}, 404, "unknown_token"},
		{request{method: "DELETE", path: "/v1/tokens/admin"}, 409, "last_admin_token"},
		{request{method: "GET", path: "/v1/accounts/a1"}, 405, "method_not_allowed"},
		{request{method: "GET", path: "/v2/cells"}, 404, "not_found"},
	} {
		before := len(b.records())
		a := b.do(c.q)
		if a.status != c.status {
			t.Errorf("%s %s %s: status %d, want %d: %s", c.q.method, c.q.path, c.q.body, a.status, c.status, a.body)
			continue
		}
		a.problem(c.status, c.code)
		if n := len(b.records()); n != before {
			t.Errorf("%s %s: a refused request appended %d records", c.q.method, c.q.path, n-before)
		}
	}
}

// TestProblemsOfTheEngine covers errors that HTTP cannot be made to cause.
func TestProblemsOfTheEngine(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		err   error
		code  api.Code
		retry string
	}{
		{projection.ErrBusy, api.CodeBusy, "1"},
		{fmt.Errorf("x: %w", projection.ErrStopped), api.CodeStopped, ""},
		{events.ErrClosed, api.CodeStopped, ""},
		{fmt.Errorf("x: %w", events.ErrFull), api.CodeDiskFull, "1"},
		{&projection.UnknownOutcomeError{Err: projection.ErrStopped}, api.CodeUnknownOutcome, ""},
		{&projection.Error{Code: projection.CodePoolFull, Message: "full"}, "pool_full", ""},
		{&projection.Error{Code: projection.CodeModelCellsFull, Message: "full"}, "model_cells_full", ""},
		{&projection.Error{Code: projection.CodeTooLarge, Message: "large"}, "definition_too_large", ""},
		{router.ErrRequest, "invalid", ""},
	} {
		p := b.server.ProblemOf(c.err)
		if p == nil || p.Code != c.code || p.GetHeaders().Get("Retry-After") != c.retry {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
	if p := b.server.ProblemOf(errors.New("disk on fire")); p != nil {
		t.Errorf("%+v", p)
	}
	many := &projection.Error{Code: projection.CodeSuspensionLive, Message: "many", Cells: slices.Repeat([]events.Cell{{Account: "a", Target: "*"}}, 500)}
	if p := b.server.ProblemOf(many); len(p.Cells) != 100 {
		t.Errorf("%d cells in a problem", len(p.Cells))
	}
}

// TestInternalFaultsAreNotShown breaks the log behind the engine.
func TestInternalFaultsAreNotShown(t *testing.T) {
	b := newBench(t)
	backend := b.backend()
	backend.Bytes = func() int64 { panic("secret " + strconv.Itoa(42)) }
	b.server.Ready(backend)
	a := b.get("/v1/head")
	if p := a.problem(http.StatusInternalServerError, "internal"); strings.Contains(p.Detail, "secret") {
		t.Errorf("%q", p.Detail)
	}
	if !strings.Contains(b.logs.String(), "secret 42") {
		t.Error("the panic is not logged")
	}
}
