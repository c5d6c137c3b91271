package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

func newRecheckCommand(env *environment) *cobra.Command {
	a := &action{env: env, name: "recheck", done: "rechecked"}
	var wait bool
	var timeout string
	cmd := a.command("recheck ACCOUNT [TARGET]")
	cmd.Short = "Have cells that cool probed now: the quota may be back early"
	cmd.Long = `Ask for a probe of cells that cool, instead of waiting until one is due. A probe is a
real request: the next one that such a cell could serve is let through to it. If it is
served, the cell is usable again, and the others of its pool are probed in their turn;
if it is refused again, nothing is lost. In one pool probes go out one at a time, by
default 30 s apart. Holds and manual suspensions are not probed.

With --wait every cell's outcome is printed as it comes. Exit code 8 says that not all
of them came in time.
` + filterHelp
	cmd.Example = `  abeyance recheck a1 claude -r "the provider says it was reset" --wait
  abeyance recheck --provider codex --class quota_exhausted --yes`
	cmd.Flags().BoolVar(&wait, "wait", false, "follow what comes of it, until every cell is answered")
	cmd.Flags().StringVar(&timeout, "timeout", "5m", "with --wait: the longest `duration` to wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		limit, err := projection.ParseDuration(timeout)
		switch {
		case err != nil:
			return usage("--timeout: %v", err)
		case wait && a.dryRun:
			return usage("--dry-run asks for nothing that --wait could wait for")
		case !wait && cmd.Flags().Changed("timeout"):
			return usage("--timeout belongs to --wait")
		}
		answer, err := a.perform(cmd.Context(), args)
		if err != nil {
			return err
		}
		if wait && len(answer.Cells) > 0 {
			return (&follower{env: env, limit: limit}).follow(cmd.Context(), answer)
		}
		if err := a.print(answer); err != nil {
			return err
		}
		if answer.Seq != nil {
			env.say("the next request that it could serve is the probe; --wait shows what comes of it")
		}
		return nil
	}
	return cmd
}

// cellOutcome is what came of the recheck of one cell.
type cellOutcome struct {
	api.CellRef
	// Outcome is one of the constants below.
	Outcome string   `json:"outcome"`
	Until   api.Time `json:"until"`        // of what still blocks; null: no end, or nothing does
	By      string   `json:"by,omitempty"` // who did it, if somebody did
	At      api.Time `json:"at"`           // null: no answer came
	Seq     uint64   `json:"seq,omitempty"`
}

// What may come of a recheck.
const (
	outcomeRecovered  = "recovered"
	outcomeSpent      = "spent"     // the cell was answered with another limit
	outcomeHeld       = "held"      // a human must act now
	outcomeExpired    = "expired"   // its time came first
	outcomeCleared    = "cleared"   // by an operator
	outcomeSuspended  = "suspended" // by an operator: such a cell is not probed
	outcomeGone       = "gone"      // the account was removed or switched off
	outcomeUnanswered = "unanswered"
)

// String says it for people.
func (o *cellOutcome) String() string {
	until := o.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	text := map[string]string{
		outcomeRecovered:  "recovered",
		outcomeSpent:      "still spent until " + until,
		outcomeHeld:       "held until a human acts",
		outcomeExpired:    "expired",
		outcomeCleared:    "cleared by " + o.By,
		outcomeSuspended:  "suspended by " + o.By + ", and not probed",
		outcomeGone:       "taken out of the pool by " + o.By,
		outcomeUnanswered: "no request came to probe with",
	}[o.Outcome]
	if o.Seq > 0 {
		text += fmt.Sprintf(" (record %d)", o.Seq)
	}
	return text
}

// recheckAnswer is what recheck --wait prints as one document.
type recheckAnswer struct {
	*api.ActionAnswer
	Outcomes []cellOutcome `json:"outcomes"`
}

// follower follows the history for what comes of a recheck.
type follower struct {
	env   *environment
	limit time.Duration

	open     []api.CellRef // not answered yet
	outcomes []cellOutcome
}

