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

	AuthID          string `json:"auth_id" format:"id" doc:"the account; spaces around it do not count"`
	GroupID         string `json:"group_id" format:"any-group-id" doc:"which group; spaces around it do not count"`
	ManualSuspended *bool  `json:"manual_suspended" nullable:"false" doc:"true: suspend without an end; false: lift"`
	Reason          string `json:"reason,omitempty" nullable:"true" doc:"null or omitted: no reason given; secrets and e-mail addresses are scrubbed, longer text is cut at 1 KiB"`
	UpdatedBy       string `json:"updated_by,omitempty" nullable:"true" doc:"on whose behalf; the actor is the token's name; e-mail addresses are scrubbed, longer text is cut at 256 bytes"`
}

// ParseManual reads a body. An error says what is wrong with it.
func ParseManual(doc []byte) (*Manual, error) {
	m := new(Manual)
	if err := read(doc, m); err != nil {
		return nil, err
	}
	m.AuthID, m.GroupID = trimmed(m.AuthID), trimmed(m.GroupID)
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

func (m *Manual) command(ids Identities, _ *projection.Account, _ time.Time) (do projection.Intent, onBehalfOf string) {
	f := projection.Filter{Account: ids.Stored(m.AuthID), Target: m.GroupID}
	if !*m.ManualSuspended {
		return &projection.Lift{Filter: f, Reason: m.Reason}, m.UpdatedBy
	}
	reason := cmp.Or(events.Scrub(m.Reason, events.MaxText), projection.NoReason)
	return &projection.Suspend{Filter: f, Reason: reason, Forever: true}, m.UpdatedBy
}

// covered reports whether a suspension of everything keeps the group suspended although
// it was to be lifted. That was somebody's decision about the account, which no wish for
// one group ends.
func (m *Manual) covered(a *projection.Account, now time.Time) bool {
	all := a.Cell(events.TargetAll)
	_, _, by := all.Live(now)
	return !*m.ManualSuspended && by != nil
}
