package projection

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the instant scenarios count from: a Tuesday, 05:00 in Los Angeles.
func noon() time.Time { return time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC) }

// Models of three quotas of the antigravity provider, and one of none.
const (
	opus   = "claude-opus-4-6-thinking"
	sonnet = "claude-sonnet-4-6"
	pro    = "gemini-3-pro-preview"
	flash  = "gemini-3-flash"
	lone   = "tab-complete-1"
)

// scenario is a log in the making: given some commands at chosen instants, when
// another comes, then its drafts, cells and answers are these. Every command is
// decided twice, to show that Decide is pure; when the test ends the records are
// read back from their bytes, and their fold must be the state.
type scenario struct {
	testing.TB
	s      *State
	now    time.Time
	origin events.Origin
	recs   []events.Record
}

// newScenario starts at noon with the bootstrap groups, the default policy and the
// accounts a1 and a2 of antigravity.
func newScenario(t testing.TB) *scenario {
	t.Helper()
	x := &scenario{TB: t, s: NewState(), now: noon(), origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}}
	x.do(&DefineGroups{})
	x.do(&DefinePolicy{})
	for _, id := range []string{"a1", "a2"} {
		x.add(id, "antigravity")
	}
	t.Cleanup(x.refold)
	return x
}

func (x *scenario) refold() {
	s := NewState()
	for _, r := range x.recs {
		back, err := events.Decode(r.Encoded())
		if err != nil {
			x.Errorf("record %d cannot be read back: %v", r.Seq, err)
			return
		}
		back.Hash = r.Hash
		s.Apply(back)
	}
	if !bytes.Equal(dump(x, s), dump(x, x.s)) {
		x.Errorf("the fold of the %d records differs from the state they left", len(x.recs))
	}
}

func dump(t testing.TB, s *State) []byte {
	t.Helper()
	b, err := s.Dump()
	if err != nil {
		t.Fatalf("Dump: %v", err)
	}
	return b
}

// at sets the clock to noon plus d.
func (x *scenario) at(d time.Duration) *scenario {
	x.now = noon().Add(d)
	return x
}

func (x *scenario) add(id, provider string) {
	x.Helper()
	x.do(&PutAccount{ID: id, Spec: events.AccountSpec{Provider: provider}})
}

// decide decides a command without carrying it out.
func (x *scenario) decide(do Intent) (Decision, error) {
	x.Helper()
	before := dump(x, x.s)
	c := Command{Origin: x.origin, Do: do}
	d, err := Decide(x.s, c, x.now)
	again, errAgain := Decide(x.s, c, x.now)
	plan := cmp.Transformer("plan", func(p *GroupsPlan) []any {
		if p == nil {
			return nil
		}
		return []any{p.Version, p.Cells, p.Models(nil)}
	})
	if diff := cmp.Diff(d, again, cmpopts.IgnoreUnexported(Decision{}), cmpopts.EquateNaNs(), plan); diff != "" || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		x.Errorf("%T decided twice differs:\n%s%v, %v", do, diff, err, errAgain)
	}
	if !bytes.Equal(before, dump(x, x.s)) {
		x.Errorf("deciding %T changed the state", do)
	}
	return d, err
}

// do carries out a command, which must not be refused.
func (x *scenario) do(do Intent) Decision {
	x.Helper()
	d, err := x.decide(do)
	if err != nil {
		x.Fatalf("%T refused: %v", do, err)
	}
	recs, err := events.Seal(x.s.Head(), x.now, d.Drafts)
	if err != nil {
		x.Fatalf("%T: Seal: %v", do, err)
	}
	for _, r := range recs {
		x.s.Apply(r)
	}
	x.recs = append(x.recs, recs...)
	return d
}

// refused carries out nothing: the command must be refused with the code.
func (x *scenario) refused(code Code, do Intent) *Error {
	x.Helper()
	d, err := x.decide(do)
	e, ok := err.(*Error)
	if !ok || e.Code != code {
		x.Fatalf("%T: error %v, drafts %v; want the code %s", do, err, d.Drafts, code)
	}
	if e.Message == "" || len(d.Drafts) > 0 {
		x.Errorf("%T: message %q with %d drafts", do, e.Message, len(d.Drafts))
	}
	return e
}

// nothing carries out a command that must append nothing, and say why.
func (x *scenario) nothing(do Intent) Decision {
	x.Helper()
	d := x.do(do)
	if len(d.Drafts) > 0 || d.Unchanged == "" {
		x.Errorf("%T appended %v, unchanged %q; want nothing, and why", do, kinds(d), d.Unchanged)
	}
	return d
}

