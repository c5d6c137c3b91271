package projection

import (
	"time"

	"github.com/abeyance/abeyance/events"
)

// Standing is how an account stands towards requests of one kind at an instant.
type Standing struct {
	// Status is StatusAvailable if the account can serve, else that of the block that
	// lasts longest. A hold that a timed suspension lies over is what to act on, so it
	// is the one named.
	Status Status
	// End is when the account can serve again by itself; Never: it does not, or it can.
	End Instant
	// Empty and Background say when one request may be let through as a probe: while
	// nobody, and while somebody else can serve. Never: before End no probe is due.
	Empty, Background Instant
}

// absent is the standing of an account that is not in the pool.
var absent = Standing{End: Never, Empty: Never, Background: Never}

// Standing returns how an account stands towards requests that resolve to r.
func (s *State) Standing(a *Account, r *Resolution, now time.Time) Standing {
	j := judge{s, now}
	return j.stand(a, &kind{r.Group, r.ModelTarget, s.probeRule(r.Provider, r.Group)})
}

// judge looks at accounts as one state has them at one instant.
type judge struct {
	state *State
	now   time.Time
}

// kind is requests that the same cells block: those of "*", of a group and of a
// model, both of which may be empty.
type kind struct {
	group, model string
	probe        *events.ProbeRule
}

func (s *State) probeRule(provider, group string) *events.ProbeRule {
	return &s.policy.Rules(provider, group).Probe
}

func (k *kind) covers(target string) bool {
	return target == events.TargetAll || target == k.group || target == k.model
}

// stand judges one account.
func (j *judge) stand(a *Account, k *kind) Standing {
	s := absent
	s.Status = StatusAvailable
	if a.Spec.Disabled {
		s.Status = StatusDisabled
		return s
	}
	var worst *Cell
	endless := false
	for i := range a.Cells {
		c := &a.Cells[i]
		if !k.covers(c.Target) {
			continue
		}
		cooling, held, manual := c.Live(j.now)
		if cooling == nil && held == nil && manual == nil {
			continue
		}
		at, never := c.Returns(j.now)
		empty, background := Never, Never
		if held == nil && manual == nil { // those are never probed
			empty, background = j.probes(a, c, k.probe)
		}
		if worst == nil {
			s.End, s.Empty, s.Background = InstantOf(at), empty, background
		} else {
			// It serves once all cells let it, and a probe has to pass all of them.
			s.End, s.Empty, s.Background = max(s.End, InstantOf(at)), max(s.Empty, empty), max(s.Background, background)
		}
		endless = endless || never
		if worst == nil || c.outlasts(worst, j.now) {
			worst = c
		}
	}
	if worst == nil {
		return s
	}
	s.Status = worst.Status(j.now)
	if _, held, manual := worst.Live(j.now); held != nil && manual != nil && !manual.Until.IsZero() {
		s.Status = StatusHeld
	}
	return s.settle(endless)
}

// settle drops what an account that never returns has no use for, and the probes that
// would come no earlier than the end.
func (s Standing) settle(endless bool) Standing {
	if endless {
		s.End = Never
	}
	if s.Empty >= s.End {
		s.Empty = Never
	}
	if s.Background >= s.End {
		s.Background = Never
	}
	return s
}

// add counts an account of a standing, n times.
func (c *Counts) add(s Status, n int) {
	switch s {
	case StatusAvailable:
		c.Available += n
	case StatusDisabled:
		c.Disabled += n
	case StatusSuspended:
		c.Suspended += n
	case StatusHeld:
		c.Held += n
	case StatusCooling:
		c.Cooling += n
	}
}

// Counts are accounts by their standing.
type Counts struct{ Available, Disabled, Suspended, Held, Cooling int }
