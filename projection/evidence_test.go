package projection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

func TestRule19OlderSuccessEndsNothing(t *testing.T) {
	tests := []struct {
		name   string
		change func(x *scenario, r *Report, freeze events.Seq)
		effect events.Effect
	}{
		{"a lease from after the freeze", func(_ *scenario, r *Report, f events.Seq) { r.Lease = f }, events.EffectRecovered},
		{"a lease from before", func(_ *scenario, r *Report, f events.Seq) { r.Lease = f - 1 }, events.EffectNone},
		{"the lease counts, not the start", func(_ *scenario, r *Report, f events.Seq) { r.Lease, r.StartedAt = f, noon().Add(-time.Hour) }, events.EffectRecovered},
		{"the lease counts, though the start is later", func(_ *scenario, r *Report, f events.Seq) { r.Lease = f - 1 }, events.EffectNone},
		{"a start after the freeze", func(x *scenario, r *Report, _ events.Seq) { r.StartedAt = noon().Add(time.Second) }, events.EffectRecovered},
		{"a start at the freeze", func(x *scenario, r *Report, _ events.Seq) { r.StartedAt = noon() }, events.EffectNone},
		{"neither", func(_ *scenario, r *Report, _ events.Seq) { r.StartedAt = time.Time{} }, events.EffectNone},
	}
	for _, test := range tests {
		for block, s := range map[string]events.Signal{"claude": quota(3600), "*": banned()} {
			t.Run(test.name+" "+block, func(t *testing.T) {
				x := newScenario(t)
				x.report("a1", opus, s)
				freeze := x.s.Head().Seq
				r := x.at(time.Minute).observed("a1", sonnet, ok())
				test.change(x, r, freeze)
				d := x.do(r)
				if d.Report.Effect != test.effect {
					t.Errorf("effect %s %q, want %s", d.Report.Effect, d.Report.Why, test.effect)
				}
				if d.Report.Effect == events.EffectNone && (d.Report.Why != events.WhyOlderSuccess || len(d.Drafts) > 0) {
					t.Errorf("why %q with %d drafts", d.Report.Why, len(d.Drafts))
				}
			})
		}
	}
}

// A success that started between the freeze and a later 429 is older than the
// newest evidence.
func TestRule19KeptEvidenceCounts(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(3600))
	x.at(time.Minute)
	success := x.observed("a1", opus, ok())
	x.at(2*time.Minute).report("a1", opus, quota(60))
	x.nothing(success)
	x.status("a1", "claude", StatusCooling)
}

func TestRule19OlderLimitAfterAnEnd(t *testing.T) {
	for name, end := range map[string]func(*scenario){
		"clear":    func(x *scenario) { x.do(clearCell("a1", "claude")) },
		"recovery": func(x *scenario) { x.report("a1", opus, ok()) },
	} {
		x := newScenario(t)
		x.report("a1", opus, quota(600))
		before := x.s.Head().Seq
		x.at(time.Minute)
		old := x.observed("a1", opus, quota(3600))
		old.StartedAt = x.now.Add(-time.Millisecond)
		end(x)
		x.at(2 * time.Minute)
		x.effect(x.tell(old), events.EffectNone, events.WhyStale)
		leased := x.observed("a1", opus, quota(3600)) // the lease counts, not the start
		leased.Lease = before
		x.effect(x.tell(leased), events.EffectNone, events.WhyStale)
		x.usable(opus, "a1", "a2")
		if t.Failed() {
			t.Log("after a ", name)
		}
		fresh := x.observed("a1", opus, quota(3600))
		fresh.StartedAt = time.Time{} // without either it counts as fresh
		x.effect(x.tell(fresh), events.EffectStarted)
	}
}

func TestRule19LiftMakesNothingStale(t *testing.T) {
	x := newScenario(t)
	x.do(suspend("a1", "claude", "by hand"))
	x.at(time.Minute)
	old := x.observed("a1", opus, quota(600))
	x.at(2 * time.Minute).do(lift("a1", "claude"))
	x.effect(x.tell(old), events.EffectStarted)
}

func TestRule19SuccessEndsEveryBlockItDisproves(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.report("a1", opus, capacity(60))
	x.report("a1", sonnet, capacity(60))
	x.report("a1", pro, quota(600))
	x.report("a1", opus, signal(events.ClassPayment, events.ScopeAccount))
	d := x.at(30 * time.Second).do(x.observed("a1", opus, ok()))
	x.wants(d, events.KindRecovered, events.KindRecovered, events.KindRecovered)
	x.usable(opus, "a1", "a2")
	x.status("a1", "model:"+sonnet, StatusCooling)
	x.status("a1", "gemini-pro", StatusCooling)
	x.nothing(x.observed("a1", opus, ok())) // nothing is left to end
}

func TestRule20OneObservation(t *testing.T) {
	x := newScenario(t)
	tell := func(account string, s events.Signal) Decision {
		r := x.observed(account, opus, s)
		r.RequestID = "req-1"
		return x.do(r)
	}
	tell("a1", quota(600))
	first := x.s.Head().Seq
	for _, s := range []events.Signal{quota(600), quota(7200), ok()} {
		if d := tell("a1", s); len(d.Drafts) > 0 || d.earlier.first != first {
			t.Errorf("the same request again: %v, earlier record %d, want %d", kinds(d), d.earlier.first, first)
		}
	}
	// A retry on another account keeps its request id and is another observation.
	x.wants(tell("a2", quota(600)), events.KindLimitObserved)
}

