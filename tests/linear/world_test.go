package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// noon is the only instant there is.
func noon() time.Time { return time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC) }

// order says what history to make.
type order struct {
	seed, number uint64
	length       int     // answers to note
	faults       []fault // planned; appends are delayed anyway
	once         bool    // no request id or idempotency key is used
	cheat        cheat
}

// world is where a history takes place: one directory, and on its log one engine after
// another, each with a router.
type world struct {
	testing.TB
	*history
	order
	disk *disk
	dir  string
	plan map[int64]fault    // :: attempt → what befalls it
	ids  map[string]*issued // :: account → the ids used

	tries atomic.Int64 // attempts of all clients
	anew  atomic.Int64 // the attempt that replaces an engine that has stopped; 0: none has
	lost  atomic.Bool  // the log cannot be opened anew

	gate   sync.RWMutex // held to use what is below, and alone to replace it
	log    *boltlog.Log
	engine *projection.Engine
	router *router.Router
}

// newWorld makes an empty log and opens it.
func newWorld(t testing.TB, o order, c *counts) *world {
	t.Helper()
	chance := rand.New(rand.NewPCG(o.seed, o.number))
	w := &world{
		TB: t, history: &history{counts: c}, order: o, dir: t.TempDir(), ids: map[string]*issued{}, plan: map[int64]fault{},
		disk: &disk{counts: c, cheat: o.cheat, chance: rand.New(rand.NewPCG(chance.Uint64(), 0))},
	}
	for _, account := range accounts() {
		w.ids[account] = new(issued)
	}
	for _, f := range o.faults {
		at := 1 + chance.Int64N(int64(o.length)*3/4)
		for w.plan[at] != "" {
			at++
		}
		w.plan[at] = f
	}
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	put := command(&projection.PutAccount{ID: spare, Spec: events.AccountSpec{Provider: "codex"}})
	if _, err := w.engine.Execute(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	return w
}

func command(do projection.Intent) projection.Command {
	return projection.Command{Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}, Do: do}
}

// open opens the log, an engine on it, and a router.
func (w *world) open() (err error) {
	if w.log, err = boltlog.Open(w.dir, nil); err != nil {
		return err
	}
	if w.engine, err = projection.Open(context.Background(), w.disk.insert(w.log), &projection.Options{Now: noon}); err != nil {
		return errors.Join(err, w.log.Close())
	}
	w.router = router.New(w.engine, nil)
	return nil
}

// close ends the engine, whatever it died of, and the log.
func (w *world) close() error {
	_ = w.engine.Close()
	return w.log.Close()
}

// now returns the engine in use.
func (w *world) now() *projection.Engine {
	w.gate.RLock()
	defer w.gate.RUnlock()
	return w.engine
}

// replace opens the log anew, unless another engine is in use already.
func (w *world) replace(e *projection.Engine) {
	w.gate.Lock()
	defer w.gate.Unlock()
	if w.engine != e || w.lost.Load() {
		return
	}
	called := w.tick()
	err := w.close()
	if err == nil {
		err = w.open()
	}
	if err != nil {
		w.Errorf("the log cannot be opened anew: %v", err)
		w.lost.Store(true)
		return
	}
	w.settle(called, uint64(w.engine.State().Head().Seq))
	w.anew.Store(0)
}

// strike does what is planned for an attempt.
func (w *world) strike(attempt int64, chance *rand.Rand) {
	switch f := w.plan[attempt]; f {
	case faultFull:
		w.disk.arm(f, 1+chance.IntN(3))
	case faultLost, faultStored:
		w.disk.arm(f, 1)
	case faultRestart:
		e := w.now()
		_ = e.Close() // amid commands
		w.count(string(f))
		w.replace(e)
	case faultBusy:
		if !w.flood() {
			w.replace(w.now())
			w.flood()
		}
	}
}

// revive replaces an engine that has stopped, some attempts after that was noticed.
func (w *world) revive(attempt, patience int64) {
	e := w.now()
	select {
	case <-e.Done():
	default:
		return
	}
	w.anew.CompareAndSwap(0, attempt+patience)
	if attempt >= w.anew.Load() {
		w.replace(e)
	}
}

// How many commands wait in an engine before more are refused, and how many it may have
// decided ahead of the disk besides.
const (
	queueLength  = 4096
	decidedAhead = 1024
)

// flood fills the queue: behind an append that is held up wait commands that nobody
// wants. The clients go on until some of theirs were refused. It reports false if the
// engine has stopped.
func (w *world) flood() bool {
	w.gate.Lock() // no command is under way: those that come find the queue full
	e, busy := w.engine, w.of(notBusy)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stalled := w.disk.stall()
	defer close(stalled.end)
	put := &projection.PutAccount{ID: spare, Spec: events.AccountSpec{Provider: "codex", CredentialVersion: fmt.Sprint(w.tick())}}
	waiting.Go(func() { _, _ = e.Execute(ctx, command(put)) })
	select {
	case <-stalled.begun:
	case <-e.Done():
		w.disk.unstall()
		w.gate.Unlock()
		return false
	}
	full := make(chan struct{})
	var once sync.Once
	for range queueLength + decidedAhead + 1 {
		waiting.Go(func() {
			if _, err := e.Execute(ctx, command(&projection.Expire{})); errors.Is(err, projection.ErrBusy) {
				once.Do(func() { close(full) })
			}
		})
	}
	<-full
	w.count(string(faultBusy))
	w.gate.Unlock()
	for began := time.Now(); w.of(notBusy) < busy+3 && time.Since(began) < time.Second; {
		time.Sleep(100 * time.Microsecond)
	}
	return true
}
