package api

import (
	"encoding/json"
	"testing"
	"time"
)

// Seconds are written with three decimals at most, whatever floats make of the sum.
func TestSecondsAreWholeMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1656 * time.Millisecond:                   "1.656",
		1655999999 * time.Nanosecond:              "1.656",
		499 * time.Microsecond:                    "0",
		144004687 * time.Millisecond:              "144004.687",
		-1500 * time.Millisecond:                  "-1.5",
		100*366*24*time.Hour + 1*time.Millisecond: "3162240000.001",
	} {
		if got, err := json.Marshal(wholeMillis(d)); err != nil || string(got) != want {
			t.Errorf("%v is %s (%v), want %s", d, got, err, want)
		}
	}
}

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 aliases", 1: "1 alias", 2: "2 aliases"} {
		if got := counted(n, "alias", "aliases"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
