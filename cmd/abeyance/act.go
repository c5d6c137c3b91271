package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// action is a verb that works on the cells of a filter: suspend, lift, clear or
// recheck.
type action struct {
	env    *environment
	name   string // of the route
	done   string // the past tense
	filter filterFlags
	reason string
	dryRun bool
	yes    bool
	// end is set for suspend alone.
	end suspendFlags
}

// filterFlags choose cells. ACCOUNT and TARGET come as arguments too.
type filterFlags struct {
	account, provider, target, class, startedAfter, startedBefore string
}

type suspendFlags struct {
	length, until string
	forever       bool
}

const filterHelp = `
Cells are chosen by ACCOUNT and TARGET, or by flags, which must all match. A target is
a group (claude), one model (model:gemini-2.5-pro) or everything ('*'). More than one
cell is asked about first on a terminal; without one, say --yes.`

func newSuspendCommand(env *environment) *cobra.Command {
	a := &action{env: env, name: "suspend", done: "suspended"}
	cmd := a.command("suspend ACCOUNT [TARGET] (--for 2d | --until TIME | --forever) -r REASON")
	cmd.Short = "Block accounts by hand, with a reason and an end"
	cmd.Long = `Block cells until an end, or without one. Cooldowns go on beside it, and nothing but a
lift or the end releases it. Without TARGET everything on the account is blocked.
` + filterHelp
	cmd.Example = `  abeyance suspend a1 claude --for 2d -r "billing question open"
  abeyance suspend --provider codex --until 2026-12-01T00:00:00Z -r "migration" --yes`
	f := cmd.Flags()
	f.StringVar(&a.end.length, "for", "", "`duration` of the suspension: 90m, 1h30m, 2d")
	f.StringVar(&a.end.until, "until", "", "`time` it ends, RFC 3339")
	f.BoolVar(&a.end.forever, "forever", false, "no end: only a lift releases it")
	return cmd
}

func newLiftCommand(env *environment) *cobra.Command {
	a := &action{env: env, name: "lift", done: "lifted"}
	cmd := a.command("lift ACCOUNT [TARGET]")
	cmd.Aliases = []string{"resume"}
	cmd.Example = `  abeyance lift a1 claude -r "it was paid"
  abeyance lift --provider codex --started-before 2h --yes`
	cmd.Short = "End suspensions that were made by hand"
	cmd.Long = "End manual suspensions. Cooldowns and holds stay: 'clear' ends those. Without TARGET\nevery suspended cell of the account is meant.\n" + filterHelp
	return cmd
}

func newClearCommand(env *environment) *cobra.Command {
	a := &action{env: env, name: "clear", done: "cleared"}
	cmd := a.command("clear ACCOUNT [TARGET]")
	cmd.Aliases = []string{"reset"}
	cmd.Example = `  abeyance clear a1 claude -r "quota was topped up"
  abeyance clear --class quota_exhausted --yes --dry-run`
	cmd.Short = "End cooldowns and holds"
	cmd.Long = "End cooldowns and holds. Manual suspensions stay: 'lift' ends those. Clearing a group\nclears the account's models of it too.\n" + filterHelp
	return cmd
}

