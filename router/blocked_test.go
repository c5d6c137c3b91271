package router

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// states puts an account into a state.
func states() map[string]func(p *pool, id string) {
	return map[string]func(p *pool, id string){
		"disabled":  func(p *pool, id string) { p.change(&projection.PatchAccount{ID: id, Disabled: new(true)}) },
		"suspended": func(p *pool, id string) { p.suspend(id, "claude", 0) },
		"timed":     func(p *pool, id string) { p.suspend(id, "claude", time.Hour) },
		"held":      func(p *pool, id string) { p.freeze(id, opus, events.ClassForbidden, events.ScopeAccount, 0) },
		"cooling":   func(p *pool, id string) { p.cool(id, opus, 7200) },
		"cooling and held": func(p *pool, id string) {
			p.cool(id, opus, 7200)
			p.freeze(id, opus, events.ClassForbidden, events.ScopeAccount, 0)
		},
		"cooling and suspended": func(p *pool, id string) {
			p.cool(id, opus, 7200)
			p.suspend(id, "*", 0)
		},
		"cooling and timed": func(p *pool, id string) {
			p.cool(id, opus, 7200)
			p.suspend(id, "claude", time.Hour)
		},
		"timed and held": func(p *pool, id string) {
			p.freeze(id, opus, events.ClassForbidden, events.ScopeAccount, 0)
			p.suspend(id, "*", time.Hour)
		},
		"suspended and held": func(p *pool, id string) {
			p.freeze(id, opus, events.ClassForbidden, events.ScopeAccount, 0)
			p.suspend(id, "*", 0)
		},
	}
}

func TestRule31Answers(t *testing.T) {
	const none, hour, two = time.Duration(0), time.Hour, 2 * time.Hour
	tests := []struct {
		accounts []string // their states
		exclude  []int    // accounts, from 1
		code     BlockCode
		end      time.Duration // the earliest; 0: none
		counts   Counts
	}{
		{nil, nil, BlockNoAccounts, none, Counts{}},
		{[]string{"cooling"}, []int{1}, BlockExcluded, none, Counts{Excluded: 1}},
		{[]string{"disabled"}, nil, BlockDisabled, none, Counts{Disabled: 1}},
		{[]string{"suspended"}, nil, BlockSuspended, none, Counts{Suspended: 1}},
		{[]string{"held"}, nil, BlockHeld, none, Counts{Held: 1}},
		{[]string{"cooling"}, nil, BlockCooling, two, Counts{Cooling: 1}},
		{[]string{"timed"}, nil, BlockCooling, hour, Counts{Suspended: 1}},
		{[]string{"cooling", "timed"}, nil, BlockCooling, hour, Counts{Suspended: 1, Cooling: 1}},
		{[]string{"cooling", "cooling"}, nil, BlockCooling, two, Counts{Cooling: 2}},
		{[]string{"cooling and timed"}, nil, BlockCooling, two, Counts{Suspended: 1}},
		{[]string{"cooling and held"}, nil, BlockHeld, none, Counts{Held: 1}},
		{[]string{"cooling and suspended"}, nil, BlockSuspended, none, Counts{Suspended: 1}},
		{[]string{"timed and held"}, nil, BlockHeld, none, Counts{Held: 1}},
		{[]string{"suspended and held"}, nil, BlockSuspended, none, Counts{Suspended: 1}},
		// A mixture in which nothing comes back by itself takes the last of the list.
		{[]string{"disabled", "suspended"}, nil, BlockSuspended, none, Counts{Disabled: 1, Suspended: 1}},
		{[]string{"held", "suspended", "disabled"}, nil, BlockHeld, none, Counts{Disabled: 1, Suspended: 1, Held: 1}},
		{[]string{"disabled", "suspended"}, []int{2}, BlockDisabled, none, Counts{Disabled: 1, Excluded: 1}},
		{[]string{"disabled"}, []int{1}, BlockExcluded, none, Counts{Excluded: 1}},
		{[]string{"held", "cooling and suspended"}, nil, BlockHeld, none, Counts{Held: 1, Suspended: 1}},
		// One that comes back by itself decides.
		{[]string{"held", "suspended", "cooling"}, nil, BlockCooling, two, Counts{Held: 1, Suspended: 1, Cooling: 1}},
		{[]string{"held", "cooling"}, []int{2}, BlockHeld, none, Counts{Held: 1, Excluded: 1}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.accounts, test.exclude), func(t *testing.T) {
			for _, named := range []bool{false, true} {
				p := newPool(t, setup{accounts: accounts(len(test.accounts), nil)})
				q := Request{Model: opus}
				for i, state := range test.accounts {
					id := fmt.Sprintf("a%03d", i+1)
					states()[state](p, id)
					if named {
						q.Candidates = append(q.Candidates, id)
					}
				}
				for _, i := range test.exclude {
					q.Exclude = append(q.Exclude, fmt.Sprintf("a%03d", i))
				}
				b := p.blocked(q)
				if b.Code != test.code || b.Counts != test.counts {
					t.Errorf("candidates %t: %s %+v, want %s %+v", named, b.Code, b.Counts, test.code, test.counts)
				}
				retry := b.RetryAfter()
				if test.end == 0 {
					if !b.EarliestEnd.IsZero() || retry != 0 {
						t.Errorf("comes back at %s, Retry-After %s; want never", b.EarliestEnd, retry)
					}
				} else if late := retry - test.end; late < 0 || late > time.Minute || retry%time.Second != 0 || p.now().Add(retry).Before(b.EarliestEnd) {
					t.Errorf("Retry-After %s for %s, want whole seconds from %s", retry, b.EarliestEnd.Sub(p.now()), test.end)
				}
			}
		})
	}
}

