package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/api/hooks"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

const accounts = 60

// trial is one run: an engine on a disk, its notifier, and the receiver.
type trial struct {
	t        *testing.T
	records  int // to be written
	seed     uint64
	lying    bool // a control: acknowledged before it is delivered
	forgets  bool // a control: what was acknowledged is forgotten by a restart
	crashes  bool // the notifier ends as if the machine did
	engine   *projection.Engine
	registry *prometheus.Registry
	path     string
	first    []byte // the cursors at the beginning
	carrier  *carrier
	notifier *hooks.Notifier
	opened   int
	twice    int // messages that the receiver got more than once
}

// findings are what the promises were broken by.
type findings struct {
	episodes   int // in the log
	lost       int // of them never received
	repeated   int // told again after an acknowledgement
	again      int // attempts with an id that was acknowledged
	disordered int // told after a later one
	unended    int // over, and never told to be
}

func chosenSeed() uint64 {
	if *seed != 0 {
		return *seed
	}
	return rand.Uint64()
}

func TestAKilledReceiverIsToldEachEpisodeOnce(t *testing.T) {
	x := &trial{t: t, records: 10_000, seed: chosenSeed()}
	f := x.run()
	if want := (findings{episodes: f.episodes}); f != want {
		t.Errorf("seed %d: %+v", x.seed, f)
	}
	if f.episodes < 1000 || x.opened < 5 || x.twice == 0 {
		t.Errorf("%d episodes, %d times opened, %d received twice: too little to show anything", f.episodes, x.opened, x.twice)
	}
	for _, when := range kills() {
		if x.carrier.fired[when] == 0 {
			t.Errorf("the receiver was never killed %q", when)
		}
	}
}

// TestACrashRepeatsTheMessageUnderWayAtMost: a notifier that does not come to save where
// it is has saved it after every acknowledgement.
func TestACrashRepeatsTheMessageUnderWayAtMost(t *testing.T) {
	x := &trial{t: t, records: 2000, seed: chosenSeed(), crashes: true}
	f := x.run()
	if f.lost+f.unended+f.disordered > 0 || f.repeated > x.opened {
		t.Errorf("seed %d: %+v after %d crashes", x.seed, f, x.opened-1)
	}
}

func TestControlAcknowledgedBeforeDelivered(t *testing.T) {
	x := &trial{t: t, records: 2000, seed: chosenSeed(), lying: true}
	if f := x.run(); f.lost == 0 {
		t.Errorf("seed %d: nothing was lost: %+v", x.seed, f)
	}
}

func TestControlForgettingWhatWasAcknowledged(t *testing.T) {
	x := &trial{t: t, records: 2000, seed: chosenSeed(), forgets: true}
	if f := x.run(); f.repeated == 0 || f.again == 0 || f.lost > 0 {
		t.Errorf("seed %d: nothing was repeated, or something lost: %+v", x.seed, f)
	}
}

