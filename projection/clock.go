package projection

import (
	"encoding/binary"
	"math/rand/v2"
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

// newCorrelation returns an id for a command that has none.
func newCorrelation() string {
	id, err := uuid.NewV7FromReader(numbers{})
	if err != nil {
		return "" // unreachable: numbers never end
	}
	return id.String()
}

// numbers reads from the runtime's random numbers. An id must be unlike the others, and
// is no secret: random bytes of the system take longer than all else that it needs.
type numbers struct{}

func (numbers) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rand.Uint64())
		copy(p[i:], word[:])
	}
	return len(p), nil
}
