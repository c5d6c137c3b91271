package projection

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

// TestRule03AccountsFollowAMap: whatever comes, changes and goes, accounts are found
// and ordered as a map of them says, and what was shared on the way never changes.
func TestRule03AccountsFollowAMap(t *testing.T) {
	r := seeded()
	s := NewState()
	want := map[string]*Account{}
	type shared struct {
		s    *State
		want map[string]*Account
	}
	var older []shared
	for step := range 20_000 {
		id := fmt.Sprint("a", r.IntN(3000))
		if a := want[id]; a != nil && r.IntN(3) == 0 {
			s.put(id, nil)
			delete(want, id)
		} else {
			want[id] = &Account{ID: id}
			s.put(id, want[id])
		}
		if step%1000 == 0 {
			older = append(older, shared{s.Snapshot(), maps.Clone(want)})
		}
	}
	for _, o := range append(older, shared{s, want}) {
		ids := slices.Sorted(maps.Keys(o.want))
		from := ids[len(ids)/3]
		for a := range o.s.Accounts(from) {
			if i, _ := slices.BinarySearch(ids, from); a != o.want[ids[i]] {
				t.Fatalf("%s comes after %s, want %s", a.ID, from, ids[i])
			}
			from = a.ID + "\x00"
		}
		if _, found := slices.BinarySearch(ids, from); found || from < ids[len(ids)-1] || o.s.Len() != len(ids) {
			t.Fatalf("the last of %d accounts is %q, want %d and %q", o.s.Len(), from, len(ids), ids[len(ids)-1])
		}
		for i := range 3001 {
			id := fmt.Sprint("a", i)
			if a := o.s.Account(id); a != o.want[id] {
				t.Fatalf("%s is %v, want %v", id, a, o.want[id])
			}
		}
	}
}

// TestRule03ChangesInPlace: an account changes in place as long as no snapshot has it, in
// whatever way it was changed before.
func TestRule03ChangesInPlace(t *testing.T) {
	x := newScenario(t)
	account := func() *Account { return x.s.Account("a1") }
	inPlace := func(what string, want bool, change func()) {
		t.Helper()
		x.now = x.now.Add(time.Second)
		before := account()
		change()
		if (account() == before) != want {
			t.Errorf("%s: in place is %v, want %v", what, !want, want)
		}
	}
	limit := func() { x.report("a1", opus, quota(600)) }
	limit()
	inPlace("what was changed", true, limit)
	inPlace("another cell", false, func() { x.report("a1", pro, quota(600)) })
	for what, change := range map[string]func(){
		"nothing": func() {}, "settings": func() { x.do(&PatchAccount{ID: "a1", Priority: new(int(x.s.Head().Seq))}) },
		"groups": func() { x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}}) },
	} {
		published := x.s.Snapshot()
		dumped := dump(t, published)
		change()
		inPlace("what a snapshot has, after "+what, false, limit)
		inPlace("again, after "+what, true, limit)
		if !bytes.Equal(dump(t, published), dumped) {
			t.Errorf("the snapshot changed, after %s", what)
		}
		if !slices.Contains(x.s.changed, "a1") {
			t.Errorf("it is not among the changed, after %s", what)
		}
	}
}

// TestRule20RecentKeepsTheNewest: exactly the newest MaxRecent keys are remembered, in
// the order they were set last, and what was shared on the way never changes.
func TestRule20RecentKeepsTheNewest(t *testing.T) {
	const keys = MaxRecent + MaxRecent/2
	r := seeded()
	type shared struct {
		recent[int, int]
		value map[int]int
		order []int
	}
	var now shared
	now.value = map[int]int{}
	now.first = math.MaxUint32/recentChunkSize*recentChunkSize - 1024 // turns begin anew when they run out
	now.next = now.first
	check := func(x *shared) {
		t.Helper()
		var order []int
		for k, v := range x.all() {
			if order = append(order, k); v != x.value[k] {
				t.Fatalf("%d is %d, want %d", k, v, x.value[k])
			}
		}
		if !slices.Equal(order, x.order) || x.len() != len(x.order) {
			t.Fatalf("%d keys in another order than the %d that were set", x.len(), len(x.order))
		}
		for k := range keys {
			v, ok := x.get(k)
			if want, known := x.value[k]; v != want || ok != known {
				t.Fatalf("%d is %d, %v, want %d, %v", k, v, ok, want, known)
			}
		}
	}
	var older []shared
	for step := range 10 * MaxRecent {
		k := r.IntN(keys)
		if r.IntN(2) == 0 && len(now.order) > 0 {
			// Some keys are set again and again, so that most entries are hidden.
			k = now.order[len(now.order)-1-r.IntN(min(20, len(now.order)))]
		}
		now.set(k, step)
		now.value[k] = step
		if i := slices.Index(now.order, k); i >= 0 {
			now.order = slices.Delete(now.order, i, i+1)
		}
		if now.order = append(now.order, k); len(now.order) > MaxRecent {
			delete(now.value, now.order[0])
			now.order = now.order[1:]
		}
		if step%2011 == 0 {
			older = append(older, shared{now.share(), maps.Clone(now.value), slices.Clone(now.order)})
			check(&older[len(older)-1])
		}
	}
	check(&now)
	if now.next > 10*MaxRecent {
		t.Errorf("the next turn is %d", now.next)
	}
	for i := range older {
		check(&older[i])
	}
}

