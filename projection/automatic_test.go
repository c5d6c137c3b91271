package projection

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

func TestRule14ScopeDecidesTheTarget(t *testing.T) {
	family := func(name string) events.Signal {
		s := quota(600)
		s.Family = name
		return s
	}
	tests := []struct {
		name   string
		model  string
		signal events.Signal
		target string
		usable map[string]string // model → accounts
	}{
		{"the group of the model", opus, quota(600), "claude", map[string]string{sonnet: "a2", pro: "a1 a2"}},
		{"the group that is named", opus, family("gemini-pro"), "gemini-pro", map[string]string{opus: "a1 a2", pro: "a2"}},
		{"by a legacy name", opus, family("g3_pro"), "gemini-pro", map[string]string{opus: "a1 a2", pro: "a2"}},
		{"the group of the model that is named", opus, family("model:" + pro), "gemini-pro", map[string]string{opus: "a1 a2", pro: "a2"}},
		{"the named model without a group", opus, family("model:" + lone), "model:" + lone, map[string]string{opus: "a1 a2", lone: "a2"}},
		{"a named group of another provider", opus, family("codex-main"), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
		{"a named group not known", opus, family("seven_day_else"), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
		{"a model without a group", lone, quota(600), "model:" + lone, map[string]string{lone: "a2", opus: "a1 a2"}},
		{"the model", opus, signal(events.ClassRateLimited, events.ScopeModel, 60), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
		{"the account", opus, signal(events.ClassQuotaExhausted, events.ScopeAccount, 600), "*", map[string]string{opus: "a2", pro: "a2", lone: "a2"}},
		{"nothing", opus, signal(events.ClassRateLimited, events.ScopeNone, 60), "", map[string]string{opus: "a1 a2"}},
		{"capacity is the model's, whatever the scope", opus, signal(events.ClassCapacity, events.ScopeGroup, 60), "model:" + opus, map[string]string{opus: "a2", sonnet: "a1 a2"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newScenario(t)
			r := x.report("a1", test.model, test.signal)
			if r.Target != test.target {
				t.Errorf("target %q, want %q", r.Target, test.target)
			}
			for m, want := range test.usable {
				x.usable(m, strings.Fields(want)...)
			}
			if n := len(x.s.Account("a1").Cells); n > 1 {
				t.Errorf("%d cells are marked, want one at most", n)
			}
		})
	}
}

func TestRule14ClassNotStatusDecides(t *testing.T) {
	x := newScenario(t)
	r := x.observed("a1", opus, signal(events.ClassBadRequest, events.ScopeNone))
	r.Status = 429
	res := x.tell(r)
	x.effect(res, events.EffectNone, events.WhyNotBlocking)
	x.usable(opus, "a1", "a2")
	served := x.observed("a1", opus, quota(600))
	served.Status = 200 // an error inside a stream that began well
	x.effect(x.tell(served), events.EffectStarted)
}

func TestRule15FaultsOfOthersBlockNothing(t *testing.T) {
	x := newScenario(t)
	for _, status := range []int{0, 400, 404, 408, 499, 500, 503, 529} {
		for _, class := range []events.Class{events.ClassServerError, events.ClassOverloaded, events.ClassBadRequest, events.ClassNotFound} {
			for _, scope := range []events.Scope{events.ScopeNone, events.ScopeGroup, events.ScopeAccount} {
				r := x.observed("a1", opus, signal(class, scope, 600))
				r.Status = status
				x.nothing(r)
				x.usable(opus, "a1", "a2")
			}
		}
	}
	x.report("a1", opus, capacity())
	x.status("a1", "claude", StatusAvailable)
	between(t, "a shortage's end", x.until("a1", "model:"+opus), 5*time.Second, 6*time.Second)
	x.at(time.Minute).report("a1", opus, capacity(86400))
	between(t, "the bound of a shortage", x.until("a1", "model:"+opus), 6*time.Minute, 6*time.Minute)
}

func TestRule15Operations(t *testing.T) {
	auth := signal(events.ClassAuth, events.ScopeAccount)
	tests := []struct {
		op     events.Operation
		signal events.Signal
		status int
		effect events.Effect
		kept   bool // a record
	}{
		{events.OpGenerate, quota(600), 429, events.EffectStarted, true},
		{"", quota(600), 429, events.EffectStarted, true}, // generate
		{events.OpCountTokens, quota(600), 429, events.EffectStarted, true},
		{events.OpCountTokens, quota(600), 403, events.EffectNone, false},
		{events.OpCountTokens, signal(events.ClassNotFound, events.ScopeNone), 404, events.EffectNone, false},
		{events.OpUsage, quota(600), 429, events.EffectNone, true},
		{events.OpToken, signal(events.ClassRateLimited, events.ScopeAccount, 60), 429, events.EffectNone, true},
		{events.OpOther, capacity(60), 503, events.EffectNone, false},
		{events.OpToken, auth, 401, events.EffectNone, true}, // counted
		{events.OpToken, banned(), 403, events.EffectHeld, true},
		{events.OpUsage, banned(), 403, events.EffectHeld, true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.op, " ", test.signal.Class, " ", test.status), func(t *testing.T) {
			x := newScenario(t)
			r := x.observed("a1", opus, test.signal)
			r.Operation, r.Status = test.op, test.status
			d := x.do(r)
			if d.Report.Effect != test.effect || len(d.Drafts) > 0 != test.kept {
				t.Errorf("effect %s %q, %d drafts; want %s, a record: %t", d.Report.Effect, d.Report.Why, len(d.Drafts), test.effect, test.kept)
			}
		})
	}
}

func TestRule15OnlyGenerateRecovers(t *testing.T) {
	for _, op := range events.Operations() {
		x := newScenario(t)
		x.report("a1", opus, quota(600))
		r := x.at(time.Minute).observed("a1", opus, ok())
		r.Operation = op
		if op == events.OpGenerate {
			x.effect(x.tell(r), events.EffectRecovered)
		} else {
			x.nothing(r)
			x.status("a1", "claude", StatusCooling)
		}
	}
}

func TestRule16OnlyNamedEventsEndABlock(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(7200))
	end := x.until("a1", "claude")
	x.at(time.Minute)
	for _, s := range []events.Signal{quota(1), quota(), quota(3600), signal(events.ClassRateLimited, events.ScopeGroup, 5), quota(-1), quota(0)} {
		x.effect(x.report("a1", opus, s), events.EffectKept)
	}
	x.do(suspend("a1", "claude", "by hand"))
	x.do(lift("a1", "claude"))
	x.do(&PatchAccount{ID: "a1", CredentialVersion: new("2"), Priority: new(3), Disabled: new(true)})
	x.do(&PatchAccount{ID: "a1", DisableCooling: new(true), Disabled: new(false)})
	x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{None: true}}}})
	if got := x.until("a1", "claude"); got != end {
		t.Errorf("the deadline moved from %s to %s", end, got)
	}
}

