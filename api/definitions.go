package api

import "github.com/abeyance/abeyance/projection"

// GroupsPut replaces the configured set of groups and aliases.
type GroupsPut struct {
	projection.GroupsConfig
	DryRun     bool   `json:"dry_run,omitempty" doc:"say what would change, and change nothing"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// GroupsAnswer is the definitions in force, after a PUT with what it changed.
type GroupsAnswer struct {
	AsOfSeq   uint64     `json:"as_of_seq"`
	Version   uint64     `json:"version"`
	Bootstrap string     `json:"bootstrap" doc:"the set that ships, merged in: default, two-pools or none"`
	Groups    []GroupRow `json:"groups" nullable:"false" doc:"sorted by id"`
	// Aliases :: provider → name as clients send it → the provider's model
	Aliases    map[string]map[string]string `json:"aliases"`
	Configured projection.GroupsConfig      `json:"configured" doc:"the operator's own part: what a PUT replaces"`
	Change     *GroupsChange                `json:"change,omitempty"`
}

// GroupRow is one quota group in force.
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
	Models  []ModelChange `json:"models" nullable:"false" doc:"models seen whose target changes"`
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

// PolicyAnswer is the policy in force, after a PUT with what it changed.
type PolicyAnswer struct {
	AsOfSeq    uint64                  `json:"as_of_seq"`
	Version    uint64                  `json:"version"`
	Policy     projection.PolicyConfig `json:"policy" doc:"every value in force"`
	Configured projection.PolicyConfig `json:"configured" doc:"the operator's own part: what a PUT replaces"`
	Change     *PolicyChange           `json:"change,omitempty"`
}

// PolicyChange is the outcome of a PUT of the policy.
type PolicyChange struct {
	Change
	DryRun bool `json:"dry_run"`
}
