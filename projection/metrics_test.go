package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// measured starts an engine, in a bubble, whose metrics can be read.
func measured(t testing.TB, log events.Log, o *Options) (*Engine, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	o.Registerer = reg
	return open(t, log, o), reg
}

// figures returns metrics by their name and the values of their labels, joined by
// slashes; of a histogram its sum, and its count under "#".
func figures(t testing.TB, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := []string{strings.TrimPrefix(f.GetName(), "abeyance_")}
			for _, l := range m.GetLabel() {
				name = append(name, l.GetValue())
			}
			key := strings.Join(name, "/")
			got[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
			if h := m.GetHistogram(); h != nil {
				got["#"+key] = float64(h.GetSampleCount())
			}
		}
	}
	return got
}

// wantFigures compares some metrics; NaN means that there is no such series.
func wantFigures(t *testing.T, from prometheus.Gatherer, wants map[string]float64) {
	t.Helper()
	got := figures(t, from)
	for name, want := range wants {
		v, ok := got[name]
		if math.IsNaN(want) && ok || !math.IsNaN(want) && (!ok || math.Abs(v-want) > 1e-3) {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, want)
		}
	}
}

func TestMetricsOfFreezesAndEpisodes(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		log := eventstest.New()
		e, reg := measured(t, log, withAccounts(4))
		held := command(&Report{Account: "a3", Provider: "antigravity", Model: opus, Status: 403, Signal: banned()})
		execute(t, e, limit("a1", opus, 600))
		time.Sleep(time.Minute)
		execute(t, e, limit("a1", opus, 1200)) // the same freeze, longer
		execute(t, e, held)
		execute(t, e, command(suspend("a2", "gemini-pro", "x")))
		execute(t, e, limit("a4", "unheard-of", 30))
		wantFigures(t, reg, map[string]float64{
			"freezes_total/claude/cooling/antigravity": 1, "freezes_total/*/held/antigravity": 1,
			"freezes_total/gemini-pro/suspended/antigravity": 1, "freezes_total/model:*/cooling/antigravity": 1,
			"#episode_seconds/cooling": 0, "#episode_seconds/held": 0, "#episode_seconds/suspended": 0,
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		wantFigures(t, reg, map[string]float64{"#episode_seconds/cooling": 1}) // a4's came to its end by itself
		execute(t, e, command(clearCell("a1", "claude")))
		execute(t, e, command(&Suspend{Filter: Filter{Account: "a2", Target: "gemini-pro"}, Reason: "y", For: time.Hour})) // another
		time.Sleep(time.Minute)
		execute(t, e, command(&RemoveAccount{ID: "a2", Force: true, Reason: "gone"}))
		execute(t, e, command(clearCell("a3", "*")))
		wantFigures(t, reg, map[string]float64{
			"#episode_seconds/cooling": 2, "#episode_seconds/held": 1, "episode_seconds/held": 120,
			"freezes_total/gemini-pro/suspended/antigravity": 2, "#episode_seconds/suspended": 2, "episode_seconds/suspended": 60 + 60,
		})
		// What episodes tell of the same log is the same.
		list, _, err := (&Past{Log: log, State: e.State(), Now: time.Now().UTC()}).Episodes(t.Context(), EpisodeQuery{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{}
		for _, x := range list {
			want["episode_seconds/"+string(x.Block)] += x.Lasted(time.Now()).Seconds()
			want["#episode_seconds/"+string(x.Block)]++
		}
		if len(list) != 5 {
			t.Errorf("%d episodes, want 5", len(list))
		}
		wantFigures(t, reg, want)
	}))
}

// TestMetricsAgreeWithEpisodes: what is counted as it happens is what the log tells
// afterwards, whatever operators, upstreams and time do.
func TestMetricsAgreeWithEpisodes(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		log, random := eventstest.New(), seeded()
		e, reg := measured(t, log, withAccounts(3))
		models := []string{opus, flash, "unheard-of"}
		for range 2000 {
			account := fmt.Sprint("a", 1+random.IntN(3))
			target := []string{"claude", "gemini-flash", "*"}[random.IntN(3)]
			filter := Filter{Account: account, Target: target}
			model := models[random.IntN(3)]
			minutes := time.Duration(1+random.IntN(30)) * time.Minute
			var do Intent
			switch random.IntN(10) {
			case 0, 1, 2:
				do = limit(account, model, minutes.Seconds()).Do
			case 3:
				do = &Report{Account: account, Provider: "antigravity", Model: model, Status: 403, Signal: banned()}
			case 4:
				do = &Report{Account: account, Provider: "antigravity", Model: model, Status: 200, Signal: ok(), Lease: e.State().Head().Seq}
			case 5:
				do = &Suspend{Filter: filter, Reason: "x", For: minutes, Forever: false}
			case 6:
				do = &Suspend{Filter: filter, Reason: "x", Forever: true}
			case 7:
				do = &Lift{Filter: filter}
			case 8:
				do = &Clear{Filter: filter}
			case 9:
				do = &RemoveAccount{ID: account, Force: true, Reason: "x"}
			}
			_, err := e.Execute(t.Context(), command(do))
			if _, refused := errors.AsType[*Error](err); err != nil && !refused { // there may be nothing to end
				t.Fatal(err)
			}
			if _, removed := do.(*RemoveAccount); removed {
				execute(t, e, command(&PutAccount{ID: account, Spec: events.AccountSpec{Provider: "antigravity"}}))
			}
			time.Sleep(time.Duration(random.IntN(300)) * time.Second)
			synctest.Wait()
		}
		past := &Past{Log: log, State: e.State(), Now: time.Now().UTC()}
		list, _, err := past.Episodes(t.Context(), EpisodeQuery{})
		if err != nil {
			t.Fatal(err)
		}
		want, began := map[string]float64{}, 0.0
		for _, x := range list {
			began++
			if !x.EndedAt.IsZero() {
				want["#episode_seconds/"+string(x.Block)]++
				want["episode_seconds/"+string(x.Block)] += x.EndedAt.Sub(x.StartedAt).Seconds()
			}
		}
		for _, kind := range blockKinds() {
			if want["#episode_seconds/"+string(kind)] < 20 {
				t.Errorf("only %v episodes of %s", want["#episode_seconds/"+string(kind)], kind)
			}
		}
		wantFigures(t, reg, want)
		counted := 0.0
		for name, v := range figures(t, reg) {
			if strings.HasPrefix(name, "freezes_total/") {
				counted += v
			}
		}
		if counted != began {
			t.Errorf("%v blocks began, by the metrics; %v, by the log", counted, began)
		}
	}))
}