func TestRule17HintsBecomeDeadlines(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon().Add(d) }
	hint := func(source string, seconds float64, at time.Time) events.Hint {
		return events.Hint{Source: source, Raw: source, Seconds: seconds, At: at}
	}
	var zero time.Time
	tests := []struct {
		name   string
		class  events.Class
		window events.Window
		hints  []events.Hint
		source string // of the deadline; "ladder" if no hint is fit
		until  time.Duration
		clamp  string
		lost   string // why the others lost
	}{
		{"relative", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 600, zero)}, "a", 10 * time.Minute, "", ""},
		{"absolute", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 0, at(2*time.Hour))}, "a", 2 * time.Hour, "", ""},
		{"the latest", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 60, zero), hint("b", 0, at(time.Hour)), hint("c", 600, zero)}, "b", time.Hour, "", "earlier earlier"},
		{"the latest within the bound", events.ClassQuotaExhausted, events.WindowDaily, []events.Hint{hint("a", 90*3600, zero), hint("b", 600, zero)}, "b", 10 * time.Minute, "", "over_bound"},
		{"the latest, if all are beyond", events.ClassQuotaExhausted, events.WindowDaily, []events.Hint{hint("a", 90*3600, zero), hint("b", 30*3600, zero)}, "a", 26 * time.Hour, "daily", "earlier"},
		{"the bound of five hours", events.ClassQuotaExhausted, events.WindowFiveHour, []events.Hint{hint("a", 1e6, zero)}, "a", 6 * time.Hour, "5h", ""},
		{"of a week", events.ClassQuotaExhausted, events.WindowWeekly, []events.Hint{hint("a", 1e7, zero)}, "a", 8 * day, "weekly", ""},
		{"of a month", events.ClassQuotaExhausted, events.WindowMonthly, []events.Hint{hint("a", 1e7, zero)}, "a", 32 * day, "monthly", ""},
		{"of no window", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 1e7, zero)}, "a", 8 * day, "unknown", ""},
		{"more seconds than a Duration holds", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 1e300, zero)}, "a", 8 * day, "unknown", ""},
		{"zero", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 0, zero)}, "ladder", 5 * time.Minute, "", "zero"},
		{"negative", events.ClassQuotaExhausted, "", []events.Hint{hint("a", -5, zero)}, "ladder", 5 * time.Minute, "", "negative"},
		{"past", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 0, at(-time.Second))}, "ladder", 5 * time.Minute, "", "past"},
		{"now", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 0, at(0))}, "ladder", 5 * time.Minute, "", "past"},
		{"no number", events.ClassQuotaExhausted, "", []events.Hint{hint("a", math.NaN(), zero)}, "ladder", 5 * time.Minute, "", "not_finite"},
		{"infinite", events.ClassQuotaExhausted, "", []events.Hint{hint("a", math.Inf(1), zero), hint("b", math.Inf(-1), zero)}, "ladder", 5 * time.Minute, "", "not_finite not_finite"},
		{"the year 9999", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 0, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))}, "ladder", 5 * time.Minute, "", "not_finite"},
		{"one is past, the other is not", events.ClassQuotaExhausted, "", []events.Hint{hint("a", 0, at(-time.Hour)), hint("b", 600, zero)}, "b", 10 * time.Minute, "", "past"},
		{"a rate limit", events.ClassRateLimited, "", []events.Hint{hint("a", 20, zero)}, "a", 20 * time.Second, "", ""},
		{"a shortage", events.ClassCapacity, "", []events.Hint{hint("a", 1e6, zero)}, "a", 5 * time.Minute, "unknown", ""},
		{"less than a nanosecond", events.ClassRateLimited, "", []events.Hint{hint("a", 1e-12, zero)}, "a", 0, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newScenario(t)
			s := signal(test.class, events.ScopeGroup)
			s.Window, s.Hints = test.window, test.hints
			d := x.do(x.observed("a1", lone, s))
			e := d.Drafts[0].Event.(*events.LimitObserved)
			jitter := 30 * time.Second
			if test.class != events.ClassQuotaExhausted {
				jitter = time.Second
			}
			if test.clamp != "" {
				jitter = 0 // the bound is the latest there is
			}
			between(t, "the deadline", e.Until.Sub(noon()), test.until, test.until+jitter)
			var lost []string
			for _, h := range e.Lost {
				lost = append(lost, h.Lost)
			}
			clamp := ""
			if e.Clamp != nil {
				clamp = e.Clamp.Bound
			}
			if e.Source != test.source || clamp != test.clamp || strings.Join(lost, " ") != test.lost {
				t.Errorf("source %q, clamp %q, lost %q; want %q, %q, %q", e.Source, clamp, lost, test.source, test.clamp, test.lost)
			}
			if (e.Hint != nil) != (test.source != "ladder") {
				t.Errorf("hint %+v with the source %q", e.Hint, e.Source)
			}
		})
	}
}

