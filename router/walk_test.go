package router

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router/signal"
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

// answer reports what came of a lease, or drops it.
func (w *walk) answer() {
	if len(w.leases) == 0 {
		return
	}
	i := w.IntN(len(w.leases))
	if w.IntN(2) == 0 { // probes are rare, and what comes of them matters most
		if p := slices.IndexFunc(w.leases, func(l Lease) bool { return l.Probe != 0 }); p >= 0 {
			i = p
		}
	}
	l := w.leases[i]
	w.leases = slices.Delete(w.leases, i, i+1)
	o := signal.Observation{Status: 200, StartedAt: w.now()}
	if !w.log.whole() && w.IntN(2) == 0 {
		w.report(l, spent())
		return
	}
	switch w.IntN(12) {
	case 0:
		w.counts["lease dropped"]++
		return
	case 1, 2:
		w.router.Release(l)
		w.reference.finish(l)
		w.counts["lease released"]++
		return
	case 3, 4:
		o = spent()
	case 5:
		o.Status, o.Header = 429, http.Header{"Retry-After": {choice(w, "20", "1000", "20000")}}
	case 6:
		o.Status = 500
	}
	w.reference.finish(l)
	if l.Probe == 0 && w.IntN(4) == 0 {
		l.Seq = 0 // dated by its start alone
	}
	w.report(l, o)
}

// report tells the router what came of a lease. What cannot be recorded is known to it
// alone.
func (w *walk) report(l Lease, o signal.Observation) {
	cell := events.Cell{Account: w.ids.Stored(l.Account)}
	if o.Status == 200 {
		w.reference.disproved(cell.Account, w.engine.State().Groups().Resolve(l.Provider, l.Model), o.StartedAt)
	}
	out, err := w.router.Report(w.ctx, l, o)
	w.checked(err)
	if !out.Volatile {
		return
	}
	if left := out.Until.Sub(w.now()); err == nil || left <= 0 || left > 5*time.Minute || o.Status == 200 {
		w.t.Fatalf("a volatile block of %s, error %v", left, err)
	}
	cell.Target = out.Target
	w.reference.limited(cell, volatileRef{since: w.now(), until: out.Until})
	w.counts["volatile block"]++
}

// block reports a limit of an account, or of many.
func (w *walk) block() {
	f := choice(w, families()...)
	s := events.Signal{Class: events.ClassQuotaExhausted, Scope: choice(w, events.ScopeGroup, events.ScopeGroup, events.ScopeGroup, events.ScopeModel, events.ScopeAccount), Rule: "test"}
	switch w.IntN(8) {
	case 0:
		s.Class = events.ClassCapacity
	case 1:
		s.Class, s.Reason = events.ClassForbidden, events.ReasonBanned
	}
	if w.IntN(5) > 0 {
		s.Hints = []events.Hint{{Source: "h", Seconds: choice(w, 45.0, 600, 5400, 10800, 108000, 604800)}}
	}
	w.counts["signal of scope "+string(s.Scope)]++
	model, some := choice(w, f.models...), 1
	if w.IntN(6+f.size/4) == 0 {
		some = f.size // all that there are
	}
	first := w.IntN(f.size)
	for i := range some {
		w.do(&projection.Report{
			Account: w.ids.Stored(f.account((first + i) % f.size)), Provider: f.provider, Model: model, Status: 429, Signal: s, StartedAt: w.now(),
		})
	}
}

// operate is what operators do to cells.
func (w *walk) operate() {
	f := choice(w, families()...)
	filter := projection.Filter{Account: w.ids.Stored(f.account(w.IntN(f.size)))}
	if w.IntN(4) == 0 {
		filter = projection.Filter{Provider: f.provider}
	}
	filter.Target = choice(w, "", "*", "claude", "gemini-pro", "codex-main", "model:"+opus, "model:m1", "model:nick")
	switch w.IntN(12) {
	case 0, 1, 2:
		w.do(&projection.Lift{Filter: filter})
	case 3, 4, 5:
		w.do(&projection.Clear{Filter: filter})
	case 6, 7, 8:
		w.do(&projection.Recheck{Filter: filter})
	default:
		d := choice(w, 0, time.Minute, time.Hour, 30*time.Hour)
		w.do(&projection.Suspend{Filter: filter, Reason: "by hand", For: d, Forever: d == 0})
	}
}

// pool changes who is in the pool, and how.
func (w *walk) pool() {
	f := choice(w, families()...)
	id := w.ids.Stored(f.account(w.IntN(f.size)))
	switch w.IntN(10) {
	case 0, 1, 2:
		w.do(&projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: f.provider, Priority: w.IntN(2), Weight: 1 + w.IntN(3)}})
	case 3:
		w.do(&projection.RemoveAccount{ID: id, Force: w.IntN(2) == 0})
	case 4, 5:
		w.do(&projection.PatchAccount{ID: id, Priority: new(w.IntN(3) / 2), Weight: new(choice(w, 1, 2, 16))})
	default:
		w.do(&projection.PatchAccount{
			ID: id, Disabled: new(w.IntN(3) == 0), DisableCooling: new(w.IntN(4) == 0), CredentialVersion: new(fmt.Sprint(w.IntN(3))),
		})
	}
}

// tick moves the clock, and at times lets the engine's loop see it.
func (w *walk) tick() {
	d := choice(w, 1, time.Second, 10*time.Second, 30*time.Second, 31*time.Second, time.Minute, 2*time.Minute, 5*time.Minute, 20*time.Minute, 20*time.Minute, time.Hour, 2*time.Hour, 13*time.Hour)
	switch w.IntN(12) {
	case 0:
		d = -choice(w, time.Second, time.Minute, time.Hour, 30*time.Hour)
		w.counts["clock went back"]++
	case 1, 2, 3:
		if at, ok := w.engine.State().NextDeadline(); ok {
			d = at.Add(time.Duration(w.IntN(3) - 1)).Sub(w.now())
		}
	case 4:
		d *= 40
	}
	if d > 0 && d < 10*time.Minute && w.IntN(2) == 0 {
		w.sleep(d)
		return
	}
	w.jumped.Add(int64(d))
	if w.IntN(3) > 0 {
		w.sleep(choice(w, 1, 30*time.Second)) // no timer of the engine sleeps longer
	}
}

// sleep lets time pass and the engine's loop do what is due.
func (w *walk) sleep(d time.Duration) {
	time.Sleep(d)
	w.listen()
}

// redefine changes the definitions, or starts anew.
func (w *walk) redefine() {
	switch n := w.IntN(12); {
	case !w.log.whole() && n < 8: // what is broken is made whole
		w.log.repair()
		if w.engine.Err() != nil {
			w.restart()
		}
	case n < 4:
		w.do(&projection.DefineGroups{Config: choice(w, groupSets()...)})
	case n < 8:
		w.do(&projection.DefinePolicy{Config: choice(w, policies()...)})
	case n < 10:
		w.log.repair()
		w.restart()
	case n == 10:
		w.log.breaks(fmt.Errorf("no space left on device: %w", events.ErrFull))
		w.counts["full disk"]++
	default:
		w.log.breaks(errors.New("input/output error"))
		w.counts["broken disk"]++
	}
}

// restart starts anew from the log.
func (w *walk) restart() {
	w.engine.Close()
	w.open(w.IntN(5) == 0)
	w.counts["restart"]++
}
