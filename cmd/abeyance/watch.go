package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
)

func newWatchCommand(env *environment) *cobra.Command {
	var q eventQuery
	var since string
	var after uint64
	cmd := &cobra.Command{
		Use:   "watch [ACCOUNT]",
		Short: "Show the history as it is made",
		Long: `Show what happens, a line for each record as soon as it is durable. With --since or
--after what has happened since then comes first. If the daemon is restarted, watch goes
on where it was: nothing is missed and nothing shown twice. Ctrl-C ends it.`,
		Example: `  abeyance watch --kind suspended
  abeyance watch a1 --since 1h
  abeyance watch --after 0 -o jsonl >> history.jsonl`,
		Args: arguments(0, 1, "at most one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				q.account = args[0]
			}
			if since != "" && cmd.Flags().Changed("after") {
				return usage("--since and --after both say where to begin: give one of them")
			}
			if err := q.complete(env, since, "", oldestFirst); err != nil {
				return err
			}
			w := &stream{env: env, find: env.daemon, query: q.filters()}
			switch {
			case cmd.Flags().Changed("after"):
				w.query.Set("after", strconv.FormatUint(after, 10))
			case since != "":
				before, err := env.before(cmd.Context(), q.since)
				if err != nil {
					return err
				}
				w.query.Set("after", strconv.FormatUint(before, 10))
			}
			return env.watch(cmd.Context(), w, q.limit)
		},
	}
	f := cmd.Flags()
	q.addFilters(f)
	f.Uint64Var(&after, "after", 0, "begin after the record of this `seq`; 0: with the first")
	f.StringVar(&since, "since", "", "begin with this `time`, or with the last 24h")
	f.IntVarP(&q.limit, "limit", "n", 0, "end after `n` records; 0: never")
	return cmd
}

// before returns the seq of the last record before an instant.
func (env *environment) before(ctx context.Context, t time.Time) (uint64, error) {
	c, err := env.daemon()
	if err != nil {
		return 0, err
	}
	q := eventQuery{since: t, oldest: true}
	page, err := pages[api.EventRow](ctx, c, get("/v1/events", q.params()), 1)
	switch {
	case err != nil:
		return 0, err
	case len(page.Items) > 0:
		return page.Items[0].Seq - 1, nil
	default:
		return page.AsOfSeq, nil
	}
}

// watch prints what a stream yields, up to a number of records; 0: for ever. To be
// interrupted is its usual end.
func (env *environment) watch(ctx context.Context, s *stream, limit int) error {
	s.opened = func(after string) { env.say("watching what comes after record %s; Ctrl-C ends it", after) }
	table := &feed[api.EventRow]{
		columns: eventColumns(func(r api.EventRow) string { return r.At.UTC().Format(time.RFC3339) }),
		widths:  []int{6, 20, 16, 12, 12, 16},
	}
	n := 0
	for row, err := range s.rows(ctx) {
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
		if err := table.print(env, row); err != nil {
			return err
		}
		if n++; n == limit {
			return nil
		}
	}
	return nil
}
