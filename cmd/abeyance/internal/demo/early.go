package demo

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// The act of quotas that come back early: a pool with resets that are a week away, and
// probes as a policy paces them, with fractions of a second for its minutes.
const (
	earlyPool     = 60 // accounts
	earlyBack     = 30 // of them, the first ones
	earlyWindow   = 7 * 24 * time.Hour
	earlyRate     = 200                   // requests a second
	earlyThink    = 30 * time.Millisecond // of the upstream, for each answer
	earlyModel    = "claude-sonnet-4-6"
	probeSpacing  = 20 * time.Millisecond
	earlyPatience = 30 * time.Second
)

func earlyProbes() *projection.ProbeConfig {
	pace := []projection.Duration{projection.Duration(300 * time.Millisecond), projection.Duration(3 * time.Second)}
	return &projection.ProbeConfig{Empty: pace, Background: pace, Spacing: new(projection.Duration(probeSpacing))}
}

// early: half of a pool gets its quota back days before it said, and single requests
// find out.
func (d *demo) early(ctx context.Context) error {
	d.act("quotas come back days early, and single requests find them")
	t, end, err := startEarly(ctx, d.dir+"/early")
	if err != nil {
		return fmt.Errorf("act %d failed: %w", d.acts, err)
	}
	defer end()
	took, err := t.untilFound(ctx)
	if err := cmp.Or(err, t.proxy.trouble.err()); err != nil {
		return fmt.Errorf("act %d failed: %w", d.acts, err)
	}
	m, frozen := t.meter, t.frozen()
	d.say("%d accounts said that their quota is back in 7 days; %d had it back at once, %d did not", earlyPool, earlyBack, earlyPool-earlyBack)
	d.say("%d requests a second went on; a policy of fractions of a second let %d of them out as probes", earlyRate, m.sent)
	d.say("in %s: %d found a quota back, %d found it spent; at most %d in flight, one per %s",
		took.Round(10*time.Millisecond), m.sent-m.denied, m.denied, m.together, (took / time.Duration(max(m.sent, 1))).Round(time.Millisecond))
	d.say("other requests: %d served, %d wasted on accounts without quota; %d accounts still frozen", m.served, m.wasted, len(frozen))
	d.yours("abeyance recheck --provider antigravity --yes")
	paced := m.together == 1 && m.sent <= 1+int(took/probeSpacing)
	return d.check(paced && m.wasted == 0 && slices.Equal(frozen, t.ids[earlyBack:]),
		"all that were back were found, one probe at a time, and nothing was cleared blindly")
}

// startEarly freezes a pool for days and gives the first half its quota back. The
// function ends it.
func startEarly(ctx context.Context, dir string) (t *earlyTraffic, end func(), err error) {
	var ends []func()
	end = func() {
		for _, f := range slices.Backward(ends) {
			f()
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	t = &earlyTraffic{meter: new(meter)}
	quota := map[string]int{}
	for i := range earlyPool {
		t.ids = append(t.ids, fmt.Sprintf("ag-%d", i+1))
		quota[t.ids[i]] = 1 << 20
	}
	e, closeLog, err := openEngine(ctx, dir, &projection.Options{
		Policy: &projection.PolicyConfig{RulesConfig: projection.RulesConfig{Probe: earlyProbes()}}, Accounts: accounts(t.ids),
	})
	if err != nil {
		return nil, end, err
	}
	t.engine, ends = e, append(ends, closeLog)
	u, err := startUpstream(quota, earlyWindow)
	if err != nil {
		return nil, end, err
	}
	ends = append(ends, u.close)
	if t.proxy, err = startProxy(u.url, t.meter.over(router.New(e, nil))); err != nil {
		return nil, end, err
	}
	ends = append(ends, t.proxy.close)
	for _, id := range t.ids {
		u.exhaust(id, earlyModel)
	}
	if t.burst(); len(t.frozen()) != earlyPool {
		return nil, end, fmt.Errorf("%d of %d accounts froze", len(t.frozen()), earlyPool)
	}
	for _, id := range t.ids[:earlyBack] {
		u.refill(id, earlyModel)
	}
	t.meter.begin()
	return t, end, nil
}

// earlyTraffic is what the clients of the act do, and what stands between.
type earlyTraffic struct {
	ids    []string
	engine *projection.Engine
	proxy  *proxy
	meter  *meter
}

func (t *earlyTraffic) send() bool {
	return send(t.proxy.client, t.proxy.url+"/models/"+earlyModel, "")
}

// burst sends a request for every account at once.
func (t *earlyTraffic) burst() {
	var wg sync.WaitGroup
	for range t.ids {
		wg.Go(func() { t.send() })
	}
	wg.Wait()
}

// frozen lists the accounts that are frozen for the model's family.
func (t *earlyTraffic) frozen() (list []string) {
	s, now := t.engine.State(), t.engine.Now()
	for _, id := range t.ids {
		c := s.Account(id).Cell(family(earlyModel))
		if c.Status(now) == projection.StatusCooling {
			list = append(list, id)
		}
	}
	return list
}

// untilFound sends requests at an even pace until all that are back serve again, or
// patience is over, and returns how long that took.
func (t *earlyTraffic) untilFound(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(time.Second / earlyRate)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for len(t.frozen()) > earlyPool-earlyBack && time.Since(began) < earlyPatience {
		select {
		case <-tick.C:
			wg.Go(func() { t.send() })
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return time.Since(began), nil
}

// meter stands between the transport and the upstream and counts what goes by.
type meter struct {
	base http.RoundTripper

	mu             sync.Mutex
	counting       bool // guarded by mu, like all below
	sent, denied   int  // probes, and those that were answered 429
	now, together  int  // probes in flight, and the most that were
	served, wasted int  // other requests, by whether they were answered 429
}

// headerProbe tells the meter which request is a probe.
const headerProbe = "X-Demo-Probe"

// over makes the proxy's transport.
func (m *meter) over(pool *router.Router) func(*proxy) http.RoundTripper {
	return func(p *proxy) http.RoundTripper {
		t := transport(p, pool)
		authorize := t.Authorize
		t.Authorize = func(r *http.Request, l router.Lease) error {
			if l.Probe != 0 {
				r.Header.Set(headerProbe, l.Account)
			}
			return authorize(r, l)
		}
		m.base, t.Base = t.Base, m
		return t
	}
}

// begin starts the counting.
func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counting = true
}

// RoundTrip implements http.RoundTripper.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	probe := r.Header.Get(headerProbe) != ""
	if probe {
		m.left()
	}
	time.Sleep(earlyThink)
	resp, err := m.base.RoundTrip(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if probe {
		m.now--
	}
	denied := err == nil && resp.StatusCode == http.StatusTooManyRequests
	switch {
	case !m.counting:
	case probe && denied:
		m.denied++
	case denied:
		m.wasted++
	case !probe:
		m.served++
	}
	return resp, err
}

// left notes that a probe goes out.
func (m *meter) left() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	m.together = max(m.together, m.now)
	if m.counting {
		m.sent++
	}
}
