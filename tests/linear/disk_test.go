package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
)

// fault is what may go wrong.
type fault string

// The faults. The first ones befall an append.
const (
	faultFull    fault = "disk full"
	faultLost    fault = "append failed, nothing stored"
	faultStored  fault = "append failed, all stored"
	faultBefore  fault = "append delayed before storing"
	faultAfter   fault = "append delayed after storing"
	faultRestart fault = "engine closed and opened anew"
	faultBusy    fault = "queue full"
)

func allFaults() []fault {
	return []fault{faultFull, faultLost, faultStored, faultBefore, faultAfter, faultRestart, faultBusy}
}

// disk is a log whose appends fail in ways that its contract allows. It outlives the
// logs that are opened and closed below it.
type disk struct {
	*counts
	chance *rand.Rand // guarded by mu
	cheat  cheat

	mu      sync.Mutex
	armed   []fault         // guarded by mu: of the next appends, in turn
	stalled *stall          // guarded by mu: the next append waits for it
	behind  []events.Record // guarded by mu: acknowledged, and not stored; of a cheat
}

// stall holds up one append.
type stall struct{ begun, end chan struct{} }

// session is a disk as one engine has it.
type session struct {
	events.Log
	disk *disk
}

// insert puts a log under the disk.
func (d *disk) insert(log events.Log) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind = nil
	return &session{log, d}
}

// arm lets the next n appends fail.
func (d *disk) arm(f fault, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range n {
		d.armed = append(d.armed, f)
	}
}

// stall holds up the next append.
func (d *disk) stall() *stall {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = &stall{make(chan struct{}), make(chan struct{})}
	return d.stalled
}

// unstall forgets a stall that no append came to.
func (d *disk) unstall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = nil
}

// next returns what befalls an append: a fault, delays, and a stall, or nothing.
func (d *disk) next() (f fault, before, after time.Duration, s *stall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.armed) > 0 {
		f, d.armed = d.armed[0], d.armed[1:]
	}
	s, d.stalled = d.stalled, nil
	if d.chance.IntN(8) == 0 {
		before = time.Duration(d.chance.IntN(3000)) * time.Microsecond
	}
	if d.chance.IntN(8) == 0 {
		after = time.Duration(d.chance.IntN(3000)) * time.Microsecond
	}
	return f, before, after, s
}

// Append implements events.Log.
func (s *session) Append(ctx context.Context, recs []events.Record) error {
	f, before, after, stalled := s.disk.next()
	if stalled != nil {
		close(stalled.begun)
		<-stalled.end
	}
	s.disk.pause(faultBefore, before)
	defer s.disk.pause(faultAfter, after)
	if f != "" {
		s.disk.count(string(f))
	}
	switch f {
	case faultLost:
		return errors.New("input/output error before the write")
	case faultFull:
		if s.disk.cheat == cheatFull {
			if err := s.Log.Append(ctx, recs); err != nil {
				return err
			}
		}
		return fmt.Errorf("no space left on device: %w", events.ErrFull)
	}
	err := s.disk.store(ctx, s.Log, recs)
	if err == nil && f == faultStored {
		err = errors.New("input/output error after the write")
	}
	return err
}

func (d *disk) pause(f fault, t time.Duration) {
	if t > 0 {
		d.count(string(f))
		time.Sleep(t)
	}
}

// store appends; a disk that cheats acknowledges one append before it is stored.
func (d *disk) store(ctx context.Context, log events.Log, recs []events.Record) error {
	if d.cheat != cheatEarly {
		return log.Append(ctx, recs)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	head, err := log.Head(ctx)
	if err != nil {
		return err
	}
	was := d.behind
	if n := len(was); n > 0 {
		head = head.Next(was[n-1])
	}
	if err := events.Link(head, recs); err != nil { // what is acknowledged has its hashes
		return err
	}
	d.behind = recs
	return log.Append(ctx, was)
}
