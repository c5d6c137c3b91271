package api

import (
	"sync"
	"time"
)

// pace admits events at a steady rate, and a number of them at once.
type pace struct {
	every time.Duration // between two events; 0: any number is admitted
	burst int           // at least 1
}

// take asks for one event at now, where debt is when all that were admitted are paid
// for. It returns the debt after it and 0, or the same debt and how long to wait.
func (p pace) take(debt, now time.Time) (after time.Time, wait time.Duration) {
	if p.every <= 0 { // whatever the order in which events come: each has a now of its own
		return debt, 0
	}
	if debt.Before(now) {
		debt = now
	}
	if wait = debt.Sub(now) - time.Duration(p.burst-1)*p.every; wait > 0 {
		return debt, wait
	}
	return debt.Add(p.every), 0
}

// allowance is what one user of a pace has left.
type allowance struct {
	mu   sync.Mutex
	debt time.Time
}

// take is pace.take.
func (a *allowance) take(p pace, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.debt, wait = p.take(a.debt, now)
	return wait
}

// seconds rounds up to what Retry-After takes.
func seconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}
