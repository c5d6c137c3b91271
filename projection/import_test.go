package projection

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

// taken returns an import of some entries of a1 on claude, written a minute before noon,
// which the functions change.
func taken(entries ...func(*ImportEntry)) *Import {
	c := &Import{Source: SourceConfig}
	for _, f := range entries {
		e := ImportEntry{
			Account: "a1", Provider: "antigravity", Target: "claude", Class: events.ClassQuotaExhausted, Model: opus,
			UpdatedAt: noon().Add(-time.Minute), Original: `{"updated_at":"2026-03-17T11:59:00Z","updated_by":"alice"}`,
		}
		f(&e)
		c.Entries = append(c.Entries, e)
	}
	return c
}

// cools makes an entry a cooldown that ends a time after noon.
func cools(d time.Duration) func(*ImportEntry) {
	return func(e *ImportEntry) { e.CoolUntil = noon().Add(d) }
}

func byHand(e *ImportEntry) { e.Suspended, e.Reason = true, "billing dispute" }

// both applies several changes to one entry.
func both(changes ...func(*ImportEntry)) func(*ImportEntry) {
	return func(e *ImportEntry) {
		for _, f := range changes {
			f(e)
		}
	}
}

func on(account, target string) func(*ImportEntry) {
	return func(e *ImportEntry) { e.Account, e.Target = account, target }
}

func undated(e *ImportEntry) { e.UpdatedAt = time.Time{} }

// imports carries out an import and checks the outcomes, each with a part of its why.
func (x *scenario) imports(c *Import, want ...string) Decision {
	x.Helper()
	d := x.do(c)
	var got []string
	for _, r := range d.Imports {
		got = append(got, fmt.Sprintf("%s: %s", r.Outcome, r.Why))
	}
	if len(got) != len(want) {
		x.Fatalf("outcomes %q, want %q", got, want)
	}
	for i := range want {
		outcome, why, _ := strings.Cut(want[i], ": ")
		if !strings.HasPrefix(got[i], outcome+": ") || !strings.Contains(got[i], why) {
			x.Errorf("entry %d is %q, want %q", i, got[i], want[i])
		}
	}
	return d
}

func TestImportTakesBothHalves(t *testing.T) {
	x := newScenario(t)
	x.origin = events.Origin{Actor: "import:admin", OnBehalfOf: "tess", Via: events.ViaCLI, CorrelationID: "c"}
	d := x.imports(taken(both(cools(2*time.Hour), byHand), both(cools(time.Hour), on("a2", "model:"+flash))), "imported", "imported")
	x.wants(d, events.KindImported, events.KindImported)
	for _, draft := range d.Drafts {
		if draft.Actor != "import:admin" || draft.CorrelationID != "c" || draft.OnBehalfOf != "tess" {
			t.Errorf("the origin is %+v", draft.Origin)
		}
	}
	x.status("a1", "claude", StatusSuspended)
	if got := x.until("a1", "claude"); got != 2*time.Hour {
		t.Errorf("until %s", got)
	}
	x.status("a2", "model:"+flash, StatusCooling)
	e := d.Drafts[0].Event.(*events.Imported)
	if !e.SuspendedAt.Equal(noon().Add(-time.Minute)) || !strings.Contains(e.Original, "alice") || e.Source != SourceConfig || e.Class != events.ClassQuotaExhausted {
		t.Errorf("%+v", e)
	}
	x.at(3 * time.Hour)
	x.status("a1", "claude", StatusSuspended)
	x.do(lift("a1", "claude"))
	x.status("a1", "claude", StatusAvailable)
}