// TestRule07DeadlinesInOrder: after any changes the deadlines that are over, that come
// next, and that lie between two instants are those that all accounts have, asked of a
// working state, of a snapshot, and of a snapshot by the working state that is ahead.
func TestRule07DeadlinesInOrder(t *testing.T) {
	r := seeded()
	s := NewState()
	instants := 1000
	at := func() time.Time { return noon().Add(time.Duration(r.IntN(instants)) * time.Second) }
	published := s.Snapshot()
	for i := range 6000 {
		instants = []int{1000, 20, 1}[i/2000] // many deadlines of one, too
		id := fmt.Sprint("a", r.IntN(200))
		a := &Account{ID: id}
		for c := range r.IntN(4) {
			a.Cells = append(a.Cells, Cell{Target: fmt.Sprint("t", c)})
			if r.IntN(3) > 0 {
				a.Cells[c].Cooling = &Cooling{Until: at()}
			}
			if r.IntN(3) == 0 {
				a.Cells[c].Suspended = &Suspension{Until: at()}
			} else if r.IntN(3) == 0 {
				a.Cells[c].Suspended = &Suspension{}
			}
		}
		if r.IntN(5) == 0 {
			a = nil
		}
		s.put(id, a)
		if r.IntN(100) == 0 {
			sameDeadlines(t, s.orderOf(published, s.changed), at(), at())
			sameDeadlines(t, s.order(), at(), at())
			if r.IntN(2) == 0 {
				published = s.Snapshot()
				sameDeadlines(t, published.order(), at(), at())
			}
			if r.IntN(10) == 0 {
				s = published.working() // as after a full disk, with slots of its own
			}
		}
	}
}

// sameDeadlines compares what a state says of its deadlines with a look at all of
// them.
func sameDeadlines(t *testing.T, s order, from, to time.Time) {
	t.Helper()
	var all []deadline
	for a := range s.Accounts("") {
		all = slices.AppendSeq(all, a.deadlines())
	}
	slices.SortFunc(all, deadline.compare)
	if first, ok := s.NextDeadline(); ok != (len(all) > 0) || ok && !first.Equal(all[0].at) {
		t.Fatalf("the first deadline is %s, %v, want that of %+v", first, ok, all)
	}
	over := slices.IndexFunc(all, func(d deadline) bool { return d.at.After(to) })
	if over < 0 {
		over = len(all)
	}
	for _, limit := range []int{1, 5, 50, len(all) + 1} {
		if got := s.overdue(to, limit); !slices.Equal(got, all[:min(over, limit)]) {
			t.Fatalf("the first %d over are %v, want those of %v", limit, got, all[:over])
		}
	}
	if next, ok := s.next(to); ok != (over < len(all)) || ok && !next.Equal(all[over].at) {
		t.Fatalf("after %s comes %s, %v, want that of %+v", to, next, ok, all[over:])
	}
	var between []string
	for _, d := range all[:over] {
		if !d.at.Before(from) {
			between = append(between, d.account)
		}
	}
	// Those that the queue is ahead by are named on suspicion.
	slices.Sort(between)
	between = slices.Compact(between)
	got := s.appendBetween(nil, from, to)
	slices.Sort(got)
	got = slices.Compact(got)
	for _, id := range got {
		if !slices.Contains(between, id) && !slices.Contains(s.ahead, id) {
			t.Fatalf("%s is due, too; want %v", id, between)
		}
	}
	for _, id := range between {
		if !slices.Contains(got, id) {
			t.Fatalf("%s is not due, and %v are; want %v", id, got, between)
		}
	}
}

// TestRule03ReadersBesideTheWriter: a snapshot is read, and decided on, while the
// working state that it shares its pages with goes on.
func TestRule03ReadersBesideTheWriter(t *testing.T) {
	s := NewState()
	s.groups, s.policy = defined(t, GroupsConfig{}), &Policy{Policy: events.Policy{Default: defaultRules()}}
	contents := func(s *State) (ids []string) {
		for key, seq := range s.requests.all() {
			ids = append(ids, key.account, fmt.Sprint(seq))
		}
		for a := range s.Accounts("") {
			ids = append(ids, a.ID, fmt.Sprint(s.Account(a.ID) == a))
		}
		return ids
	}
	for i := range recentChunkSize + 10 {
		id := fmt.Sprint("a", i)
		s.put(id, &Account{ID: id})
		s.requests.set(requestKey{id, id}, 1)
		published := s.Snapshot()
		before := contents(published)
		var reader sync.WaitGroup
		reader.Go(func() {
			d, err := Decide(published, Command{Do: &Report{Account: id, Provider: "codex", RequestID: id}}, noon())
			if now := contents(published); err != nil || d.earlier.first != 1 || !slices.Equal(now, before) {
				t.Errorf("decided %+v, error %v, on %s, which was %s", d, err, now, before)
			}
		})
		for k := range 3 {
			other := fmt.Sprint("other", i, k)
			s.put(other, &Account{ID: other})
			s.put(id, &Account{ID: id})
			s.requests.set(requestKey{other, other}, 1)
		}
		reader.Wait()
	}
}
