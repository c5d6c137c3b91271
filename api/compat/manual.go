package compat

import (
	"cmp"
	"errors"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Manual suspends an account for a group by hand, without an end, or lifts that: the
// body of PATCH auth-files/quota-groups/manual.
type Manual struct {
	_ struct{} `additionalProperties:"true"`

	AuthID          string `json:"auth_id"`
	GroupID         string `json:"group_id"`
	ManualSuspended *bool  `json:"manual_suspended" nullable:"false"`
	Reason          string `json:"reason,omitempty" doc:"omitted: no reason given"`
	UpdatedBy       string `json:"updated_by,omitempty" doc:"on whose behalf; the actor is the token's name"`
}

// ParseManual reads a body. An error says what is wrong with it.
func ParseManual(doc []byte) (*Manual, error) {
	m := new(Manual)
	if err := read(doc, m); err != nil {
		return nil, err
	}
	switch {
	case m.AuthID == "" || m.GroupID == "":
		return nil, errors.New("auth_id and group_id are required")
	case m.ManualSuspended == nil:
		return nil, errors.New("manual_suspended is required: true or false")
	}
	return m, nil
}

// About implements [Request].
func (m *Manual) About() (account, group string) { return m.AuthID, m.GroupID }

func (m *Manual) command(ids Identities) (do projection.Intent, onBehalfOf string) {
	f := projection.Filter{Account: ids.Stored(m.AuthID), Target: m.GroupID}
	if !*m.ManualSuspended {
		return &projection.Lift{Filter: f, Reason: m.Reason}, m.UpdatedBy
	}
	reason := cmp.Or(events.Scrub(m.Reason, events.MaxText), projection.NoReason)
	return &projection.Suspend{Filter: f, Reason: reason, Forever: true}, m.UpdatedBy
}

func (m *Manual) covered(all *projection.Cell, now time.Time) (instead string) {
	_, _, by := all.Live(now)
	if *m.ManualSuspended || by == nil {
		return ""
	}
	return "lift the suspension of the account, with abeyance lift ACCOUNT '*'"
}