// TestImportAgainAppendsNothing: right away, and when what was imported has ended here
// by any means.
func TestImportAgainAppendsNothing(t *testing.T) {
	for name, dated := range map[string]func(*ImportEntry){"dated": func(*ImportEntry) {}, "undated": undated} {
		for how, end := range map[string]func(x *scenario){
			"nothing":        func(*scenario) {},
			"cleared":        func(x *scenario) { x.do(clearCell("a1", "claude")) },
			"lifted":         func(x *scenario) { x.do(lift("a1", "claude")) },
			"both":           func(x *scenario) { x.do(clearCell("a1", "claude")); x.do(lift("a1", "claude")) },
			"recovered":      func(x *scenario) { x.report("a1", opus, ok()) },
			"extended":       func(x *scenario) { x.report("a1", opus, quota(90_000)) },
			"expired":        func(x *scenario) { x.at(2 * time.Hour).do(&Expire{}) },
			"over, unsaid":   func(x *scenario) { x.at(2 * time.Hour) },
			"removed":        func(x *scenario) { x.do(&RemoveAccount{ID: "a1", Force: true}) },
			"removed, added": func(x *scenario) { x.do(&RemoveAccount{ID: "a1", Force: true}); x.add("a1", "antigravity") },
			"suspended anew": func(x *scenario) {
				x.do(&Suspend{Filter: Filter{Account: "a1", Target: "claude"}, Reason: "r", For: time.Minute})
				x.at(time.Hour).do(&Expire{})
			},
		} {
			x := newScenario(t)
			c := taken(both(cools(90*time.Minute), byHand, dated))
			x.imports(c, "imported")
			x.at(time.Minute)
			end(x)
			if d := x.do(c); len(d.Drafts) > 0 || d.Unchanged == "" {
				t.Errorf("%s, %s: %v are appended by the second import: %+v", name, how, kinds(d), d.Imports)
			}
		}
	}
}

// TestImportAgainAppendsNothingWhatever is the same after any commands but those that
// change the rules: what was taken, or was so already, or was over, is not taken later.
func TestImportAgainAppendsNothingWhatever(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t, now: noon()}
		l := &live{s: NewState()}
		c := d.imports()
		for _, do := range []Intent{&DefineGroups{}, &DefinePolicy{}, &PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity"}}} {
			if _, err := l.do(command(do), d.now); err != nil {
				t.Fatal(err)
			}
		}
		var first Decision
		for n := range rapid.IntRange(1, 40).Draw(t, "commands") {
			d.now = d.now.Add(pick(d, "forward", 0, time.Second, time.Minute, time.Hour))
			do := d.intent(l.s.Head().Seq)
			if n == 3 {
				do = c
			}
			switch do.(type) {
			case *DefineGroups, *DefinePolicy:
				continue
			}
			out, err := l.do(command(do), d.now)
			if _, refused := err.(*Error); err != nil && !refused {
				t.Fatal(err)
			}
			if n == 3 {
				first = out
			}
		}
		again, err := Decide(l.s, command(c), d.now)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range first.Imports {
			if r.Outcome != ImportSkipped && again.Imports[i].Outcome == ImportTaken {
				t.Fatalf("entry %d was %s (%s), and is taken again: %+v", i, r.Outcome, r.Why, c.Entries[i])
			}
		}
	})
}

// imports draws an import.
func (d *drawn) imports() *Import {
	c := &Import{Source: pick(d, "source", SourceConfig, SourceCooldowns)}
	for range pick(d, "entries", 1, 2, 3) {
		e := ImportEntry{
			Account: d.account(), Provider: pick(d, "provider", "", "antigravity", "codex"), Target: d.target(),
			Model: pick(d, "model", "", opus, lone), Suspended: pick(d, "by hand", false, true), Reason: "r", Original: "{}",
			Class: pick(d, "class", events.ClassQuotaExhausted, events.ClassQuotaExhausted, events.ClassAuth, events.ClassServerError),
		}
		if pick(d, "cools", true, true, false) {
			e.CoolUntil = d.now.Add(pick(d, "end", -time.Hour, time.Minute, 3*time.Hour, 400*24*time.Hour))
		}
		if pick(d, "dated", true, true, false) {
			e.UpdatedAt = d.now.Add(-pick(d, "age", 0, time.Minute, 24*time.Hour))
		}
		c.Entries = append(c.Entries, e)
	}
	return c
}

func TestImportOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		do    func(x *scenario)
		entry func(*ImportEntry)
		want  string
	}{
		"nothing there": {nil, func(*ImportEntry) {}, "unchanged: nothing blocks it there"},
		"over":          {nil, cools(-time.Second), "expired: the cooldown ended"},
		"ends now":      {nil, cools(2 * time.Minute), "expired: the cooldown ended"},
		"over under the bound": {
			func(x *scenario) { x.do(believing(30 * time.Second)) }, cools(time.Hour),
			"expired: under the policy's bound (30s from when it was written) it ended 2026-03-17 12:01:30 UTC",
		},
		"over, whatever the bound is": {
			func(x *scenario) { x.do(believing(30 * time.Second)) }, cools(-time.Second), "expired: the cooldown ended 2026-03-17 11:59:59 UTC",
		},
		"over, and by hand":  {nil, both(cools(-time.Second), byHand), "imported: the cooldown ended"},
		"unknown group":      {nil, both(cools(time.Hour), on("a1", "nope")), "skipped: no group \"nope\" is defined"},
		"no target":          {nil, both(cools(time.Hour), on("a1", " ")), "skipped: it names no target"},
		"another provider's": {nil, both(cools(time.Hour), on("a1", "codex-main")), "skipped: group \"codex-main\" is not one of provider \"antigravity\""},
		"another provider":   {nil, both(cools(time.Hour), func(e *ImportEntry) { e.Provider = "codex" }), "skipped: the account belongs to provider \"antigravity\", not \"codex\""},
		"a legacy group":     {nil, both(cools(time.Hour), on("a1", "claude_45")), "imported"},
		"blocks nothing":     {nil, both(cools(time.Hour), func(e *ImportEntry) { e.Class = events.ClassNotFound }), "skipped: class not_found blocks nothing under the policy"},
		"no class":           {nil, both(cools(time.Hour), func(e *ImportEntry) { e.Class = "sad" }), "skipped: class \"sad\""},
		"no e-mail":          {nil, both(cools(time.Hour), on("bob@example.com", "claude")), "skipped: the account's id looks like"},
		"bad id":             {nil, both(cools(time.Hour), on("a\x00", "claude")), "skipped: the account has a control character"},
		"cools for longer":   {func(x *scenario) { x.report("a1", opus, quota(7200)) }, cools(time.Hour), "unchanged: it cools already"},
		"cools for less":     {func(x *scenario) { x.report("a1", opus, quota(600)) }, cools(time.Hour), "imported"},
		"by hand already":    {func(x *scenario) { x.do(suspend("a1", "claude", "r")) }, byHand, "unchanged: it is suspended already, by operator:ops"},
		"never cools": {
			func(x *scenario) { x.do(&PatchAccount{ID: "a1", DisableCooling: new(true)}) },
			both(cools(time.Hour), byHand), "imported: the account takes no automatic blocks",
		},
		"cleared before":  {func(x *scenario) { cleared(x, 0) }, cools(time.Hour), "imported"},
		"cleared since":   {func(x *scenario) { cleared(x, 90*time.Second) }, cools(time.Hour), "skipped: it was cleared or recovered since (record 6)"},
		"lifted before":   {func(x *scenario) { lifted(x, 0) }, byHand, "imported"},
		"lifted since":    {func(x *scenario) { lifted(x, 90*time.Second) }, byHand, "skipped: it was lifted, or its time came, since (record 6)"},
		"dated tomorrow":  {func(x *scenario) { lifted(x, 0) }, both(byHand, func(e *ImportEntry) { e.UpdatedAt = noon().Add(24 * time.Hour) }), "skipped: it was lifted"},
		"beyond all":      {nil, cools(9000 * 24 * time.Hour), "imported: its end was cut to the policy's bound"},
		"beyond, undated": {nil, both(cools(9000*24*time.Hour), undated), "skipped: it has no date"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newScenario(t)
			if test.do != nil {
				test.do(x)
			}
			written := func(e *ImportEntry) { e.UpdatedAt = noon().Add(time.Minute) }
			x.at(2*time.Minute).imports(taken(both(written, test.entry)), test.want)
		})
	}
}