func kinds(d Decision) []events.Kind {
	var ks []events.Kind
	for _, draft := range d.Drafts {
		ks = append(ks, draft.Event.Kind())
	}
	return ks
}

// wants compares the kinds of the drafts.
func (x *scenario) wants(d Decision, want ...events.Kind) {
	x.Helper()
	if got := kinds(d); !slices.Equal(got, want) {
		x.Errorf("drafts %v, want %v", got, want)
	}
}

// signal returns a signal of a class, with hints of the given seconds.
func signal(class events.Class, scope events.Scope, hints ...float64) events.Signal {
	s := events.Signal{Class: class, Scope: scope, Rule: "test/rule", Classifier: 1}
	for _, h := range hints {
		s.Hints = append(s.Hints, events.Hint{Source: "RetryInfo.retryDelay", Raw: fmt.Sprint(h, "s"), Seconds: h})
	}
	return s
}

func quota(hints ...float64) events.Signal {
	return signal(events.ClassQuotaExhausted, events.ScopeGroup, hints...)
}

func capacity(hints ...float64) events.Signal {
	return signal(events.ClassCapacity, events.ScopeModel, hints...)
}

func ok() events.Signal { return signal(events.ClassOK, events.ScopeNone) }

func banned() events.Signal {
	s := signal(events.ClassForbidden, events.ScopeAccount)
	s.Reason = events.ReasonBanned
	return s
}

// observed returns a report of a signal, with the status that goes with its class.
// The request was sent at the scenario's now.
func (x *scenario) observed(account, model string, s events.Signal) *Report {
	status := map[events.Class]int{
		events.ClassOK: 200, events.ClassCapacity: 503, events.ClassServerError: 500, events.ClassOverloaded: 529,
		events.ClassAuth: 401, events.ClassForbidden: 403, events.ClassPayment: 402, events.ClassNotFound: 404, events.ClassBadRequest: 400,
	}[s.Class]
	if status == 0 {
		status = 429
	}
	r := &Report{Account: account, Provider: "antigravity", Model: model, Status: status, Signal: s, StartedAt: x.now}
	if a := x.s.Account(account); a != nil {
		r.Provider = a.Spec.Provider
	}
	return r
}

// report carries out a report of a signal.
func (x *scenario) report(account, model string, s events.Signal) ReportResult {
	x.Helper()
	return x.tell(x.observed(account, model, s))
}

func (x *scenario) tell(r *Report) ReportResult {
	x.Helper()
	d := x.do(r)
	if d.Report == nil {
		x.Fatalf("the report of %s on %s has no answer", r.Signal.Class, r.Account)
	}
	return *d.Report
}

// effect checks the effect of an answer, and why, for the effect none.
func (x *scenario) effect(r ReportResult, want events.Effect, why ...string) {
	x.Helper()
	if r.Effect != want || want == events.EffectNone && !slices.Equal([]string{r.Why}, why) {
		x.Errorf("effect %s %q, want %s %q", r.Effect, r.Why, want, why)
	}
}

// status checks a cell's status.
func (x *scenario) status(account, target string, want Status) {
	x.Helper()
	c := x.s.Account(account).Cell(target)
	if got := c.Status(x.now); got != want {
		x.Errorf("%s on %s is %s at %s, want %s", target, account, got, x.now.Sub(noon()), want)
	}
}

// until returns when the cell's cooldown ends, after noon; it must be cooling.
func (x *scenario) until(account, target string) time.Duration {
	x.Helper()
	c := x.s.Account(account).Cell(target)
	k, _, _ := c.Live(x.now)
	if k == nil {
		x.Fatalf("%s on %s does not cool at %s", target, account, x.now.Sub(noon()))
	}
	return k.Until.Sub(noon())
}

// between checks a deadline or another duration against closed bounds.
func between(t testing.TB, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s is %s, want %s to %s", what, got, low, high)
	}
}

// usable checks which accounts can serve a model.
func (x *scenario) usable(model string, want ...string) {
	x.Helper()
	var got []string
	for a := range x.s.Accounts("") {
		if a.Usable(x.s.Groups().Resolve(a.Spec.Provider, model), x.now) {
			got = append(got, a.ID)
		}
	}
	if !slices.Equal(got, want) {
		x.Errorf("usable for %s: %v, want %v", model, got, want)
	}
}

func suspend(account, target, reason string) *Suspend {
	return &Suspend{Filter: Filter{Account: account, Target: target}, Reason: reason, Forever: true}
}

func lift(account, target string) *Lift {
	return &Lift{Filter: Filter{Account: account, Target: target}}
}

func clearCell(account, target string) *Clear {
	return &Clear{Filter: Filter{Account: account, Target: target}}
}

// seeded returns a source of choices that is the same on each run.
func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
