package compat

import (
	"cmp"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// GroupsAnswer is the answer of GET oauth-quota-groups.
type GroupsAnswer struct {
	Groups []cliproxy.Definition `json:"oauth-quota-groups" nullable:"false" doc:"all that are in force, highest priority first, then by id"`
}

// Groups lists the definitions in force. An error says that they cannot be read.
func Groups(g *projection.Groups) (GroupsAnswer, error) {
	names, err := newNames(g)
	if err != nil {
		return GroupsAnswer{}, err
	}
	list := slices.Clone(g.List)
	slices.SortFunc(list, func(a, b events.Group) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), strings.Compare(a.ID, b.ID))
	})
	a := GroupsAnswer{Groups: make([]cliproxy.Definition, 0, len(list))}
	for i := range list {
		a.Groups = append(a.Groups, cliproxy.Definition{
			ID: names.of(list[i].ID), Label: cmp.Or(list[i].Label, list[i].ID), Providers: list[i].Providers,
			Patterns: list[i].Patterns, Priority: list[i].Priority, Enabled: new(list[i].Enabled),
		})
	}
	return a, nil
}

// names :: canonical group id → as the operator wrote it, for those that he did
type names map[string]string

func newNames(g *projection.Groups) (names, error) {
	config, err := g.Config()
	if err != nil {
		return nil, err
	}
	n := names{}
	for i := range config.Groups {
		n[projection.CanonicalGroup(config.Groups[i].ID)] = strings.TrimSpace(config.Groups[i].ID)
	}
	return n, nil
}

func (n names) of(id string) string { return cmp.Or(n[id], id) }
