package plugin

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// The pool is the host's: what accounts there are, of which provider, with which
// priority, and whether they are disabled, is what the host says. It says so with the
// candidates of picks; the provider alone also with usage records.

// maxRefused bounds what is remembered of accounts that cannot be learnt, and
// refusedFor how long.
const (
	maxRefused = 4096
	refusedFor = 10 * time.Minute
)

// learner makes accounts known.
type learner struct {
	engine *projection.Engine
	ids    *identity.Book
	logger *slog.Logger
	origin events.Origin
	// news holds at most one list: what it has no room for is offered again.
	news chan []candidate
	// refused :: account as given → until when it is left alone
	refused map[string]time.Time
}

func newLearner(e *projection.Engine, ids *identity.Book, logger *slog.Logger) *learner {
	return &learner{
		engine: e, ids: ids, logger: logger, origin: reporter(),
		news: make(chan []candidate, 1), refused: map[string]time.Time{},
	}
}

// offer passes on the candidates of a pick that are news. It waits for nothing: those
// that find no room come again with the next pick.
func (l *learner) offer(list []candidate) {
	if len(l.news) > 0 {
		return
	}
	s := l.engine.State()
	var news []candidate
	for i := range list {
		if l.isNews(s, &list[i]) {
			news = append(news, list[i].clone())
		}
	}
	if len(news) == 0 {
		return
	}
	select {
	case l.news <- news:
	default:
	}
}

func (c *candidate) clone() candidate {
	return candidate{strings.Clone(c.id), strings.Clone(c.provider), c.priority, strings.Clone(c.status)}
}

func (l *learner) isNews(s *projection.State, c *candidate) bool {
	a := s.Account(l.ids.Stored(c.id))
	return a == nil || a.Spec.Origin != events.OriginConfigured || a.Spec.Priority != c.priority || a.Spec.Disabled != c.disabled()
}

// run learns until the context ends.
func (l *learner) run(ctx context.Context) {
	for {
		select {
		case news := <-l.news:
			l.learn(ctx, news)
		case <-ctx.Done():
			return
		}
	}
}

// learn makes a list of accounts known, or changes what is known of them.
func (l *learner) learn(ctx context.Context, list []candidate) {
	now := time.Now()
	var ids []string
	for i := range list {
		if c := &list[i]; now.After(l.refused[c.id]) && projection.CheckID("an account", c.id) == nil {
			ids = append(ids, c.id)
		}
	}
	// Before an id enters the log it must stand in the book, all of them in one write.
	if err := l.ids.Add(ids...); err != nil {
		l.logger.Error("accounts cannot be learnt", "error", err)
		return
	}
	for i := range list {
		c := &list[i]
		if !now.After(l.refused[c.id]) || !l.isNews(l.engine.State(), c) {
			continue
		}
		if err := l.put(ctx, c); err != nil && ctx.Err() == nil {
			l.refuse(c, err, now)
		}
	}
}

// put makes the engine know an account as the host does.
func (l *learner) put(ctx context.Context, c *candidate) error {
	stored := l.ids.Stored(c.id)
	var do projection.Intent
	if a := l.engine.State().Account(stored); a == nil || a.Spec.Origin != events.OriginConfigured {
		do = &projection.PutAccount{ID: stored, Spec: events.AccountSpec{
			Provider: provider(c.provider), Priority: c.priority, Disabled: c.disabled(),
		}}
	} else {
		do = &projection.PatchAccount{ID: stored, Priority: new(c.priority), Disabled: new(c.disabled())}
	}
	_, err := l.engine.Execute(ctx, projection.Command{Origin: l.origin, Do: do})
	return err
}

// refuse leaves an account alone for a while, and says why once in that time.
func (l *learner) refuse(c *candidate, err error, now time.Time) {
	if _, ok := errors.AsType[*projection.Error](err); !ok {
		return // the log's trouble, which is told elsewhere and passes
	}
	if len(l.refused) >= maxRefused {
		clear(l.refused)
	}
	l.refused[c.id] = now.Add(refusedFor)
	l.logger.Warn("an account cannot be learnt", "account", l.ids.Stored(c.id), "error", err)
}

// reporter is whom reports and accounts learnt are recorded under.
func reporter() events.Origin { return events.Origin{Actor: "proxy:cliproxyapi", Via: events.ViaGo} }
