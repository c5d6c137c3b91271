package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

func newPolicyCommand(env *environment) *cobra.Command {
	return newParent(&cobra.Command{
		Use:   "policy",
		Short: "Show and define how long what blocks",
		Long: `The policy turns answers into deadlines. A file for check and apply has the key policy
of the daemon's configuration file; other keys of such a file are passed over. See
abeyance.example.yaml.`,
		Example: "  abeyance policy",
	}, newPolicyShowCommand(env), newPolicyCheckCommand(env), newPolicyApplyCommand(env))
}

func newPolicyShowCommand(env *environment) *cobra.Command {
	var configured bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every value in force",
		Example: `  abeyance policy show
  abeyance policy show --configured > policy.yaml`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.PolicyAnswer
			if err := c.do(cmd.Context(), get("/v1/policy", nil), &answer); err != nil {
				return err
			}
			if configured {
				return env.asYAML().print(map[string]any{"policy": answer.Configured}, nil)
			}
			env.say("version %d", answer.Version)
			return printPolicy(env, &answer)
		},
	}
	cmd.Flags().BoolVar(&configured, "configured", false, "print the operator's own part as a file for apply")
	return cmd
}

// policyRow is one value in force.
type policyRow struct{ Key, Value string }

func printPolicy(env *environment, answer *api.PolicyAnswer) error {
	rows, err := policyTable(&answer.Policy)
	if err != nil {
		return err
	}
	return listing[policyRow]{
		answer: answer, items: rows,
		columns: []column[policyRow]{
			{"KEY", func(r policyRow) string { return r.Key }},
			{"VALUE", func(r policyRow) string { return r.Value }},
		},
	}.print(env)
}

func policyTable(c *projection.PolicyConfig) ([]policyRow, error) {
	e, err := defined[*events.PolicyDefined](&projection.DefinePolicy{Config: *c})
	if err != nil {
		return nil, fmt.Errorf("the daemon's policy is not one this binary knows: %w", err)
	}
	var rows []policyRow
	add := func(r *events.Rules, under ...string) {
		for _, v := range ruleValues(r) {
			rows = append(rows, policyRow{strings.Join(slices.Concat(under, v.path), "."), v.value})
		}
	}
	add(&e.Policy.Default)
	for i := range e.Policy.Overrides {
		add(&e.Policy.Overrides[i].Rules, "providers", e.Policy.Overrides[i].Match)
	}
	return rows, nil
}

func (env *environment) readPolicy(name string) (*projection.PolicyConfig, error) {
	p, err := env.readDefinitions(name)
	if err != nil {
		return nil, err
	}
	if p.file.Policy == nil {
		return nil, fmt.Errorf("%s has no key policy", inputName(name))
	}
	return p.file.Policy, nil
}

func newPolicyCheckCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a file without a daemon",
		Example: "  abeyance policy check policy.yaml",
		Args:    arguments(1, 1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := env.readPolicy(args[0]); err != nil {
				return err
			}
			env.say("%s is right", inputName(args[0]))
			return nil
		},
	}
}

func newPolicyApplyCommand(env *environment) *cobra.Command {
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Replace the operator's part of the policy by that of a file",
		Example: `  abeyance policy apply -f policy.yaml --dry-run
  abeyance policy apply -f policy.yaml`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("policy apply needs -f FILE; - is the standard input")
			}
			config, err := env.readPolicy(file)
			if err != nil {
				return err
			}
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.PolicyAnswer
			body := api.PolicyPut{PolicyConfig: *config, DryRun: dryRun, OnBehalfOf: env.user()}
			if err := c.do(cmd.Context(), call{method: http.MethodPut, path: "/v1/policy", body: body}, &answer); err != nil {
				return err
			}
			if answer.Change != nil {
				env.sayDefined("policy", answer.Change.Change, answer.Change.DryRun, answer.Version)
			}
			if env.output == outputTable {
				return nil
			}
			return printPolicy(env, &answer)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` with the key policy; - is the standard input")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check it, and change nothing")
	return cmd
}
