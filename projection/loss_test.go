package projection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// TestAcceptedLossIsTheFirstRecord: an engine that goes on without records that were
// lost says so before anything else.
func TestAcceptedLossIsTheFirstRecord(t *testing.T) {
	log := eventstest.New()
	loss := &events.LossAccepted{Log: "memory", Seq: 90, Hash: events.Hash{1}, From: 0, FromHash: events.Hash{2}}
	e, err := Open(t.Context(), log, &Options{Now: noon, Loss: loss})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r, err := e.Record(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events.Event(loss), r.Event); diff != "" || r.Actor != ActorConfig {
		t.Errorf("by %s: %s", r.Actor, diff)
	}
}
