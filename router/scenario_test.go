package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	provider = "antigravity"
	opus     = "claude-opus-4-6-thinking"
	sonnet   = "claude-sonnet-4-6"
	pro      = "gemini-3-pro-preview"
	flash    = "gemini-3-flash"
)

func noon() time.Time { return time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC) }

// pool is a router over an engine on a log in memory, with a clock that is set.
type pool struct {
	testing.TB
	*Router
	engine *projection.Engine
	log    *eventstest.Log
	clock  *atomic.Int64    // nanoseconds after noon
	wall   func() time.Time // nil: clock
}

func (p *pool) now() time.Time {
	if p.wall != nil {
		return p.wall()
	}
	return noon().Add(time.Duration(p.clock.Load()))
}

// tick moves the clock.
func (p *pool) tick(d time.Duration) { p.clock.Add(int64(d)) }

// setup are the options of a pool.
type setup struct {
	ids      *identity.Book
	observe  bool
	accounts []projection.PutAccount
	// probes is the policy's; nil turns them off, so that a test of another rule meets
	// none.
	probes *projection.ProbeConfig
	// wall is the clock, such as that of a bubble; nil: noon, moved by tick.
	wall func() time.Time
	// disk wraps the log that the engine writes to; nil: it is the one in memory.
	disk func(*eventstest.Log) events.Log
}

// accounts returns the settings of accounts a001, a002, ... of antigravity, changed
// by f, which may be nil.
func accounts(n int, f func(i int, s *events.AccountSpec)) []projection.PutAccount {
	list := make([]projection.PutAccount, 0, n)
	for i := 1; i <= n; i++ {
		a := projection.PutAccount{ID: fmt.Sprintf("a%03d", i), Spec: events.AccountSpec{
			Provider: provider, Weight: 1, Origin: events.OriginConfigured,
		}}
		if f != nil {
			f(i, &a.Spec)
		}
		list = append(list, a)
	}
	return list
}

// newPool starts a pool at noon. Accounts are written into the log before the
// engine is opened: one commit for each would be slow for thousands.
func newPool(t testing.TB, s setup) *pool {
	t.Helper()
	p := &pool{TB: t, log: eventstest.New(), clock: new(atomic.Int64), wall: s.wall}
	head, err := p.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var drafts []events.Draft
	for _, a := range s.accounts {
		drafts = append(drafts, events.Draft{Account: a.ID, Event: &events.AccountAdded{Spec: a.Spec}})
	}
	recs, err := events.Seal(head, p.now(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.log.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	if s.probes == nil {
		s.probes = &projection.ProbeConfig{Mode: new(projection.ProbeOff)}
	}
	var log events.Log = p.log
	if s.disk != nil {
		log = s.disk(p.log)
	}
	p.engine, err = projection.Open(t.Context(), log, &projection.Options{
		Now: p.now, ObserveOnly: s.observe, Policy: &projection.PolicyConfig{RulesConfig: projection.RulesConfig{Probe: s.probes}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.engine.Close()
		if difference := replayed(p.engine); difference != "" {
			t.Errorf("replayed under the same rules: %s", difference)
		}
	})
	p.Router = New(p.engine, &Options{Identities: s.ids})
	return p
}

func (p *pool) do(do projection.Intent) projection.Outcome {
	p.Helper()
	out, err := p.engine.Execute(p.Context(), projection.Command{
		Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}, Do: do,
	})
	if err != nil {
		p.Fatalf("%T: %v", do, err)
	}
	return out
}

// freeze blocks an account for a model by a signal; seconds 0 gives no hint.
func (p *pool) freeze(account, model string, class events.Class, scope events.Scope, seconds float64) {
	p.Helper()
	s := events.Signal{Class: class, Scope: scope, Rule: "test"}
	if seconds > 0 {
		s.Hints = []events.Hint{{Source: "h", Seconds: seconds}}
	}
	if class == events.ClassForbidden {
		s.Reason = events.ReasonBanned
	}
	p.do(&projection.Report{Account: account, Provider: provider, Model: model, Status: 429, Signal: s})
}

func (p *pool) cool(account, model string, seconds float64) {
	p.Helper()
	p.freeze(account, model, events.ClassQuotaExhausted, events.ScopeGroup, seconds)
}

func (p *pool) suspend(account, target string, d time.Duration) {
	p.Helper()
	p.do(&projection.Suspend{
		Filter: projection.Filter{Account: account, Target: target}, Reason: "by hand", For: d, Forever: d == 0,
	})
}

func (p *pool) change(c *projection.PatchAccount) { p.do(c) }

// served returns the account of a pick, or the code of why there is none.
func (p *pool) served(q Request) string {
	p.Helper()
	q.Provider = provider
	l, err := p.Pick(q)
	if b, ok := errors.AsType[*BlockedError](err); ok {
		return string(b.Code)
	}
	if err != nil {
		p.Fatalf("Pick: %v", err)
	}
	return l.Account
}

// round returns the accounts of n picks.
func (p *pool) round(n int, q Request) []string {
	p.Helper()
	var got []string
	for range n {
		got = append(got, p.served(q))
	}
	return got
}

func (p *pool) wants(got []string, want ...string) {
	p.Helper()
	if !slices.Equal(got, want) {
		p.Errorf("served %v, want %v", got, want)
	}
}

// blocked returns why a pick gives nothing; it must give nothing.
func (p *pool) blocked(q Request) *BlockedError {
	p.Helper()
	q.Provider = provider
	l, err := p.Pick(q)
	b, ok := errors.AsType[*BlockedError](err)
	if !ok {
		p.Fatalf("picked %+v, error %v; want a BlockedError", l, err)
	}
	return b
}

// replayed replays all that an engine recorded under the rules of the time, and tells what
// differs: nothing may.
func replayed(e *projection.Engine) string {
	out, err := e.Past().Replay(context.Background(), projection.Replay{})
	switch {
	case err != nil:
		return err.Error()
	case out.Same():
		return ""
	case out.First != nil:
		return fmt.Sprintf("record %d: %s", out.First.Record.Seq, out.First.Because)
	default:
		return fmt.Sprintf("%+v", out)
	}
}
