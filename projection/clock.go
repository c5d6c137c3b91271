package projection

import (
	"time"

	"github.com/google/uuid"
)

// clock watches the wall clock against the monotonic one.
type clock struct {
	wall time.Time     // at the last look; zero: there was none
	mono time.Duration // the same on the monotonic clock, from any start
}

// look returns how far the wall clock moved beyond the time that really passed
// since the last look.
func (c *clock) look(wall time.Time, mono time.Duration) (jump time.Duration) {
	wall = wall.Round(0) // without its monotonic reading
	if !c.wall.IsZero() {
		jump = wall.Sub(c.wall.Add(mono - c.mono)) // centuries are cut to what fits
	}
	c.wall, c.mono = wall, mono
	return jump
}

// watchClock notes a jump of the wall clock. Deadlines follow the wall clock, as
// providers give them, so a jump ends or prolongs cooldowns: an operator must see it.
func (e *Engine) watchClock() {
	// Not from one time.Now to the next: after 2157 those have no monotonic reading.
	jump := e.clock.look(e.now(), time.Since(e.began))
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
