package projection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// fullLog is a log on a disk that may be full.
type fullLog struct {
	*eventstest.Log
	full     atomic.Bool
	rejected atomic.Int64
}

func (l *fullLog) Append(ctx context.Context, recs []events.Record) error {
	if l.full.Load() {
		l.rejected.Add(1)
		return fmt.Errorf("write log.db: no space left on device: %w", events.ErrFull)
	}
	return l.Log.Append(ctx, recs)
}

// TestRule05FullDiskRejectsAndGoesOn: while the disk is full every command is
// rejected and nothing of it remains, picks see a degraded view, deadlines pass at
// their instant without being recorded, and once there is room all goes on, without
// anything missing from the log.
func TestRule05FullDiskRejectsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fullLog{Log: eventstest.New()}
		o := withAccounts(3)
		o.Now = time.Now
		e, err := Open(t.Context(), log, o)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		limit := func(account, id string, seconds float64) error {
			r := &Report{Account: account, Provider: "antigravity", Model: opus, Status: 429, Signal: quota(seconds), RequestID: id}
			_, err := e.Execute(t.Context(), Command{Do: r})
			return err
		}
		if err := limit("a1", "r1", 60); err != nil {
			t.Fatal(err)
		}
		before := dump(t, e.State())

		log.full.Store(true)
		for n := range 5 {
			if err := limit("a2", "r2", 600); !errors.Is(err, events.ErrFull) {
				t.Fatalf("report %d on a full disk: %v", n, err)
			}
		}
		if v := e.View(); !v.Degraded || !bytes.Equal(dump(t, v.State), before) {
			t.Errorf("degraded %t; or a rejected command is visible", v.Degraded)
		}
		select {
		case <-e.Done():
			t.Fatalf("the engine stopped: %v", e.Err())
		default:
		}

		// A deadline passes meanwhile: the index follows it, the log cannot.
		opus := e.State().Groups().Resolve("antigravity", opus)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		v := e.View()
		if got := v.Index.PoolOf(opus).Lane(opus).Counts().Available; got != 3 || !v.Index.Exact(e.Now()) {
			t.Errorf("%d accounts usable after the deadline, want 3", got)
		}
		if log.rejected.Load() < 10 {
			t.Errorf("the disk was full only %d times", log.rejected.Load())
		}

		log.full.Store(false)
		if err := limit("a2", "r2", 600); err != nil {
			t.Fatalf("with room again: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if e.View().Degraded || e.State().Account("a1").Cell("claude").Cooling != nil {
			t.Error("still degraded, or the expiry was not recorded")
		}
		if !bytes.Equal(dump(t, e.State()), foldOf(t, log)) {
			t.Error("the fold of the log is not the live state")
		}
	})
}

// foldOf dumps the fold of a log.
func foldOf(t *testing.T, log events.Log) []byte {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.begin(head.Log)
	for r, err := range log.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(r)
	}
	return dump(t, s)
}

// TestRule05RefusalsFollowFromWhatIsStored: a command that is refused because of another
// one in its batch is not told so if that one was never stored, or perhaps not. What
// would be refused anyway is.
func TestRule05RefusalsFollowFromWhatIsStored(t *testing.T) {
	for name, cause := range map[string]error{"full": events.ErrFull, "broken": errors.New("input/output error")} {
		t.Run(name, inBubble(func(t *testing.T) {
			g, e := gated(t)
			first := start(t.Context(), e, limit("a1", opus, 600))
			<-g.arrived
			var batch []<-chan error
			for _, do := range []Intent{
				suspend("a2", "claude", "by hand"),
				clearCell("a2", "claude"), // there would only be a suspension
				&RemoveAccount{ID: "a3"},
				suspend("a3", "*", "by hand"), // it would be unknown
				suspend("nobody", "*", "by hand"),
				lift("a1", "claude"), // there is only a cooldown
			} {
				batch = append(batch, start(t.Context(), e, command(do)))
				synctest.Wait()
			}
			g.pass <- struct{}{}
			if err := <-first; err != nil {
				t.Fatal(err)
			}
			<-g.arrived
			g.err.Store(&cause)
			g.pass <- struct{}{}
			for i, want := range []Code{"", "", "", "", CodeUnknownAccount, CodeWrongVerb} {
				err := <-batch[i]
				refused, ok := errors.AsType[*Error](err)
				switch {
				case want == "" && !errors.Is(err, cause):
					t.Errorf("command %d is answered %v, want %v", i, err, cause)
				case want != "" && (!ok || refused.Code != want):
					t.Errorf("command %d is answered %v, want %s", i, err, want)
				}
			}
		}))
	}
}
