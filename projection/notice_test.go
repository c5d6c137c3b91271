package projection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// beginnings are all kinds that have an end, and the ends.
func beginnings() []NoticeKind {
	return []NoticeKind{NoticeExhausted, NoticeFrozen, NoticeHeld, NoticeSuspended, NoticeRecovered}
}

// told is a log in the making with a fold of its notices.
type told struct {
	rapid.TB
	log  *eventstest.Log
	s    *State
	now  time.Time
	fold *Notices
	got  []Notice
}

// newTold begins at noon with the bootstrap groups and the accounts a1 and a2 of
// antigravity.
func newTold(t rapid.TB, f NoticeFilter) *told {
	t.Helper()
	x := &told{TB: t, log: eventstest.New(), s: NewState(), now: noon()}
	x.s.begin("memory")
	x.do(&DefineGroups{})
	x.do(&DefinePolicy{})
	x.do(&PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity"}})
	x.do(&PutAccount{ID: "a2", Spec: events.AccountSpec{Provider: "antigravity"}})
	var err error
	if x.fold, err = x.past().Notices(context.Background(), x.head(), f); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *told) past() *Past { return &Past{Log: x.log, State: x.s.Snapshot(), Now: x.now} }

func (x *told) head() Position { return Position{x.s.head.Seq, x.s.head.Hash, x.now} }

// do carries out a command and folds its records.
func (x *told) do(do Intent) {
	x.Helper()
	d, err := Decide(x.s, Command{Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}, Do: do}, x.now)
	if err != nil {
		x.Fatalf("%T refused: %v", do, err)
	}
	recs, err := events.Seal(x.s.Head(), x.now, d.Drafts)
	if err == nil {
		err = x.log.Append(context.Background(), recs)
	}
	if err != nil {
		x.Fatal(err)
	}
	for _, r := range recs {
		x.s.Apply(r)
		if x.fold != nil {
			x.take(x.fold.Apply(context.Background(), r, x.now))
		}
	}
}

func (x *told) take(list []Notice, err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
	x.got = append(x.got, list...)
}

// at sets the clock to noon plus d, and lets the fold know.
func (x *told) at(d time.Duration) {
	x.Helper()
	x.now = noon().Add(d)
	x.take(x.fold.Advance(context.Background(), x.now))
}

func (x *told) report(account, model string, s events.Signal) {
	x.Helper()
	r := &Report{Account: account, Provider: "antigravity", Model: model, Status: 429, Signal: s, StartedAt: x.now}
	if s.Class == events.ClassOK {
		r.Status = 200
	}
	x.do(r)
}

// brief is a notice in a word.
func brief(n Notice) string {
	text := string(n.Kind)
	if n.Over {
		text += " over:" + string(n.How)
	}
	what := n.Account + " " + n.Target
	if n.Account == "" {
		what = n.Group
	}
	return fmt.Sprintf("+%s %s %s", n.At.Sub(noon()), text, what)
}

// wants compares what was told since the last call.
func (x *told) wants(want ...string) {
	x.Helper()
	var got []string
	for _, n := range x.got {
		got = append(got, brief(n))
		if !strings.HasSuffix(n.Sentence, ".") {
			x.Errorf("%s has the sentence %q", brief(n), n.Sentence)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		x.Errorf("told otherwise:\n%s", diff)
	}
	x.got = nil
}

// steady is the policy without jitter, so that deadlines are round.
func steadyPolicy() *DefinePolicy {
	return &DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{Jitter: new(Duration(0))}}}}
}

func TestNoticeOfAFreezeThatLasts(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeFrozen, NoticeRecovered}, LongerThan: time.Hour})
	x.do(steadyPolicy())
	x.report("a1", opus, quota(1800))
	x.report("a2", opus, quota(7200))
	x.at(time.Hour)
	x.wants("+1h0m0s frozen a2 claude")
	x.at(3 * time.Hour) // the deadline passed, and nothing recorded it
	x.wants("+2h0m0s frozen over:expired a2 claude")
	x.do(&Expire{})
	x.wants()
}

func TestNoticeOfAFreezeThatLastsJustThatLong(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeFrozen, NoticeRecovered}, LongerThan: time.Hour})
	x.do(steadyPolicy())
	x.report("a1", opus, quota(3600))
	x.at(2 * time.Hour)
	x.wants()
}

