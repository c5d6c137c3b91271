package projection

import (
	"bytes"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Rule 35 for what clients name: ids that hold an address are told apart, but not
// stored as they are; a broken clock costs no record.
func TestRule35IdsOfClientsAreScrubbed(t *testing.T) {
	x := newScenario(t)
	r := x.observed("a1", "ask mira@example.com", signal(events.ClassRateLimited, events.ScopeModel, 60))
	r.RequestID = "req mira@example.com"
	r.StartedAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	x.effect(x.tell(r), events.EffectStarted)
	if again := x.do(r); again.earlier.first == 0 {
		t.Error("the same request id was not known again")
	}
	other := new(*r)
	other.RequestID = "req noor@example.com"
	x.effect(x.tell(other), events.EffectKept)
	for _, rec := range x.recs {
		if bytes.Contains(rec.Encoded(), []byte("example.com")) {
			t.Errorf("record %d holds an address: %q", rec.Seq, rec.Encoded())
		}
	}
	x.refused(CodeInvalid, &PutAccount{ID: "a9", Spec: events.AccountSpec{Provider: "mira@example.com"}})
}
