package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// ReloadRequest is the body of POST /v1/reload.
type ReloadRequest struct {
	DryRun     bool   `json:"dry_run,omitempty" doc:"check the file and say what would change, and change nothing"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// ReloadAnswer says what a reload of the configuration changed.
type ReloadAnswer struct {
	Change
	DryRun bool               `json:"dry_run"`
	File   string             `json:"file" doc:"the configuration file as the server was given it; empty: it runs without one"`
	Owned  map[Section]string `json:"owned" doc:"the sections that the file owns, each with the place where it states them; others are changed over this API"`
	// Changed are in force; after a dry run they would be.
	Changed      []SettingChange `json:"changed" nullable:"false" doc:"what is in force now and was not before, sorted by key; at most 1000"`
	ChangedCount int             `json:"changed_count" doc:"of all that changed, listed or not"`
	// NeedsRestart are differences that only the next start of the server takes up.
	NeedsRestart []SettingChange `json:"needs_restart" nullable:"false" doc:"what the settings say and only a restart brings, sorted by key"`
	Models       []ModelChange   `json:"models" nullable:"false" doc:"models seen whose target changes with the groups, as PUT /v1/groups lists them"`
	Cells        []CellMove      `json:"cells" nullable:"false" doc:"live cells that move with the groups"`
}

// SettingChange is one setting that differs.
type SettingChange struct {
	Key  string `json:"key" doc:"dotted, as config show --effective has it; accounts.ID for an account"`
	From string `json:"from" doc:"what was in force; empty: nothing"`
	To   string `json:"to" doc:"empty: nothing"`
	// Origin is empty for what no place states any more.
	Origin string `json:"origin" doc:"where the value stands: default, FILE:LINE, an environment variable or a flag"`
}

// ReloadCommand is what a request for a reload comes to.
type ReloadCommand struct {
	DryRun bool
	// OnBehalfOf is the principal who asks and Via how, for the records that system:config
	// makes.
	OnBehalfOf string
	Via        events.Via
}

// Reloaded is what became of one, or would become of it.
type Reloaded struct {
	File                  string
	Owned                 map[Section]string
	Changed, NeedsRestart []SettingChange
	Outcome               projection.Outcome // of what belongs into the log
}

// ConfigError is a configuration that cannot be put in force. Nothing was changed.
type ConfigError struct {
	Err error // each line says what is wrong and where: FILE:LINE: message
}

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the mistakes.
func (e *ConfigError) Unwrap() error { return e.Err }

// routeReload registers the reload of the configuration.
func (s *Server) routeReload() {
	handleBody(s, huma.Operation{
		OperationID: "reload", Method: http.MethodPost, Path: "/v1/reload", Summary: "Put the configuration file in force",
		Description: "All of the file is checked first; then all of it is in force, or, with a mistake, nothing: the server goes on with the last " +
			"good one. Accounts, groups and policy that differ are recorded as events by system:config.",
	}, reload)
}

func reload(ctx context.Context, b *Backend, in *dryRun, q *ReloadRequest) (ReloadAnswer, error) {
	if b.Reload == nil {
		return ReloadAnswer{}, newProblem(CodeUnavailable, "this server has no configuration that could be loaded anew")
	}
	origin := exchangeOf(ctx).origin("operator", q.OnBehalfOf)
	who := origin.Actor
	if q.OnBehalfOf != "" {
		who += " for " + q.OnBehalfOf
	}
	dry := q.DryRun || in.DryRun
	seen, err := b.modelsSeen(ctx)
	if err != nil {
		return ReloadAnswer{}, err
	}
	done, err := b.Reload(ctx, ReloadCommand{DryRun: dry, OnBehalfOf: who, Via: origin.Via})
	if err != nil {
		return ReloadAnswer{}, err
	}
	a := ReloadAnswer{
		Change: change(&done.Outcome), DryRun: dry, File: done.File, Owned: done.Owned, ChangedCount: len(done.Changed),
		Changed: append([]SettingChange{}, done.Changed[:min(len(done.Changed), maxSettingChanges)]...), NeedsRestart: append([]SettingChange{}, done.NeedsRestart...),
	}
	if a.Owned == nil {
		a.Owned = map[Section]string{}
	}
	a.Models, a.Cells = b.plan(done.Outcome.Plan, seen)
	a.Unchanged = ""
	if len(done.Changed) == 0 {
		a.Unchanged = unchangedBecause(&done)
	}
	return a, nil
}

// maxSettingChanges bounds the list of an answer.
const maxSettingChanges = 1000

func unchangedBecause(done *Reloaded) string {
	switch {
	case len(done.NeedsRestart) > 0:
		return "what differs needs a restart"
	case done.File == "":
		return "the server runs without a configuration file"
	default:
		return "the configuration is so already"
	}
}
