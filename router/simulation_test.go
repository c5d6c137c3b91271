package router

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// story is a pool under traffic, and an upstream whose quotas are spent and come back.
type story struct {
	*pool
	// spent reports whether the upstream has no quota left for an account.
	spent   func(account string, now time.Time) bool
	latency time.Duration // of the upstream
	began   time.Time

	mu       sync.Mutex
	blocked  int            // requests that no account could take
	served   map[string]int // :: account → requests that the upstream served
	refused  map[string]int // :: account → requests that it refused, probes apart
	probes   []time.Time    // when each went out
	back     map[string]time.Time
	flight   int // probes that are out
	together int // the most of them at once
}

// run sends a request each second for a while.
func (s *story) run(d time.Duration) {
	var all sync.WaitGroup
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		all.Go(s.request)
	}
	all.Wait()
}

func (s *story) request() {
	l, err := s.Pick(Request{Provider: provider, Model: opus})
	began := time.Now()
	s.sent(l, err)
	if err != nil {
		return
	}
	spent := s.spent(l.Account, began)
	time.Sleep(s.latency)
	o := signal.Observation{Status: 200, StartedAt: began}
	if spent {
		o = spentFor(week - time.Since(s.began)) // the reset of all is the same instant
		o.StartedAt = began
	}
	s.answered(l, spent)
	if _, err := s.Report(s.Context(), l, o); err != nil {
		s.Error(err)
	}
}

func (s *story) sent(l Lease, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.blocked++
		return
	}
	if l.Probe != 0 {
		s.probes = append(s.probes, time.Now())
		s.flight++
		s.together = max(s.together, s.flight)
	}
}

func (s *story) answered(l Lease, spent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Probe != 0 {
		s.flight--
	}
	switch {
	case spent && l.Probe == 0:
		s.refused[l.Account]++
	case !spent:
		s.served[l.Account]++
		if s.back[l.Account].IsZero() {
			s.back[l.Account] = time.Now()
		}
	}
}

// closest is the shortest time between two probes.
func (s *story) closest() time.Duration {
	least := week
	for i := range len(s.probes) - 1 {
		least = min(least, s.probes[i+1].Sub(s.probes[i]))
	}
	return least
}

