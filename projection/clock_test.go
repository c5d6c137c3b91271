package projection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

func TestRule34AClockThatWentBack(t *testing.T) {
	x := newScenario(t)
	x.at(time.Hour).report("a1", opus, quota(600))
	x.at(0)
	x.report("a2", opus, quota(600))
	x.do(suspend("a2", "gemini-pro", "by hand"))
	x.report("a2", lone, quota())
	last := time.Time{}
	for _, r := range x.recs {
		if r.At.Before(last) {
			t.Errorf("record %d is dated %s, before the one before it", r.Seq, r.At)
		}
		last = r.At
	}
	// Deadlines follow the system clock as it is.
	between(t, "the deadline", x.until("a2", "claude"), 10*time.Minute, 11*time.Minute)
	between(t, "the ladder's", x.until("a2", "model:"+lone), 5*time.Minute, 6*time.Minute)
	x.at(11*time.Minute).usable(opus, "a2")
}

// After the clock went back over an expiry, the ladder's last deadline lies ahead
// although nothing cools: a limit must still block.
func TestRule34LimitAfterAClockThatWentBack(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota())
	x.at(time.Hour).do(&Expire{})
	x.at(0)
	x.effect(x.report("a1", opus, quota()), events.EffectStarted)
	x.usable(opus, "a2")
}

// After the clock went back a record is dated later than it was decided: what is
// live by the clock must not be lost over it.
func TestRule13RegroupingAfterAClockThatWentBack(t *testing.T) {
	x := newScenario(t)
	x.at(2*time.Hour).report("a2", flash, quota(60))
	x.at(0)
	x.report("a1", pro, quota(600))
	x.do(&Suspend{Filter: Filter{Account: "a2", Target: "gemini-pro"}, Reason: "an hour", For: time.Hour})
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	x.status("a1", "gemini", StatusCooling)
	x.status("a2", "gemini", StatusSuspended)
}

// A clear that is dated by a clock that went back since does not make the limits of
// the time until then older than itself.
func TestRule34LimitAfterAClearDatedAhead(t *testing.T) {
	x := newScenario(t)
	x.at(24*time.Hour).report("a1", opus, quota(600))
	x.do(clearCell("a1", "claude"))
	x.at(time.Minute)
	x.effect(x.report("a1", opus, quota(600)), events.EffectStarted)
	x.usable(opus, "a2")
	// A clock that is set by seconds leaves evidence in its order.
	x.at(25*time.Hour).report("a2", opus, quota(600))
	x.do(clearCell("a2", "claude"))
	x.at(25*time.Hour-time.Second).effect(x.report("a2", opus, quota(600)), events.EffectNone, events.WhyStale)
}

// The same holds for an account that was removed and added again.
func TestRule34ReportAfterARemovalDatedAhead(t *testing.T) {
	x := newScenario(t)
	x.at(24 * time.Hour).do(&RemoveAccount{ID: "a1"})
	x.at(time.Minute).add("a1", "antigravity")
	x.effect(x.report("a1", opus, quota(600)), events.EffectStarted)
}

// A model cell that makes room for another blocks nothing by the clock of the decision:
// the record's date may lie ahead of it.
func TestRule11RoomAfterAClockThatWentBack(t *testing.T) {
	x := newScenario(t)
	x.at(24*time.Hour).report("a2", opus, quota(600))
	x.at(0)
	for i := range MaxModelCells - 1 {
		x.report("a1", odd(i), capacity(300))
	}
	x.report("a1", lone, capacity(60))
	x.at(2*time.Minute).effect(x.report("a1", "one-more", capacity(60)), events.EffectStarted)
	for i := range MaxModelCells - 1 {
		x.status("a1", "model:"+odd(i), StatusCooling)
	}
}

func TestRule07TruthDoesNotWaitForExpiry(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	end := x.until("a1", "claude")
	x.at(end-1).usable(opus, "a2")
	x.nothing(&Expire{})
	x.at(end).usable(opus, "a1", "a2") // nothing is written yet
	d := x.do(&Expire{})
	x.wants(d, events.KindExpired)
	if d.Drafts[0].Account != "a1" {
		t.Errorf("the one account is not the record's: %q", d.Drafts[0].Account)
	}
	x.nothing(&Expire{})
	x.nothing(clearCell("a1", "claude")) // what has ended cannot be cleared
}

func TestRule07ExpiryListsWhatIsDueTogether(t *testing.T) {
	long := strings.Repeat("x", events.MaxID-8)
	for name, id := range map[string]string{"short ids": "b", "ids as long as can be": long} {
		t.Run(name, func(t *testing.T) {
			x := newScenario(t)
			const n = 600
			s := x.s
			for i := range n {
				id := fmt.Sprintf("%s%06d", id, i)
				s.put(id, &Account{ID: id, Spec: events.AccountSpec{Provider: "antigravity", Weight: 1}, Cells: []Cell{{
					Target:    "model:" + strings.Repeat("m", events.MaxID),
					Cooling:   &Cooling{Until: noon().Add(time.Duration(i))},
					Suspended: &Suspension{Until: noon().Add(time.Hour)},
				}}})
			}
			x.at(time.Second)
			cells := 0
			d, err := Decide(s, Command{Origin: events.Origin{Actor: ActorExpiry}, Do: &Expire{}}, x.now)
			if err != nil {
				t.Fatal(err)
			}
			for _, draft := range d.Drafts {
				e := draft.Event.(*events.Expired)
				cells += len(e.Cells)
				if len(e.Cells) > events.MaxExpired || e.Dimension != events.DimensionCooling || e.Due.After(x.now) {
					t.Errorf("%d cells of %s, due %s", len(e.Cells), e.Dimension, e.Due)
				}
			}
			if _, err := events.Seal(s.Head(), x.now, d.Drafts); err != nil {
				t.Errorf("an expiry does not fit a record of %d bytes: %v", events.MaxRecord, err)
			}
			if cells != n && len(d.Drafts) < maxExpireDrafts {
				t.Errorf("%d cells expired in %d records, want %d", cells, len(d.Drafts), n)
			}
			if name == "short ids" && len(d.Drafts) > 30 {
				t.Errorf("%d records for %d cells", len(d.Drafts), n)
			}
			x.s = NewState() // the accounts were put there by hand
			x.recs = nil
		})
	}
}

func TestRule07ExpiryComesInTurns(t *testing.T) {
	s := NewState()
	for i := range maxExpireDrafts*events.MaxExpired + 500 {
		id := fmt.Sprint("b", i)
		s.put(id, &Account{ID: id, Cells: []Cell{{Target: "*", Cooling: &Cooling{Until: noon()}}}})
	}
	now, rounds := noon(), 0
	for ; s.Due(now); rounds++ {
		d, err := Decide(s, Command{Origin: events.Origin{Actor: ActorExpiry}, Do: &Expire{}}, now)
		if err != nil || len(d.Drafts) == 0 || len(d.Drafts) > maxExpireDrafts {
			t.Fatalf("%d records, error %v", len(d.Drafts), err)
		}
		recs, err := events.Seal(s.Head(), now, d.Drafts)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			s.Apply(r)
		}
	}
	if rounds != 2 {
		t.Errorf("%d rounds, want 2", rounds)
	}
}
