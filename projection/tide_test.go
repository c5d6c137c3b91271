package projection

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// TestPastOpensWithTheRecord: at once for what is there, with the next record for what
// is not, and with nothing else: not with a command that changes nothing, nor with an
// index that follows a deadline.
func TestPastOpensWithTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, eventstest.New(), withAccounts(2))
		synctest.Wait() // the last of its first records is told of after it is answered
		head := e.State().Head().Seq
		if !isOpen(e.After(head - 1)) {
			t.Error("what is published is waited for")
		}
		first, second := e.After(head), e.After(head)
		if isOpen(first) || isOpen(second) {
			t.Fatal("open before there is a record")
		}
		execute(t, e, command(&Lift{Filter: Filter{Account: "a1"}, Reason: "nothing to lift"}))
		synctest.Wait()
		if isOpen(first) {
			t.Error("opened by a command that appends nothing")
		}
		execute(t, e, limit("a1", opus, 3600))
		synctest.Wait()
		if !isOpen(first) || !isOpen(second) || isOpen(e.After(head+1)) {
			t.Error("not open with the record, or open for the next")
		}
	})
}

// TestPastMissesNoRecord: whoever waits again and again, and reads up to the head each
// time, sees every record once, in order, however the records come.
func TestPastMissesNoRecord(t *testing.T) {
	log := eventstest.New()
	e := open(t, log, withAccounts(3))
	const writers, each = 8, 50
	first := e.State().Head().Seq
	seen := make(chan events.Seq)
	go func() {
		defer close(seen)
		for last := first; last < first+writers*each; {
			<-e.After(last)
			head := e.State().Head().Seq
			for r, err := range e.History(context.Background(), events.Query{After: last, Before: head + 1}) {
				if err != nil {
					t.Error(err)
				}
				seen <- r.Seq
			}
			last = head
		}
	}()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				execute(t, e, command(suspend("a1", "*", fmt.Sprint(w, i)))) // a reason of its own: it changes something
			}
		})
	}
	next := first + 1
	for seq := range seen {
		if seq != next {
			t.Fatalf("record %d after %d", seq, next-1)
		}
		next++
	}
	all.Wait()
	if next != first+writers*each+1 {
		t.Errorf("the last record seen is %d", next-1)
	}
}

// TestPastStaysShutWhenTheEngineStops: the log has not grown.
func TestPastStaysShutWhenTheEngineStops(t *testing.T) {
	degraded(t, nil, func(t *testing.T, e *Engine) {
		past := e.After(e.State().Head().Seq)
		time.Sleep(2 * time.Hour) // the index follows deadlines
		synctest.Wait()
		if isOpen(past) || !isOpen(e.Done()) {
			t.Error("open without a record, or the engine goes on")
		}
	})
}
