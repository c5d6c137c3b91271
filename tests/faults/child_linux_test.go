package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// The modes of a process under test.
const (
	modeSound  = "sound"  // as it should be
	modeBoast  = "boast"  // negative control: acknowledges before it appends
	modeNoSync = "nosync" // negative control: a file that is never synced
	// modeRecorded is sound, and ends by itself: see recorded.
	modeRecorded = "recorded"
)

const (
	writers      = 8
	poolSize     = 6
	provider     = "antigravity"
	model        = "claude-opus-4-6"
	longEnough   = 3600.0 // seconds of a cooldown, which no round lives to see the end of
	witnessEvery = 50     // acknowledgements between two states that are witnessed
	// checkpointRecords is how many records apart a process under test writes
	// checkpoints beside those of the engine, so that many kills fall into one.
	checkpointRecords = 100
)

// prefixAll begins the ids of commands that are poolSize records or none.
const prefixAll = "all-"

// child is the process under test: "MODE RUN DIR". It sends commands from several
// goroutines until it is killed or the engine stops. RUN makes its ids unique. It
// prints, each in a line of its own,
//
//	ack ID SEQ HASH...       command ID was executed: these are its records
//	refused ID               command ID was refused: there are no records of it
//	state SEQ SHA256         what was published at SEQ, by the hash of its dump
//	checkpoint begin|end     around the writing of one
//	degraded true|false      after the engine stopped: whether a pick was marked so
//	stopped WHY              the end
func child(what string) int {
	part := strings.SplitN(what, " ", 3)
	if part[0] == modeRecorded {
		return recorded(part[1], part[2])
	}
	u, err := openUnderTest(part[0], part[2])
	if err != nil {
		fmt.Printf("stopped %q\n", err)
		return 1
	}
	u.run = part[1]
	var writing sync.WaitGroup
	for n := range writers {
		writing.Go(func() { u.write(n) })
	}
	go u.witness()
	if u.checkpoints != nil {
		go u.checkpoint()
	}
	writing.Wait()
	u.stopped()
	return 1
}

// underTest is the inside of a process under test.
type underTest struct {
	run         string
	log         events.Log
	engine      *projection.Engine
	router      *router.Router
	acked       chan struct{} // receives for each acknowledgement, if the witness keeps up
	checkpoints *boltlog.Log  // nil: none are written

	print sync.Mutex
}

func openUnderTest(mode, dir string) (*underTest, error) {
	u := &underTest{acked: make(chan struct{}, witnessEvery)}
	o := &projection.Options{Accounts: pool()}
	if err := u.openLog(mode, dir, o); err != nil {
		return nil, err
	}
	var err error
	if u.engine, err = projection.Open(context.Background(), u.log, o); err != nil {
		return nil, err
	}
	u.router = router.New(u.engine, nil)
	return u, nil
}

func (u *underTest) openLog(mode, dir string, o *projection.Options) (err error) {
	if mode == modeNoSync {
		u.log, err = openNoSync(dir)
		return err
	}
	f, err := openFolded(dir)
	if err != nil {
		return err
	}
	u.log, o.State = f.log, f.State
	if mode == modeBoast {
		u.log, err = newBoast(f.log)
		return err
	}
	u.checkpoints, o.Checkpoints = f.log, f.log
	return nil
}

func pool() []projection.PutAccount {
	accounts := make([]projection.PutAccount, poolSize)
	for i := range accounts {
		accounts[i] = projection.PutAccount{ID: fmt.Sprint("a", i), Spec: events.AccountSpec{
			Provider: provider, Weight: 1, Origin: events.OriginConfigured,
		}}
	}
	return accounts
}

func (u *underTest) say(format string, args ...any) {
	u.print.Lock()
	defer u.print.Unlock()
	fmt.Printf(format+"\n", args...)
}

// write sends commands one after another until the engine stops.
func (u *underTest) write(writer int) {
	for n := 0; u.send(writer, n); n++ {
	}
}

// send executes a writer's n-th command and acknowledges it when it has returned. It
// returns false if nobody knows what became of it.
func (u *underTest) send(writer, n int) bool {
	c := u.command(writer, n)
	out, err := u.engine.Execute(context.Background(), c)
	if err != nil {
		_, refused := errors.AsType[*projection.Error](err)
		if refused {
			u.say("refused %s", c.CorrelationID)
		}
		return refused
	}
	var line strings.Builder
	for _, r := range out.Records {
		fmt.Fprintf(&line, " %d %s", r.Seq, r.Hash)
	}
	u.say("ack %s%s", c.CorrelationID, line.String())
	select {
	case u.acked <- struct{}{}:
	default:
	}
	return true
}

// command returns a writer's n-th command: limits, and now and then an operator's
// command about all of the pool.
func (u *underTest) command(writer, n int) projection.Command {
	id := fmt.Sprintf("%s.%d.%d", u.run, writer, n)
	account := fmt.Sprint("a", (writer+n)%poolSize)
	var do projection.Intent
	switch n % 8 {
	case 3:
		id = prefixAll + id
		do = &projection.Suspend{Filter: projection.Filter{Provider: provider}, Reason: id, For: time.Hour}
	case 5:
		do = &projection.Lift{Filter: projection.Filter{Account: account}, Reason: id}
	case 7:
		do = &projection.Clear{Filter: projection.Filter{Account: account}, Reason: id}
	default:
		do = limitOf(account, id)
	}
	return projection.Command{Origin: events.Origin{Actor: "operator:faults", Via: events.ViaGo, CorrelationID: id}, Do: do}
}

// limitOf reports a spent quota.
func limitOf(account, request string) *projection.Report {
	return &projection.Report{
		Account: account, Provider: provider, Model: model, Status: 429, RequestID: request, StartedAt: time.Now(),
		Signal: events.Signal{
			Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "faults", Classifier: 1,
			Hints: []events.Hint{{Source: "RetryInfo.retryDelay", Raw: "3600s", Seconds: longEnough}},
		},
	}
}

// witness says now and then what state is published.
func (u *underTest) witness() {
	for {
		for range witnessEvery {
			<-u.acked
		}
		u.publish()
	}
}

// publish says what state is published.
func (u *underTest) publish() {
	s := u.engine.State()
	if sum, err := digest(s); err == nil {
		u.say("state %d %x", s.Head().Seq, sum)
	}
}

// checkpoint writes checkpoints much more often than the engine does.
func (u *underTest) checkpoint() {
	for last := events.Seq(0); ; {
		s := u.engine.State()
		select {
		case <-u.engine.Done():
			return
		default:
		}
		if s.Head().Seq < last+checkpointRecords {
			time.Sleep(time.Millisecond) // paces the checkpoints and decides nothing
			continue
		}
		last = s.Head().Seq
		dump, err := s.Dump()
		if err == nil {
			u.say("checkpoint begin")
			err = u.checkpoints.WriteCheckpoint(context.Background(), s.Head(), dump)
		}
		u.say("checkpoint end %q", fmt.Sprint(err))
	}
}

// stopped says why the engine stopped, and what picks are like after that.
func (u *underTest) stopped() {
	<-u.engine.Done()
	lease, err := u.router.Pick(router.Request{Provider: provider, Model: "gemini-3-flash"})
	if _, blocked := errors.AsType[*router.BlockedError](err); err == nil || blocked {
		u.say("degraded %t", u.engine.View().Degraded && (blocked || lease.Degraded))
	}
	u.say("stopped %q", fmt.Sprint(u.engine.Err()))
	os.Stdout.Close()
}
