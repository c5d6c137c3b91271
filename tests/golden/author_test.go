package golden

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

const (
	goldenSeed = 20260314
	commands   = 300 // before the filled records, and after
)

// author writes a history: commands that are drawn, at instants that are drawn, with
// their decisions appended some at a time.
type author struct {
	*testing.T
	chance *rand.Rand
	now    time.Time
	log    *boltlog.Log
	state  *projection.State
	recs   []events.Record // not yet appended
	asked  int             // commands so far
}

// makeDir makes a data directory with a history of every kind and field.
func makeDir(t *testing.T, dir string) {
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &author{T: t, chance: rand.New(rand.NewPCG(goldenSeed, 0)), now: eventstest.Epoch(), log: log}
	a.begin()
	a.poison()
	a.write(commands)
	a.checkpoint()
	a.recs = a.seal(eventstest.Drafts())
	a.do(&projection.DefineGroups{}) // theirs make no sense
	a.do(&projection.DefinePolicy{})
	a.write(commands / 2)
	a.checkpoint()
	a.write(commands / 2)
	a.do(&projection.Expire{})
	a.append()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// begin lets an engine put its definitions and the configured accounts into the log.
func (a *author) begin() {
	o := &projection.Options{Now: func() time.Time { return a.now }}
	for _, id := range accounts()[:4] {
		o.Accounts = append(o.Accounts, projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: providerOf(id), Weight: 2}})
	}
	e, err := projection.Open(a.Context(), a.log, o)
	if err != nil {
		a.Fatal(err)
	}
	dump := dumpOf(a.T, e.State())
	if err := e.Close(); err != nil {
		a.Fatal(err)
	}
	if a.state, err = projection.Load(dump); err != nil {
		a.Fatal(err)
	}
}

// poison has every account refuse one request, twice.
func (a *author) poison() {
	for _, id := range append(accounts(), accounts()...) {
		a.now = a.now.Add(time.Second)
		a.do(&projection.Report{
			Account: id, Provider: providerOf(id), Model: "claude-opus-4-6-thinking", Status: 429, RequestID: "poison", StartedAt: a.now,
			Signal: events.Signal{Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "golden/poison", Classifier: 1},
		})
	}
}

// write carries out n commands.
func (a *author) write(n int) {
	for range n {
		a.now = a.now.Add(pick(a, 0, time.Millisecond, time.Millisecond, time.Second, time.Second, time.Minute, time.Minute, 20*time.Minute, 3*time.Hour))
		a.do(a.intent())
		if a.chance.IntN(6) == 0 {
			a.append()
		}
	}
}

// do carries out a command. Some are refused, and leave nothing.
func (a *author) do(do projection.Intent) {
	a.asked++
	c := projection.Command{Do: do, Origin: events.Origin{
		Actor: pick(a, "operator:ops", "proxy:edge", "import:old"), Via: pick(a, events.ViaHTTP, events.ViaCLI, events.ViaUI, events.ViaCompat, events.ViaGo),
		CorrelationID: fmt.Sprintf("0195a1d2-7e3c-7b9a-8f10-%012d", a.asked),
	}}
	if a.chance.IntN(4) == 0 {
		c.OnBehalfOf, c.IdempotencyKey, c.RequestHash = "tess", fmt.Sprint("key-", a.asked), events.Hash{byte(a.asked), 1}
	}
	d, err := projection.Decide(a.state, c, a.now)
	if _, refused := err.(*projection.Error); err != nil && !refused {
		a.Fatal(err)
	}
	for i := range d.Drafts {
		d.Drafts[i].CorrelationID = c.CorrelationID
	}
	a.recs = append(a.recs, a.seal(d.Drafts)...)
}

// seal makes records of drafts and folds them into the state.
func (a *author) seal(drafts []events.Draft) []events.Record {
	recs, err := events.Seal(a.state.Head(), a.now, drafts)
	if err != nil {
		a.Fatal(err)
	}
	for _, r := range recs {
		a.state.Apply(r)
	}
	return recs
}

func (a *author) append() {
	if err := a.log.Append(a.Context(), a.recs); err != nil {
		a.Fatal(err)
	}
	a.recs = nil
}

func (a *author) checkpoint() {
	a.append()
	if err := a.log.WriteCheckpoint(a.Context(), a.state.Head(), dumpOf(a.T, a.state.Snapshot())); err != nil {
		a.Fatal(err)
	}
}

func pick[T any](a *author, of ...T) T { return of[a.chance.IntN(len(of))] }

