package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

func newGroupsCommand(env *environment) *cobra.Command {
	return newParent(&cobra.Command{
		Use:     "groups",
		Aliases: []string{"group"},
		Short:   "List and define quota groups and aliases",
		Long: `Quota groups say which models share one quota. A file for check, plan and apply has the keys
bootstrap, groups and aliases of the daemon's configuration file; other keys of such a
file are passed over. See abeyance.example.yaml.`,
		Example: "  abeyance groups",
	}, newGroupsListCommand(env), newGroupsShowCommand(env), newGroupsCheckCommand(env), newGroupsPlanCommand(env),
		newGroupsApplyCommand(env))
}

func fetchGroups(cmd *cobra.Command, env *environment) (*api.GroupsAnswer, error) {
	c, err := env.daemon()
	if err != nil {
		return nil, err
	}
	answer := new(api.GroupsAnswer)
	return answer, c.do(cmd.Context(), get("/v1/groups", nil), answer)
}

func newGroupsListCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the groups in force, with what the bootstrap set brings",
		Example: "  abeyance groups list -o jsonl",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := fetchGroups(cmd, env)
			if err != nil {
				return err
			}
			env.say("version %d, bootstrap set %s", answer.Version, answer.Bootstrap)
			return listing[api.GroupRow]{
				answer: answer, items: answer.Groups, empty: "no groups: every model stands for itself",
				columns: []column[api.GroupRow]{
					{"GROUP", func(g api.GroupRow) string { return g.ID }},
					{"PROVIDERS", func(g api.GroupRow) string { return strings.Join(g.Providers, " ") }},
					{"PATTERNS", func(g api.GroupRow) string { return strings.Join(g.Patterns, " ") }},
					{"PRIORITY", func(g api.GroupRow) string { return strconv.Itoa(g.Priority) }},
					{"STATE", groupState},
				},
				status: groupState,
			}.print(env)
		},
	}
}

func groupState(g api.GroupRow) string {
	switch {
	case !g.Enabled:
		return "disabled"
	case g.Configured:
		return "configured"
	default:
		return "bootstrap"
	}
}

func newGroupsShowCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Print the operator's own part as a file for apply",
		Example: "  abeyance groups show > groups.yaml",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := fetchGroups(cmd, env)
			if err != nil {
				return err
			}
			return env.asYAML().print(answer.Configured, nil)
		},
	}
}

// asYAML returns an environment whose default format is YAML: for documents, which
// make no table.
func (env *environment) asYAML() *environment {
	if env.output != outputTable {
		return env
	}
	out := *env
	out.output = outputYAML
	return &out
}

// readDefinitions reads a file for check and apply. Configuration files are its
// format, so mistakes have their lines.
func (env *environment) readDefinitions(name string) (*parsedConfig, error) {
	doc, err := env.read(name)
	if err != nil {
		return nil, err
	}
	return parseConfig(inputName(name), doc)
}

func (env *environment) readGroups(name string) (*projection.GroupsConfig, error) {
	p, err := env.readDefinitions(name)
	if err != nil {
		return nil, err
	}
	c := p.file.groups()
	if c == nil {
		return nil, fmt.Errorf("%s has none of the keys bootstrap, groups and aliases", inputName(name))
	}
	return c, nil
}

func newGroupsCheckCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a file without a daemon",
		Example: "  abeyance groups check groups.yaml",
		Args:    arguments(1, 1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := env.readGroups(args[0])
			if err != nil {
				return err
			}
			env.say("%s is right: %s of its own", inputName(args[0]), counted(len(c.Groups), "group"))
			return nil
		},
	}
}

func newGroupsPlanCommand(env *environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what the groups of a file would change, model by model and cell by cell",
		Long: `Show what the groups and aliases of a file would change if they were in force: for each
model seen, and each account and target that is blocked. Seen are the models that picks
asked for since the daemon was started (the first 4096 names), that the newest 10000 records
name, and that cells were blocked for. Nothing is changed. It is 'groups apply --dry-run',
and answers also while a configuration file owns the groups: the file to plan with is its
next version.`,
		Example: "  abeyance groups plan -f groups.yaml",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("groups plan needs -f FILE; - is the standard input")
			}
			return putGroups(cmd, env, file, true)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` with bootstrap, groups and aliases; - is the standard input")
	return cmd
}

func newGroupsApplyCommand(env *environment) *cobra.Command {
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Replace the operator's groups and aliases by those of a file",
		Example: `  abeyance groups apply -f groups.yaml --dry-run
  abeyance groups apply -f groups.yaml`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("groups apply needs -f FILE; - is the standard input")
			}
			return putGroups(cmd, env, file, dryRun)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` with bootstrap, groups and aliases; - is the standard input")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change, and change nothing")
	return cmd
}

// putGroups sends the groups of a file and shows what they change, or would.
func putGroups(cmd *cobra.Command, env *environment, file string, dryRun bool) error {
	config, err := env.readGroups(file)
	if err != nil {
		return err
	}
	c, err := env.daemon()
	if err != nil {
		return err
	}
	var answer api.GroupsAnswer
	body := api.GroupsPut{GroupsConfig: *config, DryRun: dryRun, OnBehalfOf: env.user()}
	if err := c.do(cmd.Context(), call{method: http.MethodPut, path: "/v1/groups", body: body}, &answer); err != nil {
		return err
	}
	return printGroupsChange(env, &answer)
}

// groupChange is one line of what new definitions change.
type groupChange struct{ What, Name, From, To string }

func printGroupsChange(env *environment, answer *api.GroupsAnswer) error {
	change := answer.Change
	if change == nil {
		return fmt.Errorf("the daemon did not say what changed")
	}
	env.sayDefined("groups", change.Change, change.DryRun, change.Version)
	var rows []groupChange
	for _, m := range change.Models {
		rows = append(rows, groupChange{"model", m.Provider + " " + m.Model, m.From, m.To})
	}
	for _, c := range change.Cells {
		rows = append(rows, groupChange{"cell", c.Account, c.From, c.To})
	}
	return listing[groupChange]{
		answer: answer, items: rows, empty: "no live cell moves, and no model that was picked or recorded of late changes its group",
		columns: []column[groupChange]{
			{"WHAT", func(r groupChange) string { return r.What }},
			{"NAME", func(r groupChange) string { return r.Name }},
			{"FROM", func(r groupChange) string { return r.From }},
			{"TO", func(r groupChange) string { return r.To }},
		},
	}.print(env)
}

// sayDefined tells the outcome of new definitions.
func (env *environment) sayDefined(what string, c api.Change, dryRun bool, version uint64) {
	switch {
	case dryRun:
		env.say("dry run: the %s are right, nothing was changed", what)
	case c.Seq == nil:
		env.say("nothing changed: %s", c.Unchanged)
	default:
		env.say("%s version %d in force, %s", what, version, describeRecords(c))
	}
}
