package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
)

func newAccountsCommand(env *environment) *cobra.Command {
	return newParent(&cobra.Command{
		Use:     "accounts",
		Aliases: []string{"account"},
		Short:   "List and change the pool",
		Example: "  abeyance accounts",
	}, newAccountsListCommand(env), newAccountsPutCommand(env), newAccountsSetCommand(env), newAccountsRemoveCommand(env),
		newAccountsForgetCommand(env))
}

func newAccountsListCommand(env *environment) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the accounts",
		Example: "  abeyance accounts list --provider antigravity",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := env.daemon()
			if err != nil {
				return err
			}
			page, err := pages[api.AccountRow](cmd.Context(), c, get("/v1/accounts", params("provider", provider)), 0)
			if err != nil {
				return err
			}
			return printAccounts(env, page, page.Items)
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "", "only accounts of this `provider`")
	return cmd
}

// printAccounts prints rows; answer stands for them in json and yaml.
func printAccounts(env *environment, answer any, rows []api.AccountRow) error {
	return listing[api.AccountRow]{
		answer: answer, items: rows, empty: "no accounts: add one with 'abeyance accounts put ACCOUNT --provider PROVIDER'",
		columns: []column[api.AccountRow]{
			{"ACCOUNT", func(a api.AccountRow) string { return a.Account }},
			{"PROVIDER", func(a api.AccountRow) string { return a.Provider }},
			{"PRIORITY", func(a api.AccountRow) string { return strconv.Itoa(a.Priority) }},
			{"WEIGHT", func(a api.AccountRow) string { return strconv.Itoa(a.Weight) }},
			{"ORIGIN", func(a api.AccountRow) string { return a.Origin }},
			{"STATE", accountState},
			{"ADDED", func(a api.AccountRow) string { return relative(a.AddedAt.Time, env.now()) }},
		},
		status: accountState,
	}.print(env)
}

func accountState(a api.AccountRow) string {
	switch {
	case a.Disabled:
		return "disabled"
	case !a.Available:
		return "frozen"
	case a.DisableCooling:
		return "never cools"
	default:
		return "usable"
	}
}

func newAccountsPutCommand(env *environment) *cobra.Command {
	var body api.AccountPut
	cmd := &cobra.Command{
		Use:   "put ACCOUNT --provider PROVIDER",
		Short: "Add an account, or replace all its settings",
		Long:  "Add an account, or replace the settings of one: what is not given is reset. 'accounts set' changes single settings.",
		Example: `  abeyance accounts put a4 --provider antigravity
  abeyance accounts put c1 --provider codex --priority 10 --weight 2`,
		Args: arguments(1, 1, "one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if body.Provider == "" {
				return usage("accounts put needs --provider")
			}
			body.OnBehalfOf = env.user()
			return changeAccount(cmd, env, call{method: http.MethodPut, path: accountPath(args[0]), body: body})
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Provider, "provider", "", "`provider`, such as antigravity, claude or codex")
	f.IntVar(&body.Priority, "priority", 0, "higher `n` is served first")
	f.IntVar(&body.Weight, "weight", 1, "1 to 16")
	f.BoolVar(&body.Disabled, "disabled", false, "keep it out of all picks")
	f.BoolVar(&body.DisableCooling, "disable-cooling", false, "record limits, but never block automatically")
	f.StringVar(&body.CredentialVersion, "credential-version", "", "`text` that changes when the credential is renewed; a change releases holds")
	return cmd
}

