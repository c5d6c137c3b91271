package router

import (
	"errors"
	"testing"

	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// A candidate nobody knows is returned and excluded under the id it was given by,
// although it would be stored under another.
func TestRule27UnknownCandidateKeepsItsID(t *testing.T) {
	e, err := projection.Open(t.Context(), eventstest.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r := New(e, &Options{Identities: identity.New()})
	q := Request{Provider: "antigravity", Model: opus, Candidates: []string{"mira@example.com"}}
	if l, err := r.Pick(q); err != nil || l.Account != "mira@example.com" {
		t.Errorf("picked %q, %v", l.Account, err)
	}
	q.Exclude = q.Candidates
	if _, err := r.Pick(q); err == nil {
		t.Error("an excluded candidate was picked")
	} else if blocked, ok := errors.AsType[*BlockedError](err); !ok || blocked.Code != BlockExcluded {
		t.Errorf("the pick failed with %v", err)
	}
}
