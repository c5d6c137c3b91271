package router

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// walk is a random history of a pool, driven through an engine and a router as
// they are, beside a reference that says what each pick has to answer. Time is that of
// a bubble of synctest, and jumps: the engine's own loop runs only while the history
// sleeps, so that a seed gives the same history each time.
type walk struct {
	*rand.Rand
	t         testing.TB
	ctx       context.Context
	ids       *identity.Book
	log       *faulty
	jumped    atomic.Int64 // nanoseconds that the clock is ahead of the bubble's
	engine    *projection.Engine
	router    *Router
	reference *reference
	leases    []Lease
	counts    map[string]int // :: what happened → how often
}

// faulty is a log on a disk that may break, or be full.
type faulty struct {
	*eventstest.Log
	fault atomic.Pointer[error]
}

func (l *faulty) Append(ctx context.Context, recs []events.Record) error {
	if fault := l.fault.Load(); fault != nil {
		return *fault
	}
	return l.Log.Append(ctx, recs)
}

func (l *faulty) breaks(err error) { l.fault.Store(&err) }
func (l *faulty) whole() bool      { return l.fault.Load() == nil }
func (l *faulty) repair()          { l.fault.Store(nil) }

// family is one provider of a history: its name, its models, and how many accounts it
// may have.
type family struct {
	provider string
	models   []string
	size     int
}

// families differ in what the index makes of them: a few accounts, that are blocked
// all at once often; more than one word and one chunk of them; two groups; none.
func families() []family {
	google := []string{opus, opus, sonnet, pro, flash, "nick", "other", "tab-complete-1", "Claude-Opus-4-6-Thinking(high)"}
	return []family{
		{provider, google, 9},
		{provider, google, 9},
		{"codex", []string{"gpt-5", "codex-mini", "gpt-5-spark"}, 2},
		{"gemini", []string{pro, flash, "nick"}, 150},
		{"lonely", []string{"m1", "m2"}, 3},
	}
}

func newWalk(t testing.TB, seed uint64) *walk {
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 4)), t: t, ctx: context.Background(), log: &faulty{Log: eventstest.New()}, counts: map[string]int{}}
	w.ids = plainBook(t)
	w.jumped.Store(int64(time.Until(noon())))
	w.open(false)
	for _, f := range families()[1:] {
		for i := range f.size {
			if i%5 != 4 { // the others may come later
				w.do(&projection.PutAccount{ID: w.ids.Stored(f.account(i)), Spec: events.AccountSpec{Provider: f.provider}})
			}
		}
	}
	return w
}

// plainBook is a book whose pseudonyms are the same each time.
func plainBook(t testing.TB) *identity.Book {
	path := filepath.Join(t.TempDir(), identity.FileName)
	doc := `{"version": 1, "key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "accounts": {}}`
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	book, err := identity.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range families()[0].size {
		if err := book.Add(families()[0].account(i)); err != nil {
			t.Fatal(err)
		}
	}
	return book
}

// account names one of the family's; every third of the first has an address.
func (f family) account(i int) string {
	if f.provider == provider && i%3 == 2 {
		return fmt.Sprintf("u%d@example.com", i)
	}
	return fmt.Sprintf("%s-%03d", f.provider[:1], i)
}

func (w *walk) now() time.Time { return time.Now().Add(time.Duration(w.jumped.Load())) }

// open starts the engine, and a router that remembers nothing.
func (w *walk) open(observe bool) {
	e, err := projection.Open(w.ctx, w.log, &projection.Options{Now: w.now, ObserveOnly: observe})
	if err != nil {
		w.t.Fatal(err)
	}
	strategies := Strategies{Providers: map[string]Strategy{"codex": FillFirst}}
	w.engine, w.router = e, New(e, &Options{Identities: w.ids, Strategies: strategies})
	if w.reference == nil {
		w.reference = newReference(e, w.ids)
	}
	w.reference.engine, w.reference.observe, w.reference.strategies = e, observe, strategies
	w.reference.forget()
	w.listen()
}

