package projection

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// probed returns a report of a probe that was picked now.
func (x *scenario) probed(account, model string, s events.Signal) *Report {
	r := x.observed(account, model, s)
	r.Lease, r.Probe = x.s.Head().Seq, true
	return r
}

// standing is how an account stands for a model now.
func (x *scenario) standing(account, model string) Standing {
	return x.s.Standing(x.s.Account(account), x.s.Groups().Resolve("antigravity", model), x.now)
}

// due checks when an account's probe is due, after noon, while nobody and while somebody
// else can serve; 0: never.
func (x *scenario) due(account string, empty, background time.Duration) {
	x.Helper()
	if got := x.standing(account, opus); got.Empty != after(empty) || got.Background != after(background) {
		x.Errorf("at %s: due at %s and %s, want %s and %s", x.now.Sub(noon()), got.Empty.Time(), got.Background.Time(), empty, background)
	}
}

const week = 7 * 24 * 3600

// TestRule23FailedProbesAreCounted: only a probe's failure moves the next one away, and
// only within its freeze.
func TestRule23FailedProbesAreCounted(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(week))
	x.due("a1", 5*time.Minute, time.Hour)
	x.at(time.Minute).report("a1", opus, quota(600)) // no probe
	x.at(2*time.Minute).report("a1", opus, quota(week))
	x.due("a1", 5*time.Minute, time.Hour)
	x.at(6 * time.Minute)
	x.tell(x.probed("a1", opus, quota(600))) // kept
	x.due("a1", 16*time.Minute, 2*time.Hour+6*time.Minute)
	x.at(20 * time.Minute)
	x.tell(x.probed("a1", opus, quota(week))) // extended
	x.due("a1", 40*time.Minute, 4*time.Hour+20*time.Minute)
	x.at(time.Hour)
	x.tell(x.probed("a1", opus, capacity(5))) // says nothing of the quota
	x.at(time.Hour + time.Minute)
	x.due("a1", 40*time.Minute, 4*time.Hour+20*time.Minute)
	x.at(2 * time.Hour)
	x.tell(x.probed("a1", opus, ok()))
	x.at(3*time.Hour).report("a1", opus, quota(week))
	x.due("a1", 3*time.Hour+5*time.Minute, 4*time.Hour)
}

// TestRule23SuccessesOfProbesAreNews for the siblings: of the group, not of others.
func TestRule23SuccessesOfProbesAreNews(t *testing.T) {
	x := newScenario(t)
	x.add("a3", "antigravity")
	for _, id := range []string{"a1", "a2", "a3"} {
		x.report(id, opus, quota(week))
		x.report(id, pro, quota(week))
	}
	x.at(time.Minute)
	served := x.observed("a3", opus, ok())
	served.Lease = x.s.Head().Seq
	x.tell(served) // no probe: what serves all the time is no news
	x.due("a2", 5*time.Minute, time.Hour)
	x.at(6 * time.Minute)
	x.tell(x.probed("a1", opus, ok()))
	x.due("a2", 5*time.Minute, 6*time.Minute)
	if got := x.standing("a2", pro); got.Background != after(time.Hour) {
		t.Errorf("another group is due at %s", got.Background.Time())
	}
	x.at(7 * time.Minute)
	x.tell(x.probed("a2", opus, quota(600)))
	x.due("a2", 17*time.Minute, 2*time.Hour+7*time.Minute)
	// One that froze after the success has its own schedule.
	x.at(8*time.Minute).report("a1", opus, quota(week))
	x.due("a1", 13*time.Minute, time.Hour+8*time.Minute)
}

