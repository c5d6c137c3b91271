package incident

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// Generated is an incident and what went into it.
type Generated struct {
	Records  []events.Record
	Requests int // that clients made
	Answers  int // of upstreams, each reported
	Served   int // of those, 200s
	Blocked  int // picks that no account could take
}

// Generate makes an incident. The same seed gives the same bytes.
func Generate(ctx context.Context, seed uint64) (*Generated, error) {
	w := &world{
		ctx: ctx, log: eventstest.NewWithID(LogID), rand: rand.New(rand.NewPCG(seed, seed)), out: new(Generated),
		upstream: newUpstream(),
	}
	w.clock.Store(Begin().UnixNano())
	if err := w.start(); err != nil {
		return nil, err
	}
	w.script()
	w.clients()
	err := w.run(End())
	if stop := w.stop(); err == nil {
		err = stop
	}
	if err != nil {
		return nil, fmt.Errorf("at %s: %w", w.now().Format(time.DateTime), err)
	}
	w.out.Records, err = w.sealed()
	return w.out, err
}

// world is a pool, its clients and its upstreams, under one clock.
type world struct {
	ctx      context.Context
	log      *eventstest.Log
	rand     *rand.Rand
	clock    atomic.Int64 // ns since 1970; the engine reads it
	todo     agenda
	order    int // of the next task
	upstream *upstream
	engine   *projection.Engine // nil: the daemon is stopped
	router   *router.Router
	requests int
	out      *Generated
	err      error // the first that happened
}

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

// start starts the daemon.
func (w *world) start() (err error) {
	w.engine, err = projection.Open(w.ctx, w.log, &projection.Options{Now: w.now, Accounts: pool()})
	if err == nil {
		w.router = router.New(w.engine, &router.Options{Origin: events.Origin{Actor: "proxy:gateway", Via: events.ViaHTTP}})
	}
	return err
}

// stop stops the daemon.
func (w *world) stop() error {
	if w.engine == nil {
		return nil
	}
	err := w.engine.Close()
	w.engine, w.router = nil, nil
	return err
}

// run lets everything happen up to an instant.
func (w *world) run(end time.Time) error {
	for len(w.todo) > 0 && w.err == nil {
		next := heap.Pop(&w.todo).(task)
		if next.at.After(end) {
			break
		}
		w.expire(next.at)
		w.clock.Store(next.at.UnixNano())
		next.do()
	}
	w.expire(end)
	return w.err
}

// expire lets the deadlines up to an instant come, each at its time: the clock stands
// still between them, so that it does not matter whether the engine's own timer, which
// follows the real clock, was faster.
func (w *world) expire(until time.Time) {
	for w.engine != nil && w.err == nil {
		due, any := w.engine.State().NextDeadline()
		if !any || due.After(until) {
			return
		}
		late := due.Add(time.Duration(1+w.rand.IntN(9)) * time.Millisecond)
		if late.After(until) {
			late = until
		}
		if late.After(w.now()) {
			w.clock.Store(late.UnixNano())
		}
		w.do(projection.ActorExpiry, events.ViaGo, &projection.Expire{})
	}
}

// do executes a command.
func (w *world) do(actor string, via events.Via, intent projection.Intent) projection.Outcome {
	out, err := w.engine.Execute(w.ctx, projection.Command{Origin: events.Origin{Actor: actor, Via: via}, Do: intent})
	w.fail(err)
	return out
}

func (w *world) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// at puts something on the agenda.
func (w *world) at(t time.Time, do func()) {
	heap.Push(&w.todo, task{at: t, order: w.order, do: do})
	w.order++
}

// after puts something on the agenda, from now.
func (w *world) after(d time.Duration, do func()) { w.at(w.now().Add(d), do) }

// between draws a duration evenly, in milliseconds. All chance is in whole numbers: they
// are the same on every machine.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rand.Int64N(int64((most-least)/time.Millisecond)+1))*time.Millisecond
}

// chance is true with so many parts of a hundred.
func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

// sealed returns the records with ids that follow from their place in the log, instead
// of the random ones of the engine.
func (w *world) sealed() ([]events.Record, error) {
	var recs []events.Record
	var sealer events.Sealer
	head, ids := empty(), map[string]string{}
	for r, err := range w.log.Records(w.ctx, 0) {
		if err != nil {
			return nil, err
		}
		id, known := ids[r.CorrelationID]
		if !known {
			id = correlation(r)
			ids[r.CorrelationID] = id
		}
		r.CorrelationID = id
		if recs, err = sealer.Seal(recs, head, r.At, []events.Draft{r.Draft}); err != nil {
			return nil, err
		}
		head = head.Next(recs[len(recs)-1])
	}
	return recs, nil
}

// correlation is a UUIDv7 that a record's time and seq make up.
func correlation(r events.Record) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(r.At.UnixMilli())<<16|0x7000)
	binary.BigEndian.PutUint64(id[8:], 0x8000<<48|uint64(r.Seq))
	return id.String()
}

// task is something that happens at an instant; of several the first put on comes first.
type task struct {
	at    time.Time
	order int
	do    func()
}

// agenda is a heap of tasks.
type agenda []task

func (a agenda) Len() int { return len(a) }

func (a agenda) Less(i, j int) bool {
	if !a[i].at.Equal(a[j].at) {
		return a[i].at.Before(a[j].at)
	}
	return a[i].order < a[j].order
}

func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(task)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
