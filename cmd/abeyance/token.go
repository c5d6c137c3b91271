package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
)

func newTokenCommand(env *environment) *cobra.Command {
	return newParent(&cobra.Command{
		Use:     "token",
		Aliases: []string{"tokens"},
		Short:   "List, make and end the tokens of the API",
		Example: "  abeyance token",
	}, newTokenListCommand(env), newTokenCreateCommand(env), newTokenDeleteCommand(env))
}

func newTokenListCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the tokens; none is shown",
		Example: "  abeyance token list",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.TokensAnswer
			if err := c.do(cmd.Context(), get("/v1/tokens", nil), &answer); err != nil {
				return err
			}
			return listing[api.TokenRow]{
				answer: answer, items: answer.Items, empty: "no tokens",
				columns: []column[api.TokenRow]{
					{"NAME", func(t api.TokenRow) string { return t.Name }},
					{"ID", func(t api.TokenRow) string { return t.ID }},
					{"SCOPES", func(t api.TokenRow) string { return scopeList(t.Scopes) }},
					{"CREATED", func(t api.TokenRow) string { return relative(t.CreatedAt.Time, env.now()) }},
				},
			}.print(env)
		},
	}
}

func scopeList(scopes []api.Scope) string {
	var names []string
	for _, s := range scopes {
		names = append(names, string(s))
	}
	return strings.Join(names, " ")
}

func newTokenCreateCommand(env *environment) *cobra.Command {
	var scopes []string
	cmd := &cobra.Command{
		Use:   "create NAME --scope SCOPE",
		Short: "Make a token and print it: it is shown only this once",
		Long: `Make a token. Its scopes are any of

  route    pick, report and classify: for a proxy
  read     everything there is to see
  operate  suspend, lift and clear; includes read
  admin    the pool, its rules and tokens; includes all

NAME stands in the log as operator:NAME or proxy:NAME. The token itself begins with its
scopes and an id, which 'token list' shows: so one that turns up somewhere can be ended.`,
		Example: "  (umask 077; abeyance token create proxy-1 --scope route > proxy-1.token)",
		Args:    arguments(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := api.TokenCreate{Name: args[0]}
			for _, s := range scopes {
				var scope api.Scope
				if err := scope.UnmarshalText([]byte(s)); err != nil {
					return usage("--scope: %v%s", err, didYouMean(s, texts(api.Scopes())))
				}
				body.Scopes = append(body.Scopes, scope)
			}
			if len(scopes) == 0 {
				return usage("token create needs --scope: any of %s", scopeList(api.Scopes()))
			}
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.TokenCreated
			if err := c.do(cmd.Context(), call{method: http.MethodPost, path: "/v1/tokens", body: body}, &answer); err != nil {
				return err
			}
			env.say("token %s made with %s; keep it, it is not shown again", answer.Name, scopeList(answer.Scopes))
			return env.print(answer, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, answer.Token)
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "`scope` of the token; may be repeated")
	return cmd
}

func newTokenDeleteCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME",
		Aliases: []string{"rm", "remove"},
		Short:   "End a token at once",
		Example: "  abeyance token delete proxy-1",
		Args:    arguments(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := env.daemon()
			if err != nil {
				return err
			}
			q := call{method: http.MethodDelete, path: "/v1/tokens/" + url.PathEscape(args[0])}
			if err := c.do(cmd.Context(), q, nil); err != nil {
				return err
			}
			env.say("token %s ended", args[0])
			return nil
		},
	}
}
