package projection

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

func TestRule33RestartGivesTheSame(t *testing.T) { onEachLog(t, restartGivesTheSame) }

func restartGivesTheSame(t *testing.T, log events.Log, again func() events.Log) {
	e := open(t, log, withAccounts(3))
	execute(t, e, limit("a1", opus, 3600))
	execute(t, e, limit("a2", lone, 3600))
	execute(t, e, command(suspend("a3", "*", "by hand")))
	execute(t, e, command(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}}))
	want := dump(t, e.State())
	e.Close()

	log = again()
	second := open(t, log, nil) // without options what the log holds stays in force
	if !bytes.Equal(want, dump(t, second.State())) {
		t.Error("the state after a restart differs")
	}
	second.Close()

	log = again()
	folded := NewState() // as a caller does while the log is opened
	for r, err := range log.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		folded.Apply(r)
	}
	third := open(t, log, &Options{State: folded})
	if !bytes.Equal(want, dump(t, third.State())) {
		t.Error("the state that the caller folded differs")
	}
	execute(t, third, limit("a1", pro, 60))
	third.Close()

	if _, err := Open(t.Context(), log, &Options{State: stateOf(t, "another", folded)}); err == nil {
		t.Error("a state of another log is taken")
	}
}

// stateOf returns an empty state of another log.
func stateOf(t *testing.T, log string, _ *State) *State {
	t.Helper()
	s := NewState()
	s.begin(log)
	recs, err := events.Seal(s.Head(), noon(), []events.Draft{{Account: "x", Event: &events.AccountAdded{Spec: events.AccountSpec{Provider: "p", Weight: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Apply(recs[0])
	return s
}

func TestRule13OptionsAreAppendedOnlyWhenDifferent(t *testing.T) {
	onEachLog(t, optionsAreAppendedOnlyWhenDifferent)
}

func optionsAreAppendedOnlyWhenDifferent(t *testing.T, log events.Log, again func() events.Log) {
	o := withAccounts(2)
	o.Groups = &GroupsConfig{Bootstrap: PresetTwoPools}
	o.Policy = &PolicyConfig{RulesConfig: RulesConfig{Capacity: &ClassConfig{None: true}}}
	e := open(t, log, o)
	head := e.State().Head()
	e.Close()
	log = again()
	e = open(t, log, o)
	if e.State().Head() != head {
		t.Errorf("opening again with the same options appended %d records", e.State().Head().Seq-head.Seq)
	}
	if r, err := e.Record(t.Context(), 1); err != nil || r.Actor != ActorConfig {
		t.Errorf("record 1 is by %q, %v", r.Actor, err)
	}
	e.Close()
	if _, err := Open(t.Context(), log, &Options{Groups: &GroupsConfig{Bootstrap: "bad"}}); err == nil {
		t.Error("a bad definition is taken")
	}
}

func TestStateAtAnyMoment(t *testing.T) { onEachLog(t, stateAtAnyMoment) }

func stateAtAnyMoment(t *testing.T, log events.Log, _ func() events.Log) {
	var clock atomic.Pointer[time.Time]
	set := func(d time.Duration) { clock.Store(new(noon().Add(d))) }
	set(0)
	o := withAccounts(2)
	o.Now = func() time.Time { return *clock.Load() }
	e := open(t, log, o)
	dumps := map[events.Seq][]byte{e.State().Head().Seq: dump(t, e.State())}
	instants := map[time.Time]events.Seq{noon(): e.State().Head().Seq}
	for i := range 5 {
		set(time.Duration(i+1) * time.Minute)
		execute(t, e, limit("a1", odd(i), 3600))
		dumps[e.State().Head().Seq] = dump(t, e.State())
		instants[e.Now().Add(30*time.Second)] = e.State().Head().Seq
	}
	set(time.Hour)
	for seq, want := range dumps {
		s, err := e.StateAt(t.Context(), Moment{Seq: seq})
		if err != nil || !bytes.Equal(dump(t, s), want) {
			t.Errorf("the state at record %d differs, or %v", seq, err)
		}
	}
	for at, seq := range instants {
		s, err := e.StateAt(t.Context(), Moment{At: at})
		if err != nil || !bytes.Equal(dump(t, s), dumps[seq]) {
			t.Errorf("the state at %s is not that of record %d, or %v", at, seq, err)
		}
	}
	for _, m := range []Moment{{Seq: e.State().Head().Seq + 1}, {At: noon().Add(time.Hour + 1)}} {
		if _, err := e.StateAt(t.Context(), m); !errors.Is(err, ErrFuture) {
			t.Errorf("the state at %s: %v, want ErrFuture", m, err)
		}
	}
	if s, err := e.StateAt(t.Context(), Moment{At: noon().Add(-1)}); err != nil || s.Head().Seq != 0 {
		t.Errorf("before the first record: %v", err)
	}
}

func TestRule20RepeatsAreAnsweredAlike(t *testing.T) { onEachLog(t, repeatsAreAnsweredAlike) }

func repeatsAreAnsweredAlike(t *testing.T, log events.Log, _ func() events.Log) {
	e := open(t, log, withAccounts(2))
	keyed := command(&Suspend{Filter: Filter{Provider: "antigravity"}, Reason: "x", Forever: true})
	keyed.IdempotencyKey, keyed.RequestHash = "k", events.Hash{1}
	observed := limit("a1", opus, 600)
	observed.Do.(*Report).RequestID = "r"
	success := command(&Report{Account: "a1", Provider: "antigravity", Model: opus, Status: 200, Signal: ok(), RequestID: "s"})
	ignore := cmp.Options{
		cmpopts.IgnoreUnexported(Decision{}, events.Record{}), cmpopts.IgnoreFields(Decision{}, "Drafts", "Unchanged", "Usable"),
		cmpopts.IgnoreFields(Outcome{}, "Repeated", "AsOf"), cmpopts.EquateApproxTime(0),
		cmp.Comparer(func(a, b Advice) bool { return a.Action == b.Action && (a.After-b.After).Abs() < time.Minute }),
	}
	for _, c := range []Command{keyed, observed, success} {
		if r, ok := c.Do.(*Report); ok && r.Signal.Class == events.ClassOK {
			r.Lease = e.State().Head().Seq // picked after the freeze it ends
		}
		first := execute(t, e, c)
		head := e.State().Head()
		second := execute(t, e, c)
		if !second.Repeated || e.State().Head() != head {
			t.Errorf("%T again: repeated %t, %d records appended", c.Do, second.Repeated, e.State().Head().Seq-head.Seq)
		}
		if diff := cmp.Diff(first, second, ignore); diff != "" {
			t.Errorf("%T again: %s", c.Do, diff)
		}
	}
}

// A config file may list thousands of accounts: they are one command.
func TestManyAccountsAtStart(t *testing.T) {
	log := eventstest.New()
	began := time.Now()
	e := open(t, log, withAccounts(5_000))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("opening took %s", took)
	}
	if n := e.View().Index.Pool("antigravity").Len(); n != 5_000 {
		t.Errorf("%d accounts in the pool", n)
	}
	e.Close()
	twice := withAccounts(1)
	twice.Accounts = append(twice.Accounts, twice.Accounts[0])
	if _, err := Open(t.Context(), log, twice); err == nil {
		t.Error("an account given twice is taken")
	}
}

func TestCommandsCarryTheirOrigin(t *testing.T) {
	e := open(t, eventstest.New(), withAccounts(1))
	c := command(suspend("a1", "*", "x"))
	c.OnBehalfOf = "bob@example.com\x00"
	r := execute(t, e, c).Records[0]
	if len(r.CorrelationID) != 36 || r.OnBehalfOf != "[email]" {
		t.Errorf("correlation %q, on behalf of %q", r.CorrelationID, r.OnBehalfOf)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	o := withAccounts(2)
	o.Registerer = reg
	e := open(t, eventstest.New(), o)
	execute(t, e, limit("a1", opus, 600))
	execute(t, e, command(suspend("a2", "*", "x")))
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	gauged(t, reg, map[string]float64{
		"abeyance_usable_accounts/claude/antigravity": 0, "abeyance_usable_accounts/gemini-pro/antigravity": 1,
		"abeyance_accounts/claude/antigravity": 2, "abeyance_cells/cooling": 1, "abeyance_cells/suspended": 1,
		"abeyance_log_seq": float64(e.State().Head().Seq), "abeyance_observations_total/quota_exhausted/started": 1,
		"abeyance_degraded": 0,
	})
	// Probes: one finds the quota spent; another, of an account two cells of which
	// cool, finds it back.
	spent := limit("a1", opus, 60)
	spent.Do.(*Report).Probe = true
	execute(t, e, spent)
	execute(t, e, command(&Report{Account: "a1", Provider: "antigravity", Model: opus, Status: 503, Signal: capacity(60)}))
	served := &Report{Account: "a1", Provider: "antigravity", Model: opus, Status: 200, Signal: ok(), Lease: e.State().Head().Seq, Probe: true}
	if out := execute(t, e, command(served)); len(out.Records) != 2 {
		t.Fatalf("%d records of a recovery, want 2", len(out.Records))
	}
	gauged(t, reg, map[string]float64{"abeyance_probes_total/kept": 1, "abeyance_probes_total/recovered": 1})
	// A second engine in the process has a registry of its own.
	other := *o
	other.Registerer = prometheus.NewRegistry()
	open(t, eventstest.New(), &other)
}

// gauged compares metrics, each named with the values of its labels.
func gauged(t *testing.T, from prometheus.Gatherer, wants map[string]float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var name strings.Builder
			name.WriteString(f.GetName())
			for _, l := range m.GetLabel() {
				name.WriteString("/" + l.GetValue())
			}
			got[name.String()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range wants {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}