// A record may be dated after now: the clock went back, or the record came after the look
// at it. Such a freeze is told at once, and whether or not it ends at once.
func TestNoticeOfAFreezeDatedAfterNow(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeFrozen, NoticeRecovered}})
	x.do(steadyPolicy())
	fold := x.fold
	x.fold = nil
	x.now = noon().Add(time.Minute)
	first := x.s.head.Seq
	x.report("a1", opus, quota(1800))
	x.do(clearCell("a1", "claude"))
	x.report("a2", opus, quota(1800))
	x.fold = fold
	for r, err := range x.log.Records(context.Background(), first) {
		if err != nil {
			t.Fatal(err)
		}
		x.take(x.fold.Apply(context.Background(), r, noon().Add(30*time.Second)))
	}
	if len(x.got) != 3 || x.got[0].Subject != x.got[1].Subject || !x.got[1].Over || x.got[2].Account != "a2" {
		t.Errorf("told %+v", x.got)
	}
}

func TestNoticeOfAFreezeAtOnceAndHowItEnds(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeFrozen, NoticeRecovered}})
	x.do(steadyPolicy())
	x.report("a1", opus, quota(1800))
	x.report("a1", sonnet, quota(3600)) // extends it
	x.report("a1", opus, quota(60))     // keeps it
	x.wants("+0s frozen a1 claude")
	x.at(time.Minute)
	x.do(clearCell("a1", "claude"))
	x.wants("+1m0s frozen over:cleared a1 claude")
	x.report("a1", opus, quota(1800))
	x.report("a2", pro, quota(1800))
	x.at(2 * time.Minute)
	x.report("a1", opus, ok())
	x.do(&RemoveAccount{ID: "a2"})
	x.wants(
		"+1m0s frozen a1 claude", "+1m0s frozen a2 gemini-pro", "+2m0s frozen over:recovered a1 claude",
		"+2m0s frozen over:removed a2 gemini-pro",
	)
}

func TestNoticeOfAHold(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeHeld, NoticeRecovered}})
	x.report("a1", opus, banned())
	x.report("a2", opus, quota(1800)) // no hold
	if n := x.got[0]; n.Reason != events.ReasonBanned || n.Class != events.ClassForbidden || !n.Until.IsZero() || n.Target != "*" {
		t.Errorf("told %+v", n)
	}
	x.wants("+0s held a1 *")
	x.at(time.Hour)
	x.do(&PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity", CredentialVersion: "2"}})
	x.wants("+1h0m0s held over:renewed a1 *")
}

func TestNoticeOfAForgottenSuspension(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeSuspended, NoticeRecovered}})
	x.do(suspend("a1", "claude", "billing"))
	x.do(suspend("a2", "claude", "billing"))
	x.at(23 * time.Hour)
	x.do(lift("a2", "claude"))
	x.at(24 * time.Hour)
	x.wants("+24h0m0s suspended a1 claude")
	x.do(suspend("a1", "claude", "again")) // another, which begins now
	x.wants("+24h0m0s suspended over:replaced a1 claude")
	x.at(47 * time.Hour)
	x.wants()
	x.at(49 * time.Hour)
	if n := x.got[0]; n.Reason != "again" || n.Actor != "operator:ops" {
		t.Errorf("told %+v", n)
	}
	x.wants("+48h0m0s suspended a1 claude")
	x.do(lift("a1", "claude"))
	x.wants("+49h0m0s suspended over:lifted a1 claude")
}

func TestNoticeOfAClampOncePerEpisode(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeClamped}})
	x.do(steadyPolicy())
	month := float64(40 * 24 * 3600)
	x.report("a1", opus, quota(3600))
	x.report("a1", opus, quota(month)) // the first one that is cut
	x.at(time.Minute)
	x.report("a1", opus, quota(month)) // the bound moved on with the clock
	if n := x.got[0]; !strings.Contains(n.Sentence, "40d0h") || !strings.Contains(n.Sentence, "cut to the bound for an unknown window") {
		t.Errorf("told %q", n.Sentence)
	}
	x.wants("+0s clamped a1 claude")
	x.do(clearCell("a1", "claude"))
	x.at(2 * time.Minute)
	x.report("a1", opus, quota(month))
	x.wants("+2m0s clamped a1 claude")
}

// A class without windows has one bound, and a clamp is told as one of the class.
func TestNoticeOfAClampNamesItsBound(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeClamped}})
	x.do(steadyPolicy())
	for class, want := range map[events.Class]string{
		events.ClassRateLimited: "cut to the bound for rate_limited:", events.ClassCapacity: "cut to the bound for capacity:",
	} {
		signal := quota(100 * 24 * 3600) // no quota lasts that long either
		signal.Class = class
		x.report("a1", opus, signal)
		if n := x.got[len(x.got)-1]; !strings.Contains(n.Sentence, want) {
			t.Errorf("told %q, want %q", n.Sentence, want)
		}
		x.do(&Clear{Filter: Filter{Account: "a1"}})
	}
}