// accounts are the ids that occur; the last is in no configuration.
func accounts() []string {
	return []string{"a1", "a2", "acct_0123456789abcdef0123", "c1", "g1", "seen"}
}

func providerOf(id string) string {
	switch id {
	case "c1":
		return "codex"
	case "g1":
		return "gemini-cli"
	}
	return "antigravity"
}

// intent draws a command.
func (a *author) intent() projection.Intent {
	id := pick(a, accounts()...)
	f := projection.Filter{Account: pick(a, id, id, id, id, ""), Target: pick(a, "claude", "gemini-pro", "*", "model:tab-1", "")}
	if f.Account == "" {
		f.Provider = providerOf(id)
	}
	switch a.chance.IntN(24) {
	case 0:
		return &projection.Suspend{Filter: f, Reason: "costs too much: überzogen", Forever: true}
	case 1:
		return &projection.Suspend{Filter: f, Reason: "over the weekend", For: 60 * time.Hour}
	case 2:
		return &projection.Lift{Filter: f, Reason: "all well"}
	case 3:
		return &projection.Clear{Filter: f, Reason: "the quota was raised"}
	case 4:
		return &projection.Recheck{Filter: f, Reason: "it may be back"}
	case 5:
		return pick[projection.Intent](
			a, &projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: providerOf(id), Priority: a.chance.IntN(3), CredentialVersion: fmt.Sprint(a.asked)}},
			&projection.PatchAccount{ID: id, Disabled: new(a.chance.IntN(4) == 0), Weight: new(1 + a.chance.IntN(9))},
			&projection.RemoveAccount{ID: id, Force: true, Reason: "gone"})
	case 6:
		return pick[projection.Intent](
			a, &projection.DefineGroups{Config: projection.GroupsConfig{Bootstrap: projection.PresetTwoPools}}, &projection.DefineGroups{},
			&projection.DefineGroups{Config: projection.GroupsConfig{Aliases: map[string]map[string]string{"antigravity": {"tab-1": "claude-opus-4-6"}}}},
			&projection.DefinePolicy{Config: projection.PolicyConfig{RulesConfig: projection.RulesConfig{Capacity: &projection.ClassConfig{None: true}}}},
			&projection.DefinePolicy{})
	case 7, 8:
		return &projection.Expire{}
	}
	return a.report(id)
}

// report draws what an upstream answered.
func (a *author) report(id string) *projection.Report {
	class := pick(a, slices.Concat(events.Classes(), []events.Class{
		events.ClassQuotaExhausted, events.ClassQuotaExhausted, events.ClassQuotaExhausted, events.ClassRateLimited, events.ClassOK, events.ClassOK,
	})...)
	r := &projection.Report{
		Account: id, Provider: providerOf(id), Model: pick(a, "claude-opus-4-6-thinking", "gemini-3-pro-preview", "gemini-3-flash", "tab-1", "gpt-5-codex"),
		Status: 429, RequestID: fmt.Sprint("req-", a.asked/4), StartedAt: a.now.Add(-pick(a, 0, time.Second, time.Hour)),
		Operation: pick(a, events.OpGenerate, events.OpGenerate, events.OpGenerate, events.OpCountTokens, events.OpUsage),
		Probe:     a.chance.IntN(5) == 0,
		Signal: events.Signal{
			Class: class, Scope: pick(a, events.ScopeGroup, events.ScopeModel, events.ScopeAccount), Rule: "golden/" + string(class), Classifier: 1,
			Window: pick(a, events.WindowUnknown, events.WindowDaily, events.WindowWeekly), Evidence: pick(a, "", "Your quota will reset after 7h0m0s."),
		},
	}
	if class == events.ClassOK {
		r.Status, r.Lease = 200, a.state.Head().Seq
	}
	if class == events.ClassForbidden {
		r.Signal.Reason = pick(a, events.ReasonBanned, "")
	}
	for range a.chance.IntN(3) {
		r.Signal.Hints = append(r.Signal.Hints, pick(a,
			events.Hint{Source: "header:retry-after", Raw: "3600", Seconds: 3600}, events.Hint{Source: "RetryInfo.retryDelay", Raw: "1e6s", Seconds: 1e6},
			events.Hint{Source: "header:retry-after", Raw: "-1", Seconds: -1}, events.Hint{Source: "body:resets_at", Raw: "later", At: a.now.Add(5 * time.Hour)}))
	}
	return r
}
