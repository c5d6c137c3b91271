package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// episodeQuery is what episodes is asked for.
type episodeQuery struct {
	account, target, provider string
	from, to                  projection.Moment // zero: open
	oldest                    bool              // oldest first
	limit                     int               // 0: all
}

// The sums that episodes can show instead of rows.
var episodeSums = []string{"account", "target", "provider", "day"}

func newEpisodesCommand(env *environment) *cobra.Command {
	var q episodeQuery
	var from, to, order, by string
	var watch bool
	cmd := &cobra.Command{
		Use:   "episodes [ACCOUNT]",
		Short: "Show each freeze as one row, or sums of them",
		Long: `Show each freeze from its start to its end: what began it, how often the upstream was
asked meanwhile, how long it asked to wait, and how long it really took. With --by show
sums. With the daemon stopped the data directory is read itself.

With --watch it is shown until Ctrl-C: on a terminal in its place, else again whenever
something has changed (with -o jsonl as one line).`,
		Example: `  abeyance episodes a1 --from 7d
  abeyance episodes --provider antigravity --by day
  abeyance episodes --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z -o jsonl`,
		Args: arguments(0, 1, "at most one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				q.account = args[0]
			}
			if q.from, q.to, err = parsePoints(from, to, env.now()); err != nil {
				return err
			}
			if err := q.check(order, by); err != nil {
				return err
			}
			if watch {
				return env.watchEpisodes(cmd.Context(), q, by)
			}
			page, err := env.episodes(cmd.Context(), q)
			if err != nil {
				return err
			}
			return env.printEpisodePage(page, by)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.target, "target", "", "only freezes of this `target`: a group, model:NAME or *")
	f.StringVar(&q.provider, "provider", "", "only those of this `provider`")
	f.StringVar(&from, "from", "", "that had not ended at this `time`: RFC 3339, 7d (ago) or seq:N")
	f.StringVar(&to, "to", "", "that began before this `time`; the rows are as of then")
	f.StringVar(&order, "order", newestFirst, "desc (newest first) or asc")
	f.StringVar(&by, "by", "", "show sums by account, target, provider or day")
	f.IntVarP(&q.limit, "limit", "n", 100, "at most `n` rows; 0: all")
	f.BoolVarP(&watch, watchFlag, "w", false, "go on showing it, until Ctrl-C")
	return cmd
}

func (env *environment) watchEpisodes(ctx context.Context, q episodeQuery, by string) error {
	if q.to != (projection.Moment{}) {
		return usage("--watch shows what is, and --to what was: give one of them")
	}
	l := live{env: env, query: params("account", q.account), fetch: func(ctx context.Context) (*picture, error) {
		c, err := env.daemon()
		if err != nil {
			return nil, err
		}
		page, err := q.fetch(ctx, c)
		if err != nil {
			return nil, err
		}
		return &picture{answer: page, at: page.Now.Time, frozen: by != "", paint: func(env *environment, now time.Time) error {
			for i := range page.Items {
				if e := &page.Items[i]; e.Ended == "" {
					e.Seconds += now.Sub(page.Now.Time).Seconds() // it goes on
				}
			}
			page.Now.Time = now
			return env.printEpisodePage(page, by)
		}}, nil
	}}
	return l.run(ctx)
}

func (env *environment) printEpisodePage(page *api.EpisodePage, by string) error {
	if by != "" {
		return env.printEpisodeSums(page, by)
	}
	return env.printEpisodes(page)
}

// check takes over the order and refuses what cannot be asked for.
func (q *episodeQuery) check(order, by string) error {
	if q.limit < 0 {
		return usage("--limit %d is negative", q.limit)
	}
	q.oldest = order == oldestFirst
	return cmp.Or(among("--order", order, []string{newestFirst, oldestFirst}), among("--by", by, episodeSums))
}

// episodes asks the daemon, or the log itself if it is stopped.
func (env *environment) episodes(ctx context.Context, q episodeQuery) (*api.EpisodePage, error) {
	c, err := env.reader()
	if err != nil {
		return nil, err
	}
	if c == nil {
		return env.episodesOffline(ctx, q)
	}
	return q.fetch(ctx, c)
}

// fetch asks the daemon, page by page.
func (q *episodeQuery) fetch(ctx context.Context, c *client) (*api.EpisodePage, error) {
	query := params("account", q.account, "target", q.target, "provider", q.provider, "from", pointText(q.from), "to", pointText(q.to))
	if q.oldest {
		query.Set("order", "asc")
	}
	page := new(api.EpisodePage)
	for {
		query.Set("page_size", strconv.Itoa(pageSize(q.limit, len(page.Items))))
		next := new(api.EpisodePage)
		if err := c.do(ctx, get("/v1/episodes", query), next); err != nil {
			return nil, err
		}
		next.Items = append(page.Items, next.Items...)
		page = next
		if page.NextPageToken == nil || len(page.Items) == q.limit {
			return page, nil
		}
		query.Set("page_token", *page.NextPageToken)
	}
}