func TestNoticeOfAnExhaustedGroup(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeExhausted, NoticeRecovered}})
	x.do(steadyPolicy())
	x.report("a1", opus, quota(1800))
	x.wants()
	x.do(suspend("a2", "*", "billing"))
	x.wants("+0s exhausted claude")
	x.at(time.Minute)
	x.do(suspend("a1", "gemini-pro", "billing"))
	n := x.got[0]
	if want := "Group gemini-pro of antigravity is exhausted: none of 2 accounts can serve it: 2 suspended by hand."; n.Sentence != want {
		t.Errorf("told %q, want %q", n.Sentence, want)
	}
	x.wants("+1m0s exhausted gemini-pro")
	x.at(time.Hour)
	x.wants("+30m0s exhausted over:expired claude")
	x.do(&PutAccount{ID: "a3", Spec: events.AccountSpec{Provider: "antigravity"}})
	x.wants("+1h0m0s exhausted over: gemini-pro")
	x.do(&PatchAccount{ID: "a3", Disabled: new(true)})
	x.do(&PatchAccount{ID: "a1", Disabled: new(true)})
	x.wants("+1h0m0s exhausted gemini-pro", "+1h0m0s exhausted claude", "+1h0m0s exhausted gemini-flash")
	for _, id := range []string{"a1", "a2", "a3"} {
		x.do(&RemoveAccount{ID: id, Force: true})
	}
	x.wants("+1h0m0s exhausted over:removed claude", "+1h0m0s exhausted over:removed gemini-flash", "+1h0m0s exhausted over:removed gemini-pro")
}

// Two blocks of one account that end in one instant give back one account.
func TestNoticeOfAGroupThatTwoBlocksGiveBack(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeExhausted, NoticeRecovered}})
	x.do(steadyPolicy())
	x.report("a1", opus, quota(1800))
	x.do(&Suspend{Filter: Filter{Account: "a1", Target: "*"}, Reason: "billing", For: 30 * time.Minute})
	x.report("a2", opus, quota(3600))
	x.at(45 * time.Minute)
	x.checkPools()
	x.wants("+0s exhausted claude", "+30m0s exhausted over:expired claude")
	x.report("a1", opus, quota(1800))
	x.wants("+45m0s exhausted claude")
}

// A freeze that is over by the time of the fold when its record comes is told, and its end.
func TestNoticeOfAFreezeThatIsOverAtOnce(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeFrozen, NoticeRecovered}})
	x.do(steadyPolicy())
	x.at(time.Hour)
	x.now = noon()
	x.report("a1", opus, quota(1800))
	before := x.fold.Position().Seq - 1
	for i := range x.got {
		if x.got[i].Before.Seq != before {
			t.Errorf("%s is told after record %d, not %d", brief(x.got[i]), x.got[i].Before.Seq, before)
		}
	}
	x.wants("+1h0m0s frozen a1 claude", "+30m0s frozen over:expired a1 claude")
}

func TestNoticesOfNewGroups(t *testing.T) {
	x := newTold(t, NoticeFilter{On: beginnings()})
	x.do(steadyPolicy())
	x.report("a1", pro, quota(1800))
	x.report("a2", pro, quota(1800))
	x.wants("+0s frozen a1 gemini-pro", "+0s frozen a2 gemini-pro", "+0s exhausted gemini-pro")
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	x.wants("+0s exhausted gemini", "+0s exhausted over:regrouped gemini-pro")
	x.at(time.Hour) // the freezes are the same, of another target
	x.wants("+30m0s frozen over:expired a1 gemini", "+30m0s frozen over:expired a2 gemini", "+30m0s exhausted over:expired gemini")
}