// TestMetricsOfABlockWithinOneBatch: commands that come together are stored together. A
// block that one of them begins and another ends counts as both.
func TestMetricsOfABlockWithinOneBatch(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		g, o := newGate(), withAccounts(2)
		close(g.pass)
		e, reg := measured(t, g, o)
		g.pass = make(chan struct{})
		first := start(t.Context(), e, limit("a2", opus, 600))
		synctest.Wait() // it is on its way to the disk, and stays there
		waits := []<-chan error{first}
		for _, c := range []Command{
			command(suspend("a1", "claude", "x")), command(lift("a1", "claude")), command(suspend("a1", "claude", "y")),
			limit("a1", flash, 600), command(clearCell("a1", "gemini-flash")),
		} {
			waits = append(waits, start(t.Context(), e, c))
			synctest.Wait()
		}
		close(g.pass)
		for _, done := range waits {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		wantFigures(t, reg, map[string]float64{
			"freezes_total/claude/suspended/antigravity": 2, "#episode_seconds/suspended": 1, "episode_seconds/suspended": 0,
			"freezes_total/gemini-flash/cooling/antigravity": 1, "#episode_seconds/cooling": 1,
			"append_batch_commands": figures(t, reg)["append_batch_commands"],
		})
		if n := figures(t, reg)["#append_batch_commands"]; n > 6 {
			t.Errorf("%v batches: the commands did not come together", n)
		}
	}))
}

// TestMetricsOfMovedBlocks: a block that new groups move is the same block.
func TestMetricsOfMovedBlocks(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		e, reg := measured(t, eventstest.New(), withAccounts(1))
		execute(t, e, limit("a1", opus, 600))
		execute(t, e, command(suspend("a1", "claude", "x")))
		none := "none"
		execute(t, e, command(&DefineGroups{Config: GroupsConfig{Bootstrap: none, Groups: []GroupConfig{
			{ID: "opus", Providers: []string{"antigravity"}, Patterns: []string{"claude-opus-*"}, Replaces: []string{"claude"}},
			{ID: "sonnet", Providers: []string{"antigravity"}, Patterns: []string{"claude-sonnet-*"}, Replaces: []string{"claude"}},
		}}}))
		wantFigures(t, reg, map[string]float64{
			"#episode_seconds/cooling": 0, "#episode_seconds/suspended": 0,
			"freezes_total/claude/cooling/antigravity": 1, "freezes_total/opus/cooling/antigravity": math.NaN(),
			"usable_accounts/opus/antigravity": 0, "usable_accounts/claude/antigravity": math.NaN(),
		})
		execute(t, e, command(lift("a1", "opus")))
		wantFigures(t, reg, map[string]float64{"#episode_seconds/suspended": 0}) // its other half goes on
		execute(t, e, command(lift("a1", "sonnet")))
		wantFigures(t, reg, map[string]float64{"#episode_seconds/suspended": 1})
	}))
}