// total adds up what happened per account.
func total(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

// tell runs a story in a bubble.
func tell(t *testing.T, s setup, f func(t *testing.T, s *story)) {
	t.Helper()
	bubble(t, s, func(t *testing.T, p *pool) {
		f(t, &story{
			pool: p, began: time.Now(), served: map[string]int{}, refused: map[string]int{}, back: map[string]time.Time{},
		})
	})
}

// TestRule23OneAccountIsBackEarly: a single account, told to wait for a week, whose
// quota is back after 20 minutes: it is found within one interval of the probes, and
// no request but them was wasted on it.
func TestRule23OneAccountIsBackEarly(t *testing.T) {
	tell(t, setup{accounts: accounts(1, nil), probes: asShipped()}, func(t *testing.T, s *story) {
		const away = 20 * time.Minute
		s.spent = func(_ string, now time.Time) bool { return now.Before(s.began.Add(away)) }
		s.run(time.Hour)
		back := s.back["a001"].Sub(s.began)
		missed := 0 // probes before the return
		for _, at := range s.probes {
			if at.Before(s.began.Add(away)) {
				missed++
			}
		}
		t.Logf("back after %s, found after %s by the last of %d probes; %d requests were held back, %d refused, %d served",
			away, back, len(s.probes), s.blocked, total(s.refused), total(s.served))
		interval := s.probes[missed].Sub(s.probes[missed-1])
		if late := back - away; late < 0 || late > interval {
			t.Errorf("found %s after the return, want within an interval of %s", back-away, interval)
		}
		if total(s.refused) != 1 || len(s.probes) != missed+1 {
			t.Errorf("%d requests were refused beside probes, want the first alone; %d probes after the return", total(s.refused), len(s.probes)-missed)
		}
		if want := 3600 - int(back.Seconds()); total(s.served) != want {
			t.Errorf("%d requests were served after the return, want %d", total(s.served), want)
		}
	})
}

// TestRule23HalfAPoolIsBackEarly: of sixty accounts told to wait for the same instant in
// a week, half are back after 20 minutes: all of those are found, by paced probes, one
// at a time; the others stay blocked, and none is cleared blindly. Without probes none
// is found: the control.
func TestRule23HalfAPoolIsBackEarly(t *testing.T) {
	for mode, found := range map[string]int{projection.ProbeAlways: 30, projection.ProbeOff: 0} {
		t.Run(mode, func(t *testing.T) {
			config := asShipped()
			config.Mode = &mode
			tell(t, setup{accounts: accounts(60, nil), probes: config}, func(t *testing.T, s *story) {
				const away = 20 * time.Minute
				s.latency = 3 * time.Second
				s.spent = func(account string, now time.Time) bool {
					return now.Before(s.began.Add(away)) || account[len(account)-1]%2 == 1
				}
				s.run(3 * time.Hour)
				s.found(t, away, found)
				s.untouched(t, 60-found)
			})
		})
	}
}

// found checks what probes have found, and how.
func (s *story) found(t *testing.T, away time.Duration, want int) {
	t.Helper()
	var times []time.Duration
	for id, at := range s.back {
		times = append(times, at.Sub(s.began))
		if s.spent(id, at) {
			t.Errorf("%s was served although it is spent", id)
		}
	}
	slices.Sort(times)
	if len(times) != want {
		t.Fatalf("%d are found, want %d", len(times), want)
	}
	// Each account was asked once before it was known to be spent, and those on their way
	// then.
	if n := total(s.refused); n > 60+int(s.latency.Seconds()) {
		t.Errorf("%d requests were refused beside probes", n)
	}
	if want == 0 {
		t.Logf("none found; %d requests were held back, %d refused, %d probes", s.blocked, total(s.refused), len(s.probes))
		return
	}
	t.Logf("back after %s, the first of %d found after %s, the last after %s; %d probes, at least %s apart, at most %d at once; %d requests were held back, %d refused, %d served",
		away, len(times), times[0], times[len(times)-1], len(s.probes), s.closest(), s.together, s.blocked, total(s.refused), total(s.served))
	if s.together != 1 || s.closest() < 30*time.Second {
		t.Errorf("%d probes at once, %s apart", s.together, s.closest())
	}
	// One probe for each of the pool, 30 s apart, and those that fail while others wait.
	if last := times[len(times)-1] - away; last > 60*30*time.Second {
		t.Errorf("the last is found %s after the return, want within a round of the pool", last)
	}
}

// untouched checks that the accounts which are spent cool until their own deadline, and
// that nobody ended a cooldown but by evidence.
func (s *story) untouched(t *testing.T, want int) {
	t.Helper()
	spent := 0
	for _, a := range accounts(60, nil) {
		k := s.engine.State().Account(a.ID).Cell("claude").Cooling
		if k == nil {
			continue
		}
		spent++
		if early := s.began.Add(week).Sub(k.Until); early > 0 {
			t.Errorf("%s cools until %s before its quota is back", a.ID, early)
		}
	}
	ended := map[events.Kind]int{}
	for r, err := range s.log.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		ended[r.Kind()]++
	}
	if spent != want || ended[events.KindRecovered] != 60-want || ended[events.KindCooldownCleared]+ended[events.KindExpired] > 0 {
		t.Errorf("%d cool, want %d; records %v", spent, want, ended)
	}
}

// TestRule23AProbeThatTellsNothing: a probe whose client goes away, or that meets a
// server's error, is followed by another, paced, until one tells something; nobody else
// is let through meanwhile.
func TestRule23AProbeThatTellsNothing(t *testing.T) {
	bubble(t, setup{accounts: accounts(1, nil), probes: asShipped()}, func(t *testing.T, p *pool) {
		p.cool("a001", opus, week.Seconds())
		var let []string
		began := time.Now()
		for range 12 * 60 {
			if l, err := p.Pick(Request{Provider: provider, Model: opus}); err == nil {
				let = append(let, fmt.Sprint(time.Since(began).Seconds()))
				if len(let)%2 == 0 {
					p.report(l, signal.Observation{Status: 500})
				}
			}
			time.Sleep(time.Second)
		}
		// Never reported: two minutes. A server's error: the spacing.
		if want := []string{"300", "420", "450", "570", "600"}; !slices.Equal(let[:5], want) {
			t.Errorf("let through after %v s, want %v", let, want)
		}
	})
}
