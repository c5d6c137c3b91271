package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// pastDays is how many days the log covers, evenly.
const pastDays = 10

// waypoint is how far apart the engine keeps states for looking back on the newest million
// records.
const waypoint = 10_000

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if dir, err := pastLog(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// pastLog makes a log of -records records about 10 000 accounts, once, with what the
// engine keeps beside it. Each account is refused, again and again, and served at last.
var pastLog = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "abeyance-bench-")
	if err != nil {
		return "", err
	}
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		return dir, err
	}
	m := pastMaker{log: log, now: pastBegin()}
	err = m.make()
	if closed := log.Close(); err == nil {
		err = closed
	}
	return dir, err
})

func pastBegin() time.Time { return time.Date(2026, 9, 14, 0, 0, 0, 0, time.UTC) }

// pastMaker decides, seals and appends, in large batches.
type pastMaker struct {
	log    *boltlog.Log
	state  *projection.State
	head   events.Head
	now    time.Time
	sealer events.Sealer
	batch  []events.Record
	err    error
}

func (m *pastMaker) make() (err error) {
	if m.state, err = begun(m.log); err != nil {
		return err
	}
	m.head = m.state.Head()
	for i := range pool {
		m.do(&projection.PutAccount{ID: accountID(i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	step := pastDays * 24 * time.Hour / time.Duration(*records)
	for n := 0; m.err == nil && int(m.head.Seq) < *records; n++ {
		m.now = m.now.Add(step)
		m.do(pastReport(n, m.now, m.head.Seq))
	}
	m.flush()
	return m.err
}

// begun lets an engine put the definitions in force, and returns the state after that: only
// an engine tells a state whose log it is of.
func begun(log events.Log) (*projection.State, error) {
	e, err := projection.Open(context.Background(), log, &projection.Options{Now: pastBegin})
	if err != nil {
		return nil, err
	}
	dump, err := e.State().Dump()
	if closed := e.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return projection.Load(dump)
}

// pastReport is the n-th answer: a round of refusals of all accounts with resets of hours,
// one of longer ones, and one of successes.
func pastReport(n int, now time.Time, lease events.Seq) *projection.Report {
	r := report(n, new(projection.Report)).Do.(*projection.Report)
	r.StartedAt, r.Lease = now.Add(-time.Second), lease
	if n/pool%3 == 2 {
		r.Status, r.Signal = 200, events.Signal{Class: events.ClassOK, Scope: events.ScopeNone, Rule: "ok", Classifier: 1}
	}
	r.Signal.Hints = append([]events.Hint(nil), r.Signal.Hints...)
	for i := range r.Signal.Hints {
		r.Signal.Hints[i].Seconds = float64(30_000 + 3_000*(n/pool%3))
		r.Signal.Hints[i].Raw = fmt.Sprint(r.Signal.Hints[i].Seconds, "s")
	}
	return r
}

// do executes a command, and at the end of a batch stores what came of it.
func (m *pastMaker) do(intent projection.Intent) {
	id := fmt.Sprintf("0195a1d2-7e3c-7b9a-8f10-%012d", m.head.Seq)
	c := projection.Command{Origin: events.Origin{Actor: "proxy:bench", Via: events.ViaGo, CorrelationID: id}, Do: intent}
	for _, do := range []projection.Command{c, {Origin: events.Origin{Actor: projection.ActorExpiry, CorrelationID: id}, Do: &projection.Expire{}}} {
		if _, expires := do.Do.(*projection.Expire); expires && !m.state.Due(m.now) {
			continue
		}
		d, err := projection.Decide(m.state, do, m.now)
		if err != nil {
			m.err = err
			return
		}
		from := len(m.batch)
		if m.batch, err = m.sealer.Seal(m.batch, m.head, m.now, d.Drafts); err != nil {
			m.err = err
			return
		}
		for _, r := range m.batch[from:] {
			m.state.Apply(r)
			m.head = m.head.Next(r)
			if m.head.Seq%waypoint == 0 {
				m.flush()
				m.checkpoint()
			}
		}
	}
	if len(m.batch) >= 4096 {
		m.flush()
	}
}

func (m *pastMaker) flush() {
	if m.err == nil {
		m.err = m.log.Append(context.Background(), m.batch)
	}
	m.batch = nil
	m.state.Snapshot() // what was changed since is of no interest
}

func (m *pastMaker) checkpoint() {
	dump, err := m.state.Pack()
	if err == nil {
		err = m.log.WriteCheckpoint(context.Background(), m.state.Head(), dump)
	}
	if m.err == nil {
		m.err = err
	}
}

// openPast opens the log and its state at the end.
func openPast(b *testing.B) *projection.Past {
	b.Helper()
	dir, err := pastLog()
	if err != nil {
		b.Fatal(err)
	}
	s := projection.NewState()
	log, err := boltlog.Open(dir, &boltlog.Options{ReadOnly: true, Replay: func(r events.Record) error { s.Apply(r); return nil }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	return &projection.Past{Log: log, State: s.Snapshot(), Now: s.Head().At, Checkpoints: log}
}

// anywhere draws a record, the same ones in every run.
func anywhere(b *testing.B, p *projection.Past) func() events.Seq {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	return func() events.Seq { return events.Seq(pool + 3 + r.IntN(int(p.State.Head().Seq)-pool-3)) }
}

func explain(b *testing.B, p *projection.Past, s *projection.State, now time.Time, account string) {
	b.Helper()
	x, err := projection.Explain(s, projection.Question{Account: account, Target: "claude"}, now, func(seq events.Seq) (events.Record, error) {
		return p.Record(context.Background(), seq)
	})
	if err != nil || x.Sentence == "" {
		b.Fatal(x, err)
	}
}

// BenchmarkWhyNow explains a cell at the end of the log.
func BenchmarkWhyNow(b *testing.B) {
	p := openPast(b)
	n := 0
	for b.Loop() {
		n++
		explain(b, p, p.State, p.Now, accountID(n*7919%pool))
	}
}

// BenchmarkWhyAt explains a cell at a record anywhere.
func BenchmarkWhyAt(b *testing.B) {
	p := openPast(b)
	next, n := anywhere(b, p), 0
	for b.Loop() {
		n++
		s, err := p.StateAt(context.Background(), projection.Moment{Seq: next()})
		if err != nil {
			b.Fatal(err)
		}
		explain(b, p, s, s.Head().At, accountID(n*7919%pool))
	}
}

// BenchmarkCellsAt works out all cells at a record anywhere.
func BenchmarkCellsAt(b *testing.B) {
	p := openPast(b)
	next := anywhere(b, p)
	for b.Loop() {
		s, err := p.StateAt(context.Background(), projection.Moment{Seq: next()})
		if err != nil {
			b.Fatal(err)
		}
		cells := 0
		for a := range s.Accounts("") {
			cells += len(a.Cells)
		}
	}
}

// BenchmarkHistoryPage reads a page of 100 records about one account.
func BenchmarkHistoryPage(b *testing.B) {
	p := openPast(b)
	i := 0
	for b.Loop() {
		i++
		n := 0
		for _, err := range p.Log.History(context.Background(), events.Query{Account: accountID(i * 7919 % pool), Newest: true}) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 100 {
				break
			}
		}
	}
}

// BenchmarkWhatIf replays the last day under a shorter bound. MB is what it
// needs at most above what stands in memory anyway.
func BenchmarkWhatIf(b *testing.B) {
	p := openPast(b)
	half := projection.Duration(30 * time.Minute)
	end := p.State.Head().At
	q := projection.Replay{
		From: projection.Moment{At: end.Add(-24 * time.Hour)}, To: projection.Moment{At: end},
		Policy: &projection.PolicyConfig{RulesConfig: projection.RulesConfig{QuotaExhausted: &projection.ClassConfig{Bound: &projection.BoundConfig{All: &half}}}},
	}
	var most uint64
	for b.Loop() {
		most = max(most, peak(b, func() {
			out, err := p.Replay(context.Background(), q)
			if err != nil || out.Observations == 0 {
				b.Fatal(out, err)
			}
		}))
	}
	b.ReportMetric(float64(most)/(1<<20), "MB")
}

// peak runs f and returns by how much the live heap grew meanwhile, at most, as samples
// tell.
func peak(b *testing.B, f func()) uint64 {
	b.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before, most := heap(), uint64(0)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				most = max(most, heap())
			}
		}
	}()
	f()
	close(done)
	<-ended
	return most - min(most, before)
}