func TestRule31NoAccountsOfTheProvider(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	p.do(&projection.PutAccount{ID: "c1", Spec: events.AccountSpec{Provider: "codex"}})
	p.do(&projection.RemoveAccount{ID: "c1"})
	for _, provider := range []string{"codex", "nobody"} {
		_, err := p.Pick(Request{Provider: provider, Model: opus})
		if b, ok := err.(*BlockedError); !ok || b.Code != BlockNoAccounts {
			t.Errorf("%s: %v, want no_accounts", provider, err)
		}
	}
}

func TestRule31Reasons(t *testing.T) {
	all := []string{"disabled", "suspended", "timed", "held", "cooling", "cooling and timed", "timed and held", "suspended and held"}
	p := newPool(t, setup{accounts: accounts(len(all)+1, nil)})
	for i, s := range all {
		states()[s](p, fmt.Sprintf("a%03d", i+1))
	}
	b := p.blocked(Request{Model: sonnet, Exclude: []string{"a009"}})
	type reason struct {
		status, target string
		hours          float64
	}
	var got []reason
	for r := range b.Reasons() {
		if want := fmt.Sprintf("a%03d", len(got)+1); r.Account != want {
			t.Errorf("the reason of %s, want %s", r.Account, want)
		}
		hours := 0.0
		if !r.Until.IsZero() {
			hours = r.Until.Sub(p.now()).Truncate(time.Hour).Hours()
		}
		got = append(got, reason{r.Status, r.Target, hours})
	}
	want := []reason{
		{"disabled", "*", 0},
		{"suspended", "claude", 0},
		{"suspended", "claude", 1},
		{"held", "*", 0},
		{"cooling", "claude", 2},
		{"suspended", "claude", 2},
		{"held", "*", 0},
		{"suspended", "*", 0},
		{"excluded", "", 0},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(reason{})); diff != "" {
		t.Error(diff)
	}
	for range b.Reasons() {
		break // a reader may stop
	}
}

func TestRule31RetryAfterIsAtLeastOne(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	p.cool("a001", opus, 600)
	end := p.blocked(Request{Model: opus}).EarliestEnd
	for before, want := range map[time.Duration]time.Duration{
		1: time.Second, time.Second: time.Second, time.Second + 1: 2 * time.Second, time.Minute: time.Minute,
	} {
		if got := p.blocked(Request{Model: opus, Now: end.Add(-before)}).RetryAfter(); got != want {
			t.Errorf("%s before the end: Retry-After %s, want %s", before, got, want)
		}
	}
}

// Reasons are built when they are asked for: finding that all are blocked must
// not cost a list of them.
func TestRule31ReasonsAreLazy(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(500, func(_ int, s *events.AccountSpec) { s.Disabled = true })})
	q := Request{Provider: provider, Model: opus}
	if n := testing.AllocsPerRun(50, func() {
		if _, err := p.Pick(q); err == nil {
			t.Error("a disabled account was picked")
		}
	}); n > 10 {
		t.Errorf("%v allocations", n)
	}
	if n := len(slices.Collect(p.blocked(q).Reasons())); n != 500 {
		t.Errorf("%d reasons", n)
	}
}
