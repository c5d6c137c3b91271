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
	Label     string   `json:"label" required:"false" doc:"what people call it; empty: as the group that ships, else the id"`
	Providers []string `json:"providers" required:"false"`
	Patterns  []string `json:"patterns" required:"false" doc:"model names with * and ?"`
	Priority  int      `json:"priority" required:"false" doc:"of two groups that match a model the one with the higher is taken"`
	Enabled   *bool    `json:"enabled" required:"false" doc:"omitted: as the group that ships, else true"`
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
