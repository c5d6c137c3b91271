package hooks

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

func instant(n int) time.Time { return time.Date(2026, 3, 17, 12, 0, n, 0, time.UTC) }

// notices are of n freezes at a time, each of which begins at a record and is over some
// records later.
func notices(n, episodes int) (list []projection.Notice) {
	seq := 0
	tell := func(subject int, over bool) {
		list = append(list, projection.Notice{
			Kind: projection.NoticeFrozen, Over: over, Subject: fmt.Sprint("s", subject), At: instant(seq), Seq: events.Seq(seq + 1),
			Before: projection.Position{Seq: events.Seq(seq), At: instant(seq)},
		})
		seq++
	}
	for i := range episodes + n {
		if i < episodes {
			tell(i, false)
		}
		if i >= n {
			tell(i-n, true)
		}
	}
	return list
}

func told(items []*item) (list []string) {
	for _, x := range items {
		for _, n := range []*projection.Notice{x.start, x.end} {
			if n != nil {
				list = append(list, n.ID("log"))
			}
		}
	}
	return list
}

func TestWhatIsOverBeforeItIsToldIsOneItem(t *testing.T) {
	q := newQueue("log", true)
	for _, n := range notices(2, 3) {
		q.add(n)
	}
	if len(q.items) != 3 {
		t.Fatalf("%d items, want 3", len(q.items))
	}
	for i, x := range q.items {
		if x.start == nil || x.end == nil || x.start.Subject != fmt.Sprint("s", i) || x.end.Subject != x.start.Subject {
			t.Errorf("item %d is %+v", i, x)
		}
	}
}

func TestAnEndIsToldAloneOnlyToWhoAsksForIt(t *testing.T) {
	for _, recovered := range []bool{false, true} {
		q := newQueue("log", recovered)
		list := notices(1, 1)
		q.add(list[0])
		q.settle(1)
		q.add(list[1])
		if got := len(q.items) == 1; got != recovered {
			t.Errorf("recovered %t: %d items", recovered, len(q.items))
		}
	}
}

func TestADigestIsOfWhatHasLongBeenOver(t *testing.T) {
	q := newQueue("log", true)
	for _, n := range notices(1, 100) {
		q.add(n)
	}
	last := q.items[len(q.items)-1]
	if got := q.next(last.end.At); len(got) < 2 || len(got) > maxDigest {
		t.Errorf("%d in a digest", len(got))
	}
	if got := q.next(instant(1)); len(got) != 1 {
		t.Errorf("what is just over is told in a digest of %d", len(got))
	}
	q = newQueue("log", true)
	for _, n := range notices(50, 50)[:60] { // 50 begin, 10 of them are over
		q.add(n)
	}
	now := instant(1000)
	if got := q.next(now); len(got) != 10 {
		t.Errorf("a digest of %d, want the 10 that are over", len(got))
	}
	q.settle(10)
	if got := q.next(now); len(got) != 1 || got[0].end != nil {
		t.Errorf("what goes on is told in a message of %d", len(got))
	}
}

// After a rewind nothing is forgotten before the fold has come by it again.
func TestARewoundQueueKnowsWhatWasTold(t *testing.T) {
	q := newQueue("log", true)
	list := notices(1, 2)
	q.add(list[0])
	q.add(list[1]) // the second begins while the first goes on
	q.settle(1)
	q.rewind()
	if q.base(list[0].Before); len(q.toldIDs()) != 1 {
		t.Fatalf("told is %v", q.toldIDs())
	}
	q.add(list[0])
	if q.base(list[1].Before); len(q.items) > 0 || len(q.toldIDs()) > 0 {
		t.Errorf("%d items, told %v", len(q.items), q.toldIDs())
	}
}

// TestQueueTellsEachOnce: however much is looked ahead, acknowledged and begun anew from
// the base with what was told beyond it, every beginning is told once, every end at most
// once, and beginnings in order.
func TestQueueTellsEachOnce(t *testing.T) {
	restarts := 0
	rapid.Check(t, func(t *rapid.T) {
		list := notices(rapid.IntRange(1, 8).Draw(t, "at a time"), rapid.IntRange(1, 30).Draw(t, "episodes"))
		q := newQueue("log", rapid.Bool().Draw(t, "recovered"))
		next := 0 // of the list
		at := func(i int) projection.Position {
			if i < len(list) {
				return list[i].Before
			}
			return projection.Position{Seq: events.Seq(i), At: instant(i)}
		}
		var all []string
		for next < len(list) || len(q.items) > 0 {
			for range rapid.IntRange(0, 6).Draw(t, "look ahead") {
				if next < len(list) {
					q.add(list[next])
					next++
				}
			}
			if next == len(list) {
				q.caughtUp()
			}
			items := slices.Clone(q.next(instant(rapid.IntRange(0, 200).Draw(t, "now"))))
			if len(items) > 0 && rapid.Bool().Draw(t, "acknowledged") {
				all = append(all, told(items)...)
				q.settle(len(items))
			}
			base := q.base(at(next))
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				restarts++
				ids := q.toldIDs()
				q = newQueue("log", q.recovered)
				q.restore(ids)
				next = int(base.Seq)
			}
		}
		seen := map[string]bool{}
		for _, id := range all {
			if seen[id] {
				t.Fatalf("told twice: %s", id)
			}
			seen[id] = true
		}
		last := -1
		for i, n := range list {
			id := n.ID("log")
			if !n.Over && !seen[id] {
				t.Fatalf("notice %d was never told", i)
			}
			if at := slices.Index(all, id); !n.Over {
				if at < last {
					t.Fatalf("notice %d was told before an earlier one", i)
				}
				last = at
			}
		}
	})
	if restarts == 0 {
		t.Error("nothing was ever begun anew")
	}
}