func TestRule17HintsTheClassifierSetAside(t *testing.T) {
	x := newScenario(t)
	s := quota(86400, 600)
	s.Hints[0].Lost = events.LostUnrelated
	d := x.do(x.observed("a1", opus, s))
	e := d.Drafts[0].Event.(*events.LimitObserved)
	if e.Hint.Seconds != 600 || len(e.Lost) != 1 || e.Lost[0].Lost != events.LostUnrelated {
		t.Errorf("hint %+v, lost %+v; want the one of the exhausted window", e.Hint, e.Lost)
	}
}

// A rate limit that lasts longer than rate limits do is a spent quota.
func TestRule17LongRateLimitIsAQuota(t *testing.T) {
	for seconds, want := range map[float64]events.Class{299: events.ClassRateLimited, 300: events.ClassRateLimited, 301: events.ClassQuotaExhausted} {
		x := newScenario(t)
		d := x.do(x.observed("a1", opus, signal(events.ClassRateLimited, events.ScopeGroup, seconds)))
		e := d.Drafts[0].Event.(*events.LimitObserved)
		if e.Class != want || e.Signal.Class != events.ClassRateLimited || d.Report.Class != want || e.Clamp != nil {
			t.Errorf("%v s: class %s, signal %s, answer %s, clamp %v; want %s", seconds, e.Class, e.Signal.Class, d.Report.Class, e.Clamp, want)
		}
	}
	x := newScenario(t)
	x.do(&DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{None: true}}}})
	x.report("a1", opus, signal(events.ClassRateLimited, events.ScopeGroup, 3600))
	between(t, "the deadline under a policy without quotas", x.until("a1", "claude"), 5*time.Minute, 5*time.Minute)
}

