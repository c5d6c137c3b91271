package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Strategies follow while picks go on, for names met before and for new ones.
func TestSetStrategies(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(3, nil)})
	served := func(model string) string {
		t.Helper()
		var text strings.Builder
		for range 4 {
			l, err := p.Pick(Request{Provider: provider, Model: model, Now: p.now()})
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString(l.Account[3:])
		}
		return text.String()
	}
	if got := served(opus); got != "1231" {
		t.Errorf("round-robin serves %s", got)
	}
	providers := map[string]Strategy{provider: FillFirst}
	p.SetStrategies(Strategies{Default: Weighted, Providers: providers})
	providers[provider] = RoundRobin // the caller's map is the caller's
	for _, model := range []string{opus, "another-model"} {
		if got := served(model); got != "1111" {
			t.Errorf("%s: fill-first serves %s", model, got)
		}
	}
	p.SetStrategies(Strategies{})
	if got := served(opus); got != "2312" {
		t.Errorf("round-robin goes on with %s, want what came after its last", got)
	}
}

// However names are learnt while strategies change, none keeps one from before.
func TestSetStrategiesWhileNamesAreLearnt(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	var names sync.WaitGroup
	for g := range 4 {
		names.Go(func() {
			for i := range 300 {
				if _, err := p.Pick(Request{Provider: provider, Model: fmt.Sprint("m", g%2, i), Now: p.now()}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	last := FillFirst
	for range 300 {
		for _, last = range []Strategy{Weighted, Sticky, FillFirst} {
			p.SetStrategies(Strategies{Default: last})
		}
	}
	names.Wait()
	for _, n := range *p.memory.names.Load() {
		if s := *n.strategy.Load(); s != last || way(n.way.Load()) != wayOf(last) {
			t.Fatalf("%s is served by %s, want %s", n.key.model, s, last)
		}
	}
}
