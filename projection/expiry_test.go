package projection

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// expired lists the expiries of a log.
func expired(t *testing.T, log events.Log) []events.Record {
	t.Helper()
	var recs []events.Record
	for r, err := range log.Records(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind() == events.KindExpired {
			recs = append(recs, r)
		}
	}
	return recs
}

func TestRule07ExpiryAtTheInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventstest.New()
		e := open(t, log, withAccounts(2))
		until := execute(t, e, limit("a1", opus, 7200)).Report.Until
		execute(t, e, command(&Suspend{Filter: Filter{Account: "a2", Target: "*"}, Reason: "x", For: time.Hour}))
		id := e.State().Groups().Resolve("antigravity", opus)

		time.Sleep(time.Hour - 1)
		synctest.Wait()
		if n := len(expired(t, log)); n != 0 || e.State().Account("a2").Usable(id, time.Now()) {
			t.Errorf("%d expiries before the time", n)
		}
		time.Sleep(time.Nanosecond)
		if !e.State().Account("a2").Usable(id, time.Now()) {
			t.Error("a pick at the deadline waits for the record")
		}
		synctest.Wait()
		time.Sleep(time.Until(until))
		synctest.Wait()
		recs := expired(t, log)
		if len(recs) != 2 || recs[0].Event.(*events.Expired).Dimension != events.DimensionSuspended || !recs[1].At.Equal(until) {
			t.Errorf("expiries %v, want the suspension's and one at %s", recs, until)
		}
		if !slices.ContainsFunc(recs, func(r events.Record) bool { return r.Actor == ActorExpiry }) {
			t.Error("the actor is not the expiry")
		}
		if e.ClockJump() != nil {
			t.Error("a jump of the clock is reported")
		}
		e.Close()
	})
}

// jumpy is a clock that can be set.
type jumpy struct{ offset atomic.Int64 }

func (j *jumpy) now() time.Time       { return time.Now().Add(time.Duration(j.offset.Load())) }
func (j *jumpy) jump(d time.Duration) { j.offset.Add(int64(d)) }

func TestRule34TimersFollowAJumpWithin30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock jumpy
		o := withAccounts(1)
		o.Now = clock.now
		log := eventstest.New()
		e := open(t, log, o)
		execute(t, e, limit("a1", opus, 86400))
		time.Sleep(time.Minute)
		clock.jump(25 * time.Hour)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := len(expired(t, log)); n != 1 {
			t.Errorf("%d expiries within 30 s of the jump, want 1", n)
		}
		j := e.ClockJump()
		if j == nil || j.Count != 1 || (j.By-25*time.Hour).Abs() > time.Second {
			t.Errorf("the jump is shown as %+v", j)
		}
		clock.jump(-48 * time.Hour)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if j := e.ClockJump(); j.Count != 2 || j.By > -47*time.Hour {
			t.Errorf("the jump back is shown as %+v", j)
		}
		head := e.State().Head().At
		r := execute(t, e, limit("a1", pro, 600)).Records[0]
		if r.At.Before(head) || !r.Event.(*events.LimitObserved).ObservedAt.Before(head) {
			t.Errorf("the record is dated %s after %s, observed %s", r.At, head, r.Event.(*events.LimitObserved).ObservedAt)
		}
		e.Close()
	})
}

func TestRule34JumpsOfAnyLength(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name     string
		to       time.Time // noon, and a second later by the monotonic clock
		low, top time.Duration
	}{
		{"none", noon().Add(time.Second), 0, 0},
		{"a second repeated", noon(), -time.Second, -time.Second},
		{"an hour back", noon().Add(time.Second - time.Hour), -time.Hour, -time.Hour},
		{"a century ahead", noon().Add(time.Second).AddDate(100, 0, 0), 36524 * day, 36525 * day},
		{"beyond what a duration can say", year(9999), 100_000 * day, math.MaxInt64},
		{"and back", year(1), math.MinInt64, -100_000 * day},
	} {
		var k clock
		if jump := k.look(noon(), time.Hour); jump != 0 {
			t.Errorf("the first look sees a jump of %s", jump)
		}
		between(t, c.name, k.look(c.to, time.Hour+time.Second), c.low, c.top)
		between(t, "a look later", k.look(c.to.Add(time.Minute), time.Hour+time.Second+time.Minute), 0, 0)
	}
}

// The log holds no instant after 2262. A clock that says so ends what it says is over,
// records nothing, and does not keep the engine busy.
func TestRule34AClockBeyondTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock jumpy
		var looks atomic.Int64
		o := withAccounts(1)
		o.Now = func() time.Time {
			looks.Add(1)
			return clock.now()
		}
		log := eventstest.New()
		e := open(t, log, o)
		defer e.Close()
		execute(t, e, limit("a1", opus, 7200))
		head := e.State().Head()
		clock.jump(270 * 365 * day)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		before := looks.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := looks.Load() - before; n == 0 || n > 60*10 {
			t.Errorf("the clock was read %d times within a minute", n)
		}
		if n := usableOf(e, opus); n != 1 {
			t.Errorf("the index has %d accounts usable, want 1", n)
		}
		_, err := e.Execute(t.Context(), limit("a1", pro, 60))
		if refused, ok := errors.AsType[*Error](err); !ok || !strings.Contains(refused.Message, "the year 2269") {
			t.Errorf("error %v, want a refusal that names the year", err)
		}
		if h := e.State().Head(); h != head {
			t.Errorf("record %d was written", h.Seq)
		}
		clock.jump(-270 * 365 * day)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := len(expired(t, log)); n != 1 {
			t.Errorf("%d expiries with the clock right again, want 1", n)
		}
	})
}

// An engine that is never idle notices a jump as well.
func TestRule34JumpsAreSeenUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock jumpy
		o := withAccounts(1)
		o.Now = clock.now
		e := open(t, eventstest.New(), o)
		for i := range 120 {
			time.Sleep(time.Second)
			execute(t, e, limit("a1", opus, 86400))
			if i == 60 {
				clock.jump(time.Hour)
			}
		}
		if j := e.ClockJump(); j == nil || j.Count != 1 {
			t.Errorf("the jump is shown as %+v", j)
		}
		e.Close()
	})
}
