package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// anyJump is a jump of any length: seconds to a year, ahead or, less often, back.
func anyJump(r *rand.Rand) time.Duration {
	by := time.Second + upTo(r, []time.Duration{15 * time.Second, time.Hour, day, year}[r.IntN(4)])
	if r.IntN(3) == 0 {
		by = -by
	}
	return by.Truncate(time.Second)
}

// TestRule34WalkOfAJumpingClock: whatever the clock does, a block holds for as long as it
// says the block lasts, and all else is in the order of the log.
func TestRule34WalkOfAJumpingClock(t *testing.T) {
	r := begin(t, "go")
	j := newJumper(t)
	const pool = 12
	for i := range pool {
		j.put(fmt.Sprint("a", i))
	}
	ahead, back, over, restarts := 0, 0, 0, 0
	for range *jumps {
		account := fmt.Sprint("a", r.IntN(pool))
		switch b := j.blocks[account]; {
		case b != nil && !b.over(j.clock.now()):
		case r.IntN(3) == 0:
			j.suspendFor(account, time.Minute+upTo(r, 30*day).Truncate(time.Second))
		default:
			j.cool(account, 30*time.Second+upTo(r, []time.Duration{time.Hour, 5 * day}[r.IntN(2)]).Truncate(time.Second))
		}
		before := j.count()
		by := anyJump(r)
		if j.clock.jump(by); by > 0 {
			ahead++
		} else {
			back++
		}
		j.want(j.picks())
		over += max(j.count()-before, 0)
		if r.IntN(20) == 0 {
			j.kill()
			j.start()
			restarts++
		}
		j.forget()
	}
	j.want(j.timeline().order())
	t.Logf("%d jumps ahead, %d back, %d blocks over, %d restarts, %d records", ahead, back, over, restarts, len(j.timeline()))
	if ahead == 0 || back == 0 || over == 0 {
		t.Error("the clock hardly jumped")
	}
	j.sound()
}

// forget has the daemon record the blocks that are over, and drops them: they do not
// come back with the clock.
func (j *jumper) forget() {
	j.t.Helper()
	now := j.clock.now()
	j.wake()
	if _, wrong := j.recorded(soon); len(wrong) > 0 {
		j.want(wrong)
	}
	for account, b := range j.blocks {
		if b.over(now) {
			delete(j.blocks, account)
		}
	}
}