func TestNoticesPassAFilter(t *testing.T) {
	for name, c := range map[string]struct {
		filter NoticeFilter
		want   []string
	}{
		"another provider": {NoticeFilter{On: beginnings(), Provider: "codex"}, nil},
		"one group": {
			NoticeFilter{On: beginnings(), Provider: "antigravity", Group: "claude"},
			[]string{
				"+0s frozen a1 claude", "+0s held a2 *", "+0s exhausted claude",
				"+1m0s frozen over:cleared a1 claude", "+1m0s exhausted over:cleared claude",
			},
		},
		"a model's own group": {NoticeFilter{On: []NoticeKind{NoticeFrozen}, Group: "gemini-flash"}, []string{
			"+0s frozen a1 model:" + flash, "+1m0s frozen over:cleared a1 model:" + flash,
		}},
		"recoveries alone": {NoticeFilter{On: []NoticeKind{NoticeRecovered}}, []string{
			"+1m0s frozen over:cleared a1 claude", "+1m0s exhausted over:cleared claude", "+1m0s frozen over:cleared a1 model:" + flash,
		}},
		"recoveries of holds alone": {NoticeFilter{On: []NoticeKind{NoticeHeld, NoticeRecovered}}, []string{"+0s held a2 *"}},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTold(t, c.filter)
			x.report("a1", opus, quota(1800))
			x.report("a1", flash, capacity(60))
			x.report("a2", opus, banned())
			x.at(time.Minute - time.Second)
			x.now = noon().Add(time.Minute - time.Millisecond)
			x.do(&Clear{Filter: Filter{Account: "a1"}})
			var got []string
			for _, n := range x.got {
				got = append(got, strings.Replace(brief(n), "59.999s", "1m0s", 1))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("told otherwise:\n%s", diff)
			}
		})
	}
}

// TestNoticesAreTheSameFromAnyPosition: whatever happens while the clock goes on, the
// notices after any position are told again, the same and in the same order, by a fold
// that begins there; and no two have one id.
func TestNoticesAreTheSameFromAnyPosition(t *testing.T) {
	count := 0
	rapid.Check(t, func(t *rapid.T) {
		x := drawnNotices(t, false)
		ids := noticeIDs(x.got)
		if c := slices.Compact(slices.Sorted(slices.Values(ids))); len(c) != len(ids) {
			t.Fatalf("%d notices have %d ids", len(ids), len(c))
		}
		if len(ids) == 0 {
			return
		}
		count++
		i := rapid.IntRange(0, len(ids)-1).Draw(t, "from")
		from := x.got[i].Before
		for i > 0 && x.got[i-1].Before == from {
			i--
		}
		again := &told{TB: x.TB, log: x.log, s: x.s, now: x.now}
		var err error
		if again.fold, err = x.past().Notices(context.Background(), from, x.fold.filter); err != nil {
			t.Fatal(err)
		}
		for r, err := range x.log.Records(context.Background(), from.Seq) {
			if err != nil {
				t.Fatal(err)
			}
			again.take(again.fold.Apply(context.Background(), r, x.now))
		}
		again.take(again.fold.Advance(context.Background(), x.now))
		if diff := cmp.Diff(ids[i:], noticeIDs(again.got)); diff != "" {
			t.Fatalf("from %+v on:\n%s", from, diff)
		}
	})
	if count == 0 {
		t.Error("nothing was ever told")
	}
}

func noticeIDs(list []Notice) (ids []string) {
	for i := range list {
		ids = append(ids, list[i].ID("memory")+" "+brief(list[i]))
	}
	return ids
}

// drawnNotices tells of drawn commands at drawn instants.
func drawnNotices(t *rapid.T, back bool) *told {
	x := newTold(t, NoticeFilter{On: append(beginnings(), NoticeClamped), LongerThan: rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "longer")})
	d := &drawn{T: t, now: x.now}
	for range rapid.IntRange(1, 40).Draw(t, "commands") {
		was := d.now
		d.tick()
		if d.now.Before(was) && !back {
			d.now = was
		}
		x.now = d.now
		if pick(d, "look", false, true) {
			x.take(x.fold.Advance(context.Background(), x.now))
		}
		intent := d.intent(x.s.Head().Seq)
		if _, err := Decide(x.s, command(intent), x.now); err == nil {
			x.do(intent)
		}
		x.checkPools()
	}
	x.take(x.fold.Advance(context.Background(), x.now))
	x.checkPools()
	return x
}

