package ui

import "testing"

func TestTheOutboxIsBounded(t *testing.T) {
	const page = 100 << 20
	o := outbox{most: maxSending}
	if !o.enter(page) || !o.enter(page) || o.enter(page) || !o.enter(smallPage) {
		t.Error("two large pages and any small one can be sent at once, and no third large one")
	}
	o.leave(smallPage)
	o.leave(page)
	if !o.enter(page) || o.enter(page) {
		t.Error("a page that was sent leaves room for one")
	}
}
