package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

func TestOutcomesOfARecheck(t *testing.T) {
	cell := api.CellRef{Account: "a1", Target: "claude"}
	other := api.CellRef{Account: "a2", Target: "claude"}
	row := func(kind string, data api.EventData) api.EventRow {
		return api.EventRow{Seq: 9, Kind: kind, Account: "a1", Actor: "operator:ops", OnBehalfOf: "mira", Data: data}
	}
	limit := func(target, effect string) api.EventRow {
		return row("limit_observed", api.EventData{Target: target, Effect: effect, Until: api.Time{Time: testNow}})
	}
	elsewhere := row("recovered", api.EventData{Target: "claude"})
	elsewhere.Account = "a2"
	for want, rows := range map[string][]api.EventRow{
		"recovered (record 9)":                                 {row("recovered", api.EventData{Target: "claude"})},
		"still spent until 2026-11-23 00:00:00 UTC (record 9)": {limit("claude", "kept"), limit("claude", "extended"), limit("claude", "started")},
		"held until a human acts (record 9)":                   {limit("claude", "held")},
		"expired (record 9)":                                   {row("expired", api.EventData{Dimension: "cooling", Cells: []api.CellRef{other, cell}})},
		"cleared by operator:ops for mira (record 9)":          {row("cooldown_cleared", api.EventData{Target: "claude"})},
		"suspended by operator:ops for mira, and not probed (record 9)": {
			row("suspended", api.EventData{Target: "claude"}), row("suspended", api.EventData{Target: "*"}),
		},
		"taken out of the pool by operator:ops for mira (record 9)": {
			row("account_removed", api.EventData{}), row("account_changed", api.EventData{Spec: &api.EventSpec{Disabled: true}}),
		},
		"": {
			elsewhere, limit("gemini-pro", "kept"), limit("claude", "none"), row("recovered", api.EventData{Target: "gemini-pro"}),
			row("expired", api.EventData{Dimension: "suspended", Cells: []api.CellRef{cell}}),
			row("expired", api.EventData{Dimension: "cooling", Cells: []api.CellRef{other}}),
			row("suspended", api.EventData{Target: "gemini-pro"}), row("lifted", api.EventData{Target: "claude"}),
			row("account_changed", api.EventData{Spec: &api.EventSpec{}}), row("recheck_requested", api.EventData{Target: "claude"}),
		},
	} {
		for _, r := range rows {
			got := outcomeOf(&r, cell)
			if text := got.String(); want == "" && got.Outcome != "" || want != "" && text != want {
				t.Errorf("%s %+v: %s, want %q", r.Kind, r.Data, text, want)
			}
		}
	}
}

// rechecked answers as a daemon does for which the recheck of two cells was record 7.
// The stream after it is what rows yields, and then goes on without a record.
func rechecked(t *testing.T, rows ...api.EventRow) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/recheck":
			cells := []api.CellRef{{Account: "a1", Target: "claude"}, {Account: "a2", Target: "claude"}}
			answer := api.ActionAnswer{Change: api.Change{AsOfSeq: 8, Seq: new(uint64(7)), LastSeq: new(uint64(8))}, Cells: cells}
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				t.Error(err)
			}
		case "/v1/events/stream":
			if r.URL.RawQuery != "after=7" {
				t.Errorf("asked for %s", r.URL.RawQuery)
			}
			streamRows(t, w, rows...)
			<-r.Context().Done()
		default:
			t.Errorf("asked for %s", r.URL)
		}
	}
}

func recovered(seq uint64, account string) api.EventRow {
	return api.EventRow{Seq: seq, Kind: "recovered", Account: account, At: api.Time{Time: testNow}, Data: api.EventData{Target: "claude"}}
}

func TestRecheckFollowsUntilEveryCellIsAnswered(t *testing.T) {
	h := rechecked(t, recovered(9, "a1"), recovered(10, "a3"), recovered(11, "a2"))
	code, out, errs := against(t, h, "recheck", "--provider", "antigravity", "--yes", "--wait")
	if want := "a1 claude: recovered (record 9)\na2 claude: recovered (record 11)\n"; code != exitOK || out != want {
		t.Errorf("exit %d: %q, want %q; %s", code, out, want, errs)
	}
}

func TestRecheckNamesWhatNobodyProbed(t *testing.T) {
	h := rechecked(t, recovered(9, "a2"))
	code, out, errs := against(t, h, "recheck", "--provider", "antigravity", "--yes", "--wait", "--timeout", "1s", "-o", "json")
	var got recheckAnswer
	decode(t, out, &got)
	if code != exitTimedOut || len(got.Outcomes) != 2 || got.Outcomes[0].Outcome != outcomeRecovered || got.Outcomes[1].Outcome != outcomeUnanswered ||
		got.Outcomes[1].Account != "a1" || *got.Seq != 7 {
		t.Errorf("exit %d: %+v; %s", code, got, errs)
	}
	if !strings.Contains(errs, "1 cell of 2 not answered within 1s") {
		t.Errorf("stderr: %s", errs)
	}
}

func TestRecheckEndsWithTheDaemonOrCtrlC(t *testing.T) {
	failing := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events/stream" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":503,"code":"stopped","detail":"the server is stopping"}`)
			return
		}
		rechecked(t)(w, r)
	}
	if code, _, errs := against(t, failing, "recheck", "a1", "--yes", "--wait"); code != exitFailure || !strings.Contains(errs, "the server is stopping") {
		t.Errorf("exit %d: %s", code, errs)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	answered := rechecked(t)
	env, _, errs := facing(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events/stream" {
			interrupt()
		}
		answered(w, r)
	})
	if code := env.run(ctx, []string{"recheck", "--provider", "antigravity", "--yes", "--wait"}); code != exitInterrupted {
		t.Errorf("interrupted: exit %d; %s", code, errs)
	}
}