func TestMetricsOfThePool(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		o := withAccounts(4)
		o.Accounts = append(o.Accounts, PutAccount{ID: "n1", Spec: events.AccountSpec{Provider: "no-groups"}})
		e, reg := measured(t, eventstest.New(), o)
		since := unixSeconds(time.Now())
		execute(t, e, limit("a1", opus, 600))
		execute(t, e, command(&Suspend{Filter: Filter{Account: "a1", Target: "gemini-flash"}, Reason: "x", For: time.Hour}))
		time.Sleep(time.Second)
		execute(t, e, command(suspend("a2", "claude", "x")))
		execute(t, e, command(&PatchAccount{ID: "a3", Disabled: new(true)}))
		until := e.State().Account("a1").cell("claude").Cooling.Until
		execute(t, e, command(&Report{Account: "seen", Provider: "evil", Model: "m", Status: 429, Signal: quota(600)}))
		wants := map[string]float64{
			"accounts/claude/antigravity": 4, "usable_accounts/claude/antigravity": 1,
			"blocked_accounts/claude/cooling/antigravity": 1, "blocked_accounts/claude/suspended/antigravity": 1,
			"blocked_accounts/claude/disabled/antigravity": 1, "blocked_accounts/claude/held/antigravity": 0,
			"accounts/*/no-groups": 1, "usable_accounts/*/no-groups": 1, "accounts/*/antigravity": math.NaN(),
			"accounts/*/evil": math.NaN(), "freezes_total/other/cooling/other": 1,
			"next_expiry_timestamp_seconds/claude/antigravity":     unixSeconds(until),
			"next_expiry_timestamp_seconds/gemini-pro/antigravity": math.NaN(),
			"oldest_suspension_timestamp_seconds/timed":            since, "oldest_suspension_timestamp_seconds/endless": since + 1,
			"cells/cooling": 2, "cells/suspended": 2, "cells/available": 0,
			"account_usable/a1/claude/antigravity": math.NaN(), "checkpoint_seq": math.NaN(),
		}
		wantFigures(t, reg, wants)
		execute(t, e, command(lift("a1", "gemini-flash")))
		execute(t, e, command(lift("a2", "claude")))
		wantFigures(t, reg, map[string]float64{
			"oldest_suspension_timestamp_seconds/timed": math.NaN(), "oldest_suspension_timestamp_seconds/endless": math.NaN(),
		})
	}))
}

// TestMetricsAfterADeadline: a scrape between a deadline and the next index asks the
// accounts.
func TestMetricsAfterADeadline(t *testing.T) {
	log, now := eventstest.New(), noon()
	o := withAccounts(2)
	o.Now = func() time.Time { return now }
	e, reg := measured(t, log, o)
	execute(t, e, limit("a1", opus, 600))
	wantFigures(t, reg, map[string]float64{"usable_accounts/claude/antigravity": 1, "cells/cooling": 1})
	v := e.View()
	x := reading{m: e.metrics, view: v, now: now.Add(time.Hour)}
	for l := range x.lanes() {
		if l.group == "claude" && (l.counts.Available != 2 || l.first != Never) {
			t.Errorf("after the deadline: %+v, %v", l.counts, l.first)
		}
	}
}

func TestMetricsPerAccount(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		o := withAccounts(2)
		o.PerAccountMetrics = true
		e, reg := measured(t, eventstest.New(), o)
		execute(t, e, limit("a1", opus, 600))
		execute(t, e, limit("seen", opus, 600)) // known from reports only
		until := e.State().Account("a1").cell("claude").Cooling.Until
		wantFigures(t, reg, map[string]float64{
			"account_usable/a1/claude/antigravity": 0, "account_usable/a1/gemini-pro/antigravity": 1, "account_usable/a2/claude/antigravity": 1,
			"account_return_timestamp_seconds/a1/claude/antigravity": unixSeconds(until),
			"account_return_timestamp_seconds/a2/claude/antigravity": math.NaN(), "account_usable/seen/claude/antigravity": math.NaN(),
		})
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
	}))
}

