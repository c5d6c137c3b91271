package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// waiter waits until an answer is as it is wanted.
type waiter struct {
	env   *environment
	query whyQuestion
	want  []string // statuses, any of which will do
}

func newWaitCommand(env *environment) *cobra.Command {
	w := &waiter{env: env}
	var timeout string
	cmd := &cobra.Command{
		Use:   "wait ACCOUNT [TARGET] | wait --provider PROVIDER --model MODEL",
		Short: "Wait until an account or a model is usable, or blocked",
		Long: `Wait until 'abeyance why' would answer with a status, available unless --for says
another. Of an account without TARGET every target must be available; of a model one
account is enough. suspended, held and cooling each hold as long as such a block does,
whatever else blocks.

The daemon is not asked again and again: its history is followed, and the time at which
a block ends is known. Exit code 0: it is so; 8: not within --timeout.`,
		Example: `  abeyance wait a1 claude --timeout 10m
  abeyance wait --provider antigravity --model claude-sonnet-4-6 && echo go on
  abeyance wait a1 --for suspended,held --timeout 1h`,
		Args: arguments(0, 2, "at most ACCOUNT and TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit := time.Duration(0)
			err := w.query.take("wait for", args)
			if err == nil && timeout != "" {
				if limit, err = projection.ParseDuration(timeout); err != nil {
					err = usage("--timeout: %v", err)
				}
			}
			for _, status := range w.want {
				if err == nil {
					err = among("--for", projection.Status(status), projection.Statuses())
				}
			}
			if err != nil {
				return err
			}
			return w.run(cmd.Context(), limit)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.query.provider, "provider", "", "wait for any account of this `provider`")
	f.StringVar(&w.query.model, "model", "", "with --provider: the `model` as a client names it")
	f.StringSliceVar(&w.want, "for", []string{string(projection.StatusAvailable)}, "`status` to wait for; more than one: any of them")
	f.StringVar(&timeout, "timeout", "", "the longest `duration` to wait (default: no end)")
	_ = cmd.RegisterFlagCompletionFunc("for", env.completeFrom(fixed(projection.Statuses()...), true)) // it fails only for a flag that is not there
	return cmd
}

// run waits, no longer than limit; 0: as long as it takes.
func (w *waiter) run(ctx context.Context, limit time.Duration) error {
	timed, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		timed, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	answer, err := w.follow(timed)
	if timed.Err() != nil && ctx.Err() == nil && errors.Is(err, timed.Err()) {
		text := fmt.Sprintf("not %s within %s", strings.Join(w.want, " or "), span(limit))
		if answer != nil {
			text += ": " + plain(answer.Sentence)
		}
		return &exitError{exitTimedOut, errors.New(text)}
	}
	if err != nil {
		return err
	}
	return w.env.print(answer, func(out io.Writer) error {
		_, err := fmt.Fprintln(out, plain(answer.Sentence))
		return err
	})
}

// follow returns the answer that is wanted, or the newest one with the error that ended
// the waiting.
func (w *waiter) follow(ctx context.Context) (answer *api.WhyAnswer, err error) {
	if _, err := w.env.daemon(); err != nil {
		return nil, err
	}
	p := w.env.feel(ctx, params("account", w.query.account))
	defer p.close()
	var pace pace
	var due, ends <-chan time.Time
	for {
		select {
		case <-p.beat:
			if due == nil {
				due = time.After(pace.wait())
			}
			continue
		case <-due:
			due = nil
		case <-ends:
		case text := <-p.said:
			fmt.Fprint(w.env.err, text)
			continue
		case err := <-p.end:
			return answer, err
		}
		began := time.Now()
		next, err := w.ask(ctx)
		pace.asked(began)
		switch {
		case ctx.Err() != nil:
			return answer, ctx.Err()
		case err != nil && passes(err):
			continue // the stream has broken too, and tells when it is back
		case err != nil:
			return answer, err
		}
		if w.satisfied(next) {
			return next, nil
		}
		if answer == nil {
			w.env.say("waiting: %s", plain(next.Sentence))
		}
		answer, ends = next, time.After(untilNextEnd(next))
	}
}

// ask asks the daemon that is there now.
func (w *waiter) ask(ctx context.Context) (*api.WhyAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := w.env.daemon()
	if err != nil {
		return nil, err
	}
	answer := new(api.WhyAnswer)
	if err := c.do(ctx, w.query.call(), answer); err != nil {
		return nil, err
	}
	if w.query.provider != "" && answer.CellCount == 0 {
		return nil, &exitError{exitNotFound, errors.New(plain(answer.Sentence))}
	}
	return answer, nil
}

// satisfied reports whether an answer is one that is waited for. Blocks are independent:
// a target that is suspended may cool as well.
func (w *waiter) satisfied(a *api.WhyAnswer) bool {
	if slices.Contains(w.want, a.Status) {
		return true
	}
	if w.query.provider != "" {
		return false // one blocked account says nothing of the others
	}
	for i := range a.Cells {
		if slices.ContainsFunc(a.Cells[i].Ends, func(e api.WhyEnding) bool { return slices.Contains(w.want, e.Block) }) {
			return true
		}
	}
	return false
}

// untilNextEnd is how long it takes, by the daemon's clock, until the first of the blocks
// ends by itself. A daemon that cannot write its log makes no record of that.
func untilNextEnd(a *api.WhyAnswer) time.Duration {
	const never = 24 * time.Hour
	least := never
	for i := range a.Cells {
		for _, e := range a.Cells[i].Ends {
			if !e.At.IsZero() {
				least = min(least, e.At.Sub(a.Now.Time))
			}
		}
	}
	return max(least, 0) + time.Millisecond // times are given in whole milliseconds
}