func (x *trial) run() findings {
	x.t.Helper()
	dir := x.t.TempDir()
	log, err := boltlog.Open(filepath.Join(dir, "data"), nil)
	if err != nil {
		x.t.Fatal(err)
	}
	defer log.Close()
	o := &projection.Options{}
	for i := range accounts {
		o.Accounts = append(o.Accounts, projection.PutAccount{ID: fmt.Sprint("a", i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	if x.engine, err = projection.Open(x.t.Context(), log, o); err != nil {
		x.t.Fatal(err)
	}
	defer x.engine.Close()
	x.registry, x.path = prometheus.NewRegistry(), filepath.Join(dir, "data", hooks.FileName)
	x.carrier = newCarrier(newReceiver(x.t), x.seed)
	x.carrier.lying = x.lying
	defer x.carrier.http.CloseIdleConnections()
	defer x.carrier.peace()
	x.open()
	if x.first, err = os.ReadFile(x.path); err != nil {
		x.t.Fatal(err)
	}
	x.write()
	x.carrier.peace()
	x.drain()
	x.close()
	x.carrier.peace()
	return x.judge()
}

func (x *trial) open() {
	x.t.Helper()
	s, err := hooks.ParseSecret(secret)
	if err != nil {
		x.t.Fatal(err)
	}
	x.notifier, err = hooks.Open(hooks.Options{Engine: x.engine, Path: x.path, Registerer: x.registry, Transport: x.carrier})
	if err == nil {
		err = x.notifier.Set([]hooks.Hook{{
			Name: "ops", URL: "http://" + x.carrier.receiver.addr + "/hook", Secret: s,
			Filter: projection.NoticeFilter{On: []projection.NoticeKind{projection.NoticeFrozen, projection.NoticeRecovered}},
		}})
	}
	if err != nil {
		x.t.Fatal(err)
	}
	x.opened++
}

// close ends the notifier, and loses its memory if it is to.
func (x *trial) close() {
	saved, err := os.ReadFile(x.path)
	x.notifier.Close()
	switch {
	case x.forgets:
		saved = x.first
	case !x.crashes:
		return
	}
	if err := errors.Join(err, os.WriteFile(x.path, saved, 0o600)); err != nil {
		x.t.Fatal(err)
	}
}

// write appends the records, by several writers at a pace of some hundred a second, and
// closes and opens the notifier meanwhile.
func (x *trial) write() {
	restarts := rand.New(rand.NewPCG(x.seed, 2))
	var writers sync.WaitGroup
	const n = 4
	done := make(chan struct{})
	for w := range n {
		r := rand.New(rand.NewPCG(x.seed, uint64(10+w)))
		writers.Go(func() {
			frozen := map[int]bool{} // accounts are the writer's own
			for int(x.engine.State().Head().Seq) < x.records {
				x.event(r, frozen, w+n*r.IntN(accounts/n))
				time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
			}
		})
	}
	go func() {
		writers.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(200+restarts.IntN(1500)) * time.Millisecond):
			x.close()
			x.open()
		}
	}
}

// event freezes an account, or reports another answer about it, or serves it.
func (x *trial) event(r *rand.Rand, frozen map[int]bool, account int) {
	report := &projection.Report{
		Account: fmt.Sprint("a", account), Provider: "antigravity", Model: "claude-opus-4-6", Status: 429, StartedAt: time.Now(),
		Signal: events.Signal{
			Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "test/rule", Classifier: 1,
			Hints: []events.Hint{{Source: "h", Raw: "3600", Seconds: 3600}},
		},
	}
	if frozen[account] && r.IntN(2) == 0 {
		report.Status, report.Signal = 200, events.Signal{Class: events.ClassOK, Scope: events.ScopeNone, Rule: "test/ok", Classifier: 1}
	}
	frozen[account] = report.Status == 429
	_, err := x.engine.Execute(context.Background(), projection.Command{
		Origin: events.Origin{Actor: "proxy:test", Via: events.ViaGo}, Do: report,
	})
	if err != nil {
		x.t.Error(err)
	}
}

// drain waits until the hook has been told all.
func (x *trial) drain() {
	x.t.Helper()
	for range 6000 {
		if x.figure("abeyance_webhook_lag_records") == 0 && x.figure("abeyance_webhook_pending") == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	x.t.Fatalf("seed %d: after two minutes the hook is %v records behind", x.seed, x.figure("abeyance_webhook_lag_records"))
}

func (x *trial) figure(name string) float64 {
	families, err := x.registry.Gather()
	if err != nil {
		x.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	x.t.Fatalf("no metric %s", name)
	return 0
}

// story is one thing told: of which freeze, by the record that began it.
type story struct {
	account string
	seq     uint64
}

// judge compares what the log holds with what was acknowledged, and that with what the
// receiver got.
func (x *trial) judge() findings {
	x.t.Helper()
	list, _, err := x.engine.Past().Episodes(context.Background(), projection.EpisodeQuery{})
	if err != nil {
		x.t.Fatal(err)
	}
	f := findings{episodes: len(list), again: x.carrier.again}
	got := map[string]bool{}
	entries := x.carrier.receiver.entries()
	for _, e := range entries {
		got[e.ID] = true
	}
	begun, ended, keys := map[story]int{}, map[string]int{}, map[story]string{}
	last := uint64(0)
	for _, e := range x.carrier.acked {
		if !got[e.ID] {
			continue
		}
		for _, n := range newsOf(x.t, e) {
			if n.Over {
				ended[n.Key]++
			}
			if n.Type == "cell.recovered" {
				continue
			}
			s := story{n.Account, n.Seq}
			keys[s] = n.Key
			if begun[s]++; begun[s] == 1 && n.Seq < last {
				f.disordered++
			}
			last = max(last, n.Seq)
		}
	}
	for i := range list {
		e := &list[i]
		s := story{e.Account, uint64(e.Started)}
		if begun[s] == 0 {
			f.lost++
		}
		f.repeated += max(begun[s]-1, 0) + max(ended[keys[s]]-1, 0)
		if !e.EndedAt.IsZero() && ended[keys[s]] == 0 {
			f.unended++
		}
	}
	x.twice = len(entries) - len(got)
	x.t.Logf("seed %d: %d records, %d freezes, %d kills (%v), %d times opened, %d attempts, %d acknowledged, %d received, %d more than once",
		x.seed, x.engine.State().Head().Seq, f.episodes, x.carrier.receiver.kills, x.carrier.fired, x.opened, x.carrier.attempts,
		len(x.carrier.acked), len(entries), x.twice)
	return f
}

type told struct {
	Type string
	hooks.News
}

// newsOf lists what a message tells.
func newsOf(t *testing.T, e entry) []told {
	t.Helper()
	var m struct {
		Type string
		Data json.RawMessage
	}
	err := json.Unmarshal(e.Body, &m)
	list := []told{{Type: m.Type}}
	if m.Type == hooks.TypeDigest {
		var d struct{ Notices []told }
		err = errors.Join(err, json.Unmarshal(m.Data, &d))
		list = d.Notices
	} else {
		err = errors.Join(err, json.Unmarshal(m.Data, &list[0].News))
	}
	if err != nil {
		t.Fatalf("%s: %v", e.Body, err)
	}
	return list
}
