package ui

import "testing"

func TestTheOutboxIsBounded(t *testing.T) {
	const page = 100 << 20
	o := outbox{most: maxSending}
	for i, want := range []bool{true, true, false, false} {
		if got := o.enter(page); got != want {
			t.Errorf("large page %d: %v, not %v", i, got, want)
		}
	}
	if !o.enter(smallPage) {
		t.Error("a small page has no room")
	}
	o.leave(smallPage)
	o.leave(page)
	for i, want := range []bool{true, false} {
		if got := o.enter(page); got != want {
			t.Errorf("after one was sent, large page %d: %v, not %v", i, got, want)
		}
	}
}
