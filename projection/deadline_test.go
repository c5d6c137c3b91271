package projection

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

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
		source, want := SourceWindow, time.Duration(0)
		if test.reset == "" {
			source, want = SourceLadder, 5*time.Minute
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
