package compat_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/api/compat"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

const flashCools = "model:gemini-3-flash"

// plugin is how a program serves the API without package api: an engine, a book, and the
// functions of package compat.
type plugin struct {
	testing.TB
	engine *projection.Engine
	book   *identity.Book
	passed atomic.Int64 // nanoseconds since noon
}

func (p *plugin) now() time.Time { return noon().Add(time.Duration(p.passed.Load())) }

func (p *plugin) wait(d time.Duration) { p.passed.Add(int64(d)) }

func newPlugin(t testing.TB) *plugin {
	t.Helper()
	p := &plugin{TB: t, book: identity.New()}
	var err error
	p.engine, err = projection.Open(t.Context(), eventstest.New(), &projection.Options{Now: p.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.engine.Close() })
	p.put("a1", "antigravity")
	return p
}

func (p *plugin) put(given, provider string) {
	p.Helper()
	if err := p.book.Add(given); err != nil {
		p.Fatal(err)
	}
	p.do(&projection.PutAccount{ID: p.book.Stored(given), Spec: events.AccountSpec{Provider: provider}})
}

func (p *plugin) do(do projection.Intent) {
	p.Helper()
	if _, err := p.engine.Execute(p.Context(), projection.Command{Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}, Do: do}); err != nil {
		p.Fatal(err)
	}
}

// limited reports a signal about a model of a1.
func (p *plugin) limited(model string, s events.Signal) {
	p.Helper()
	s.Rule, s.Classifier = "test", 1
	p.do(&projection.Report{Account: "a1", Provider: "antigravity", Model: model, Status: 429, Signal: s})
}

func quota(seconds float64) events.Signal {
	s := events.Signal{Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup}
	if seconds > 0 {
		s.Hints = []events.Hint{{Source: "header:retry-after", Raw: fmt.Sprint(seconds), Seconds: seconds}}
	}
	return s
}

func (p *plugin) items() []compat.Item {
	p.Helper()
	items, err := compat.Items(p.engine.State(), p.book, p.now())
	if err != nil {
		p.Fatal(err)
	}
	return slices.Collect(items)
}

func (p *plugin) send(r compat.Request, err error) error {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
	s := compat.Service{Engine: p.engine, Identities: p.book}
	return s.Do(p.Context(), events.Origin{Actor: "operator:panel"}, r)
}

func (p *plugin) manual(doc string) error {
	p.Helper()
	m, err := compat.ParseManual([]byte(doc))
	return p.send(m, err)
}

func (p *plugin) clear(doc string) error {
	p.Helper()
	c, err := compat.ParseClear([]byte(doc))
	return p.send(c, err)
}

func (p *plugin) head() events.Seq { return p.engine.State().Head().Seq }

// summary is an item's members that say what blocks it.
func summary(i compat.Item) string {
	until := "-"
	if i.AutoSuspendedUntil != nil {
		until = strings.TrimPrefix(*i.AutoSuspendedUntil, "2026-11-")
	}
	updated := "-"
	if i.UpdatedAt != nil {
		updated = strings.TrimPrefix(*i.UpdatedAt, "2026-11-")
	}
	return fmt.Sprintf("%s %s|%t %q|%s %s|%s %s %s|%s %q", i.GroupID, i.EffectiveStatus, i.ManualSuspended, i.ManualReason, until, i.AutoReason,
		i.SourceModel, i.SourceProvider, i.ResetTimeSource, updated, i.UpdatedBy)
}

