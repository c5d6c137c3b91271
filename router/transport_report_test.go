package router

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// A report that cannot be recorded costs the client nothing but a retry elsewhere.
func TestTransportReportFails(t *testing.T) {
	r := newRig(t, 2, by(answers{"a001": always(429, quotaSpent)}))
	var log bytes.Buffer
	r.Logger = slog.New(slog.NewTextHandler(&log, nil))
	r.engine.Close()
	if status, body := r.send(opus); status != 200 || body != hello || r.tried() != "a001 a002" {
		t.Errorf("answer %d by %s", status, r.tried())
	}
	for _, part := range []string{"account=a001", "target=claude", "status=429", "stopped"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, log.String())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines were logged; a success where nothing blocks needs no record", n)
	}
}

// gate is a log on which appends wait.
type gate struct {
	events.Log
	open chan struct{}
}

func (g *gate) Append(ctx context.Context, recs []events.Record) error {
	<-g.open
	return g.Log.Append(ctx, recs)
}

// A busy engine is asked again, and then given up on.
func TestTransportBusyEngine(t *testing.T) {
	for name, c := range map[string]struct {
		opens    time.Duration
		recorded int
	}{"soon idle": {120 * time.Millisecond, 1}, "busy": {time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := liveRig(t, 2, by(answers{"a001": always(429, quotaSpent)}))
				g := &gate{Log: r.log, open: make(chan struct{})}
				r.engine.Close()
				e, err := projection.Open(t.Context(), g, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				r.engine, r.Transport.Router = e, New(e, nil)
				for range 1 + 4096 { // one in the writer's hands, the others in its queue
					go e.Execute(t.Context(), projection.Command{Do: &projection.PatchAccount{ID: "a002", Priority: new(-1)}})
					synctest.Wait()
				}
				began := time.Now()
				time.AfterFunc(c.opens, func() { close(g.open) })
				status, _ := r.send(opus)
				if status != 200 || time.Since(began) > 350*time.Millisecond {
					t.Errorf("status %d after %v", status, time.Since(began))
				}
				<-g.open
				synctest.Wait()
				if n := len(r.limits()); n != c.recorded {
					t.Errorf("%d limits recorded, want %d", n, c.recorded)
				}
			})
		})
	}
}
