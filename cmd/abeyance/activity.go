package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Pacing of the activity log.
const (
	activityPeriod = time.Second
	activityLines  = 10   // per target and period; more become one line with a count
	activityQueue  = 1024 // batches waiting to be told; more are only counted
)

// toldLog is a log that tells what it has stored durably. Telling never holds up a
// commit: what does not fit the queue is dropped and counted.
type toldLog struct {
	events.Log
	tell chan<- []events.Record
}

// Append implements events.Log.
func (l toldLog) Append(ctx context.Context, recs []events.Record) error {
	if err := l.Log.Append(ctx, recs); err != nil {
		return err
	}
	select {
	case l.tell <- recs:
	default:
	}
	return nil
}

// activity writes one line per freeze, hold, recovery and operator act. Lines hold
// stored ids only, so no e-mail.
type activity struct {
	logger *slog.Logger
	last   events.Seq // told about; a gap after it was dropped
	// lines :: target → what happened to it in this period
	lines map[string]*targetLines
}

type targetLines struct{ written, held int }

func newActivity(l *slog.Logger, head events.Seq) *activity {
	return &activity{logger: l, last: head, lines: map[string]*targetLines{}}
}

// run tells until the channel is closed.
func (a *activity) run(from <-chan []events.Record) {
	period := time.NewTicker(activityPeriod)
	defer period.Stop()
	defer a.flush()
	for {
		select {
		case recs, ok := <-from:
			if !ok {
				return
			}
			a.batch(recs)
		case <-period.C:
			a.flush()
		}
	}
}

func (a *activity) batch(recs []events.Record) {
	if first := recs[0].Seq; first > a.last+1 {
		a.logger.Info("more happened than could be told", "first_seq", uint64(a.last+1), "last_seq", uint64(first-1))
	}
	for _, r := range recs {
		a.record(r)
	}
	a.last = recs[len(recs)-1].Seq
}

// record writes a record's line, unless its target had too many in this period.
func (a *activity) record(r events.Record) {
	target, message, attrs := describeActivity(r)
	if message == "" {
		return
	}
	t := a.lines[target]
	if t == nil {
		t = &targetLines{}
		a.lines[target] = t
	}
	if t.written >= activityLines {
		t.held++
		return
	}
	t.written++
	attrs = append([]slog.Attr{slog.Uint64("seq", uint64(r.Seq))}, attrs...)
	a.logger.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
}

// flush ends a period.
func (a *activity) flush() {
	for _, target := range slices.Sorted(maps.Keys(a.lines)) {
		if n := a.lines[target].held; n > 0 {
			a.logger.Info(fmt.Sprintf("and %d more", n), "target", target)
		}
	}
	clear(a.lines)
}

// describeActivity returns what a record's line says; no message for records that
// get none.
func describeActivity(r events.Record) (target, message string, attrs []slog.Attr) {
	switch e := r.Event.(type) {
	case *events.LimitObserved:
		return describeLimit(r, e)
	case *events.Suspended:
		return e.Target, "suspended", append(cellAttrs(r, e.Target), slog.String("until", instantOr(e.Until, "forever")),
			slog.String("by", r.Actor), slog.String("reason", e.Reason))
	case *events.Lifted:
		return e.Target, "lifted", append(cellAttrs(r, e.Target), slog.String("by", r.Actor))
	case *events.CooldownCleared:
		return e.Target, "cleared", append(cellAttrs(r, e.Target), slog.String("by", r.Actor))
	case *events.RecheckRequested:
		return e.Target, "recheck requested", append(cellAttrs(r, e.Target), slog.String("by", r.Actor))
	case *events.Recovered:
		message := "recovered"
		if e.Probe {
			message = "recovered: a probe was served"
		}
		return e.Target, message, append(cellAttrs(r, e.Target), slog.String("model", e.Model))
	case *events.Expired:
		return "", "expired", []slog.Attr{
			slog.Int("cells", len(e.Cells)), slog.String("first", e.Cells[0].Account+" "+e.Cells[0].Target),
			slog.String("dimension", string(e.Dimension)),
		}
	case *events.AccountAdded:
		return "", "account added", accountAttrs(r, e.Spec)
	case *events.AccountChanged:
		return "", "account changed", accountAttrs(r, e.Spec)
	case *events.AccountRemoved:
		return "", "account removed", []slog.Attr{slog.String("account", r.Account), slog.String("by", r.Actor)}
	case *events.GroupsDefined:
		return "", "groups defined", []slog.Attr{slog.Uint64("version", e.Version), slog.String("by", r.Actor)}
	case *events.PolicyDefined:
		return "", "policy defined", []slog.Attr{slog.Uint64("version", e.Version), slog.String("by", r.Actor)}
	case *events.LossAccepted:
		return "", "going on without lost records", []slog.Attr{slog.Uint64("held", uint64(e.Seq)), slog.Uint64("left", uint64(e.From))}
	case *events.SettingsChanged:
		return "", "", nil // the reload tells of each
	case *events.Imported:
		return e.Target, "imported", append(cellAttrs(r, e.Target), slog.String("source", e.Source),
			slog.String("cooling_until", instantOr(e.CoolUntil, "-")), slog.Bool("suspended", e.Suspended), slog.String("by", r.Actor))
	}
	return "", "", nil
}

// describeLimit tells of freezes and holds; a 429 that only confirms one says
// nothing new.
func describeLimit(r events.Record, e *events.LimitObserved) (string, string, []slog.Attr) {
	attrs := append(cellAttrs(r, e.Target), slog.String("class", string(e.Class)), slog.Int("status", e.Status), slog.String("model", e.Model))
	switch e.Effect {
	case events.EffectStarted, events.EffectExtended:
		message := "frozen"
		if e.Effect == events.EffectExtended {
			message = "frozen for longer"
		}
		return e.Target, message, append(attrs, slog.String("until", instantOr(e.Until, "-")), slog.String("source", e.Source))
	case events.EffectHeld:
		return e.Target, "held until a human acts", append(attrs, slog.String("reason", e.Signal.Reason))
	default:
		return "", "", nil
	}
}

func cellAttrs(r events.Record, target string) []slog.Attr {
	return []slog.Attr{slog.String("account", r.Account), slog.String("target", target)}
}

func accountAttrs(r events.Record, s events.AccountSpec) []slog.Attr {
	return []slog.Attr{
		slog.String("account", r.Account), slog.String("provider", s.Provider), slog.String("origin", string(s.Origin)),
		slog.Bool("disabled", s.Disabled), slog.String("by", r.Actor),
	}
}

func instantOr(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}
