package api_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// TestNewGroupsAreHeldAgainstModelsSeen: picked, recorded, or blocked, and by every route
// that says what new groups change.
func TestNewGroupsAreHeldAgainstModelsSeen(t *testing.T) {
	b := newBench(t)
	b.pool()
	none := projection.GroupsConfig{Bootstrap: projection.PresetNone}
	backend := b.backend()
	backend.Reload = func(_ context.Context, q api.ReloadCommand) (api.Reloaded, error) {
		d, err := projection.Decide(b.engine.State(), projection.Command{Do: &projection.Configure{Groups: &none}}, b.clock.now())
		return api.Reloaded{Outcome: projection.Outcome{Decision: d}}, err
	}
	b.server.Ready(backend)
	b.post("/v1/pick", `{"provider":"antigravity","model":"Claude-Opus-4-6(high)"}`).want(http.StatusOK)
	b.report(limited("a1", "gemini-3-flash"))
	b.post("/v1/clear", `{"account":"a1"}`).want(http.StatusOK) // so that only records name the model
	want := []api.ModelChange{
		{Provider: "antigravity", Model: "claude-opus-4-6", From: "claude", To: "model:claude-opus-4-6"},
		{Provider: "antigravity", Model: "gemini-3-flash", From: "gemini-flash", To: "model:gemini-3-flash"},
	}
	reloaded := decode[api.ReloadAnswer](b.post("/v1/reload", `{"dry_run":true}`).want(http.StatusOK))
	foreseen := decode[api.GroupsAnswer](b.put("/v1/groups?dry_run=true", `{"bootstrap":"none"}`).want(http.StatusOK))
	done := decode[api.GroupsAnswer](b.put("/v1/groups", `{"bootstrap":"none"}`).want(http.StatusOK))
	for what, models := range map[string][]api.ModelChange{"reload": reloaded.Models, "a dry run": foreseen.Change.Models, "a change": done.Change.Models} {
		if diff := cmp.Diff(want, models); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}
