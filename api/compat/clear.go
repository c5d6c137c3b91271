package compat

import (
	"errors"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// Clear ends the automatic suspensions of an account for a group, or for all of it: the
// body of PATCH auth-files/quota-groups/auto/clear.
type Clear struct {
	_ struct{} `additionalProperties:"true"`

	AuthID    string  `json:"auth_id"`
	GroupID   *string `json:"group_id,omitempty" doc:"omitted: all of the account"`
	UpdatedBy string  `json:"updated_by,omitempty" doc:"on whose behalf; the actor is the token's name"`
}

// ParseClear reads a body. An error says what is wrong with it.
func ParseClear(doc []byte) (*Clear, error) {
	c := new(Clear)
	if err := read(doc, c); err != nil {
		return nil, err
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

func (c *Clear) command(ids Identities) (do projection.Intent, onBehalfOf string) {
	account, group := c.About()
	return &projection.Clear{Filter: projection.Filter{Account: ids.Stored(account), Target: group}}, c.UpdatedBy
}

func (c *Clear) covered(all *projection.Cell, now time.Time) (instead string) {
	cooling, held, _ := all.Live(now)
	if c.GroupID == nil || cooling == nil && held == nil {
		return ""
	}
	return "clear all of the account: without a group_id here, or with abeyance clear ACCOUNT '*'"
}
