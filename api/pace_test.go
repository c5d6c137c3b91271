package api

import (
	"testing"
	"time"
)

// Requests come in another order than they began: one whose now lies before another's
// waits for its turn if there is a pace, and never if there is none.
func TestPaceOfWhatComesOutOfOrder(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	var debt time.Time
	for _, at := range []time.Time{now, now.Add(-time.Second), now.Add(time.Minute), now} {
		after, wait := changePace(0).take(debt, at)
		if debt = after; wait != 0 {
			t.Errorf("without a pace one waits %v", wait)
		}
	}
	paced := changePace(1) // ten at once, had they one now
	debt = time.Time{}
	for i := range 12 {
		after, wait := paced.take(debt, now.Add(-time.Duration(i)*time.Millisecond))
		if debt = after; (wait > 0) != (i >= 9) { // the tenth began 9 ms before the first
			t.Errorf("the %dth waits %v", i+1, wait)
		}
	}
}