func TestRule17Jitter(t *testing.T) {
	q := question{account: "a1", target: "claude"}
	reset := noon().Add(time.Hour)
	spread := map[time.Duration]bool{}
	var sum time.Duration
	const n = 2000
	for i := range n {
		q.account = fmt.Sprint("a", i)
		j := q.jitter(30*time.Second, reset)
		if j < 0 || j > 30*time.Second || j != q.jitter(30*time.Second, reset) {
			t.Fatalf("jitter %s, want the same within 0 and 30 s", j)
		}
		spread[j.Truncate(time.Second)] = true
		sum += j
	}
	if mean := sum / n; len(spread) != 30 || mean < 14*time.Second || mean > 16*time.Second {
		t.Errorf("jitter falls on %d of 30 seconds with the mean %s", len(spread), mean)
	}
	other := q
	other.target = "gemini-pro"
	if q.jitter(time.Hour, reset) == other.jitter(time.Hour, reset) || q.jitter(time.Hour, reset) == q.jitter(time.Hour, reset.Add(time.Second)) {
		t.Error("jitter does not depend on the target and the reset")
	}
	if j := q.jitter(0, reset); j != 0 {
		t.Errorf("jitter %s of a range of 0", j)
	}
}

func TestRule17KnownResets(t *testing.T) {
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	tests := []struct {
		provider string
		window   events.Window
		now      string
		reset    string // empty: the ladder
	}{
		{"antigravity", events.WindowDaily, "2026-03-17T12:00:00Z", "2026-03-18T07:00:00Z"},
		{"gemini-cli", events.WindowDaily, "2026-01-17T12:00:00Z", "2026-01-18T08:00:00Z"}, // winter
		{"gemini-api", events.WindowDaily, "2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"}, // the clocks change
		{"gemini-api", events.WindowDaily, "2026-11-01T07:30:00Z", "2026-11-02T08:00:00Z"}, // a day of 25 h
		{"gemini-api", events.WindowDaily, "2026-03-17T06:59:59Z", "2026-03-17T07:00:00Z"},
		{"gemini-api", events.WindowDaily, "2026-03-17T07:00:00Z", "2026-03-18T07:00:00Z"},
		{"github-copilot", events.WindowMonthly, "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"},
		{"github-copilot", events.WindowMonthly, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"openrouter", events.WindowDaily, "2026-03-17T12:00:00Z", "2026-03-18T00:00:00Z"},
		{"zai-glm", events.WindowDaily, "2026-03-17T12:00:00Z", "2026-03-17T16:00:00Z"}, // UTC+8
		{"antigravity", events.WindowWeekly, "2026-03-17T12:00:00Z", ""},
		{"antigravity", events.WindowUnknown, "2026-03-17T12:00:00Z", ""},
		{"nobody", events.WindowDaily, "2026-03-17T12:00:00Z", ""},
	}
	for _, test := range tests {
		x := newScenario(t)
		x.now = utc(test.now)
		x.add("p1", test.provider)
		s := quota()
		s.Window = test.window
		e := x.do(x.observed("p1", lone, s)).Drafts[0].Event.(*events.LimitObserved)
		source, want := sourceWindow, time.Duration(0)
		if test.reset == "" {
			source, want = sourceLadder, 5*time.Minute
		} else {
			want = utc(test.reset).Sub(x.now)
		}
		if e.Source != source {
			t.Errorf("%s %s: source %q, want %q", test.provider, test.window, e.Source, source)
		}
		between(t, fmt.Sprintf("the reset of %s %s at %s", test.provider, test.window, test.now), e.Until.Sub(x.now), want, want+30*time.Second)
	}
}