// listen shows the reference what was recorded, once the engine has nothing left to do.
func (w *walk) listen() {
	synctest.Wait()
	var recs []events.Record
	for r, err := range w.log.Records(w.ctx, w.reference.read) {
		if err != nil {
			w.t.Fatal(err)
		}
		recs = append(recs, r)
		w.counts["recorded "+string(r.Kind())]++
		if e, ok := r.Event.(*events.LimitObserved); ok {
			w.counts["limit "+string(e.Effect)]++
			if e.Probe && e.Effect == events.EffectKept {
				w.counts["probe that failed"]++
			}
		}
		if e, ok := r.Event.(*events.Recovered); ok && e.Probe {
			w.counts["probe that succeeded"]++
		}
	}
	w.reference.follow(recs)
}

// do carries out a command, which may be refused.
func (w *walk) do(do projection.Intent) {
	_, err := w.engine.Execute(w.ctx, projection.Command{
		Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo, CorrelationID: "c"}, Do: do,
	})
	w.checked(err)
}

// checked notes a refusal; any other error is one of the disk's, or of the test.
func (w *walk) checked(err error) {
	if refused, ok := errors.AsType[*projection.Error](err); ok {
		w.counts["refused: "+string(refused.Code)]++
	} else if err != nil && w.log.whole() {
		w.t.Fatal(err)
	}
	w.listen()
}

// choice picks one of some values.
func choice[T any](w *walk, of ...T) T { return of[w.IntN(len(of))] }

// step does one thing. It returns what a pick answered otherwise than the reference.
func (w *walk) step() (difference string) {
	switch n := w.IntN(100); {
	case n < 62:
		return w.pick()
	case n < 72:
		w.answer()
	case n < 80:
		w.block()
	case n < 86:
		w.operate()
	case n < 91:
		w.pool()
	case n < 99:
		w.tick()
	default:
		w.redefine()
	}
	return ""
}

// pick compares one pick.
func (w *walk) pick() string {
	q, view := w.request(), w.engine.View()
	asked := q
	switch {
	case !q.Now.IsZero():
		w.counts["pick at another instant"]++
	case w.IntN(2) == 0:
		q.Now = w.now()
		asked.Now = q.Now
	default:
		q.Now = w.now() // the router finds out itself
	}
	if view.Degraded {
		w.counts["pick while degraded"]++
	}
	if !view.Index.Exact(q.Now) {
		w.counts["pick while the index is not exact"]++
	}
	l, err := w.router.Pick(asked)
	if w.engine.View() != view {
		w.t.Fatal("the engine published during a pick: the history is not deterministic")
	}
	kind, difference := w.reference.check(q, l, err)
	w.counts[kind]++
	if difference != "" {
		return fmt.Sprintf("Pick(%+v) at %s: %s", q, q.Now.Sub(noon()), difference)
	}
	if err == nil && !q.DryRun {
		if w.engine.State().Account(w.ids.Stored(l.Account)) == nil {
			w.counts["unknown candidate"]++
		}
		if w.leases = append(w.leases, l); len(w.leases) > 20 {
			w.leases = w.leases[1:] // never reported
		}
	}
	return ""
}

// request draws a request.
func (w *walk) request() Request {
	f := choice(w, families()...)
	q := Request{Provider: f.provider, Model: choice(w, f.models...), DryRun: w.IntN(12) == 0}
	if w.IntN(2) == 0 {
		q.Strategy = choice(w, AllStrategies()...)
	}
	if w.IntN(2) == 0 {
		q.Session = fmt.Sprint("session-", w.IntN(5))
	}
	if w.IntN(4) == 0 {
		for range 1 + w.IntN(5) {
			q.Candidates = append(q.Candidates, w.name(f))
		}
	}
	if w.IntN(4) == 0 {
		for range 1 + w.IntN(min(f.size, 12)) {
			q.Exclude = append(q.Exclude, w.name(f))
		}
	}
	if w.IntN(8) == 0 {
		q.Now = w.now().Add(choice(w, -time.Hour, -time.Second, -1, 1, time.Second, time.Hour, 30*time.Hour))
		if at, ok := w.engine.State().NextDeadline(); ok && w.IntN(2) == 0 {
			q.Now = at.Add(time.Duration(w.IntN(3) - 1))
		}
	}
	return q
}

// name draws an account of a family, at times by its stored id, or a stranger.
func (w *walk) name(f family) string {
	given := f.account(w.IntN(f.size))
	switch w.IntN(15) {
	case 0:
		if stored := w.ids.Stored(given); w.engine.State().Account(stored) != nil {
			return stored
		}
		return given
	case 1:
		return choice(w, "stranger", "c-000", "l-001")
	default:
		return given
	}
}
