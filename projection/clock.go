package projection

import (
	"time"

	"github.com/google/uuid"
)

// clock watches the wall clock against the monotonic one.
type clock struct {
	wall time.Time
	mono time.Time
}

// look returns how far the wall clock moved beyond the time that really passed
// since the last look.
func (c *clock) look(wall time.Time) time.Duration {
	mono := time.Now()
	wall = wall.Round(0) // without its monotonic reading
	jump := time.Duration(0)
	if !c.mono.IsZero() {
		jump = wall.Sub(c.wall) - mono.Sub(c.mono)
	}
	c.wall, c.mono = wall, mono
	return jump
}

// watchClock notes a jump of the wall clock. Deadlines follow the wall clock, as
// providers give them, so a jump ends or prolongs cooldowns: an operator must see it.
func (e *Engine) watchClock() {
	jump := e.clock.look(e.now())
	if jump.Abs() <= maxJump {
		return
	}
	j := ClockJump{At: e.clock.wall.UTC(), By: jump, Count: 1}
	if last := e.jumps.Load(); last != nil {
		j.Count += last.Count
	}
	e.jumps.Store(&j)
	e.metrics.jumps.Inc()
	e.logger.Warn("the system clock jumped; deadlines follow it", "by", jump.String())
}

// newCorrelation returns an id for a command of the engine's own. Without random
// bytes, which Linux and the others always have, it is empty.
func newCorrelation() string {
	id, err := uuid.NewV7()
	if err != nil {
		return ""
	}
	return id.String()
}