func TestRule18LadderSteps(t *testing.T) {
	x := newScenario(t)
	at := time.Duration(0)
	for i, length := range []time.Duration{5, 10, 20, 40, 60, 60} {
		length *= time.Minute
		x.at(at)
		r := x.report("a1", opus, quota())
		x.effect(r, events.EffectStarted)
		until := x.until("a1", "claude")
		between(t, fmt.Sprintf("step %d", i+1), until-at, length, length+30*time.Second)
		at = until // a signal at the deadline itself is the next step
	}
	// At the last deadline and four times the last step it is still the next step;
	// after that the ladder is at its foot.
	deadline := x.at(0).s.Account("a1").Cell("claude").Ladder.Deadline.Sub(noon())
	x.at(deadline + 4*time.Hour)
	again, _ := x.decide(x.observed("a1", opus, quota()))
	between(t, "the step at four times the last", again.Report.Until.Sub(x.now), time.Hour, time.Hour+30*time.Second)
	x.at(deadline + 4*time.Hour + 1)
	x.report("a1", opus, quota())
	between(t, "the step after that", x.until("a1", "claude")-deadline-4*time.Hour, 5*time.Minute, 5*time.Minute+30*time.Second+1)
}

func TestRule18BurstIsOneStep(t *testing.T) {
	x := newScenario(t)
	x.effect(x.report("a1", opus, quota()), events.EffectStarted)
	end := x.until("a1", "claude")
	for i := range 5 { // while it cools
		x.at(time.Duration(i) * time.Second)
		x.effect(x.report("a1", opus, quota()), events.EffectKept)
	}
	// A request of the burst whose answer comes after the deadline.
	x.at(end + time.Second)
	late := x.observed("a1", opus, quota())
	late.StartedAt = noon().Add(end - time.Millisecond)
	x.effect(x.tell(late), events.EffectNone, events.WhyBurst)
	x.usable(opus, "a1", "a2")
	// One that started at the deadline is the next step.
	next := x.observed("a1", opus, quota())
	next.StartedAt = noon().Add(end)
	x.effect(x.tell(next), events.EffectStarted)
	between(t, "the second step", x.until("a1", "claude")-end, 10*time.Minute, 11*time.Minute)
}

// The previous deadline may have come from a hint or from the provider's next
// reset: what started before it has been answered by it.
func TestRule18BurstAfterAHint(t *testing.T) {
	daily := quota()
	daily.Window = events.WindowDaily
	for name, first := range map[string]events.Signal{"hint": quota(600), "window": daily} {
		x := newScenario(t)
		x.report("a1", opus, first)
		end := x.until("a1", "claude")
		x.at(end + time.Second)
		late := x.observed("a1", opus, daily)
		late.StartedAt = noon().Add(end - time.Second)
		x.effect(x.tell(late), events.EffectNone, events.WhyBurst)
		late.StartedAt = time.Time{} // not known: it counts as fresh
		if r := x.tell(late); r.Effect != events.EffectStarted {
			t.Errorf("after a %s: effect %s %q, want started", name, r.Effect, r.Why)
		}
	}
}

func TestRule18LadderIsOfTheClassAndTheCell(t *testing.T) {
	x := newScenario(t)
	x.report("a1", lone, quota())
	x.report("a2", lone, quota())
	between(t, "another account's first step", x.until("a2", "model:"+lone), 5*time.Minute, 6*time.Minute)
	x.at(10*time.Minute).report("a1", lone, capacity())
	between(t, "another class's first step", x.until("a1", "model:"+lone)-10*time.Minute, 5*time.Second, 6*time.Second)
}

