package projection

import (
	"math"
	"testing"
	"time"
)

// TestInstantOf: instants are the nanoseconds of times, as far as there are any, and
// keep their order beyond.
func TestInstantOf(t *testing.T) {
	for at, want := range map[time.Time]Instant{
		{}:                         Never,
		time.Unix(0, 0):            0,
		time.Unix(0, -1):           -1,
		noon():                     Instant(noon().UnixNano()),
		noon().Add(1):              Instant(noon().UnixNano() + 1),
		noon().AddDate(9000, 0, 0): Never - 1,
		time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC): math.MinInt64,
	} {
		if got := InstantOf(at); got != want {
			t.Errorf("%s is %d, want %d", at, got, want)
		}
	}
	if at := noon().Add(7); !InstantOf(at).Time().Equal(at) || !Never.Time().IsZero() {
		t.Error("an instant is not the time it was made of")
	}
}
