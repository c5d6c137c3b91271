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

	AuthID    string `json:"auth_id"`
	GroupID   string `json:"group_id,omitempty" doc:"omitted: all of the account"`
	UpdatedBy string `json:"updated_by,omitempty" doc:"on whose behalf; the actor is the token's name"`
}

// ParseClear reads a body. An error says what is wrong with it.
func ParseClear(doc []byte) (*Clear, error) {
	c := new(Clear)
	if err := read(doc, c); err != nil {
		return nil, err
	}
	if c.AuthID == "" {
		return nil, errors.New("auth_id is required")
	}
	return c, nil
}

// About implements [Request].
func (c *Clear) About() string { return c.AuthID }

func (c *Clear) updatedBy() string { return c.UpdatedBy }

func (c *Clear) check(s *projection.State, ids Identities) error {
	return checkNames(s, ids, c.AuthID, c.GroupID)
}

func (c *Clear) intent(ids Identities) projection.Intent {
	return &projection.Clear{Filter: projection.Filter{Account: ids.Stored(c.AuthID), Target: c.GroupID}}
}

func (c *Clear) covered(all *projection.Cell, now time.Time) bool {
	cooling, held, _ := all.Live(now)
	return c.GroupID != "" && (cooling != nil || held != nil)
}