// TestMetricsAreBounded: neither what reports bring nor what is configured makes more
// series than there is room for.
func TestMetricsAreBounded(t *testing.T) {
	t.Run("in a bubble", inBubble(func(t *testing.T) {
		o := withAccounts(1)
		for i := range maxPoolLabels + 50 {
			o.Accounts = append(o.Accounts, PutAccount{ID: fmt.Sprint("p", i), Spec: events.AccountSpec{Provider: fmt.Sprint("provider-", i)}})
		}
		o.PerAccountMetrics = true
		e, reg := measured(t, eventstest.New(), o)
		for i := range 100 {
			execute(t, e, command(&Report{
				Account: fmt.Sprint("evil-", i), Provider: fmt.Sprint("evil-", i), Model: fmt.Sprint("m-", i), Status: 429, Signal: quota(600),
			}))
			execute(t, e, limit("a1", fmt.Sprint("unheard-of-", i%50), 600))
		}
		got := figures(t, reg)
		series := map[string]int{}
		for name := range got {
			metric, _, _ := strings.Cut(name, "/")
			series[metric]++
			if strings.Contains(name, "evil") {
				t.Errorf("a client's name is a label: %s", name)
			}
		}
		for metric, most := range map[string]int{
			"usable_accounts": maxPoolLabels + 1, "accounts": maxPoolLabels + 1, "blocked_accounts": 4 * (maxPoolLabels + 1),
			"next_expiry_timestamp_seconds": maxPoolLabels + 1, "freezes_total": 3 * (maxPoolLabels + 1), "account_usable": maxPoolLabels,
		} {
			if series[metric] > most || series[metric] == 0 && metric != "next_expiry_timestamp_seconds" {
				t.Errorf("%d series of %s, want at most %d", series[metric], metric, most)
			}
		}
		total := 0.0
		for name, v := range got {
			if strings.HasPrefix(name, "accounts/") {
				total += v
			}
		}
		if want := float64(maxPoolLabels + 50 + 3); total != want { // a1 stands in three groups
			t.Errorf("%v accounts in all, want %v", total, want)
		}
		if got["freezes_total/other/cooling/other"] != 100 || got["freezes_total/model:*/cooling/antigravity"] != 50 {
			t.Errorf("freezes: %v of others, %v of models", got["freezes_total/other/cooling/other"], got["freezes_total/model:*/cooling/antigravity"])
		}
	}))
}

// BenchmarkScrape is what a scrape costs at the largest pool, a tenth of which is
// blocked.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{1000, MaxAccounts} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			log := eventstest.New()
			head, err := log.Head(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			var drafts []events.Draft
			for i := range n {
				id := fmt.Sprintf("acct-%06d", i)
				drafts = append(drafts, events.Draft{Account: id, Event: &events.AccountAdded{Spec: events.AccountSpec{
					Provider: "antigravity", Weight: 1, Origin: events.OriginConfigured,
				}}})
				if i%10 == 0 {
					drafts = append(drafts, events.Draft{Account: id, Event: &events.LimitObserved{
						Provider: "antigravity", Target: "claude", Class: events.ClassQuotaExhausted, Effect: events.EffectStarted,
						Until: noon().Add(time.Hour), Source: "h",
					}})
				}
			}
			recs, err := events.Seal(head, noon(), drafts)
			if err == nil {
				err = log.Append(b.Context(), recs)
			}
			if err != nil {
				b.Fatal(err)
			}
			_, reg := measured(b, log, &Options{Now: noon})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reg.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// shelf keeps checkpoints in memory.
type shelf struct {
	mu    sync.Mutex
	heads []events.Head // newest first
	dumps map[events.Seq][]byte
}

func (s *shelf) WriteCheckpoint(_ context.Context, head events.Head, dump []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads = append([]events.Head{head}, s.heads...)
	s.dumps[head.Seq] = dump
	return nil
}

func (s *shelf) Checkpoints() iter.Seq2[events.Head, error] {
	return func(yield func(events.Head, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range s.heads {
			if !yield(h, nil) {
				return
			}
		}
	}
}

func (s *shelf) ReadCheckpoint(head events.Head) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dumps[head.Seq], nil
}

func TestMetricsOfCheckpointsAndTheFold(t *testing.T) {
	log, store := eventstest.New(), &shelf{dumps: map[events.Seq][]byte{}}
	o := withAccounts(1)
	o.Checkpoints, o.Folded = store, time.Minute
	e, reg := measured(t, log, o)
	wantFigures(t, reg, map[string]float64{"checkpoint_seq": 0, "checkpoint_timestamp_seconds": 0})
	if took := figures(t, reg)["fold_seconds"]; took < 60 || took > 120 {
		t.Errorf("reading the log took %v s, want what the caller said and a little", took)
	}
	for range checkpointAtEnd / 2 {
		execute(t, e, command(suspend("a1", "claude", "x")))
		execute(t, e, command(lift("a1", "claude")))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(store.heads) != 1 {
		t.Fatalf("%d checkpoints are kept, want 1", len(store.heads))
	}
	newest := store.heads[0]
	_, reg = measured(t, log, &Options{Checkpoints: store})
	wantFigures(t, reg, map[string]float64{
		"checkpoint_seq": float64(newest.Seq), "checkpoint_timestamp_seconds": unixSeconds(newest.At), "log_seq": float64(newest.Seq),
	})
}
