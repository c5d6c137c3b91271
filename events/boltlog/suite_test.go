package boltlog

import (
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

func TestLog(t *testing.T) {
	eventstest.Run(t, eventstest.Backend{
		Open: func(t *testing.T) events.Log { return mustOpen(t, t.TempDir(), nil) },
		Reopen: func(t *testing.T, log events.Log) events.Log {
			l := log.(*Log)
			dir := l.root.Name()
			if err := l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return mustOpen(t, dir, nil)
		},
	})
}

// mustOpen opens the log in dir and closes it when the test ends.
func mustOpen(t testing.TB, dir string, o *Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}
