package projection

import (
	"context"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// EpisodeQuery chooses episodes: those that overlap a range of time, of the cells that
// match. Empty fields match everything.
type EpisodeQuery struct {
	Account  string // stored id
	Target   string // where it is, or was moved from
	Provider string // canonical
	// The zero From is the beginning of the log, the zero To now.
	From, To Moment
}

func (q *EpisodeQuery) matches(e *Episode) bool {
	return (q.Account == "" || e.Account == q.Account) && (q.Target == "" || e.Target == q.Target || e.MovedFrom == q.Target) &&
		(q.Provider == "" || e.Provider == q.Provider)
}

// Episodes returns the episodes that a query chooses, in the order of their starts, as
// they stood at the end of the range, and the instant of that end. It reads the records of the range, in time that
// grows with them.
func (p *Past) Episodes(ctx context.Context, q EpisodeQuery) ([]Episode, time.Time, error) {
	x, err := p.span(ctx, q.From, q.To)
	if err != nil {
		return nil, time.Time{}, err
	}
	var list []Episode
	w := world{State: x.start}
	w.onlyFollow()
	w.episodes.done = func(e *Episode) {
		if q.matches(e) {
			list = append(list, *e)
		}
	}
	w.episodes.begin(w.State, w.head.At)
	whole := q
	if w.groups.Version != p.State.groups.Version {
		whole.Target = "" // new groups may move any to the target that is asked for
	}
	for _, open := range w.episodes.open {
		if whole.matches(open) {
			if err := p.catchUp(ctx, open, w.head.Seq); err != nil {
				return nil, time.Time{}, err
			}
		}
	}
	for r, err := range p.records(ctx, w.head.Seq+1, x.last) {
		if err != nil {
			return nil, time.Time{}, err
		}
		w.apply(r, nil)
	}
	w.episodes.finish(x.end)
	slices.SortFunc(list, func(a, b Episode) int { return a.compare(&b) })
	return list, x.end, nil
}

// catchUp counts what came of an episode between its start and a record at which the
// range begins.
func (p *Past) catchUp(ctx context.Context, open *Episode, to events.Seq) error {
	x := episodes{open: map[episodeKey]*Episode{open.key(): open}}
	q := events.Query{Account: open.Account, After: open.Started - 1, Before: to + 1}
	for r, err := range p.Log.History(ctx, q) {
		if err != nil {
			return err
		}
		if limit, ok := r.Event.(*events.LimitObserved); ok {
			x.count(r, limit)
		}
	}
	return nil
}
