package projection

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/events/eventstest"
)

// A closed engine leaves the registry to the one that follows it.
func TestReopenInOneRegistry(t *testing.T) {
	log, registry := eventstest.New(), prometheus.NewRegistry()
	for range 2 {
		e, err := Open(t.Context(), log, &Options{Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		if families, err := registry.Gather(); err != nil || len(families) == 0 {
			t.Errorf("%d metrics gathered: %v", len(families), err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A misspelt reason would hold nothing, silently.
func TestUnknownHoldReasonIsRefused(t *testing.T) {
	x := newScenario(t)
	x.refused(CodeInvalidPolicy, &DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{
		Forbidden: &ClassConfig{Hold: &[]string{"baned"}},
	}}})
}
