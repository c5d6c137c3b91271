package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// EpisodeRow is one freeze, from its start to its end.
type EpisodeRow struct {
	Account   string `json:"account"`
	Provider  string `json:"provider"`
	Target    string `json:"target" doc:"a group id, model:NAME or *"`
	MovedFrom string `json:"moved_from,omitempty" doc:"the target that new groups moved it from, in the range"`
	Block     string `json:"block" enum:"suspended,held,cooling"`
	StartedAt Time   `json:"started_at"`
	EndedAt   Time   `json:"ended_at" doc:"null: it goes on"`
	Ended     string `json:"ended" doc:"how: expired, cleared, recovered, lifted, replaced, regrouped, removed, renewed; empty: it goes on"`
	// Seconds is how long it lasted, or has lasted at the end of the range.
	Seconds  float64 `json:"seconds"`
	Class    string  `json:"class,omitempty" doc:"of an automatic block"`
	Reason   string  `json:"reason,omitempty" doc:"of a suspension, or of a hold"`
	Actor    string  `json:"actor,omitempty" doc:"who suspended"`
	Model    string  `json:"model,omitempty" doc:"that the refused request was for"`
	Source   string  `json:"source,omitempty" doc:"where the last deadline came from: the source of a hint, ladder, window or import"`
	Until    Time    `json:"until" doc:"the last deadline; null: none"`
	Clamped  bool    `json:"clamped,omitempty" doc:"the policy's bound cut that deadline"`
	Answers  int     `json:"answers" doc:"of the upstream, about the cell, while it lasted; for * by hand: about the account"`
	Limits   int     `json:"limits" doc:"of those, 429s"`
	Probes   int     `json:"probes,omitempty" doc:"of those answers, to probes"`
	Longest  float64 `json:"longest_hint_seconds,omitempty" doc:"the longest that any of those answers asked to wait"`
	Seq      uint64  `json:"seq" doc:"the record that began it"`
	EndedSeq uint64  `json:"ended_seq,omitempty" doc:"the record that ended it; none if its time came and that is not recorded"`
}

// EpisodePage is one page of episodes, and sums over all that match.
type EpisodePage struct {
	Page[EpisodeRow]
	Count int         `json:"count" doc:"of all episodes that match"`
	Sums  EpisodeSums `json:"sums"`
}

// EpisodeSums adds up episodes in four ways.
type EpisodeSums struct {
	Accounts  []EpisodeSum `json:"accounts" nullable:"false" doc:"the 100 that were frozen longest"`
	Targets   []EpisodeSum `json:"targets" nullable:"false"`
	Providers []EpisodeSum `json:"providers" nullable:"false"`
	Days      []EpisodeSum `json:"days" nullable:"false" doc:"by the day, in UTC, on which they began"`
}

// EpisodeSum is the sum over the episodes of one key.
type EpisodeSum struct {
	Key      string  `json:"key"`
	Episodes int     `json:"episodes"`
	Seconds  float64 `json:"seconds" doc:"frozen in all; blocks of several targets each count"`
	Answers  int     `json:"answers" doc:"of the upstreams, while they lasted"`
	Limits   int     `json:"limits" doc:"of those, 429s"`
}

// maxSums bounds the sums by account.
const maxSums = 100

// NewEpisodeRow renders an episode as it stands at an instant, with ids as given.
func NewEpisodeRow(e *projection.Episode, at time.Time, ids *identity.Book) EpisodeRow {
	return EpisodeRow{
		Account: ids.Given(e.Account), Provider: e.Provider, Target: e.Target, MovedFrom: e.MovedFrom, Block: string(e.Block),
		StartedAt: Time{e.StartedAt}, EndedAt: Time{e.EndedAt}, Ended: string(e.How), Seconds: e.Lasted(at).Seconds(),
		Class: string(e.Class), Reason: e.Reason, Actor: e.Actor, Model: e.Model, Source: e.Source, Until: Time{e.Until},
		Clamped: e.Clamped, Answers: e.Answers, Limits: e.Limits, Probes: e.Probes, Longest: e.LongestHint.Seconds(),
		Seq: uint64(e.Started), EndedSeq: uint64(e.Ended),
	}
}