func (env *environment) episodesOffline(ctx context.Context, q episodeQuery) (page *api.EpisodePage, err error) {
	a, err := env.openArchive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	query := projection.EpisodeQuery{
		Account: a.ids.Stored(q.account), Target: projection.CanonicalTarget(q.target),
		Provider: projection.CanonicalProvider(q.provider), From: q.from, To: q.to,
	}
	list, end, err := a.past.Episodes(ctx, query)
	if err != nil {
		return nil, err
	}
	page = &api.EpisodePage{Count: len(list), Sums: api.NewEpisodeSums(list, end, a.ids)}
	page.AsOfSeq, page.Now, page.Items = uint64(a.past.State.Head().Seq), api.Time{Time: end}, []api.EpisodeRow{}
	if !q.oldest {
		slices.Reverse(list)
	}
	for i := range list[:min(len(list), cmp.Or(q.limit, len(list)))] {
		page.Items = append(page.Items, api.NewEpisodeRow(&list[i], end, a.ids))
	}
	if len(list) == 0 {
		return page, a.knows(ctx, eventQuery{account: q.account, target: query.Target}, a.past.State.Groups())
	}
	return page, nil
}

func (env *environment) printEpisodes(page *api.EpisodePage) error {
	now := page.Now.Time
	err := listing[api.EpisodeRow]{
		answer: page, items: page.Items, empty: "no freeze matches",
		columns: []column[api.EpisodeRow]{
			{"BEGAN", func(e api.EpisodeRow) string { return relative(e.StartedAt.Time, now) }},
			{"ACCOUNT", func(e api.EpisodeRow) string { return e.Account }},
			{"TARGET", episodeTarget},
			{"BLOCK", func(e api.EpisodeRow) string { return e.Block }},
			{"WHY", episodeCause},
			{"LASTED", func(e api.EpisodeRow) string { return spanOf(e.Seconds) }},
			{"END", func(e api.EpisodeRow) string { return episodeEnd(e, now) }},
			{"ANSWERS", func(e api.EpisodeRow) string { return strconv.Itoa(e.Answers) }},
			{"429S", func(e api.EpisodeRow) string { return strconv.Itoa(e.Limits) }},
			{"ASKED FOR", func(e api.EpisodeRow) string { return spanOf(e.Longest) }},
		},
		status: func(e api.EpisodeRow) string {
			if e.Ended != "" {
				return ""
			}
			return e.Block
		},
	}.print(env)
	if more := page.Count - len(page.Items); more > 0 && env.output == outputTable {
		env.say("%d more; --limit 0 shows all", more)
	}
	return err
}

func episodeTarget(e api.EpisodeRow) string {
	if e.MovedFrom != "" {
		return e.Target + " (was " + e.MovedFrom + ")"
	}
	return e.Target
}

// episodeCause says what began a freeze.
func episodeCause(e api.EpisodeRow) string {
	switch {
	case e.Actor != "":
		return e.Reason + " (" + e.Actor + ")"
	case e.Reason != "":
		return e.Class + " (" + e.Reason + ")"
	default:
		return e.Class
	}
}

func episodeEnd(e api.EpisodeRow, now time.Time) string {
	switch {
	case e.Ended != "":
		return e.Ended
	case e.Until.IsZero():
		return "goes on, without an end"
	default:
		return "goes on, ends " + relative(e.Until.Time, now)
	}
}

// spanOf is a number of seconds for people; none is empty.
func spanOf(seconds float64) string {
	if seconds <= 0 {
		return ""
	}
	return span(time.Duration(seconds * float64(time.Second)))
}

func (env *environment) printEpisodeSums(page *api.EpisodePage, by string) error {
	rows := map[string][]api.EpisodeSum{
		"account": page.Sums.Accounts, "target": page.Sums.Targets, "provider": page.Sums.Providers, "day": page.Sums.Days,
	}[by]
	return listing[api.EpisodeSum]{
		answer: rows, items: rows, empty: "no freeze matches",
		columns: []column[api.EpisodeSum]{
			{map[string]string{"account": "ACCOUNT", "target": "TARGET", "provider": "PROVIDER", "day": "DAY"}[by], func(s api.EpisodeSum) string { return s.Key }},
			{"FREEZES", func(s api.EpisodeSum) string { return fmt.Sprint(s.Episodes) }},
			{"FROZEN", func(s api.EpisodeSum) string { return spanOf(s.Seconds) }},
			{"ANSWERS", func(s api.EpisodeSum) string { return fmt.Sprint(s.Answers) }},
			{"429S", func(s api.EpisodeSum) string { return fmt.Sprint(s.Limits) }},
		},
	}.print(env)
}
