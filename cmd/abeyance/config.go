package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newConfigCommand(env *environment) *cobra.Command {
	return newParent(&cobra.Command{
		Use:     "config",
		Short:   "Show and check the daemon's configuration",
		Example: "  abeyance config check abeyance.yaml",
	}, newConfigShowCommand(env), newConfigCheckCommand(env), newConfigSchemaCommand(env), newTestWebhookCommand(env))
}

func newConfigShowCommand(env *environment) *cobra.Command {
	var f serveFlags
	var effective bool
	cmd := &cobra.Command{
		Use:   "show [--effective] [--config FILE]",
		Short: "Print the configuration that serve would run with, and where each value comes from",
		Long: `Print what is set by a file, the environment or a flag. With --effective every value
is printed, also the defaults, with its origin. The flags are those of serve.

No daemon is asked, and no log is read. Accounts, groups and policy that the file does not
define are those of the log, where the API changes them: 'abeyance accounts', 'abeyance
groups' and 'abeyance policy' show what a daemon runs with.`,
		Example: "  abeyance config show --effective --config abeyance.yaml",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.resolve(env, cmd)
			if err != nil {
				return err
			}
			return showConfig(env, s, effective)
		},
	}
	cmd.Flags().BoolVar(&effective, "effective", false, "print defaults too")
	f.add(cmd.Flags())
	return cmd
}

func showConfig(env *environment, s *settings, effective bool) error {
	all, err := s.effective()
	if err != nil {
		return err
	}
	rows := []effectiveRow{}
	for _, r := range all {
		if effective || r.Origin != originDefault && r.Origin != originLog {
			rows = append(rows, r)
		}
	}
	return listing[effectiveRow]{
		answer: rows, items: rows, empty: "everything has its default; --effective prints it",
		columns: []column[effectiveRow]{
			{"KEY", func(r effectiveRow) string { return r.Key }},
			{"VALUE", func(r effectiveRow) string { return r.Value }},
			{"ORIGIN", func(r effectiveRow) string { return r.Origin }},
		},
	}.print(env)
}

func newConfigCheckCommand(env *environment) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file without starting anything",
		Long: `Read a configuration file as serve would, and name every mistake with its line. The flags
are those of serve: give those that the file is served with, such as --tls-cert.`,
		Example: "  abeyance config check abeyance.yaml",
		Args:    arguments(1, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.config = args[0]
			s, err := f.resolve(env, cmd)
			if wrong, ok := errors.AsType[*exitError](err); ok {
				return &exitError{exitFailure, wrong.err} // in the file
			}
			if err != nil {
				return err
			}
			if err := s.checkBind(); err != nil {
				return &exitError{exitFailure, err}
			}
			env.say("%s is right: %s", args[0], describeConfig(s.file))
			return nil
		},
	}
	f.addOthers(cmd.Flags())
	return cmd
}

func describeAccounts(f *configFile) string {
	if f.Accounts == nil {
		return "the accounts of the log"
	}
	return counted(len(*f.Accounts), "account")
}

func describeConfig(p *parsedConfig) string {
	groups := "the groups of the log or the defaults"
	if c := p.file.groups(); c != nil {
		groups = counted(len(c.Groups), "group") + " of its own"
	}
	policy := "the policy of the log or the default"
	if p.file.Policy != nil {
		policy = "a policy of its own"
	}
	return fmt.Sprintf("%s, %s, %s, %s", describeAccounts(&p.file), groups, policy, counted(len(p.file.Webhooks), "webhook"))
}