// checkPools counts the pools from nothing.
func (x *told) checkPools() {
	x.Helper()
	want := map[pool]poolCount{}
	for a := range x.fold.state.Accounts("") {
		for _, g := range x.s.groups.Of(a.Spec.Provider) {
			if !a.listed() {
				continue
			}
			c := want[pool{a.Spec.Provider, g.ID}]
			c.total++
			if a.Usable(&Resolution{Provider: a.Spec.Provider, Group: g.ID}, x.fold.at) {
				c.usable++
			}
			want[pool{a.Spec.Provider, g.ID}] = c
		}
	}
	for key, c := range x.fold.pools.counts {
		w := want[key]
		if c.total != w.total || c.usable != w.usable || c.exhausted != (w.usable == 0) {
			x.Fatalf("%v is counted as %+v, and is %+v", key, *c, w)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		x.Fatalf("not counted: %v", want)
	}
}

// TestEveryEpisodeIsTold: of all episodes of a log, those that last long enough are told,
// each beginning once, and each end once if it is over.
func TestEveryEpisodeIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawnNotices(t, false)
		list, _, err := x.past().Episodes(context.Background(), EpisodeQuery{})
		if err != nil {
			t.Fatal(err)
		}
		type key struct {
			subject string
			over    bool
		}
		want := map[key]int{}
		live := map[string]bool{}
		for i := range list {
			e := &list[i]
			id := subject(blockID{e.Account, e.Block, e.Started})
			live[id] = live[id] || e.EndedAt.IsZero()
		}
		// New groups begin an episode anew of which the block goes on: it is one subject.
		for i := range list {
			e := &list[i]
			id := subject(blockID{e.Account, e.Block, e.Started})
			long := map[Status]time.Duration{StatusCooling: x.fold.filter.LongerThan, StatusSuspended: LongByHand}[e.Block]
			lasted := e.Lasted(x.now)
			// To the instant, what a record ends has lasted that long, and what ends by itself
			// has not.
			if lasted > long || long == 0 || lasted == long && e.How != EndExpired {
				want[key{id, false}] = 1
				if !live[id] {
					want[key{id, true}] = 1
				}
			}
		}
		got := map[key]int{}
		for _, n := range x.got {
			if n.Kind != NoticeExhausted && n.Kind != NoticeClamped {
				got[key{n.Subject, n.Over}]++
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(key{})); diff != "" {
			t.Fatalf("told otherwise than the episodes are:\n%s", diff)
		}
	})
}

// TestNoticesWhileTheClockJumps: whatever the clock does, the fold goes on, no end is told
// twice in a row, and the pools are counted right.
func TestNoticesWhileTheClockJumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawnNotices(t, true)
		over := map[string]bool{}
		for _, n := range x.got {
			if n.Kind == NoticeExhausted {
				if was, known := over[n.Subject]; known && was == n.Over {
					t.Fatalf("told twice in a row: %s", brief(n))
				}
				over[n.Subject] = n.Over
			}
		}
	})
}

// What is queued of the time does not grow with the records.
func TestNoticesForgetDeadlinesThatDoNotHold(t *testing.T) {
	x := newTold(t, NoticeFilter{On: []NoticeKind{NoticeFrozen, NoticeRecovered}, LongerThan: time.Hour})
	x.do(steadyPolicy())
	most := 0
	for i := range 2000 {
		x.now = noon().Add(time.Duration(i) * time.Second)
		x.report("a1", opus, quota(7200)) // prolonged every time
		x.report("a2", opus, quota(7200))
		x.do(clearCell("a2", "claude"))
		most = max(most, len(x.fold.due))
	}
	if most > 4*len(x.fold.open)+minDue+10 {
		t.Errorf("%d instants are queued for %d blocks", most, len(x.fold.open))
	}
	x.at(3 * time.Hour)
	x.wants("+1h0m0s frozen a1 claude", "+2h33m19s frozen over:expired a1 claude")
}

func TestReachedKnowsAnotherLog(t *testing.T) {
	x := newTold(t, NoticeFilter{On: beginnings()})
	head, past := x.head(), x.past()
	other := head
	other.Hash[0]++
	for _, c := range []struct {
		name string
		at   Position
		want bool
	}{
		{"the head", head, true},
		{"the beginning", Position{Hash: events.Genesis("memory")}, true},
		{"the beginning of another", Position{Hash: events.Genesis("other")}, false},
		{"another record", other, false},
		{"beyond the head", Position{Seq: head.Seq + 1, Hash: head.Hash}, false},
	} {
		if got, err := past.Reached(t.Context(), c.at); got != c.want || err != nil {
			t.Errorf("%s: %t, %v", c.name, got, err)
		}
	}
}

// TestNoticesAdoptAState: a fold that goes on with a published state tells the same.
func TestNoticesAdoptAState(t *testing.T) {
	x := newTold(t, NoticeFilter{On: beginnings()})
	x.do(steadyPolicy())
	x.report("a1", opus, quota(1800))
	x.fold.since = adoptAfter
	was := x.fold.state
	if x.fold.Adopt(x.s.Snapshot()); x.fold.state == was {
		t.Fatal("nothing was adopted")
	}
	x.report("a2", opus, quota(1800))
	x.at(time.Hour)
	x.wants(
		"+0s frozen a1 claude", "+0s frozen a2 claude", "+0s exhausted claude",
		"+30m0s frozen over:expired a1 claude", "+30m0s frozen over:expired a2 claude", "+30m0s exhausted over:expired claude",
	)
}
