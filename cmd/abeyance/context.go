package main

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newContextCommand(env *environment) *cobra.Command {
	return newParent(&cobra.Command{
		Use:     "context",
		Aliases: []string{"contexts"},
		Short:   "Name several daemons, and choose which one commands ask",
		Long: `A context is a name for a daemon: its URL and the file with the token to show it, or its
data directory. 'context use' makes one the current one, which commands ask if neither a
flag (--data-dir, --url, --context) nor the environment says otherwise.

Contexts are kept in the file named by --contexts-file (` + envContextsFile + `). It
holds no token, and nothing but this command writes it. Without that name
contexts.json is read in the folder abeyance of your configuration directory, if it is
there.`,
		Example: `  export ABEYANCE_CONTEXTS_FILE=$HOME/.config/abeyance/contexts.json
  abeyance context set here --data-dir ./data --use
  abeyance context set prod --url https://abeyance.example:8417 --token-file ./prod.token
  abeyance status --context here`,
	}, newContextListCommand(env), newContextShowCommand(env), newContextUseCommand(env), newContextSetCommand(env), newContextRemoveCommand(env))
}

// contextRow is a context as it is shown.
type contextRow struct {
	Name string `json:"name"`
	daemonContext
	Current bool `json:"current"`
}

func newContextListCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the contexts; the current one has a star",
		Example: "  abeyance context list",
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			all, err := env.readContexts()
			if err != nil {
				return err
			}
			rows := []contextRow{}
			for _, name := range all.names() {
				rows = append(rows, contextRow{name, all.Named[name], name == all.Current})
			}
			return printContexts(env, rows)
		},
	}
}

func printContexts(env *environment, rows []contextRow) error {
	return listing[contextRow]{
		answer: rows, items: rows, empty: "no contexts: make one with 'abeyance context set NAME'",
		columns: []column[contextRow]{
			{"NAME", func(r contextRow) string { return r.Name }},
			{"CURRENT", func(r contextRow) string {
				if r.Current {
					return "*"
				}
				return ""
			}},
			{"DAEMON", func(r contextRow) string { return cmp.Or(r.URL, r.DataDir) }},
			{"TOKEN FILE", func(r contextRow) string { return r.TokenFile }},
		},
	}.print(env)
}

// placeAnswer is which daemon commands ask.
type placeAnswer struct {
	Context string `json:"context,omitempty"`
	daemonContext
	By string `json:"by"` // what says so
}

func newContextShowCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show a context, or which daemon commands ask and what says so",
		Example: `  abeyance context show
  abeyance context show prod -o json`,
		Args: arguments(0, 1, "at most one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return env.showPlace()
			}
			all, err := env.readContexts()
			if err != nil {
				return err
			}
			one, err := all.find(args[0])
			if err != nil {
				return err
			}
			row := contextRow{args[0], *one, args[0] == all.Current}
			if env.output == outputJSON || env.output == outputYAML {
				return env.print(row, nil)
			}
			return printContexts(env, []contextRow{row})
		},
	}
}

func (env *environment) showPlace() error {
	if err := env.locate(); err != nil {
		return err
	}
	if env.place.by == "" {
		return usage("commands ask no daemon: name one with --data-dir, --url or --context, or choose a context with 'abeyance context use NAME'")
	}
	at := daemonContext{URL: env.url, TokenFile: env.tokenFile, DataDir: env.dataDir}
	if env.url != "" {
		at.DataDir = ""
	}
	a := placeAnswer{env.place.context, at, env.place.by}
	return env.print(a, func(w io.Writer) error {
		text := cmp.Or(at.URL, at.DataDir)
		if a.Context != "" {
			text = "context " + a.Context + ": " + text
		}
		_, err := fmt.Fprintf(w, "%s, by %s\n", plain(text), a.By)
		return err
	})
}

func newContextUseCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Make a context the current one",
		Example: "  abeyance context use prod",
		Args:    arguments(1, 1, "one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.changeContexts("use "+args[0], func(all *contexts) error {
				if _, err := all.find(args[0]); err != nil {
					return err
				}
				all.Current = args[0]
				env.saysCurrent(all)
				return nil
			})
		},
	}
}

