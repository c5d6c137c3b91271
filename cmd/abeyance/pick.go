package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/router"
)

func newPickCommand(env *environment) *cobra.Command {
	var q api.PickRequest
	cmd := &cobra.Command{
		Use:   "pick --provider PROVIDER --model MODEL",
		Short: "Print an account that may serve a model now",
		Long: `Print the account whose turn it is. If none is usable the reasons go to stderr and the
exit code is 3; a provider without accounts is exit code 5.

A pick may be a probe: an account that cools, when it is time to see whether its quota
is back. Report how the request went with its lease, or no other probe goes out for two
minutes.`,
		Example: `  abeyance pick --provider antigravity --model claude-sonnet-4-6
  abeyance pick --provider antigravity --model claude-sonnet-4-6 --strategy sticky --session chat-7`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Provider == "" || q.Model == "" {
				return usage("pick needs --provider and --model")
			}
			if err := among("--strategy", router.Strategy(q.Strategy), router.AllStrategies()); err != nil {
				return err
			}
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.PickAnswer
			err = c.do(cmd.Context(), call{method: http.MethodPost, path: "/v1/pick", body: q}, &answer)
			if err != nil {
				return env.blocked(err)
			}
			return env.printPick(answer)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Provider, "provider", "", "`provider` of the accounts")
	f.StringVar(&q.Model, "model", "", "`model` as the client names it")
	f.StringSliceVar(&q.Candidates, "candidate", nil, "choose among these `accounts` only; may be repeated")
	f.StringSliceVar(&q.Exclude, "exclude", nil, "do not return these `accounts`; may be repeated")
	f.StringVar(&q.Strategy, "strategy", "", "`strategy` for this pick: "+strings.Join(strategyNames(), ", ")+" (default: the provider's)")
	f.StringVar(&q.Session, "session", "", "with sticky: `id` of what stays on one account, such as a conversation")
	f.BoolVar(&q.DryRun, "dry-run", false, "leave the turn as it is, and let no probe out")
	return cmd
}

func (env *environment) printPick(a api.PickAnswer) error {
	err := env.print(a, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, a.Account)
		return err
	})
	note := fmt.Sprintf("%s of %s, lease %s", a.Target, a.Provider, a.Lease)
	if a.Probe {
		note += ", a probe: report how it went with this lease"
	}
	if a.Degraded {
		note += ", degraded: the log cannot be written"
	}
	if a.WouldBlock != "" {
		note += ", observing only: it would be " + a.WouldBlock
	}
	if env.output == outputTable {
		env.say("%s", note)
	}
	return err
}

// blocked tells why nothing is usable. Other errors pass.
func (env *environment) blocked(err error) error {
	p, ok := errors.AsType[*problemError](err)
	if !ok || !strings.HasPrefix(string(p.Code), "all_") {
		return err
	}
	var b api.Blocked
	if err := json.Unmarshal(p.body, &b); err != nil {
		return &exitError{exitBlocked, p}
	}
	if env.output != outputTable {
		if err := env.print(json.RawMessage(p.body), nil); err != nil {
			return err
		}
	}
	now := env.now()
	for _, r := range b.Reasons {
		note := relative(r.Until.Time, now)
		if r.Volatile {
			note += ", not recorded"
		}
		env.say("  %s %s %s %s", plain(r.Account), r.Status, plain(r.Target), note)
	}
	if p.Code == api.Code(router.BlockCooling) {
		text := "the first comes back " + relative(b.EarliestEnd.Time, now)
		if !b.NextProbe.IsZero() {
			text += ", the next probe may go out " + relative(b.NextProbe.Time, now)
		}
		env.say("%s", text)
	}
	return &exitError{exitBlocked, p}
}