func cleared(x *scenario, d time.Duration) {
	x.at(d).report("a1", opus, quota(60))
	x.do(clearCell("a1", "claude"))
}

func lifted(x *scenario, d time.Duration) {
	x.at(d).do(suspend("a1", "claude", "r"))
	x.do(lift("a1", "claude"))
}

// TestRule17ImportedDeadlinesAreBounded: an end in the year 9999 becomes the longest
// bound of its class, from when the entry was written.
func TestRule17ImportedDeadlinesAreBounded(t *testing.T) {
	x := newScenario(t)
	x.imports(taken(func(e *ImportEntry) { e.CoolUntil = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }), "imported")
	if got := x.until("a1", "claude"); got != 32*24*time.Hour-time.Minute {
		t.Errorf("until %s", got)
	}
}

// TestRule16AnImportExtends: a later end counts, and the freeze goes on as one.
func TestRule16AnImportExtends(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.at(time.Minute).imports(taken(cools(time.Hour)), "imported")
	k, _, _ := x.s.Account("a1").cell("claude").Live(x.now)
	if x.until("a1", "claude") != time.Hour || k.Started != 5 || k.Decided != 6 || !k.StartedAt.Equal(noon()) {
		t.Errorf("%+v", k)
	}
}

// TestRule27ImportAddsObservedAccounts: with the provider that the source names, else
// the first of the group; and only if something is taken.
func TestRule27ImportAddsObservedAccounts(t *testing.T) {
	x := newScenario(t)
	named := func(provider string) func(*ImportEntry) { return func(e *ImportEntry) { e.Provider = provider } }
	d := x.imports(taken(
		both(cools(time.Hour), on("n1", "claude"), named("gemini")),
		both(byHand, on("n2", "gemini-pro"), named("")),
		both(cools(-time.Hour), on("n3", "claude")),
		both(cools(time.Hour), on("n4", "*"), named("")),
		both(cools(time.Hour), on("n1", "gemini-pro"), named("gemini-api")),
	), "imported", "imported", "expired", "skipped: names no provider", "imported")
	x.wants(d, events.KindAccountAdded, events.KindImported, events.KindAccountAdded, events.KindImported, events.KindImported)
	for id, provider := range map[string]string{"n1": "gemini-api", "n2": "antigravity"} {
		if a := x.s.Account(id); a == nil || a.Spec.Origin != events.OriginObserved || a.Spec.Provider != provider || a.Spec.Weight != 1 {
			t.Errorf("%s: %+v", id, a)
		}
	}
	if !d.Imports[0].Added || d.Imports[4].Added || x.s.Account("n3") != nil || x.s.Account("n4") != nil {
		t.Errorf("%+v", d.Imports)
	}
}

// TestImportOfOneCellTwice: what two entries of one file say of a cell is put together.
func TestImportOfOneCellTwice(t *testing.T) {
	x := newScenario(t)
	d := x.imports(taken(cools(time.Hour), cools(2*time.Hour), cools(time.Hour), byHand, byHand),
		"imported", "imported", "unchanged", "imported", "unchanged")
	x.wants(d, events.KindImported, events.KindImported, events.KindImported)
	if x.until("a1", "claude") != 2*time.Hour {
		t.Error("the later end does not count")
	}
}

func TestRule11ImportFindsNoRoom(t *testing.T) {
	x := newScenario(t)
	var entries []func(*ImportEntry)
	for i := range MaxModelCells + 1 {
		entries = append(entries, both(cools(time.Hour), on("a1", fmt.Sprintf("model:m%d", i))))
	}
	d := x.do(taken(entries...))
	last := d.Imports[MaxModelCells]
	if len(d.Drafts) != MaxModelCells || last.Outcome != ImportSkipped || !strings.Contains(last.Why, "model cells, all blocked") {
		t.Errorf("%d drafts, %+v", len(d.Drafts), last)
	}
}

