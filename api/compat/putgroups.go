package compat

import (
	"bytes"
	"errors"
	"time"

	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/projection"
)

// PutGroups replaces the configured groups: the body of PUT oauth-quota-groups. The
// groups that ship stay, and so does what this API does not show: aliases, which
// groups ship, and what a group replaces.
type PutGroups struct {
	groups []projection.GroupConfig
}

// ParsePutGroups reads a body: a list, or an object with one as its items. An error says
// what is wrong with it. Whether the definitions can be put in force is another matter.
func ParsePutGroups(doc []byte) (*PutGroups, error) {
	var list []cliproxy.Definition
	if bytes.HasPrefix(bytes.TrimSpace(doc), []byte("[")) {
		if err := read(doc, &list); err != nil {
			return nil, err
		}
	} else {
		var body struct {
			Items *[]cliproxy.Definition `json:"items"`
		}
		if err := read(doc, &body); err != nil {
			return nil, err
		}
		if body.Items == nil { // else any object would remove every group
			return nil, errors.New("it must be a list of groups, or an object with a list as its items")
		}
		list = *body.Items
	}
	p := new(PutGroups)
	for i := range list {
		if g, ok := list[i].Config(); ok {
			p.groups = append(p.groups, g)
		}
	}
	return p, nil
}

// About implements [Request].
func (p *PutGroups) About() (account, group string) { return "", "" }

func (p *PutGroups) command(Identities, *projection.Account, time.Time) (do projection.Intent, onBehalfOf string) {
	return &projection.DefineGroups{Config: projection.GroupsConfig{Groups: p.groups}, GroupsOnly: true}, ""
}
