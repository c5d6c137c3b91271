package main

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// eventQuery is what events is asked for.
type eventQuery struct {
	account, target, kind, actor, correlation string
	since, until                              time.Time // zero: open
	oldest                                    bool      // oldest first
	limit                                     int       // 0: all
}

// The orders of lists.
const newestFirst, oldestFirst = "desc", "asc"

func newEventsCommand(env *environment) *cobra.Command {
	var q eventQuery
	var since, until, order string
	cmd := &cobra.Command{
		Use:     "events [ACCOUNT]",
		Aliases: []string{"log"},
		Short:   "Show the history, newest first",
		Long: `Show what happened: who did it, when, through what, on which evidence. With the daemon
stopped the data directory is read itself.`,
		Example: `  abeyance events a1 --since 24h
  abeyance events --kind limit_observed --target claude --limit 20
  abeyance events --order asc --limit 0 -o jsonl > history.jsonl`,
		Args: arguments(0, 1, "at most one ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				q.account = args[0]
			}
			if err := q.complete(env, since, until, order); err != nil {
				return err
			}
			page, more, err := env.events(cmd.Context(), q)
			if err != nil {
				return err
			}
			return env.printEvents(page, q, more)
		},
	}
	f := cmd.Flags()
	q.addFilters(f)
	f.StringVar(&since, "since", "", "only since this `time`, or within the last 24h")
	f.StringVar(&until, "until", "", "only until this `time`, or over 24h ago")
	f.StringVar(&order, "order", newestFirst, "desc (newest first) or asc")
	f.IntVarP(&q.limit, "limit", "n", 100, "at most `n` records; 0: all")
	return cmd
}

// addFilters adds the flags that watch has, too.
func (q *eventQuery) addFilters(f *pflag.FlagSet) {
	f.StringVar(&q.target, "target", "", "only records about this `target`: a group, model:NAME or *")
	f.StringVar(&q.kind, "kind", "", "only records of this `kind`, such as limit_observed or suspended")
	f.StringVar(&q.actor, "actor", "", "only what this `actor` did, such as operator:admin")
	f.StringVar(&q.correlation, "correlation-id", "", "only the records of one command, by its `id`")
}

func (q *eventQuery) complete(env *environment, since, until, order string) (err error) {
	now := env.now()
	if q.since, err = parseMoment("--since", since, now); err != nil {
		return err
	}
	if q.until, err = parseMoment("--until", until, now); err != nil {
		return err
	}
	if q.limit < 0 {
		return usage("--limit %d is negative", q.limit)
	}
	if err := among("--kind", events.Kind(q.kind), events.Kinds()); err != nil {
		return err
	}
	if err := among("--order", order, []string{newestFirst, oldestFirst}); err != nil {
		return err
	}
	q.oldest = order == oldestFirst
	if q.target != "" {
		q.target = projection.CanonicalTarget(q.target)
	}
	return nil
}

// events asks the daemon, or the log itself if it is stopped. more tells that there are
// records beyond the limit, as far as one look at what follows can tell.
func (env *environment) events(ctx context.Context, q eventQuery) (page *api.Page[api.EventRow], more bool, err error) {
	c, err := env.reader()
	if err != nil {
		return nil, false, err
	}
	if c == nil {
		return env.eventsOffline(ctx, q)
	}
	page, err = pages[api.EventRow](ctx, c, get("/v1/events", q.params()), q.limit)
	if err != nil || page.NextPageToken == nil || env.output != outputTable {
		return page, false, err
	}
	ask, rest := q.params(), new(api.Page[api.EventRow])
	ask.Set("page_size", "1")
	ask.Set("page_token", *page.NextPageToken)
	err = c.do(ctx, get("/v1/events", ask), rest)
	return page, len(rest.Items) > 0 || rest.NextPageToken != nil, err
}

// filters is the part of the query that the stream takes, too.
func (q *eventQuery) filters() url.Values {
	return params("account", q.account, "target", q.target, "kind", q.kind, "actor", q.actor, "correlation_id", q.correlation)
}

func (q *eventQuery) params() url.Values {
	p := q.filters()
	for name, t := range map[string]time.Time{"since": q.since, "until": q.until} {
		if !t.IsZero() {
			p.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if q.oldest {
		p.Set("order", "asc")
	}
	return p
}

func (env *environment) printEvents(page *api.Page[api.EventRow], q eventQuery, more bool) error {
	now := env.now()
	err := listing[api.EventRow]{
		answer: page, items: page.Items, empty: "no record matches",
		columns: eventColumns(func(r api.EventRow) string { return relative(r.At.Time, now) }),
	}.print(env)
	if more && env.output == outputTable {
		env.say("the first %d are shown; --limit 0 shows all", q.limit)
	}
	return err
}

// eventColumns are the columns of records; when says when one was made.
func eventColumns(when func(api.EventRow) string) []column[api.EventRow] {
	return []column[api.EventRow]{
		{"SEQ", func(r api.EventRow) string { return formatSeq(r.Seq) }},
		{"WHEN", when},
		{"KIND", func(r api.EventRow) string { return r.Kind }},
		{"ACCOUNT", func(r api.EventRow) string { return r.Account }},
		{"TARGET", eventTarget},
		{"ACTOR", actorOf},
		{"WHAT", func(r api.EventRow) string { return r.Text }},
	}
}

// eventTarget is the record's target, or those of the cells that expired.
func eventTarget(r api.EventRow) string {
	var list []string
	for _, c := range r.Data.Cells {
		list = append(list, c.Target)
	}
	if len(list) == 0 {
		return r.Data.Target
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}
