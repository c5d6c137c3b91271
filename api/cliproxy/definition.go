package cliproxy

import (
	"strings"

	"github.com/abeyance/abeyance/projection"
)

// Definition is a quota group as CLIProxyAPI defines it, in a config.yaml and over its
// management API.
type Definition struct {
	_ struct{} `additionalProperties:"true"` // whatever else a dashboard keeps with it

	ID        string   `json:"id"`
	Label     string   `json:"label" required:"false" nullable:"true" doc:"what people call it; empty, null or omitted: as the group that ships, else the id"`
	Providers []string `json:"providers" required:"false" nullable:"true"`
	Patterns  []string `json:"patterns" required:"false" nullable:"true" doc:"model names with * and ?"`
	Priority  int      `json:"priority" required:"false" nullable:"true" doc:"of two groups that match a model the one with the higher is taken; null: as omitted"`
	Enabled   *bool    `json:"enabled" required:"false" nullable:"true" doc:"null or omitted: as the group that ships, else true"`
}

// Config returns the definition in our terms. What CLIProxyAPI takes for not given, an
// empty text, an empty list and a priority of 0, is not given. There is none of the old
// group google-gemini-image, which CLIProxyAPI ignores.
func (d *Definition) Config() (g projection.GroupConfig, ok bool) {
	g = projection.GroupConfig{ID: d.ID, Enabled: d.Enabled}
	if label := strings.TrimSpace(d.Label); label != "" {
		g.Label = &label
	}
	if d.Priority != 0 {
		g.Priority = new(d.Priority)
	}
	if len(d.Providers) > 0 {
		g.Providers = d.Providers
	}
	if len(d.Patterns) > 0 {
		g.Patterns = d.Patterns
	}
	return g, !strings.EqualFold(strings.TrimSpace(d.ID), groupImage)
}
