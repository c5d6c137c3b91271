package router

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

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
	if l.Probe == 0 && w.IntN(4) == 0 {
		l.Seq = 0 // dated by its start alone
	}
	w.report(l, o)
}

// report tells the router what came of a lease. What cannot be recorded is known to it
// alone.
func (w *walk) report(l Lease, o signal.Observation) {
	w.reference.finish(l)
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
