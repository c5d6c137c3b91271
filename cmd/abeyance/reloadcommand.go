package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
)

func newReloadCommand(env *environment) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration file anew",
		Long: `Have the daemon read its configuration file anew, and show what changed. All of the file
is checked first: with one mistake nothing changes, and the daemon goes on with the last
good one. What only a restart brings is shown too.

The daemon also does it by itself: when the file changes, and on SIGHUP. One without a
configuration file has nothing to read, and SIGHUP stops it: see 'abeyance serve --help'.`,
		Example: "  abeyance reload --dry-run\n  abeyance reload",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.ReloadAnswer
			body := api.ReloadRequest{DryRun: dryRun, OnBehalfOf: env.user()}
			if err := c.do(cmd.Context(), call{method: http.MethodPost, path: "/v1/reload", body: body}, &answer); err != nil {
				return err
			}
			return printReload(env, &answer)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the file and show what would change, and change nothing")
	return cmd
}

// settingRow is one line of what a reload changed.
type settingRow struct {
	api.SettingChange
	NeedsRestart bool `json:"needs_restart"`
}

func (r *settingRow) inForce() string {
	if r.NeedsRestart {
		return "after a restart"
	}
	return "now"
}

func printReload(env *environment, a *api.ReloadAnswer) error {
	switch {
	case a.Unchanged != "":
		env.say("nothing changed: %s", a.Unchanged)
	case a.DryRun:
		env.say("dry run: %s is right, nothing was changed", a.File)
	case a.Seq != nil:
		env.say("%s is in force, %s", a.File, describeRecords(a.Change))
	default:
		env.say("%s is in force", a.File)
	}
	var rows []settingRow
	for _, c := range a.Changed {
		rows = append(rows, settingRow{c, false})
	}
	for _, c := range a.NeedsRestart {
		rows = append(rows, settingRow{c, true})
	}
	if n := a.ChangedCount - len(a.Changed); n > 0 {
		env.say("%d more changes are not listed", n)
	}
	for _, m := range a.Cells {
		env.say("the block of account %s moves from %s to %s", plain(m.Account), m.From, m.To)
	}
	if len(rows) == 0 && env.output == outputTable {
		return nil
	}
	return listing[settingRow]{
		answer: a, items: rows,
		columns: []column[settingRow]{
			{"KEY", func(r settingRow) string { return r.Key }},
			{"FROM", func(r settingRow) string { return r.From }},
			{"TO", func(r settingRow) string { return r.To }},
			{"ORIGIN", func(r settingRow) string { return r.Origin }},
			{"IN FORCE", func(r settingRow) string { return r.inForce() }},
		},
	}.print(env)
}