func TestRule23RecheckMakesDueAtOnce(t *testing.T) {
	x := newScenario(t)
	x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{Probe: &ProbeConfig{Mode: new(ProbeOff)}}}})
	x.report("a1", opus, quota(week))
	x.due("a1", 0, 0)
	recheck := &Recheck{Filter: Filter{Account: "a1", Target: "claude"}, Reason: "it says so on their page"}
	x.at(time.Minute)
	x.nothing(&Recheck{Filter: Filter{Account: "a2"}})
	dry := *recheck
	dry.DryRun = true
	if d := x.do(&dry); len(d.Drafts) > 0 || len(d.Cells) != 1 {
		t.Errorf("a dry run: %+v", d)
	}
	x.wants(x.do(recheck), events.KindRecheckRequested)
	x.due("a1", time.Minute, time.Minute)
	x.nothing(recheck) // asked for, and not answered
	x.at(2 * time.Minute)
	late := x.observed("a1", opus, quota(600))
	late.Lease = x.s.Head().Seq - 1
	x.tell(late) // it was sent before
	x.due("a1", time.Minute, time.Minute)
	x.tell(x.probed("a1", opus, quota(600)))
	x.due("a1", 0, 0)
	x.at(time.Hour)
	x.wants(x.do(recheck), events.KindRecheckRequested)
	x.due("a1", time.Hour, time.Hour)
}

// TestRule23RecheckOfGroups includes the group's models; what is held or suspended is
// refused with the verbs that help.
func TestRule23RecheckOfGroups(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(week))
	x.report("a1", opus, capacity(200))
	x.report("a2", opus, quota(week))
	x.do(suspend("a2", "claude", "by hand"))
	d := x.do(&Recheck{Filter: Filter{Provider: "antigravity", Target: "claude"}})
	x.wants(d, events.KindRecheckRequested, events.KindRecheckRequested)
	if len(d.Cells) != 2 || d.Cells[0].Account != "a1" || d.Cells[1].Account != "a1" {
		t.Errorf("the cells are %v", d.Cells)
	}
	e := x.refused(CodeWrongVerb, &Recheck{Filter: Filter{Account: "a2", Target: "claude"}})
	if len(e.Cells) != 1 {
		t.Errorf("the cells in the way are %v", e.Cells)
	}
	x.report("a2", pro, banned())
	x.refused(CodeWrongVerb, &Recheck{Filter: Filter{Account: "a2", Target: "*"}})
	x.refused(CodeEmptyFilter, &Recheck{})
	x.refused(CodeUnknownAccount, &Recheck{Filter: Filter{Account: "nobody"}})
}

// TestRule23ReturnedIsBounded: of more targets than it holds the oldest make room, and
// what was published does not change.
func TestRule23ReturnedIsBounded(t *testing.T) {
	var r returned
	for i := range maxReturned + 10 {
		before := len(r)
		next := r.with(pool{"p", fmt.Sprint("model:", i)}, Mark{Seq: events.Seq(i + 1)})
		if len(r) != before {
			t.Fatal("a published value changed")
		}
		r = next
	}
	_, oldest := r[pool{"p", "model:9"}]
	_, kept := r[pool{"p", "model:10"}]
	if len(r) != maxReturned || oldest || !kept {
		t.Errorf("%d are kept, the oldest %t, the first to stay %t", len(r), oldest, kept)
	}
}

func TestRule23Doubling(t *testing.T) {
	tests := []struct {
		first, limit time.Duration
		n            int
		want         time.Duration
	}{
		{5 * time.Minute, time.Hour, 0, 5 * time.Minute},
		{5 * time.Minute, time.Hour, 3, 40 * time.Minute},
		{5 * time.Minute, time.Hour, 4, time.Hour},
		{5 * time.Minute, time.Hour, 1 << 40, time.Hour},
		{time.Hour, time.Hour, 5, time.Hour},
		{1, 100 * 366 * day, 1 << 40, 100 * 366 * day},
	}
	for _, test := range tests {
		if got := doubled(test.first, test.limit, test.n); got != test.want {
			t.Errorf("%s doubled %d times up to %s is %s, want %s", test.first, test.n, test.limit, got, test.want)
		}
	}
}