// follow prints outcomes as they come.
func (f *follower) follow(ctx context.Context, answer *api.ActionAnswer) error {
	f.open = slices.Clone(answer.Cells)
	seq, asked := answer.AsOfSeq, "it was asked for before" // what comes from now on
	if answer.Seq != nil {
		seq, asked = *answer.Seq, "rechecked, "+describeRecords(answer.Change)
	}
	f.env.say("%s; a probe is a real request, so traffic must come: waiting up to %s for %s", asked, span(f.limit), counted(len(f.open), "cell"))
	if err := f.wait(ctx, seq); err != nil {
		return err
	}
	unanswered := len(f.open)
	for _, cell := range f.open {
		if err := f.tell(cellOutcome{CellRef: cell, Outcome: outcomeUnanswered}); err != nil {
			return err
		}
	}
	if f.env.output == outputJSON || f.env.output == outputYAML {
		if err := f.env.document(recheckAnswer{answer, f.outcomes}); err != nil {
			return err
		}
	}
	if unanswered > 0 {
		return &exitError{exitTimedOut, fmt.Errorf("%s of %d not answered within %s", counted(unanswered, "cell"), len(answer.Cells), span(f.limit))}
	}
	return nil
}

// wait returns when every cell is answered by a record after seq, or the time is up.
func (f *follower) wait(ctx context.Context, seq uint64) error {
	timed, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	q := eventQuery{}
	if account := f.open[0].Account; !slices.ContainsFunc(f.open, func(c api.CellRef) bool { return c.Account != account }) {
		q.account = account
	}
	s := &stream{env: f.env, find: f.env.daemon, query: q.filters()}
	s.query.Set("after", formatSeq(seq))
	for row, err := range s.rows(timed) {
		switch {
		case err == nil:
			err = f.take(&row)
		case timed.Err() != nil:
			return ctx.Err() // nil: the time is up
		}
		if err != nil || len(f.open) == 0 {
			return err
		}
	}
	return nil
}

// take tells what a record means for the cells that are open.
func (f *follower) take(row *api.EventRow) error {
	for _, cell := range slices.Clone(f.open) {
		o := outcomeOf(row, cell)
		if o.Outcome == "" {
			continue
		}
		f.open = slices.DeleteFunc(f.open, func(c api.CellRef) bool { return c == cell })
		if err := f.tell(o); err != nil {
			return err
		}
	}
	return nil
}

// tell prints an outcome at once, where the format lets it.
func (f *follower) tell(o cellOutcome) error {
	f.outcomes = append(f.outcomes, o)
	switch f.env.output {
	case outputTable, outputJSONL:
		return f.env.print(o, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s %s: %s\n", plain(o.Account), plain(o.Target), plain(o.String()))
			return err
		})
	}
	return nil
}

// outcomeOf is what a record means for a cell that waits for a probe; without an
// outcome it means nothing.
func outcomeOf(row *api.EventRow, cell api.CellRef) cellOutcome {
	o := cellOutcome{CellRef: cell, At: row.At, Seq: row.Seq}
	if events.Kind(row.Kind) == events.KindExpired {
		if row.Data.Dimension == string(events.DimensionCooling) && slices.Contains(row.Data.Cells, cell) {
			o.Outcome = outcomeExpired
		}
		return o
	}
	if row.Account != cell.Account {
		return o
	}
	o.By = actorOf(*row)
	same := row.Data.Target == cell.Target
	switch kind := events.Kind(row.Kind); {
	case kind == events.KindRecovered && same:
		o.Outcome, o.By = outcomeRecovered, ""
	case kind == events.KindLimitObserved && same:
		o.Outcome, o.By, o.Until = limitOutcome(row.Data.Effect), "", row.Data.Until
	case kind == events.KindCooldownCleared && same:
		o.Outcome = outcomeCleared
	case kind == events.KindSuspended && (same || row.Data.Target == events.TargetAll):
		o.Outcome, o.Until = outcomeSuspended, row.Data.Until
	case kind == events.KindAccountRemoved, kind == events.KindAccountChanged && row.Data.Spec.Disabled:
		o.Outcome = outcomeGone
	}
	return o
}

func limitOutcome(effect string) string {
	switch events.Effect(effect) {
	case events.EffectStarted, events.EffectExtended, events.EffectKept:
		return outcomeSpent
	case events.EffectHeld:
		return outcomeHeld
	default:
		return "" // of an older request, or one that blocks nothing
	}
}
