package compat

import (
	"errors"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Clear ends the automatic suspensions of an account for a group, or for all of it. If
// only a block of everything suspends the group, that is ended. It is the body of PATCH
// auth-files/quota-groups/auto/clear.
type Clear struct {
	_ struct{} `additionalProperties:"true"`

	AuthID    string  `json:"auth_id" format:"id" doc:"the account; spaces around it do not count"`
	GroupID   *string `json:"group_id,omitempty" format:"any-group-id" minLength:"1" nullable:"true" doc:"which group, and spaces around it do not count; null or omitted: all of the account"`
	UpdatedBy string  `json:"updated_by,omitempty" nullable:"true" doc:"on whose behalf; the actor is the token's name; e-mail addresses are scrubbed, longer text is cut at 256 bytes"`
}

// ParseClear reads a body. An error says what is wrong with it.
func ParseClear(doc []byte) (*Clear, error) {
	c := new(Clear)
	if err := read(doc, c); err != nil {
		return nil, err
	}
	c.AuthID = trimmed(c.AuthID)
	if c.GroupID != nil {
		*c.GroupID = trimmed(*c.GroupID)
	}
	switch {
	case c.AuthID == "":
		return nil, errors.New("auth_id is required")
	case c.GroupID != nil && *c.GroupID == "": // an empty field of a form is no wish for everything
		return nil, errors.New("group_id is empty: leave it out to clear all of the account")
	}
	return c, nil
}

// About implements [Request].
func (c *Clear) About() (account, group string) {
	if c.GroupID != nil {
		group = *c.GroupID
	}
	return c.AuthID, group
}

// command clears the block of the group or, if it has none, that of everything, which
// [Items] then shows for it: dashboards that clear an item always name its group.
func (c *Clear) command(ids Identities, a *projection.Account, now time.Time) (do projection.Intent, onBehalfOf string) {
	account, group := c.About()
	target := group
	if group != "" && !suspended(a, projection.CanonicalGroup(group), now) && suspended(a, events.TargetAll, now) {
		target = events.TargetAll
	}
	return &projection.Clear{Filter: projection.Filter{Account: ids.Stored(account), Target: target}}, c.UpdatedBy
}

// suspended reports whether a target of an account is suspended automatically.
func suspended(a *projection.Account, target string, now time.Time) bool {
	c := a.Cell(target)
	cooling, held, _ := c.Live(now)
	return cooling != nil || held != nil
}