// TestInstants: times beyond what an instant holds are later than all others.
func TestInstants(t *testing.T) {
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if InstantOf(time.Time{}) != Never || !Never.Time().IsZero() {
		t.Error("the zero time is not never")
	}
	if i := InstantOf(far); i >= Never || i <= InstantOf(noon().AddDate(100, 0, 0)) || i.Time().Year() != 2262 {
		t.Errorf("the year 9999 is %d, in %d", i, i.Time().Year())
	}
	if got := InstantOf(noon()).Time(); !got.Equal(noon()) || got.Location() != time.UTC {
		t.Errorf("noon is %s", got)
	}
	if Never != math.MaxInt64 {
		t.Error("never is not after all")
	}
}

// TestMinimaFollowASlice: whatever is set, the earliest of all, and the runs that hold
// something early, are those of a plain slice; what was shared does not change.
func TestMinimaFollowASlice(t *testing.T) {
	r := seeded()
	const n = 64*blockWords + 100 // more than one block
	m, want := newMinima(n, 0), make([]Instant, n)
	for i := range want {
		want[i] = Never
	}
	type shared struct {
		m    minima
		want []Instant
	}
	var older []shared
	check := func(m *minima, want []Instant) {
		t.Helper()
		first := Never
		for i, at := range want {
			first = min(first, at)
			if m.at(i) != at {
				t.Fatalf("position %d is at %d, want %d", i, m.at(i), at)
			}
		}
		if m.earliest() != first {
			t.Fatalf("the earliest is %d, want %d", m.earliest(), first)
		}
		limit := Instant(r.IntN(2000))
		early := map[int]bool{}
		for w := range m.words(limit) {
			early[w] = true
		}
		for i, at := range want {
			if at <= limit && !early[i/64] {
				t.Fatalf("position %d, at %d, is not among those up to %d", i, at, limit)
			}
		}
	}
	for epoch := range uint64(200) {
		m = m.copy()
		for range 1 + r.IntN(20) {
			i, at := r.IntN(n), Instant(r.IntN(1000))
			if r.IntN(3) == 0 {
				at = Never
			}
			m.set(i, at, epoch+1)
			want[i] = at
		}
		check(&m, want)
		if epoch%20 == 0 {
			older = append(older, shared{m.disown(epoch + 1), slices.Clone(want)})
			for i := range want { // in the same epoch, in place
				if want[i] != Never {
					want[i]++
					m.set(i, want[i], epoch+1)
				}
			}
		}
	}
	for _, o := range older {
		check(&o.m, o.want)
	}
}

// TestBitmapFollowsASet: the next member of any part is that of a plain set.
func TestBitmapFollowsASet(t *testing.T) {
	r := seeded()
	const n = 64*64*2 + 130 // more than one word of the summary
	b, want := newBitmap(n, 0), make([]bool, n)
	check := func(b *bitmap, want []bool, times int) {
		t.Helper()
		for range times {
			from, to := r.IntN(n), r.IntN(n+1)
			next := -1
			if part := want[from:max(from, to)]; slices.Contains(part, true) {
				next = from + slices.Index(part, true)
			}
			if got := b.next(from, to); got != next {
				t.Fatalf("in [%d, %d) comes %d, want %d", from, to, got, next)
			}
		}
	}
	for epoch := range uint64(300) {
		b = b.copy()
		for range 1 + r.IntN(40) {
			i, on := r.IntN(n), r.IntN(5) == 0
			b.set(i, on, epoch+1)
			want[i] = on
		}
		check(&b, want, 20)
		if epoch%50 == 0 {
			fork, was := b.disown(epoch+1), slices.Clone(want)
			for i := range want { // in the same epoch, in place
				b.set(i, !want[i], epoch+1)
				want[i] = !want[i]
			}
			check(&fork, was, 200)
			check(&b, want, 200)
		}
	}
}
