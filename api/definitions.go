package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// GroupsPut replaces the configured set of groups and aliases.
type GroupsPut struct {
	projection.GroupsConfig
	DryRun     bool   `json:"dry_run,omitempty" doc:"say what would change, and change nothing"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// GroupsAnswer is the definitions in force, after a PUT with what it changed. After
// a dry run they are those that would be in force.
type GroupsAnswer struct {
	AsOfSeq uint64 `json:"as_of_seq"`
	GroupsDefinition
	Change *GroupsChange `json:"change,omitempty"`
}

// GroupsDefinition is one version of the definitions.
type GroupsDefinition struct {
	Version   uint64     `json:"version"`
	Bootstrap string     `json:"bootstrap" doc:"the set that ships, merged in: default, two-pools or none"`
	Groups    []GroupRow `json:"groups" nullable:"false" doc:"sorted by id"`
	// Aliases :: provider → name as clients send it → the provider's model
	Aliases    map[string]map[string]string `json:"aliases"`
	Configured projection.GroupsConfig      `json:"configured" doc:"the operator's own part: what a PUT replaces"`
}

// GroupRow is one quota group.
type GroupRow struct {
	ID         string   `json:"id"`
	Label      string   `json:"label"`
	Providers  []string `json:"providers" nullable:"false"`
	Patterns   []string `json:"patterns" nullable:"false"`
	Priority   int      `json:"priority"`
	Enabled    bool     `json:"enabled"`
	Replaces   []string `json:"replaces,omitempty"`
	Configured bool     `json:"configured" doc:"the operator's part defines or overrides it"`
}

// GroupsChange says what new definitions change.
type GroupsChange struct {
	Change
	DryRun  bool          `json:"dry_run"`
	Version uint64        `json:"version" doc:"in force afterwards"`
	Models  []ModelChange `json:"models" nullable:"false" doc:"models seen whose target changes, by provider and name. Seen are models that picks asked for since the server was started (the first 4096 names), that the newest 10000 records name, and that cells were blocked for"`
	Cells   []CellMove    `json:"cells" nullable:"false" doc:"live cells that move"`
}

// ModelChange is a model whose target differs under new definitions.
type ModelChange struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	From     string `json:"from"`
	To       string `json:"to"`
}

// CellMove is a live cell that moves to another target.
type CellMove struct {
	Account string `json:"account"`
	From    string `json:"from"`
	To      string `json:"to"`
	Merged  bool   `json:"merged" doc:"the target was blocked already; the later deadline wins"`
}

// PolicyPut replaces the configured part of the policy.
type PolicyPut struct {
	projection.PolicyConfig
	DryRun     bool   `json:"dry_run,omitempty" doc:"check it, and change nothing"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// PolicyAnswer is the policy in force, after a PUT with what it changed. After a dry
// run it is the one that would be in force.
type PolicyAnswer struct {
	AsOfSeq uint64 `json:"as_of_seq"`
	PolicyDefinition
	Change *PolicyChange `json:"change,omitempty"`
}

// PolicyDefinition is one version of the policy.
type PolicyDefinition struct {
	Version    uint64                  `json:"version"`
	Policy     projection.PolicyConfig `json:"policy" doc:"every value in force"`
	Configured projection.PolicyConfig `json:"configured" doc:"the operator's own part: what a PUT replaces"`
}

// PolicyChange is the outcome of a PUT of the policy.
type PolicyChange struct {
	Change
	DryRun bool `json:"dry_run"`
}

// routeDefinitions registers groups, aliases and policy.
func (s *Server) routeDefinitions() {
	handle(s, huma.Operation{OperationID: "groups", Method: http.MethodGet, Path: "/v1/groups", Summary: "Groups and aliases in force"}, getGroups)
	handleBody(s, huma.Operation{OperationID: "put-groups", Method: http.MethodPut, Path: "/v1/groups", Summary: "Replace the configured groups and aliases"}, putGroups)
	handle(s, huma.Operation{OperationID: "policy", Method: http.MethodGet, Path: "/v1/policy", Summary: "The policy in force"}, getPolicy)
	handleBody(s, huma.Operation{OperationID: "put-policy", Method: http.MethodPut, Path: "/v1/policy", Summary: "Replace the configured policy"}, putPolicy)
}

func getGroups(_ context.Context, b *Backend, _ *none) (GroupsAnswer, error) {
	return groupsAnswer(b.Engine.State())
}

func groupsAnswer(s *projection.State) (GroupsAnswer, error) {
	g := s.Groups()
	d, err := groupsDefinition(&events.GroupsDefined{
		Version: g.Version, Preset: g.Preset, Groups: g.List, Aliases: g.Aliases, Configured: g.Configured,
	})
	return GroupsAnswer{AsOfSeq: uint64(s.Head().Seq), GroupsDefinition: d}, err
}

func groupsDefinition(e *events.GroupsDefined) (GroupsDefinition, error) {
	configured, err := projection.ParseGroupsConfig(e.Configured)
	if err != nil {
		return GroupsDefinition{}, err
	}
	a := GroupsDefinition{
		Version: e.Version, Bootstrap: e.Preset, Groups: []GroupRow{}, Aliases: map[string]map[string]string{}, Configured: *configured,
	}
	own := map[string]bool{}
	for _, c := range configured.Groups {
		own[projection.CanonicalGroup(c.ID)] = true
	}
	for _, d := range e.Groups {
		a.Groups = append(a.Groups, GroupRow{
			ID: d.ID, Label: d.Label, Providers: d.Providers, Patterns: d.Patterns, Priority: d.Priority, Enabled: d.Enabled,
			Replaces: d.Replaces, Configured: own[d.ID],
		})
	}
	for _, alias := range e.Aliases {
		if a.Aliases[alias.Provider] == nil {
			a.Aliases[alias.Provider] = map[string]string{}
		}
		a.Aliases[alias.Provider][alias.Name] = alias.Model
	}
	return a, nil
}

// dryRun is taken in the query as well as in the body of definitions, so that the
// body can be the operator's file as it is.
type dryRun struct {
	DryRun bool `query:"dry_run" doc:"say what would change, and change nothing"`
}

func putGroups(ctx context.Context, b *Backend, in *dryRun, q *GroupsPut) (GroupsAnswer, error) {
	dry := q.DryRun || in.DryRun
	done, err := b.changeSection(SectionGroups, dry)
	if err != nil {
		return GroupsAnswer{}, err
	}
	defer done()
	seen, err := b.modelsSeen(ctx)
	if err != nil {
		return GroupsAnswer{}, err
	}
	o, err := b.execute(ctx, q.OnBehalfOf, &projection.DefineGroups{Config: q.GroupsConfig, DryRun: dry})
	if err != nil {
		return GroupsAnswer{}, err
	}
	a, err := groupsAnswer(b.Engine.State())
	if err == nil && o.DryRun {
		var would *events.GroupsDefined
		if would, err = foreseen[*events.GroupsDefined](b, &projection.DefineGroups{Config: q.GroupsConfig}); would != nil {
			a.GroupsDefinition, err = groupsDefinition(would)
		}
	}
	a.Change = &GroupsChange{Change: change(&o), DryRun: o.DryRun, Version: a.Version}
	a.Change.Models, a.Change.Cells = b.plan(o.Plan, seen)
	if o.Plan != nil { // repeated: its plan is not kept
		a.Change.Version = o.Plan.Version
	}
	return a, err
}

// plan shows what new groups change for the models seen; a nil plan nothing.
func (b *Backend) plan(p *projection.GroupsPlan, seen []projection.ModelName) ([]ModelChange, []CellMove) {
	models, cells := []ModelChange{}, []CellMove{}
	if p == nil {
		return models, cells
	}
	for _, m := range p.Models(seen) {
		models = append(models, ModelChange(m))
	}
	for _, c := range p.Cells {
		cells = append(cells, CellMove{b.Identities.Given(c.Account), c.From, c.To, c.Merged})
	}
	return models, cells
}

// foreseen returns the event that a command would append now, zero if none of the type.
func foreseen[E events.Event](b *Backend, do projection.Intent) (e E, err error) {
	d, err := projection.Decide(b.Engine.State(), projection.Command{Do: do}, b.Engine.Now())
	for _, draft := range d.Drafts {
		if found, ok := draft.Event.(E); ok {
			e = found
		}
	}
	return e, err
}

func getPolicy(_ context.Context, b *Backend, _ *none) (PolicyAnswer, error) {
	return policyAnswer(b.Engine.State())
}

func policyAnswer(s *projection.State) (PolicyAnswer, error) {
	p := s.Policy()
	d, err := policyDefinition(&events.PolicyDefined{Version: p.Version, Policy: p.Policy, Configured: p.Configured})
	return PolicyAnswer{AsOfSeq: uint64(s.Head().Seq), PolicyDefinition: d}, err
}

func policyDefinition(e *events.PolicyDefined) (PolicyDefinition, error) {
	configured, err := projection.ParsePolicyConfig(e.Configured)
	if err != nil {
		return PolicyDefinition{}, err
	}
	return PolicyDefinition{Version: e.Version, Policy: PolicyDocument(e.Policy), Configured: *configured}, nil
}

func putPolicy(ctx context.Context, b *Backend, in *dryRun, q *PolicyPut) (PolicyAnswer, error) {
	dry := q.DryRun || in.DryRun
	done, err := b.changeSection(SectionPolicy, dry)
	if err != nil {
		return PolicyAnswer{}, err
	}
	defer done()
	o, err := b.execute(ctx, q.OnBehalfOf, &projection.DefinePolicy{Config: q.PolicyConfig, DryRun: dry})
	if err != nil {
		return PolicyAnswer{}, err
	}
	a, err := policyAnswer(b.Engine.State())
	if err == nil && o.DryRun {
		var would *events.PolicyDefined
		if would, err = foreseen[*events.PolicyDefined](b, &projection.DefinePolicy{Config: q.PolicyConfig}); would != nil {
			a.PolicyDefinition, err = policyDefinition(would)
		}
	}
	a.Change = &PolicyChange{Change: change(&o), DryRun: o.DryRun}
	return a, err
}