func (a *action) command(use string) *cobra.Command {
	cmd := &cobra.Command{
		Use:  use,
		Args: arguments(0, 2, "at most ACCOUNT and TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&a.filter.account, "account", "", "only this `account`")
	f.StringVar(&a.filter.provider, "provider", "", "only accounts of this `provider`")
	f.StringVar(&a.filter.target, "target", "", "only this `target`")
	f.StringVar(&a.filter.class, "class", "", "only cells blocked by an answer of this `class`, such as quota_exhausted")
	f.StringVar(&a.filter.startedAfter, "started-after", "", "only blocks begun after this `time`, or within the last 2h")
	f.StringVar(&a.filter.startedBefore, "started-before", "", "only blocks begun before this `time`, or over 2h ago")
	f.StringVarP(&a.reason, "reason", "r", "", "`why`: the next operator reads it")
	f.BoolVar(&a.dryRun, "dry-run", false, "say what would happen, and do nothing")
	f.BoolVarP(&a.yes, "yes", "y", false, "do not ask, however many cells there are")
	return cmd
}

func (a *action) run(ctx context.Context, args []string) error {
	answer, err := a.perform(ctx, args)
	if err != nil {
		return err
	}
	return a.print(answer)
}

// perform asks where it must, and has the daemon do it.
func (a *action) perform(ctx context.Context, args []string) (*api.ActionAnswer, error) {
	filter, err := a.filter.build(args, a.env.now())
	if err != nil {
		return nil, err
	}
	body, err := a.body(filter)
	if err != nil {
		return nil, err
	}
	c, err := a.env.daemon()
	if err != nil {
		return nil, err
	}
	if !a.dryRun && !a.yes {
		planned, err := a.send(ctx, c, body(true))
		if err != nil {
			return nil, err
		}
		if err := a.confirm(ctx, planned.Cells); err != nil {
			return nil, err
		}
	}
	return a.send(ctx, c, body(a.dryRun))
}

func (f *filterFlags) build(args []string, now time.Time) (api.Filter, error) {
	for i, to := range []*string{&f.account, &f.target} {
		if len(args) <= i {
			break
		}
		if *to != "" {
			return api.Filter{}, usage("%q and a flag name the same thing: give one of them", args[i])
		}
		*to = args[i]
	}
	if err := among("--class", events.Class(f.class), events.Classes()); err != nil {
		return api.Filter{}, err
	}
	out := api.Filter{Account: f.account, Provider: f.provider, Target: f.target, Class: f.class}
	var err error
	if out.StartedAfter.Time, err = parseMoment("--started-after", f.startedAfter, now); err != nil {
		return out, err
	}
	if out.StartedBefore.Time, err = parseMoment("--started-before", f.startedBefore, now); err != nil {
		return out, err
	}
	if out == (api.Filter{}) {
		return out, usage("which cells? Name an ACCOUNT, or narrow all of them by --provider, --target, --class or the start")
	}
	return out, nil
}

// body returns the request for a dry run or a real one.
func (a *action) body(f api.Filter) (func(dryRun bool) any, error) {
	if a.name != "suspend" {
		return func(dryRun bool) any {
			return api.FilterRequest{Filter: f, Reason: a.reason, DryRun: dryRun, OnBehalfOf: a.env.user()}
		}, nil
	}
	r := api.SuspendRequest{Filter: f, Reason: a.reason, OnBehalfOf: a.env.user()}
	if err := a.end.fill(&r); err != nil {
		return nil, err
	}
	if strings.TrimSpace(a.reason) == "" {
		return nil, usage("a suspension needs a reason: -r \"why\" is what the next operator reads")
	}
	return func(dryRun bool) any {
		r := r
		r.DryRun = dryRun
		return r
	}, nil
}

// fill takes over exactly one kind of end.
func (s *suspendFlags) fill(r *api.SuspendRequest) (err error) {
	given := 0
	for _, set := range []bool{s.length != "", s.until != "", s.forever} {
		if set {
			given++
		}
	}
	if given != 1 {
		return usage("say how long: exactly one of --for 2d, --until TIME and --forever")
	}
	r.For, r.Forever = s.length, s.forever
	if s.length != "" {
		if _, err := projection.ParseDuration(s.length); err != nil {
			return usage("--for: %v", err)
		}
	}
	if s.until != "" {
		r.Until.Time, err = parseInstant("--until", s.until)
	}
	return err
}

func (a *action) send(ctx context.Context, c *client, body any) (*api.ActionAnswer, error) {
	answer := new(api.ActionAnswer)
	return answer, c.do(ctx, call{method: http.MethodPost, path: "/v1/" + a.name, body: body}, answer)
}

// shownCells is how many cells a question lists.
const shownCells = 10

// confirm asks before more than one cell is touched.
func (a *action) confirm(ctx context.Context, cells []api.CellRef) error {
	if len(cells) <= 1 {
		return nil
	}
	if !a.env.asks() {
		return usage("this would %s %d cells; to do it without being asked say --yes, to see them --dry-run", a.name, len(cells))
	}
	for _, c := range cells[:min(len(cells), shownCells)] {
		fmt.Fprintf(a.env.err, "  %s %s\n", plain(c.Account), plain(c.Target))
	}
	if more := len(cells) - shownCells; more > 0 {
		fmt.Fprintf(a.env.err, "  and %d more\n", more)
	}
	question := fmt.Sprintf("%s these %d cells?", strings.ToUpper(a.name[:1])+a.name[1:], len(cells))
	if a.env.ask(ctx, question) {
		return nil
	}
	return &exitError{exitFailure, errors.New("nothing was done")}
}

func (a *action) print(answer *api.ActionAnswer) error {
	if err := printCells(a.env, answer); err != nil {
		return err
	}
	switch {
	case answer.DryRun:
		a.env.say("dry run: %s would be %s, nothing was done", counted(len(answer.Cells), "cell"), a.done)
	case answer.Seq == nil:
		a.env.say("nothing changed: %s", answer.Unchanged)
	default:
		a.env.say("%s, %s", a.done, describeRecords(answer.Change))
	}
	for _, u := range answer.Usable {
		if u.Before != u.After || answer.DryRun {
			a.env.say("%s %s: %d of %d usable, before %d", u.Provider, u.Group, u.After, u.Total, u.Before)
		}
	}
	return nil
}

func printCells(env *environment, answer *api.ActionAnswer) error {
	return listing[api.CellRef]{
		answer: answer, items: answer.Cells, empty: "no cell matches",
		columns: []column[api.CellRef]{
			{"ACCOUNT", func(c api.CellRef) string { return c.Account }},
			{"TARGET", func(c api.CellRef) string { return c.Target }},
		},
	}.print(env)
}

// describeRecords names the records of a change.
func describeRecords(c api.Change) string {
	switch {
	case c.Seq == nil:
		return "no record"
	case c.LastSeq == nil || *c.LastSeq == *c.Seq:
		return fmt.Sprintf("record %d", *c.Seq)
	default:
		return fmt.Sprintf("records %d to %d", *c.Seq, *c.LastSeq)
	}
}