// TestItems: what blocks an account is shown as such dashboards know it.
func TestItems(t *testing.T) {
	const (
		free  = `available|false ""|- |  |- ""`
		claud = "claude " + free
		pro   = "gemini-pro " + free
		flash = "gemini-flash " + free
	)
	suspend := func(target string, d time.Duration) *projection.Suspend {
		return &projection.Suspend{Filter: projection.Filter{Account: "a1", Target: target}, Reason: "why not", For: d, Forever: d == 0}
	}
	for name, test := range map[string]struct {
		do   func(p *plugin)
		want []string
	}{
		"nothing": {func(*plugin) {}, []string{claud, pro, flash}},
		"a hint": {
			func(p *plugin) { p.limited("claude-opus-4-6", quota(3600)) },
			[]string{`claude auto_suspended|false ""|23T13:00:26.536Z quota_exhausted|claude-opus-4-6 antigravity retry_after|23T12:00:00.000Z ""`, pro, flash},
		},
		"the ladder": {
			func(p *plugin) { p.limited("gemini-3-pro", quota(0)) },
			[]string{claud, `gemini-pro auto_suspended|false ""|23T12:05:25.554Z quota_exhausted|gemini-3-pro antigravity computed_backoff|23T12:00:00.000Z ""`, flash},
		},
		"the provider's next reset": {
			func(p *plugin) {
				s := quota(0)
				s.Window = events.WindowDaily
				p.put("g1", "gemini-api")
				p.do(&projection.Report{Account: "g1", Provider: "gemini-api", Model: "gemini-2.5-pro", Status: 429, Signal: s})
			},
			[]string{
				claud, pro, flash, claud,
				`gemini-pro auto_suspended|false ""|24T08:00:17.265Z quota_exhausted|gemini-2.5-pro gemini-api computed_backoff|23T12:00:00.000Z ""`, flash,
			},
		},
		"another system's cooldown": {
			func(p *plugin) {
				p.do(&projection.Import{Source: projection.SourceConfig, Entries: []projection.ImportEntry{{
					Account: "a1", Target: "claude", Provider: "antigravity", Model: "claude-x", CoolUntil: noon().Add(time.Hour),
					Class: events.ClassQuotaExhausted, UpdatedAt: noon().Add(-time.Minute), Original: "{}",
				}}})
			},
			[]string{`claude auto_suspended|false ""|23T13:00:00.000Z quota_exhausted|claude-x antigravity retry_after|23T12:00:00.000Z ""`, pro, flash},
		},
		"over": {
			func(p *plugin) {
				p.limited("claude-opus-4-6", quota(60))
				p.do(suspend("gemini-pro", time.Minute))
				p.wait(time.Hour)
			},
			[]string{claud, pro, flash},
		},
		"a suspension beside a cooldown, which has its own author and time": {
			func(p *plugin) {
				p.do(suspend("claude", time.Hour))
				p.wait(time.Minute)
				p.limited("claude-opus-4-6", quota(3600))
			},
			[]string{
				`claude manual_suspended|true "why not"|23T13:01:11.701Z quota_exhausted|claude-opus-4-6 antigravity retry_after|23T12:00:00.000Z "operator:ops"`, pro, flash,
			},
		},
		"everything, by hand and in one group otherwise": {
			func(p *plugin) {
				p.do(suspend("*", 0))
				p.do(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: "claude"}, Reason: "its own", Forever: true})
			},
			[]string{
				`claude manual_suspended|true "its own"|- |  |23T12:00:00.000Z "operator:ops"`,
				`gemini-pro manual_suspended|true "why not"|- |  |23T12:00:00.000Z "operator:ops"`,
				`gemini-flash manual_suspended|true "why not"|- |  |23T12:00:00.000Z "operator:ops"`,
			},
		},
		"everything cools, and one group for longer": {
			func(p *plugin) {
				all := quota(3600)
				all.Scope = events.ScopeAccount
				p.limited("gemini-3-flash", all)
				p.limited("claude-opus-4-6", quota(7200))
				p.limited("gemini-3-pro", quota(60))
			},
			[]string{
				`claude auto_suspended|false ""|23T14:00:15.232Z quota_exhausted|claude-opus-4-6 antigravity retry_after|23T12:00:00.000Z ""`,
				`gemini-pro auto_suspended|false ""|23T13:00:03.792Z quota_exhausted|gemini-3-flash antigravity retry_after|23T12:00:00.000Z ""`,
				`gemini-flash auto_suspended|false ""|23T13:00:03.792Z quota_exhausted|gemini-3-flash antigravity retry_after|23T12:00:00.000Z ""`,
			},
		},
		"a hold, which has no end, beside a cooldown": {
			func(p *plugin) {
				p.limited("claude-opus-4-6", quota(7200))
				p.limited("gemini-3-flash", events.Signal{Class: events.ClassForbidden, Scope: events.ScopeAccount, Reason: events.ReasonBanned})
			},
			[]string{
				`claude auto_suspended|false ""|- quota_exhausted|gemini-3-flash antigravity |23T12:00:00.000Z ""`,
				`gemini-pro auto_suspended|false ""|- quota_exhausted|gemini-3-flash antigravity |23T12:00:00.000Z ""`,
				`gemini-flash auto_suspended|false ""|- quota_exhausted|gemini-3-flash antigravity |23T12:00:00.000Z ""`,
			},
		},
		"a single model, which has no place here": {
			func(p *plugin) { p.do(suspend(flashCools, 0)) }, []string{claud, pro, flash},
		},
		"disabled, whatever blocks it": {
			func(p *plugin) {
				p.do(suspend("claude", 0))
				p.do(&projection.PatchAccount{ID: "a1", Disabled: new(true)})
			},
			[]string{
				`claude auth_disabled|true "why not"|- |  |23T12:00:00.000Z "operator:ops"`,
				strings.Replace(pro, "available", "auth_disabled", 1), strings.Replace(flash, "available", "auth_disabled", 1),
			},
		},
		"groups of the operator, of which one is disabled": {
			func(p *plugin) {
				p.do(&projection.DefineGroups{Config: projection.GroupsConfig{Groups: []projection.GroupConfig{
					{ID: "Claude_45 ", Priority: new(1)}, {ID: "g3_pro", Enabled: new(false)},
				}}})
			},
			[]string{flash, "Claude_45 " + free},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlugin(t)
			test.do(p)
			var got []string
			for _, i := range p.items() {
				got = append(got, summary(i))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestOrder: accounts are sorted by the ids that are shown, not by those that are stored.
func TestOrder(t *testing.T) {
	p := newPlugin(t)
	for i := range 20 {
		p.put(fmt.Sprintf("b%02d@example.com", i), "antigravity")
	}
	var accounts, files []string
	for _, i := range p.items() {
		accounts = append(accounts, i.AuthID)
	}
	for f := range compat.Files(p.engine.State(), p.book, p.now()) {
		files = append(files, f.ID)
	}
	accounts = slices.Compact(accounts)
	if !slices.IsSorted(accounts) || len(accounts) != 21 || !slices.Equal(accounts, files) || accounts[20] != "b19@example.com" {
		t.Errorf("%v\n%v", accounts, files)
	}
}

// TestFiles: an account is unavailable only when it serves nothing, and says why.
func TestFiles(t *testing.T) {
	suspend := func(p *plugin, target string, d time.Duration) {
		p.do(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: target}, Reason: "r", For: d, Forever: d == 0})
	}
	each := []string{"claude", "gemini-pro", "gemini-flash"}
	for name, test := range map[string]struct {
		do   func(p *plugin)
		want string // status, message, disabled, unavailable
	}{
		"nothing":    {func(*plugin) {}, `active "" false false`},
		"two groups": {func(p *plugin) { suspend(p, "claude", 0); suspend(p, "gemini-pro", 0) }, `active "" false false`},
		"a model":    {func(p *plugin) { suspend(p, flashCools, 0) }, `active "" false false`},
		"everything": {func(p *plugin) { suspend(p, "*", 0) }, `error "suspended by hand: r" false true`},
		"every group": {
			func(p *plugin) {
				for _, g := range each {
					suspend(p, g, 0)
				}
			},
			`error "every quota group is suspended, and none comes back by itself" false true`,
		},
		"every group, some for a time": {
			func(p *plugin) {
				for i, g := range each {
					suspend(p, g, time.Duration(i)*time.Hour)
				}
			},
			`error "every quota group is suspended; the first comes back at 2026-11-23T13:00:00.000Z" false true`,
		},
		"a hold": {
			func(p *plugin) {
				p.limited("gemini-3-flash", events.Signal{Class: events.ClassForbidden, Scope: events.ScopeAccount, Reason: events.ReasonBanned})
			},
			`error "held until a human acts: banned" false true`,
		},
		"a cooldown of everything": {
			func(p *plugin) {
				s := quota(3600)
				s.Scope = events.ScopeAccount
				p.limited("gemini-3-flash", s)
			},
			`error "cooling until 2026-11-23T13:00:03.792Z: quota_exhausted" false true`,
		},
		"disabled and blocked": {
			func(p *plugin) { suspend(p, "*", 0); p.do(&projection.PatchAccount{ID: "a1", Disabled: new(true)}) },
			`disabled "disabled" true false`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlugin(t)
			test.do(p)
			f := slices.Collect(compat.Files(p.engine.State(), p.book, p.now()))[0]
			if got := fmt.Sprintf("%s %q %t %t", f.Status, f.StatusMessage, f.Disabled, f.Unavailable); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if f.ID != "a1" || f.Name != "a1" || f.Type != "antigravity" || f.Provider != "antigravity" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestBodies: what is read of a body, and what is wrong with others.
func TestBodies(t *testing.T) {
	manual := func(doc []byte) (compat.Request, error) { return compat.ParseManual(doc) }
	auto := func(doc []byte) (compat.Request, error) { return compat.ParseClear(doc) }
	groups := func(doc []byte) (compat.Request, error) { return compat.ParsePutGroups(doc) }
	for _, test := range []struct {
		parse func([]byte) (compat.Request, error)
		doc   string
		err   string // a part of it; empty: none
	}{
		{manual, `{"auth_id":"a","group_id":"g","manual_suspended":true}`, ""},
		{manual, `{"auth_id":"a","group_id":"g","manual_suspended":false,"reason":"r","updated_by":"u","more":[{}]}`, ""},
		{manual, `{"auth_id":"a","group_id":"g"}`, "manual_suspended is required"},
		{manual, `{"auth_id":"a","group_id":"g","manual_suspended":null}`, "manual_suspended is required"},
		{manual, `{"auth_id":"a","group_id":"g","manual_suspended":1}`, "number"},
		{manual, `{"group_id":"g","manual_suspended":true}`, "auth_id and group_id are required"},
		{manual, `{"auth_id":"a","group_id":"","manual_suspended":true}`, "auth_id and group_id are required"},
		{manual, `[]`, "array"},
		{manual, ``, "empty"},
		{manual, "{\"auth_id\":\"\xff\"}", "UTF-8"},
		{manual, `{"auth_id":"a"}{}`, "after top-level value"},
		{auto, `{"auth_id":"a"}`, ""},
		{auto, `{"auth_id":"a","group_id":"g","updated_by":"u"}`, ""},
		{auto, `{"auth_id":"a","group_id":null}`, ""},
		{auto, `{"auth_id":"a","group_id":""}`, "leave it out"},
		{auto, `{"group_id":"g"}`, "auth_id is required"},
		{auto, `null`, "auth_id is required"},
		{groups, `[]`, ""},
		{groups, ` [{"id":"g","x":1}]`, ""},
		{groups, `{"items":[{"id":"g"}],"x":1}`, ""},
		{groups, `{"items":[]}`, ""},
		{groups, `{}`, "list"},
		{groups, `null`, "list"},
		{groups, `{"items":null}`, "list"},
		{groups, `{"items":{}}`, "object"},
		{groups, `"x"`, "string"},
		{groups, `[1]`, "number"},
		{groups, `[`, "unexpected end"},
		{groups, "  ", "empty"},
	} {
		_, err := test.parse([]byte(test.doc))
		if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: error %v, want %q", test.doc, err, test.err)
		}
	}
}

// TestDo: what is done, what is so already, and what is refused.
func TestDo(t *testing.T) {
	p := newPlugin(t)
	given := "antigravity-mira@example.com.json"
	p.put(given, "antigravity")
	p.limited("gemini-3-pro", quota(3600))
	p.do(&projection.Suspend{Filter: projection.Filter{Account: p.book.Stored(given)}, Reason: "all of it", Forever: true})
	for _, test := range []struct {
		do      func(string) error
		doc     string
		records int
		code    projection.Code // of the refusal; whole_account for ErrWholeAccount
	}{
		{p.manual, `{"auth_id":"a1","group_id":"GOOGLE-claude","manual_suspended":true,"reason":"r"}`, 1, ""},
		{p.manual, `{"auth_id":"a1","group_id":"claude","manual_suspended":true,"reason":" r "}`, 0, ""},
		{p.manual, `{"auth_id":"a1","group_id":"claude","manual_suspended":true,"reason":"other"}`, 1, ""},
		{p.clear, `{"auth_id":"a1","group_id":"claude"}`, 0, ""}, // only suspended
		{p.manual, `{"auth_id":"a1","group_id":"claude","manual_suspended":false}`, 1, ""},
		{p.manual, `{"auth_id":"a1","group_id":"claude","manual_suspended":false}`, 0, ""},
		{p.manual, `{"auth_id":"a1","group_id":"gemini-pro","manual_suspended":false}`, 0, ""}, // only cooling
		{p.clear, `{"auth_id":"a1","group_id":"g3_flash"}`, 0, ""},
		{p.clear, `{"auth_id":"a1","group_id":"g3_pro"}`, 1, ""},
		{p.clear, `{"auth_id":"a1"}`, 0, ""},
		{p.clear, `{"auth_id":"` + given + `"}`, 0, ""},
		{p.manual, `{"auth_id":"` + given + `","group_id":"claude","manual_suspended":false}`, 0, "whole_account"},
		{p.manual, `{"auth_id":"` + given + `","group_id":"claude","manual_suspended":true}`, 1, ""},
		{p.manual, `{"auth_id":"` + given + `","group_id":"claude","manual_suspended":false}`, 1, ""},
		{p.manual, `{"auth_id":"b1","group_id":"claude","manual_suspended":true}`, 0, projection.CodeUnknownAccount},
		{p.manual, `{"auth_id":"a1","group_id":"codex-main","manual_suspended":true}`, 0, projection.CodeUnknownTarget},
		{p.clear, `{"auth_id":"a1","group_id":"codex-main"}`, 0, projection.CodeUnknownTarget},
		{p.clear, `{"auth_id":"a1","group_id":"nothing"}`, 0, projection.CodeUnknownTarget},
		{p.clear, `{"auth_id":"a1","group_id":" "}`, 0, projection.CodeUnknownTarget},
		{p.clear, `{"auth_id":"a1","group_id":"*"}`, 0, projection.CodeUnknownTarget},
		{p.manual, `{"auth_id":"a1","group_id":"model:gemini-3-pro","manual_suspended":true}`, 0, projection.CodeUnknownTarget},
	} {
		before := p.head()
		err := test.do(test.doc)
		code := projection.Code("")
		if e, ok := errors.AsType[*projection.Error](err); ok {
			code = e.Code
		} else if errors.Is(err, compat.ErrWholeAccount) {
			code = "whole_account"
		}
		if code != test.code || (err != nil) != (code != "") || int(p.head()-before) != test.records {
			t.Errorf("%s: %d records and %v, want %d and %q", test.doc, p.head()-before, err, test.records, test.code)
		}
	}
}

// TestClearOfWhatIsShown: an item that is shown as suspended by a block of everything alone
// can be cleared like one with a block of its own.
func TestClearOfWhatIsShown(t *testing.T) {
	p := newPlugin(t)
	statuses := func() string {
		var list []string
		for _, i := range p.items() {
			list = append(list, strings.TrimSuffix(i.EffectiveStatus, "_suspended"))
		}
		return strings.Join(list, " ")
	}
	clear := func(group string, records int, want string) {
		t.Helper()
		before := p.head()
		if err := p.clear(`{"auth_id":"a1","group_id":"` + group + `"}`); err != nil {
			t.Error(err)
		}
		if got := statuses(); got != want || int(p.head()-before) != records {
			t.Errorf("clearing %s appended %d records and left %s, want %d and %s", group, p.head()-before, got, records, want)
		}
	}
	banned := events.Signal{Class: events.ClassForbidden, Scope: events.ScopeAccount, Reason: events.ReasonBanned}
	everything := quota(3600)
	everything.Scope = events.ScopeAccount

	p.limited("gemini-3-flash", banned)
	clear("CLAUDE_45", 1, "available available available")
	p.limited("gemini-3-flash", everything)
	clear("gemini-pro", 1, "available available available")
	clear("gemini-pro", 0, "available available available")

	// The group's own comes first, and it alone.
	p.limited("claude-opus-4-6", quota(7200))
	p.limited("gemini-3-flash", banned)
	clear("claude", 1, "auto auto auto")
	if err := p.manual(`{"auth_id":"a1","group_id":"claude","manual_suspended":true}`); err != nil {
		t.Fatal(err)
	}
	clear("claude", 1, "manual available available")

	// One that is over is none.
	p.limited("claude-opus-4-6", quota(60))
	p.wait(10 * time.Minute)
	p.limited("gemini-3-flash", banned)
	clear("claude", 1, "manual available available")

	// What was done by hand, clearing does not end.
	p.do(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: "*"}, Reason: "r", Forever: true})
	clear("claude", 0, "manual manual manual")
	p.limited("gemini-3-flash", banned)
	clear("gemini-pro", 1, "manual manual manual")
}