// NewEpisodeSums adds up episodes as they stand at an instant.
func NewEpisodeSums(list []projection.Episode, at time.Time, ids *identity.Book) EpisodeSums {
	by := func(key func(*projection.Episode) string) []EpisodeSum {
		sums := map[string]*EpisodeSum{}
		for i := range list {
			k := key(&list[i])
			if sums[k] == nil {
				sums[k] = &EpisodeSum{Key: k}
			}
			sums[k].Episodes++
			sums[k].Seconds += list[i].Lasted(at).Seconds()
			sums[k].Answers += list[i].Answers
			sums[k].Limits += list[i].Limits
		}
		rows := []EpisodeSum{}
		for _, s := range sums {
			rows = append(rows, *s)
		}
		slices.SortFunc(rows, func(a, b EpisodeSum) int {
			return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), strings.Compare(a.Key, b.Key))
		})
		return rows
	}
	sums := EpisodeSums{
		Accounts:  by(func(e *projection.Episode) string { return ids.Given(e.Account) }),
		Targets:   by(func(e *projection.Episode) string { return e.Target }),
		Providers: by(func(e *projection.Episode) string { return e.Provider }),
		Days:      by(func(e *projection.Episode) string { return e.StartedAt.UTC().Format(time.DateOnly) }),
	}
	sums.Accounts = sums.Accounts[:min(len(sums.Accounts), maxSums)]
	slices.SortFunc(sums.Days, func(a, b EpisodeSum) int { return strings.Compare(a.Key, b.Key) })
	return sums
}

// routeEpisodes registers what is worked out from ranges of the history.
func (s *Server) routeEpisodes() {
	handle(s, huma.Operation{OperationID: "episodes", Method: http.MethodGet, Path: "/v1/episodes", Summary: "Freezes as rows, with sums"}, listEpisodes)
	handleBody(s, huma.Operation{OperationID: "replay", Method: http.MethodPost, Path: "/v1/replay", Summary: "What other rules would have done"}, s.replay)
}

type episodesQuery struct {
	Account  string `query:"account" format:"id"`
	Target   string `query:"target" format:"target"`
	Provider string `query:"provider" format:"provider"`
	From     string `query:"from" format:"moment" doc:"RFC 3339, or seq:N; not given: the beginning of the log"`
	To       string `query:"to" format:"moment" doc:"RFC 3339, or seq:N; not given: now"`
	Order    string `query:"order" enum:"asc,desc" default:"desc" doc:"of their starts"`
	Paging
}

// listEpisodes lists the episodes that overlap a range, the newest first unless asked
// otherwise. Pages stay as they are while the log grows if the range has an end.
func listEpisodes(ctx context.Context, b *Backend, q *episodesQuery) (EpisodePage, error) {
	var page EpisodePage
	query := projection.EpisodeQuery{
		Account: b.Identities.Stored(q.Account), Target: projection.CanonicalTarget(q.Target), Provider: projection.CanonicalProvider(q.Provider),
	}
	from, err := q.after("episodes", query.Account, query.Target, query.Provider, q.From, q.To, q.Order)
	if err == nil {
		query.From, query.To, err = parseRange(q.From, q.To)
	}
	if err == nil && from.Seq == 0 { // later pages belong to a filter that was looked at
		err = b.knows(ctx, events.Filter{Account: query.Account, Target: query.Target}, q.Account)
	}
	if err != nil {
		return page, err
	}
	list, end, err := b.Engine.Past().Episodes(ctx, query)
	if err != nil {
		return page, err
	}
	page = EpisodePage{
		Page:  Page[EpisodeRow]{AsOfSeq: uint64(b.Engine.State().Head().Seq), Now: Time{end}, Items: []EpisodeRow{}},
		Count: len(list), Sums: NewEpisodeSums(list, end, b.Identities),
	}
	if q.Order != "asc" {
		slices.Reverse(list)
	}
	page.fill(list[episodesAfter(list, from):], q.size(), from, b.Identities)
	return page, nil
}

// fill takes a page from the front of a list.
func (p *EpisodePage) fill(list []projection.Episode, size int, last cursor, ids *identity.Book) {
	for i := range list {
		e := &list[i]
		if len(p.Items) == size {
			p.NextPageToken = last.token()
			return
		}
		p.Items = append(p.Items, NewEpisodeRow(e, p.Now.Time, ids))
		last.Seq, last.Account, last.Target = uint64(e.Started), e.Account, episodeTarget(e)
	}
}

// episodeTarget tells the episodes of one account that began with the same record
// apart.
func episodeTarget(e *projection.Episode) string { return string(e.Block) + " " + e.Target }

// episodesAfter returns where in a list the page after a cursor begins.
func episodesAfter(list []projection.Episode, from cursor) int {
	i := slices.IndexFunc(list, func(e projection.Episode) bool {
		return e.Started == events.Seq(from.Seq) && e.Account == from.Account && episodeTarget(&e) == from.Target
	})
	return i + 1
}

// parseRange reads the ends of a range; empty ones are open.
func parseRange(from, to string) (a, b projection.Moment, err error) {
	if from != "" {
		if a, err = parseMoment("from", from); err != nil {
			return a, b, err
		}
	}
	if to != "" {
		b, err = parseMoment("to", to)
	}
	return a, b, err
}
