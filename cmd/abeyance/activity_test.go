package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// story writes the activity log of some drafts, each a record of its own.
func story(drafts ...events.Draft) string {
	var b bytes.Buffer
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}
	a := newActivity(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: drop})), 0)
	for i, d := range drafts {
		a.batch([]events.Record{{Seq: events.Seq(i + 1), Draft: d}})
	}
	a.flush()
	return b.String()
}

func limit(effect events.Effect) events.Draft {
	return events.Draft{Account: "a1", Event: &events.LimitObserved{
		Target: "claude", Class: events.ClassQuotaExhausted, Status: 429, Model: "m", Effect: effect, Source: "ladder",
		Until: testNow.Add(time.Hour), Signal: events.Signal{Reason: "banned"},
	}}
}

func TestActivityTellsFreezesHoldsAndActsOnly(t *testing.T) {
	by := events.Origin{Actor: "operator:admin"}
	got := story(
		limit(events.EffectStarted), limit(events.EffectKept), limit(events.EffectNone), limit(events.EffectExtended), limit(events.EffectHeld),
		events.Draft{Origin: by, Account: "a1", Event: &events.Suspended{Target: "claude", Reason: "why not"}},
		events.Draft{Origin: by, Account: "a1", Event: &events.Lifted{Target: "claude"}},
		events.Draft{Origin: by, Account: "a1", Event: &events.CooldownCleared{Target: "claude"}},
		events.Draft{Account: "a1", Event: &events.Recovered{Target: "claude", Model: "m"}},
		events.Draft{Event: &events.Expired{Cells: []events.Cell{{Account: "a1", Target: "claude"}}, Dimension: events.DimensionCooling}},
		events.Draft{Origin: by, Account: "a1", Event: &events.RecheckRequested{Target: "claude"}},
		events.Draft{Account: "a1", Event: &events.Recovered{Target: "claude", Model: "m", Probe: true}},
	)
	want := `msg=frozen seq=1 account=a1 target=claude class=quota_exhausted status=429 model=m until=2026-11-23T01:00:00Z source=ladder
msg="frozen for longer" seq=4 account=a1 target=claude class=quota_exhausted status=429 model=m until=2026-11-23T01:00:00Z source=ladder
msg="held until a human acts" seq=5 account=a1 target=claude class=quota_exhausted status=429 model=m reason=banned
msg=suspended seq=6 account=a1 target=claude until=forever by=operator:admin reason="why not"
msg=lifted seq=7 account=a1 target=claude by=operator:admin
msg=cleared seq=8 account=a1 target=claude by=operator:admin
msg=recovered seq=9 account=a1 target=claude model=m
msg=expired seq=10 cells=1 first="a1 claude" dimension=cooling
msg="recheck requested" seq=11 account=a1 target=claude by=operator:admin
msg="recovered: a probe was served" seq=12 account=a1 target=claude model=m
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestActivitySummarisesABurstPerTarget(t *testing.T) {
	var burst []events.Draft
	for range 50 {
		burst = append(burst, limit(events.EffectStarted))
	}
	got := story(burst...)
	if n := strings.Count(got, "msg=frozen"); n != activityLines {
		t.Errorf("%d lines of 50, want %d", n, activityLines)
	}
	if !strings.HasSuffix(got, "msg=\"and 40 more\" target=claude\n") {
		t.Errorf("no summary at the end of:\n%s", got)
	}
}

func TestActivitySaysWhatItDidNotTell(t *testing.T) {
	var b bytes.Buffer
	a := newActivity(slog.New(slog.NewTextHandler(&b, nil)), 4)
	a.batch([]events.Record{{Seq: 9, Draft: limit(events.EffectKept)}})
	if !strings.Contains(b.String(), "first_seq=5 last_seq=8") {
		t.Errorf("got %s", b.String())
	}
}