// TestImportPutsGroupsInForceFirst: in one command, so that its own entries find them.
func TestImportPutsGroupsInForceFirst(t *testing.T) {
	x := newScenario(t)
	c := taken(both(cools(time.Hour), on("a1", "banana")))
	x.imports(c, "skipped: no group \"banana\"")
	c.Groups = &GroupsConfig{Groups: []GroupConfig{{ID: "banana", Providers: []string{"antigravity"}, Patterns: []string{"banana-*"}}}}
	d := x.imports(c, "imported")
	x.wants(d, events.KindGroupsDefined, events.KindImported)
	if d.Plan == nil || d.Plan.Version != 2 {
		t.Errorf("plan %+v", d.Plan)
	}
	x.nothing(c)
	c.Groups = &GroupsConfig{Groups: []GroupConfig{{ID: "empty"}}}
	x.refused(CodeInvalidGroups, c)
}

func TestImportDryRun(t *testing.T) {
	x := newScenario(t)
	c := taken(cools(time.Hour))
	c.DryRun = true
	if d := x.imports(c, "imported"); !d.DryRun || len(d.Drafts) > 0 {
		t.Errorf("%+v", d)
	}
	x.status("a1", "claude", StatusAvailable)
}

func TestImportIsBounded(t *testing.T) {
	x := newScenario(t)
	x.refused(CodeInvalid, &Import{Source: SourceConfig, Entries: make([]ImportEntry, MaxImport+1)})
	for i := x.s.Len(); i < MaxAccounts; i++ {
		x.s.put(fmt.Sprint("x", i), &Account{ID: fmt.Sprint("x", i), Spec: events.AccountSpec{Provider: "kimi", Weight: 1}})
	}
	_, err := Decide(x.s, command(taken(both(cools(time.Hour), on("one-too-many", "claude")))), x.now)
	if e, ok := err.(*Error); !ok || e.Code != CodePoolFull {
		t.Errorf("%v", err)
	}
	x.s = NewState()
	for _, r := range x.recs {
		x.s.Apply(r)
	}
}

// TestImportScrubs: reasons and models come from a file that anybody may have written.
func TestImportScrubs(t *testing.T) {
	x := newScenario(t)
	d := x.do(taken(both(cools(time.Hour), func(e *ImportEntry) {
		e.Suspended, e.Reason, e.Model = true, "ask bob@example.com, key sk-abcdefghijklmnop", "m "+strings.Repeat("x", 999)
	}), both(byHand, on("a2", "claude"), func(e *ImportEntry) { e.Reason = " " })))
	e := d.Drafts[0].Event.(*events.Imported)
	if e.Reason != "ask [email], key [key]" || len(e.Model) > events.MaxID {
		t.Errorf("%+v", e)
	}
	if e := d.Drafts[1].Event.(*events.Imported); e.Reason != "no reason given" {
		t.Errorf("%q", e.Reason)
	}
}

// TestImportThroughTheEngine: one command, one batch, and the index follows.
func TestImportThroughTheEngine(t *testing.T) {
	x := newScenario(t)
	x.imports(taken(both(cools(time.Hour), byHand), both(cools(time.Hour), on("a2", "claude"))), "imported", "imported")
	x.usable(opus)
	x.usable(pro, "a1", "a2")
	x.at(time.Hour)
	x.usable(opus, "a2")
	x.do(&Expire{})
	if got := x.recs[len(x.recs)-1].Event.(*events.Expired).Cells; !slices.Equal(got, []events.Cell{{Account: "a1", Target: "claude"}, {Account: "a2", Target: "claude"}}) {
		t.Errorf("expired: %v", got)
	}
}