// saysCurrent tells which context is the current one, and what goes before it.
func (env *environment) saysCurrent(all *contexts) {
	env.say("commands ask %s now", all.Current)
	for _, name := range []string{envURL, envContext, envDataDir} {
		if env.getenv(name) != "" {
			env.say("but %s is set, which goes first here", name)
			return
		}
	}
}

func newContextSetCommand(env *environment) *cobra.Command {
	var use bool
	cmd := &cobra.Command{
		Use:     "set NAME (--url URL --token-file FILE | --data-dir DIR)",
		Aliases: []string{"add"},
		Short:   "Make a context, or say anew what one is",
		Long: `Make a context, or replace the one of that name. Nothing of the environment is taken
over. The token file must be readable by you alone; what it holds is not copied.`,
		Example: `  abeyance context set here --data-dir ./data --use
  abeyance context set prod --url https://abeyance.example:8417 --token-file ./prod.token`,
		Args: arguments(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			one, err := env.contextOfFlags(cmd)
			if err != nil {
				return err
			}
			if !isContextName(args[0]) {
				return usage("%q is no name of a context: write up to 64 letters, digits, dots, dashes and underscores, the first a letter or digit", args[0])
			}
			return env.changeContexts("set "+args[0], func(all *contexts) error {
				done := "made"
				if _, there := all.Named[args[0]]; there {
					done = "replaced"
				}
				all.Named[args[0]] = *one
				env.say("context %s %s: %s", args[0], done, plain(cmp.Or(one.URL, one.DataDir)))
				if use {
					all.Current = args[0]
					env.saysCurrent(all)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&use, "use", false, "make it the current one")
	return cmd
}

// contextOfFlags reads what the flags say, and no more than them.
func (env *environment) contextOfFlags(cmd *cobra.Command) (*daemonContext, error) {
	flag := func(name string) (value string) {
		if f := cmd.Flags().Lookup(name); f.Changed {
			value = f.Value.String()
		}
		return value
	}
	one := &daemonContext{URL: flag("url")}
	for name, to := range map[string]*string{"data-dir": &one.DataDir, "token-file": &one.TokenFile} {
		if flag(name) == "" {
			continue
		}
		var err error
		if *to, err = filepath.Abs(flag(name)); err != nil {
			return nil, err
		}
	}
	if one.URL == "" && one.DataDir == "" {
		return nil, usage("context set needs --url and --token-file, or --data-dir")
	}
	if err := one.check(); err != nil {
		return nil, usage("the context: %v", err)
	}
	if one.TokenFile != "" {
		if _, err := readPrivateToken(one.TokenFile); err != nil {
			return nil, &exitError{exitAuth, err}
		}
	}
	return one, nil
}

func newContextRemoveCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm", "delete"},
		Short:   "Forget a context; its daemon and token file stay as they are",
		Example: "  abeyance context remove prod",
		Args:    arguments(1, 1, "one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.changeContexts("remove "+args[0], func(all *contexts) error {
				if _, err := all.find(args[0]); err != nil {
					return err
				}
				delete(all.Named, args[0])
				env.say("context %s removed", args[0])
				if all.Current == args[0] {
					all.Current = ""
					env.say("no context is the current one now")
				}
				return nil
			})
		},
	}
}

// changeContexts changes the file of contexts, which must have been named: what is the
// rest of the command line, for the advice.
func (env *environment) changeContexts(what string, change func(*contexts) error) error {
	if env.contextsFile == "" {
		path := cmp.Or(env.defaultContextsFile(), "./contexts.json")
		return usage("which file? Contexts are written only to one that is named (%s), such as\n  abeyance context %s ... --contexts-file %s", envContextsFile, what, path)
	}
	all, err := env.readContexts()
	if err != nil {
		return err
	}
	if err := change(all); err != nil {
		return err
	}
	return all.write()
}
