package api

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestRefusalsAtASocket tell whose the connection was, or that nobody knows; one in a while.
func TestRefusalsAtASocket(t *testing.T) {
	var log strings.Builder
	l := &ownerListener{logger: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	l.tell(1001, nil, now)
	l.tell(1002, nil, now)
	l.tell(0, errors.New("no such call"), now.Add(2*refusalEvery))
	for text, want := range map[string]int{"uid=1001\n": 1, "uid=": 1, "level=WARN": 2, "error=": 1, `error="no such call"`: 1} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q stands there %d times, want %d:\n%s", text, got, want, log.String())
		}
	}
}
