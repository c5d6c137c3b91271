package eventstest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryLog(t *testing.T) {
	eventstest.Run(t, eventstest.Backend{Open: func(*testing.T) events.Log { return eventstest.New() }})
}