func TestRule18ReturnsToItsFoot(t *testing.T) {
	for name, end := range map[string]func(*scenario){
		"recovered":        func(x *scenario) { x.report("a1", opus, ok()) },
		"cooldown_cleared": func(x *scenario) { x.do(clearCell("a1", "claude")) },
	} {
		x := newScenario(t)
		x.report("a1", opus, quota())
		x.at(6*time.Minute).report("a1", opus, quota())
		end(x.at(7 * time.Minute))
		x.usable(opus, "a1", "a2")
		x.at(8*time.Minute).report("a1", opus, quota())
		between(t, "the step after "+name, x.until("a1", "claude")-8*time.Minute, 5*time.Minute, 6*time.Minute)
	}
	// An expiry does not end the ladder.
	x := newScenario(t)
	x.report("a1", opus, quota())
	x.at(6 * time.Minute).do(&Expire{})
	x.report("a1", opus, quota())
	between(t, "the step after an expiry", x.until("a1", "claude")-6*time.Minute, 10*time.Minute, 11*time.Minute)
}

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

func TestRule14AuthBlocksWhenRepeated(t *testing.T) {
	auth := signal(events.ClassAuth, events.ScopeAccount)
	x := newScenario(t)
	r := x.report("a1", opus, auth)
	x.effect(r, events.EffectNone, events.WhyFirstAuth)
	if r.Advice.Action != ActionRefreshAuth {
		t.Errorf("advice %s, want refresh_auth", r.Advice.Action)
	}
	x.at(11 * time.Minute)
	x.effect(x.report("a1", opus, auth), events.EffectNone, events.WhyFirstAuth) // the first is forgotten
	x.at(21 * time.Minute)
	x.effect(x.report("a1", opus, auth), events.EffectStarted)
	between(t, "the cooldown", x.until("a1", "*")-21*time.Minute, time.Minute, time.Minute)
	x.effect(x.report("a1", opus, auth), events.EffectKept)
	grant := signal(events.ClassAuth, events.ScopeAccount)
	grant.Reason = events.ReasonInvalidGrant
	x.effect(x.report("a2", opus, grant), events.EffectHeld) // a human must act: at once
}

func TestRule14Holds(t *testing.T) {
	x := newScenario(t)
	r := x.report("a1", opus, banned())
	x.effect(r, events.EffectHeld)
	if !r.Until.IsZero() || r.Target != "*" || r.Advice.Action != ActionHuman {
		t.Errorf("answer %+v, want a hold on everything without an end", r)
	}
	x.nothing(x.observed("a1", opus, banned())) // the hold covers it
	x.at(1000 * time.Hour)
	x.nothing(&Expire{})
	x.usable(opus, "a2")
	x.do(clearCell("a1", "*"))
	x.usable(opus, "a1", "a2")
}

func TestRule36Advice(t *testing.T) {
	reason := func(s events.Signal, r string) events.Signal {
		s.Reason = r
		return s
	}
	tests := []struct {
		name   string
		signal events.Signal
		want   Advice
	}{
		{"served", ok(), Advice{Action: ActionStop}},
		{"quota", quota(600), Advice{ActionRetryOther, 10 * time.Minute}},
		{"a rate limit of this request alone", signal(events.ClassRateLimited, events.ScopeNone, 3), Advice{ActionRetrySame, 3 * time.Second}},
		{"overloaded", signal(events.ClassOverloaded, events.ScopeNone), Advice{ActionRetrySame, time.Second}},
		{"capacity", capacity(20), Advice{ActionRetryOther, 20 * time.Second}},
		{"server error", signal(events.ClassServerError, events.ScopeNone), Advice{Action: ActionRetryOther}},
		{"bad request", signal(events.ClassBadRequest, events.ScopeNone), Advice{Action: ActionStop}},
		{"not found", signal(events.ClassNotFound, events.ScopeNone), Advice{Action: ActionStop}},
		{"auth", signal(events.ClassAuth, events.ScopeAccount), Advice{Action: ActionRefreshAuth}},
		{"banned", banned(), Advice{Action: ActionHuman}},
		{"a refused request", reason(signal(events.ClassForbidden, events.ScopeNone), events.ReasonRequestRefused), Advice{Action: ActionStop}},
		{"payment", signal(events.ClassPayment, events.ScopeAccount), Advice{ActionRetryOther, time.Hour}},
	}
	for _, test := range tests {
		x := newScenario(t)
		got := x.report("a1", opus, test.signal).Advice
		if slack := got.After - test.want.After; slack >= 0 && slack <= 30*time.Second {
			got.After = test.want.After // the jitter
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
