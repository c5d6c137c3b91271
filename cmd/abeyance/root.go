package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The sections of the help.
const (
	sectionDaemon = "daemon"
	sectionAsk    = "ask"
	sectionAct    = "act"
	sectionPool   = "pool"
	sectionOther  = "other"
)

// newRootCommand builds the whole tree over one environment. Every command has a
// constructor newXCommand(env); a new one is added to commands below.
func newRootCommand(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "abeyance COMMAND",
		Short: "Know which account of an LLM pool may serve which model, and why not",
		Long: `Abeyance keeps, for every account and quota group of an LLM pool, whether it is
suspended: automatically after a 429, or by an operator. It answers "who may serve
this model now?", and why an account was frozen, when, on which evidence, until when.

Commands talk to a running daemon. They find it by --data-dir, by --url and
--token-file, or by --context, which is a name for either ('abeyance context'). A flag
goes before the environment, and that before the current context. With the daemon
stopped, events, why, episodes, replay, verify, backup and export read the data
directory themselves.

Every flag can be set by an environment variable, and flags win. Those below and the
ones of serve have their own name, as ABEYANCE_DATA_DIR and ABEYANCE_LISTEN; those of
another command have its name before it, as ABEYANCE_EVENTS_LIMIT.

Exit codes: 0 ok, 1 failure, 2 usage, 3 blocked (pick, why --check),
4 not authorized, 5 not found, 6 conflict, 8 a wait timed out, 130 interrupted.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs, // RunE names unknown commands
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return env.settleFor(cmd) },
		RunE:              runRoot,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: sectionDaemon, Title: "The daemon:"},
		&cobra.Group{ID: sectionAsk, Title: "Ask:"},
		&cobra.Group{ID: sectionAct, Title: "Act by hand:"},
		&cobra.Group{ID: sectionPool, Title: "The pool and its rules:"},
		&cobra.Group{ID: sectionOther, Title: "Other:"},
	)
	flags := root.PersistentFlags()
	flags.StringVar(&env.dataDir, "data-dir", "", "`directory` of the log, tokens and daemon.json")
	flags.StringVar(&env.url, "url", "", "`URL` of the daemon, instead of the one in the data directory")
	flags.StringVar(&env.tokenFile, "token-file", "", "`file` with the token to show the daemon")
	flags.StringVar(&env.context, "context", "", "`name` of the daemon, as 'abeyance context' knows it")
	flags.StringVar(&env.contextsFile, "contexts-file", "", "`file` of the contexts")
	flags.StringVarP(&env.output, "output", "o", outputTable, "output `format`: "+strings.Join(outputs(), ", "))
	flags.BoolVarP(&env.quiet, "quiet", "q", false, "print data only, no talk about it")
	root.SetHelpCommand(newHelpCommand())
	root.AddCommand(commands(env)...)
	showVariables(root)
	completed(env, root)
	return root
}

// commands lists every command.
func commands(env *environment) []*cobra.Command {
	return slices.Concat(
		section(sectionDaemon, newServeCommand(env), newDemoCommand(env), newConfigCommand(env), newReloadCommand(env), newTokenCommand(env),
			newVerifyCommand(env), newBackupCommand(env), newRestoreCommand(env), newExportCommand(env), newImportCommand(env)),
		section(sectionAsk, newStatusCommand(env), newWhyCommand(env), newEventsCommand(env), newWatchCommand(env), newWaitCommand(env), newEpisodesCommand(env), newReplayCommand(env)),
		section(sectionAct, newSuspendCommand(env), newLiftCommand(env), newClearCommand(env), newRecheckCommand(env)),
		section(sectionPool, newAccountsCommand(env), newGroupsCommand(env), newPolicyCommand(env),
			newPickCommand(env), newReportCommand(env), newClassifyCommand(env)),
		section(sectionOther, newContextCommand(env), newCompletionCommand(env), newVersionCommand(env)),
	)
}

func section(id string, list ...*cobra.Command) []*cobra.Command {
	for _, c := range list {
		c.GroupID = id
	}
	return list
}

// settleFor settles the shared flags for a command. A completion settles them itself,
// when it has read the command line that it is about.
func (env *environment) settleFor(cmd *cobra.Command) error {
	if cmd.Name() == cobra.ShellCompRequestCmd {
		return nil
	}
	return env.settle(cmd)
}

// settle completes the flags of a command from the environment and checks the shared
// ones.
func (env *environment) settle(cmd *cobra.Command) error {
	if err := env.takeVariables(cmd); err != nil {
		return err
	}
	if !logsVariables(cmd) {
		for _, warning := range env.unknownVariables(cmd.Root()) {
			env.say("warning: %s", warning)
		}
	}
	if err := among("--output", env.output, outputs()); err != nil {
		return err
	}
	if env.placed { // this is for the first of a command's subcommands
		return nil
	}
	env.placed = true
	return env.settlePlace()
}

// newHelpCommand replaces cobra's, which answers a command that is not there with
// the help of all.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "help [COMMAND]",
		Short:             "Show the help of a command",
		Example:           "  abeyance help suspend",
		GroupID:           sectionOther,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			return found.Help()
		},
	}
}

// runRoot is reached with an unknown command, or none.
func runRoot(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr())
		if err := cmd.Help(); err != nil {
			return err
		}
		return usage("name a command")
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			known = append(append(known, c.Name()), c.Aliases...)
		}
	}
	return usage("there is no command %q%s\nSee '%s --help'.", cmd.CommandPath()+" "+name, didYouMean(name, known), cmd.CommandPath())
}

// flagError names the command whose help lists the flags.
func flagError(cmd *cobra.Command, err error) error {
	return usage("%v%s\nSee '%s --help'.", err, guessFlag(cmd, err), cmd.CommandPath())
}

// newParent returns a command that only holds others; without one of them it does
// what the first does.
func newParent(parent *cobra.Command, children ...*cobra.Command) *cobra.Command {
	parent.AddCommand(children...)
	first := children[0]
	parent.Args = cobra.ArbitraryArgs
	parent.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		if err := arguments(0, 0, "")(cmd, nil); err != nil {
			return err
		}
		first.SetContext(cmd.Context())
		if err := first.Root().PersistentPreRunE(first, nil); err != nil { // for the flags that are the first's own
			return err
		}
		return first.RunE(first, nil)
	}
	return parent
}

// emptyFlag names a flag that was given without a value, for the same reason. The
// body of a report may be empty.
func emptyFlag(cmd *cobra.Command) (name string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" && f.Name != "body" {
			name = f.Name
		}
	})
	return name
}

// arguments returns a check for between least and most arguments; names says what
// they are, as in the usage line. An empty argument is most often a variable of a
// script that is not set: taken for none, it could widen what a command touches.
func arguments(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case slices.Contains(args, ""):
			return usage("an argument of %s is empty\nSee '%s --help'.", cmd.CommandPath(), cmd.CommandPath())
		case emptyFlag(cmd) != "":
			return usage("--%s of %s is empty\nSee '%s --help'.", emptyFlag(cmd), cmd.CommandPath(), cmd.CommandPath())
		case len(args) < least:
			return usage("%s needs %s\nSee '%s --help'.", cmd.CommandPath(), names, cmd.CommandPath())
		case len(args) > most && most == 0:
			return usage("%s takes no arguments, and %q is one\nSee '%s --help'.", cmd.CommandPath(), args[0], cmd.CommandPath())
		case len(args) > most:
			return usage("%s takes %s, and %q is too much\nSee '%s --help'.", cmd.CommandPath(), names, args[most], cmd.CommandPath())
		}
		return nil
	}
}