// busy is an engine that takes nothing.
type busy struct{ *projection.Engine }

func (busy) Execute(context.Context, projection.Command) (projection.Outcome, error) {
	return projection.Outcome{}, projection.ErrBusy
}

// TestErrorsOfTheEngine are passed on.
func TestErrorsOfTheEngine(t *testing.T) {
	p := newPlugin(t)
	s := compat.Service{Engine: busy{p.engine}, Identities: p.book}
	r, err := compat.ParseClear([]byte(`{"auth_id":"a1"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Do(t.Context(), events.Origin{Actor: "operator:panel"}, r); !errors.Is(err, projection.ErrBusy) {
		t.Error(err)
	}
}

// TestNoBook: without an identity book ids are stored as given.
func TestNoBook(t *testing.T) {
	p := newPlugin(t)
	p.book = nil
	if err := p.manual(`{"auth_id":"a1","group_id":"claude","manual_suspended":true}`); err != nil {
		t.Fatal(err)
	}
	if i := p.items()[0]; i.AuthID != "a1" || i.EffectiveStatus != compat.StatusManual {
		t.Errorf("%+v", i)
	}
}

// frozen is an engine whose state never changes: commands are decided and sealed, so that
// what one leads to does not depend on those before.
type frozen struct{ *projection.Engine }

func (f frozen) Execute(_ context.Context, c projection.Command) (projection.Outcome, error) {
	d, err := projection.Decide(f.State(), c, f.Now())
	if err != nil {
		return projection.Outcome{}, err
	}
	c.OnBehalfOf = events.Scrub(c.OnBehalfOf, events.MaxID)
	for i := range d.Drafts {
		d.Drafts[i].Origin = c.Origin
	}
	records, err := events.Seal(f.State().Head(), f.Now(), d.Drafts)
	return projection.Outcome{Records: records}, err
}

// FuzzBodies: whatever a body is, it is read or refused, and what is read leads to records
// that the log can hold, or is refused.
func FuzzBodies(f *testing.F) {
	for _, doc := range []string{
		`{"auth_id":"a1","group_id":"claude_45","manual_suspended":true,"reason":"r","updated_by":"u"}`,
		`{"auth_id":"a1","group_id":"gemini-pro","manual_suspended":false}`, `{"auth_id":"a1"}`,
		`[{"id":"g","label":"G","providers":["antigravity"],"patterns":["g-*"],"priority":1,"enabled":false}]`, `{"items":[{"id":"claude_45","patterns":["x"]}]}`,
	} {
		f.Add([]byte(doc))
	}
	p := newPlugin(f)
	p.limited("gemini-3-flash", quota(3600))
	p.do(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: "gemini-pro"}, Reason: "r", Forever: true})
	s := compat.Service{Engine: frozen{p.engine}, Identities: p.book}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var requests []compat.Request
		if r, err := compat.ParseManual(doc); err == nil {
			requests = append(requests, r)
		}
		if r, err := compat.ParseClear(doc); err == nil {
			requests = append(requests, r)
		}
		if r, err := compat.ParsePutGroups(doc); err == nil {
			requests = append(requests, r)
		}
		for _, r := range requests {
			err := s.Do(context.Background(), events.Origin{Actor: "operator:fuzz"}, r)
			if _, refused := errors.AsType[*projection.Error](err); err != nil && !refused && !errors.Is(err, compat.ErrWholeAccount) {
				t.Fatalf("%s: %v", doc, err)
			}
		}
	})
}
