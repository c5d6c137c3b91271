package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// spread blocks accounts until ends from ten minutes to a year away, by limits and by
// hand, and for ever. There are more than one record of expiries can name.
func (j *jumper) spread() {
	j.t.Helper()
	var accounts []string
	for i := range 8 {
		accounts = append(accounts, fmt.Sprint("hand", i))
	}
	j.put(accounts...)
	for i, length := range []time.Duration{15 * time.Minute, time.Hour, 5 * time.Hour, day, 30 * day, 300 * day, 0, 0} {
		j.suspendFor(accounts[i], length)
	}
	j.many(600)
}

// many cools accounts, one a minute later than the one before.
func (j *jumper) many(n int) {
	j.t.Helper()
	var mu sync.Mutex
	var writing sync.WaitGroup
	answers := map[string]answer{}
	low := j.clock.now()
	for w := range writers {
		writing.Go(func() {
			for i := w; i < n; i += writers {
				account := fmt.Sprint("limit", i)
				a, err := j.call("POST", "/v1/reports", map[string]any{
					"account": account, "provider": provider, "model": model, "status": 429,
					"headers": map[string]string{"Retry-After": fmt.Sprint(600 + 60*i)},
				})
				if err != nil {
					a.status = 0
				}
				mu.Lock()
				answers[account] = a
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	for i := range n {
		account := fmt.Sprint("limit", i)
		a := answers[account]
		seq, _ := a.body["seq"].(float64)
		until := at(j.t, a.body["until"])
		if hint := 10*time.Minute + time.Duration(i)*time.Minute; a.status != http.StatusOK || until.Before(low.Add(hint-time.Second)) || until.After(j.clock.now().Add(hint+jitter+time.Second)) {
			j.t.Fatalf("a limit of %s was answered %v", hint, a)
		}
		j.blocks[account] = &block{since: int(seq), dimension: "cooling", until: until}
	}
}

// count returns how many of the blocks are over.
func (j *jumper) count() (over int) {
	now := j.clock.now()
	for _, b := range j.blocks {
		if b.over(now) {
			over++
		}
	}
	return over
}

// ahead jumps forward, and says what is wrong with what follows.
func (j *jumper) ahead(by time.Duration) (wrong []string) {
	j.t.Helper()
	wrong = j.picks()
	j.clock.jump(by)
	j.jumps++
	// Nothing has woken the daemon yet: picks go by the clock that they see.
	wrong = append(wrong, j.picks()...)
	j.wake()
	took, late := j.recorded(soon)
	wrong = append(append(wrong, late...), j.announced(by)...)
	j.t.Logf("%s ahead: %d of %d blocks are over, recorded after %s", by, j.count(), len(j.blocks), took.Round(time.Millisecond))
	return wrong
}

// want reports what is wrong.
func (j *jumper) want(wrong []string) {
	j.t.Helper()
	const most = 10
	for _, w := range wrong[:min(most, len(wrong))] {
		j.t.Error(w)
	}
	if len(wrong) > most {
		j.t.Errorf("and %d more", len(wrong)-most)
	}
	if said := j.out.String(); strings.Contains(said, "panic") || j.hasExited() {
		j.t.Fatalf("the daemon crashed:\n%s", said)
	}
}

// sound checks the log, and that a start by the clock as it is now finds the same
// blocks.
func (j *jumper) sound() {
	j.t.Helper()
	j.wantSound()
	j.kill()
	j.start()
	j.want(slices.Concat(j.picks(), j.timeline().order()))
	j.stop()
}

func TestRule34ClockGoesAhead(t *testing.T) {
	for name, by := range map[string]time.Duration{"a day": day, "100 years": 100 * year} {
		t.Run(name, func(t *testing.T) {
			begin(t, "go")
			j := newJumper(t)
			j.spread()
			before := j.count()
			j.want(j.ahead(by))
			if over := j.count() - before; over < 600 {
				t.Errorf("only %d blocks are over: the jump shows little", over)
			}
			j.sound()
		})
	}
}

// The negative control: to a daemon by another clock nothing happens, and each part of
// the check must say so.
func TestClockThatDoesNotJumpIsSeen(t *testing.T) {
	begin(t, "go")
	j := newJumper(t)
	j.stop()
	j.env = nil
	j.start()
	j.spread()
	wrong := strings.Join(j.ahead(day), "\n")
	for _, part := range []string{"no expiry: limit0 ", "and at", "0 jumps are counted, want 1", "0 jumps are logged", "is shown as map[]"} {
		if !strings.Contains(wrong, part) {
			t.Errorf("what is wrong does not say %q:\n%.2000s", part, wrong)
		}
	}
}

func TestRule34ClockGoesBack(t *testing.T) {
	for name, by := range map[string]time.Duration{"an hour": time.Hour, "10 years": 10 * year} {
		t.Run(name, func(t *testing.T) {
			begin(t, "go")
			j := newJumper(t)
			j.spread()
			j.clock.jump(-by)
			j.jumps++
			j.want(j.picks()) // at once: all is still blocked
			j.cool("new0", 10*time.Minute)
			j.put("new1")
			j.suspendFor("new1", time.Hour)
			_, wrong := j.recorded(soon)
			j.want(slices.Concat(wrong, j.picks(), j.announced(-by)))
			if over := j.count(); over != 0 {
				t.Errorf("%d blocks are over, and the clock went back", over)
			}
			// What came since ends by the clock that it was decided by, not by the date of
			// its record; the others hold.
			j.want(j.ahead(30 * time.Minute))
			if over := j.count(); over < 1 || over == len(j.blocks) {
				t.Errorf("%d of %d blocks are over, half an hour later", over, len(j.blocks))
			}
			j.want(j.ahead(by + day)) // right again, and a day on
			j.sound()
		})
	}
}

// TestRule34SmallJumps: what a clock is set by all the time is no news; a second may
// come twice.
func TestRule34SmallJumps(t *testing.T) {
	begin(t, "go")
	j := newJumper(t)
	j.cool("a0", time.Hour)
	for range 5 {
		j.clock.jump(-time.Second) // a leap second, as some systems count it
		j.cool("a0", time.Hour)
	}
	for _, by := range []time.Duration{9 * time.Second, -9 * time.Second} {
		j.wake()
		j.clock.jump(by)
		j.wake()
		j.want(slices.Concat(j.picks(), j.announced(0), j.timeline().order()))
	}
	for _, by := range []time.Duration{11 * time.Second, -11 * time.Second} {
		j.clock.jump(by)
		j.jumps++
		j.wake()
		j.want(slices.Concat(j.picks(), j.announced(by), j.timeline().order()))
	}
	j.sound()
}

// TestRule34ClockBeyondTheLog: the log holds no year after 2262, and RFC 3339 none after
// 9999. A daemon whose clock says so goes on answering, records nothing, and recovers
// with its clock.
func TestRule34ClockBeyondTheLog(t *testing.T) {
	begin(t, "go")
	j := newJumper(t)
	j.spread()
	held := j.cells()
	right := j.clock.now()
	for _, to := range []int{2200, 2270, 10_500, -5000, 1, 1600} {
		j.clock.set(time.Date(to, 6, 1, 0, 0, 0, 0, time.UTC))
		j.jumps++
		a, err := j.call("POST", "/v1/reports", map[string]any{
			"account": "far", "provider": provider, "model": "gemini-3-pro", "status": 429, "headers": map[string]string{"Retry-After": "60"},
		})
		if to == 2200 {
			j.want(j.picks())
			if err != nil || a.status != http.StatusOK {
				t.Errorf("in the year %d a report was answered %v (%v)", to, a, err)
			}
			continue
		}
		if err != nil || a.status != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(a.body["detail"]), fmt.Sprint("the year ", to)) {
			t.Errorf("in the year %d a report was answered %v (%v)", to, a, err)
		}
		j.must("GET", "/v1/summary", nil)
		j.cells()
		if p, err := j.pick("gemini-3-flash", "hand0"); err != nil || p.status != http.StatusOK {
			t.Errorf("in the year %d a pick was answered %v (%v)", to, p, err)
		}
		if share := j.busy(); share > 0.3 {
			t.Errorf("in the year %d the daemon takes %.0f %% of a processor, and nobody asks it for anything", to, 100*share)
		}
		if n := j.metric("abeyance_clock_jumps_total"); n != j.jumps {
			t.Errorf("in the year %d %d jumps are counted, want %d", to, n, j.jumps)
		}
	}
	j.clock.set(right)
	j.wake()
	j.want(j.timeline().order())
	if now := j.cells(); len(now) < len(held) {
		t.Errorf("%d cells are left of %d", len(now), len(held))
	}
	j.wantSound()
	j.stop()
}

// rearm is how long the daemon's timers sleep at most.
const rearm = 30 * time.Second

// TestRule34SuspendedMachine: processes stand still and the wall clock does not. From 30
// seconds on nothing wakes the daemon but its own timers, whose time came meanwhile; else
// a command does.
func TestRule34SuspendedMachine(t *testing.T) {
	begin(t, "go")
	j := newJumper(t)
	j.spread()
	j.want(j.picks())
	if err := j.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	j.stopped()
	time.Sleep(*asleep)
	j.clock.jump(8*time.Hour - *asleep)
	j.jumps++
	if err := j.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if *asleep < rearm {
		j.want(j.picks())
		j.wake()
	}
	took, wrong := j.recorded(soon)
	j.want(slices.Concat(wrong, j.picks(), j.announced(8*time.Hour-*asleep)))
	t.Logf("asleep for %s of 8h: %d of %d blocks are over, recorded after %s", *asleep, j.count(), len(j.blocks), took.Round(time.Millisecond))
	if over := j.count(); over < 400 || over == len(j.blocks) {
		t.Errorf("%d of %d blocks are over after 8 hours", over, len(j.blocks))
	}
	j.sound()
}

// TestRule34NobodyAsks: without a command the daemon's timers see the jump in their time;
// picks do at once.
func TestRule34NobodyAsks(t *testing.T) {
	begin(t, "go")
	if *asleep < rearm {
		t.Skipf("waits for %s, which a test of projection does by a clock of its own: -asleep %s runs it", rearm, rearm)
	}
	j := newJumper(t)
	j.spread()
	j.clock.jump(day)
	j.jumps++
	j.want(j.picks())
	took, wrong := j.recorded(rearm + time.Second)
	j.want(slices.Concat(wrong, j.announced(day)))
	t.Logf("a jump was seen after %s, and nobody told", took.Round(time.Millisecond))
	j.sound()
}

// stopped waits until the process stands still.
func (d *daemon) stopped() {
	d.t.Helper()
	for range 1000 {
		if d.stat()[0] == "T" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	d.t.Fatal("the daemon does not stand still")
}