// A success may end several blocks: the observation is known by its first record.
func TestRule20SuccessIsOneObservation(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.report("a1", opus, capacity(60))
	r := x.at(time.Second).observed("a1", opus, ok())
	r.RequestID = "req-2"
	x.wants(x.do(r), events.KindRecovered, events.KindRecovered)
	if d := x.do(r); d.earlier.first != x.s.Head().Seq-1 {
		t.Errorf("known by record %d, want %d", d.earlier.first, x.s.Head().Seq-1)
	}
}

func TestRule20RemembersTheLast4096(t *testing.T) {
	x := newScenario(t)
	tell := func(i int) Decision {
		d, err := Decide(x.s, Command{Origin: x.origin, Do: &Report{
			Account: "a1", Provider: "antigravity", Model: opus, Status: 429, Signal: quota(600), RequestID: fmt.Sprint("r", i),
		}}, x.now)
		if err != nil {
			t.Fatal(err)
		}
		recs, err := events.Seal(x.s.Head(), x.now, d.Drafts)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			x.s.Apply(r)
		}
		x.recs = append(x.recs, recs...)
		return d
	}
	for i := range MaxRecent {
		tell(i)
	}
	if d := tell(0); len(d.Drafts) > 0 {
		t.Error("the oldest of 4096 request ids is forgotten")
	}
	tell(MaxRecent)
	if d := tell(0); len(d.Drafts) == 0 {
		t.Error("a request id is remembered beyond 4096")
	}
	if d := tell(2); len(d.Drafts) > 0 {
		t.Error("a request id is forgotten too early")
	}
}

func TestRule20IdempotencyKeys(t *testing.T) {
	x := newScenario(t)
	x.add("a3", "antigravity")
	x.origin.IdempotencyKey, x.origin.RequestHash = "key-1", events.Hash{1}
	first := x.do(&Suspend{Filter: Filter{Provider: "antigravity"}, Reason: "maintenance", Forever: true})
	x.wants(first, events.KindSuspended, events.KindSuspended, events.KindSuspended)
	d := x.do(&Suspend{Filter: Filter{Provider: "antigravity"}, Reason: "maintenance", Forever: true})
	if want := (keyUse{request: events.Hash{1}, first: x.s.Head().Seq - 2, last: x.s.Head().Seq}); d.earlier != want || len(d.Drafts) > 0 {
		t.Errorf("the same key again gives %+v, want %+v", d.earlier, want)
	}
	x.origin.RequestHash = events.Hash{2}
	x.refused(CodeKeyReused, lift("a1", "*"))
	x.origin.IdempotencyKey = "key-2"
	x.wants(x.do(lift("a1", "*")), events.KindLifted)
	x.origin.IdempotencyKey = "key\n3"
	x.refused(CodeInvalid, lift("a2", "*"))
}

func TestRule20NoChangeNoRecord(t *testing.T) {
	x := newScenario(t)
	x.nothing(&PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "Antigravity ", Weight: 1}})
	x.do(suspend("a1", "claude", "by hand"))
	x.nothing(suspend("a1", "claude", "by hand"))
	x.nothing(lift("a1", "gemini-pro"))
	x.nothing(&Expire{})
	x.nothing(x.observed("a1", pro, ok()))
	x.nothing(x.observed("nobody", pro, ok()))
	x.nothing(x.observed("a1", pro, signal(events.ClassServerError, events.ScopeNone)))
	// A 429 observation is always recorded.
	x.wants(x.do(x.observed("a1", pro, signal(events.ClassRateLimited, events.ScopeNone))), events.KindLimitObserved)
	x.do(x.observed("a1", pro, quota(600)))
	x.wants(x.do(x.observed("a1", pro, quota(60))), events.KindLimitObserved)
}

func TestRule20EvidenceIsStoredWhenNews(t *testing.T) {
	x := newScenario(t)
	tell := func(evidence string, s events.Signal) *events.LimitObserved {
		s.Evidence = evidence
		return x.do(x.observed("a1", opus, s)).Drafts[0].Event.(*events.LimitObserved)
	}
	for i, step := range []struct {
		evidence string
		signal   events.Signal
		kept     bool
	}{
		{"quota spent", quota(600), true},
		{"quota spent", quota(60), false},
		{"another text", quota(60), true},
		{"another text", quota(60), false},
		{"another text", quota(7200), true}, // extended
	} {
		e := tell(step.evidence, step.signal)
		if (e.Evidence != "") != step.kept {
			t.Errorf("observation %d, effect %s: evidence %q, stored: want %t", i, e.Effect, e.Evidence, step.kept)
		}
		if len(e.Signal.Hints) > 0 || e.Signal.Evidence != "" {
			t.Errorf("observation %d holds its hints or evidence twice", i)
		}
	}
	e := tell("key sk-aaaaaaaaaaaaaaaaaaaaaaaa of bob@example.com\x00", quota(90000))
	if strings.Contains(e.Evidence, "aaaa") || strings.Contains(e.Evidence, "bob") || strings.Contains(e.Evidence, "\x00") {
		t.Errorf("evidence %q is not scrubbed", e.Evidence)
	}
}

func TestRule21DisableCooling(t *testing.T) {
	x := newScenario(t)
	x.do(&PatchAccount{ID: "a1", DisableCooling: new(true)})
	for _, s := range []events.Signal{quota(600), capacity(60), banned()} {
		d := x.do(x.observed("a1", opus, s))
		x.wants(d, events.KindLimitObserved)
		x.effect(*d.Report, events.EffectNone, events.WhyCoolingOff)
	}
	x.usable(opus, "a1", "a2")
	x.do(suspend("a1", "claude", "by hand"))
	x.usable(opus, "a2")
}