func newAccountsSetCommand(env *environment) *cobra.Command {
	var priority, weight int
	var disabled, disableCooling bool
	var version string
	cmd := &cobra.Command{
		Use:     "set ACCOUNT",
		Short:   "Change single settings of an account",
		Example: "  abeyance accounts set a1 --disabled\n  abeyance accounts set a1 --disabled=false --priority 10",
		Args:    arguments(1, 1, "one ACCOUNT"),
	}
	f := cmd.Flags()
	f.IntVar(&priority, "priority", 0, "higher `n` is served first")
	f.IntVar(&weight, "weight", 1, "1 to 16")
	f.BoolVar(&disabled, "disabled", false, "keep it out of all picks")
	f.BoolVar(&disableCooling, "disable-cooling", false, "record limits, but never block automatically")
	f.StringVar(&version, "credential-version", "", "`text` that changes when the credential is renewed; a change releases holds")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := api.AccountPatch{
			Priority: given(cmd, "priority", priority), Weight: given(cmd, "weight", weight), Disabled: given(cmd, "disabled", disabled),
			DisableCooling: given(cmd, "disable-cooling", disableCooling), CredentialVersion: given(cmd, "credential-version", version),
		}
		if body == (api.AccountPatch{}) {
			return usage("what is to change? Give at least one of --priority, --weight, --disabled, --disable-cooling and --credential-version")
		}
		body.OnBehalfOf = env.user()
		return changeAccount(cmd, env, call{method: http.MethodPatch, path: accountPath(args[0]), body: body})
	}
	return cmd
}

// given returns a flag's value if it was given, else nil.
func given[T any](cmd *cobra.Command, flag string, value T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return &value
}

func newAccountsRemoveCommand(env *environment) *cobra.Command {
	var reason string
	var force bool
	cmd := &cobra.Command{
		Use:     "remove ACCOUNT",
		Aliases: []string{"rm", "delete"},
		Short:   "Take an account out of the pool; its history stays",
		Example: `  abeyance accounts remove a3 -r "the subscription ended"`,
		Args:    arguments(1, 1, "one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := params("reason", reason, "on_behalf_of", env.user())
			if force {
				query.Set("force", "true")
			}
			return changeAccount(cmd, env, call{method: http.MethodDelete, path: accountPath(args[0]), query: query})
		},
	}
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "`why`")
	cmd.Flags().BoolVar(&force, "force", false, "remove it although it is suspended by hand")
	return cmd
}

func newAccountsForgetCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "forget ACCOUNT",
		Short: "Erase which id an account was given; the log stays as it is",
		Long: `An account id that holds an e-mail address stands in the log as a pseudonym; which id
that is stands in identities.json beside the log. This erases it there, by the given id or
the stored one (acct_...): from then on the account is shown by its stored id. The log and
its hashes stay as they are, and copies of identities.json are yours to erase.

A config file or a report that names the id makes it known again: take it out of there
first, and the account out of the pool ('abeyance accounts remove') if it is to be gone.`,
		Example: "  abeyance accounts forget mira@example.com",
		Args:    arguments(1, 1, "one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := env.daemon()
			if err != nil {
				return err
			}
			a := new(api.ForgetAnswer)
			q := call{method: http.MethodPost, path: accountPath(args[0]) + "/forget", body: api.ForgetRequest{OnBehalfOf: env.user()}}
			if err := c.do(cmd.Context(), q, a); err != nil {
				return err
			}
			return env.print(a, func(w io.Writer) error { return writeForget(w, a) })
		},
	}
}

func writeForget(w io.Writer, a *api.ForgetAnswer) error {
	if !a.Forgotten {
		_, err := fmt.Fprintf(w, "nothing was erased: %s\n", a.Unchanged)
		return err
	}
	text := "forgotten: the account is shown as " + a.Stored + " from now on; the log is as it was"
	if a.InPool {
		text += ", and the account still in the pool"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func changeAccount(cmd *cobra.Command, env *environment, q call) error {
	c, err := env.daemon()
	if err != nil {
		return err
	}
	var answer api.AccountAnswer
	if err := c.do(cmd.Context(), q, &answer); err != nil {
		return err
	}
	if answer.Seq == nil {
		env.say("nothing changed: %s", answer.Unchanged)
	} else {
		env.say("done, %s", describeRecords(answer.Change))
	}
	var rows []api.AccountRow
	if answer.Account != nil {
		rows = append(rows, *answer.Account)
	} else if env.output == outputTable {
		return nil
	}
	return printAccounts(env, answer, rows)
}
