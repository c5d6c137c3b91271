package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

func newReplayCommand(env *environment) *cobra.Command {
	var from, to, groups, policy, account string
	var step bool
	cmd := &cobra.Command{
		Use:   "replay [--groups FILE] [--policy FILE] | replay --step [--account ACCOUNT]",
		Short: "Decide a part of the past again under other rules, or walk through it",
		Long: `Decide what was recorded again, under the groups or the policy of a file, and set both
outcomes side by side. Nothing is changed. Without a file the rules of the time are
used, which must make no difference.

The 429s avoided are exact for the requests that say when they were sent, by a lease or
by started_at; the others are counted apart. The extra free time is an upper bound:
requests that were not made, because the account was blocked, have no recorded answer, and
none is made up. A suspension of a group that the other groups do not have stands for the
models of that group that the account was asked for.

With --step walk through the range record by record: the state before, what happened,
the state after. On a terminal Enter goes on and q ends.

With the daemon stopped the data directory is read itself.`,
		Example: `  abeyance replay --from 24h --policy shorter.yaml
  abeyance replay --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z --groups per-model.yaml -o json
  abeyance replay --step --account a1 --from seq:120`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, b, err := parsePoints(from, to, env.now())
			switch {
			case err != nil:
				return err
			case step && (groups != "" || policy != ""):
				return usage("--step walks through what was recorded: it takes no --groups and no --policy")
			case step:
				return env.stepThrough(cmd.Context(), stepQuery{account, a, b})
			case account != "":
				return usage("--account goes with --step")
			}
			q := projection.Replay{From: a, To: b}
			if err := env.readRules(&q, groups, policy); err != nil {
				return err
			}
			answer, err := env.replay(cmd.Context(), q)
			if err != nil {
				return err
			}
			return env.print(answer, func(w io.Writer) error { return env.writeReplay(w, answer) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "begin with the state at this `time`: RFC 3339, 24h (ago) or seq:N")
	f.StringVar(&to, "to", "", "end at this `time`")
	f.StringVar(&groups, "groups", "", "`file` with bootstrap, groups and aliases to use instead; - is the standard input")
	f.StringVar(&policy, "policy", "", "`file` with the policy to use instead; - is the standard input")
	f.BoolVar(&step, "step", false, "walk through the records one by one")
	f.StringVar(&account, "account", "", "with --step: only the records about this `account`")
	return cmd
}

// readRules reads the files of the other rules.
func (env *environment) readRules(q *projection.Replay, groups, policy string) (err error) {
	if groups == "-" && policy == "-" {
		return usage("--groups and --policy cannot both read the standard input")
	}
	if groups != "" {
		if q.Groups, err = env.readGroups(groups); err != nil {
			return err
		}
	}
	if policy != "" {
		q.Policy, err = env.readPolicy(policy)
	}
	return err
}

// replay asks the daemon, or the log itself if it is stopped.
func (env *environment) replay(ctx context.Context, q projection.Replay) (answer *api.ReplayAnswer, err error) {
	c, err := env.reader()
	if err != nil {
		return nil, err
	}
	if c != nil {
		answer = new(api.ReplayAnswer)
		body := api.ReplayRequest{From: pointText(q.From), To: pointText(q.To), Groups: q.Groups, Policy: q.Policy}
		return answer, c.do(ctx, call{method: http.MethodPost, path: "/v1/replay", body: body}, answer)
	}
	a, err := env.openArchive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	r, err := a.past.Replay(ctx, q)
	if err != nil {
		return nil, err
	}
	answer = api.NewReplayAnswer(r, a.ids)
	answer.AsOfSeq = uint64(a.past.State.Head().Seq)
	return answer, nil
}

func (env *environment) writeReplay(w io.Writer, a *api.ReplayAnswer) error {
	var b strings.Builder
	if a.FromSeq == 0 {
		b.WriteString("no record lies in the range\n")
	} else {
		fmt.Fprintf(&b, "records %d to %d: %s decided again, %d of them 429s\n", a.FromSeq, a.ToSeq, counted(a.Observations, "answer"), a.Limits)
	}
	fmt.Fprintf(&b, "429s avoided     %d\n", a.Avoided)
	if a.Undated > 0 {
		fmt.Fprintf(&b, "429s not dated   %d: they came with neither a lease nor the time at which the request was sent\n", a.Undated)
	}
	fmt.Fprintf(&b, "extra free       %s at most: requests that were not made are not simulated\n", spanOrNone(a.ExtraFree))
	fmt.Fprintf(&b, "extra blocked    %s\n", spanOrNone(a.ExtraBlocked))
	fmt.Fprintf(&b, "freezes differ   %d\n", a.DifferingCount)
	if d := a.First; d != nil {
		fmt.Fprintf(&b, "first difference record %d, %s, %s on %s: %s\n", d.Seq, d.At.UTC().Format(time.RFC3339), plain(d.Model), plain(d.Account), plain(d.Because))
	}
	if _, err := io.WriteString(w, b.String()); err != nil || len(a.Differing) == 0 {
		return err
	}
	fmt.Fprintln(w)
	pairs := listing[api.EpisodePair]{
		items: a.Differing[:min(len(a.Differing), shownPairs)],
		columns: []column[api.EpisodePair]{
			{"BEGAN", func(p api.EpisodePair) string { return either(p).StartedAt.UTC().Format(time.RFC3339) }},
			{"ACCOUNT", func(p api.EpisodePair) string { return either(p).Account }},
			{"TARGET", func(p api.EpisodePair) string { return either(p).Target }},
			{"BLOCK", func(p api.EpisodePair) string { return either(p).Block }},
			{"WAS", func(p api.EpisodePair) string { return lastedText(p.Recorded, a.To.Time) }},
			{"WOULD HAVE BEEN", func(p api.EpisodePair) string { return lastedText(p.Replayed, a.To.Time) }},
		},
	}
	if err := pairs.table(env); err != nil {
		return err
	}
	if more := a.DifferingCount - shownPairs; more > 0 {
		env.say("%d more; -o json has them", more)
	}
	return nil
}

// shownPairs bounds the table of freezes that differ.
const shownPairs = 50

func either(p api.EpisodePair) *api.EpisodeRow {
	if p.Recorded != nil {
		return p.Recorded
	}
	return p.Replayed
}

// lastedText says how long a freeze lasted, how it ended, and how often the upstream was
// asked meanwhile.
func lastedText(e *api.EpisodeRow, end time.Time) string {
	if e == nil {
		return "none"
	}
	text := spanOrNone(e.Seconds) + ", " + episodeEnd(*e, end)
	if e.Answers > 0 {
		text += ", " + counted(e.Answers, "answer")
	}
	return text
}

func spanOrNone(seconds float64) string {
	if text := spanOf(seconds); text != "" {
		return text
	}
	return "0s"
}
