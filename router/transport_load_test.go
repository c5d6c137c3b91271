package router

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// load is one run of many clients against the fake provider, and what it left behind
// to be judged.
type load struct {
	seed     uint64
	requests int
	clients  int

	url      string
	provider *fakeProvider
	engine   *projection.Engine
	router   *Router
	base     http.RoundTripper

	mu    sync.Mutex
	sends []loadSend   // guarded by mu
	seen  []loadResult // guarded by mu
}

// loadSend is one attempt, when it was picked.
type loadSend struct {
	request string
	lease   Lease
	known   events.Seq // of the log's head at some moment before the pick
	picked  time.Time  // some moment after the pick
}

// loadResult is what one client got.
type loadResult struct {
	request, model string
	began, ended   time.Time
	status         int // 0: an error
	err            error
	left           bool // the client went away of its own accord
}

// follow is where a request stands, in its context.
type follow struct{ known events.Seq }

type followKey struct{}

// note is called where a pick begins: after the model is known, and after an answer.
func (l *load) note(ctx context.Context) {
	ctx.Value(followKey{}).(*follow).known = l.engine.State().Head().Seq
}

// authorize is called when an account was picked.
func (l *load) authorize(r *http.Request, lease Lease) error {
	r.Header.Set("Authorization", lease.Account)
	s := loadSend{r.Header.Get("X-Request-Id"), lease, r.Context().Value(followKey{}).(*follow).known, time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sends = append(l.sends, s)
	return nil
}

// upstream sends a request to the provider.
func (l *load) upstream(r *http.Request) (*http.Response, error) {
	defer l.note(r.Context())
	return l.base.RoundTrip(r)
}

// transport is the one under test.
func (l *load) transport() *Transport {
	return &Transport{
		Router: l.router, Authorize: l.authorize, Base: upstreamFunc(l.upstream), MaxAttempts: loadAccounts,
		Route: func(r *http.Request, body []byte) (Request, error) {
			l.note(r.Context())
			return Request{Provider: provider, Model: ModelInBody(body)}, nil
		},
	}
}

const loadAccounts = 50

// loadAccount names one of them, from 0.
func loadAccount(i int) string { return fmt.Sprintf("a%03d", i%loadAccounts+1) }

// newLoad opens a pool on disk and a provider on loopback.
func newLoad(t *testing.T, requests, clients int) *load {
	t.Helper()
	log, err := boltlog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	l := &load{seed: loadSeed, requests: requests, clients: clients, provider: newFakeProvider(loadSeed)}
	// The fake quotas are back within a second: the jitter of resets that are days
	// away is off.
	exact := &projection.ClassConfig{Jitter: new(projection.Duration(0))}
	l.engine, err = projection.Open(t.Context(), log, &projection.Options{
		Accounts: accounts(loadAccounts, nil),
		Policy:   &projection.PolicyConfig{RulesConfig: projection.RulesConfig{QuotaExhausted: exact, RateLimited: exact, Capacity: exact}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.engine.Close() })
	l.router = New(l.engine, nil)
	server := httptest.NewServer(l.provider)
	t.Cleanup(server.Close)
	base := &http.Transport{MaxIdleConnsPerHost: clients}
	t.Cleanup(base.CloseIdleConnections)
	l.url, l.base = server.URL, base
	return l
}

const loadSeed = 71

// run sends all requests through a transport.
func (l *load) run(through http.RoundTripper) {
	client := &http.Client{Transport: through}
	var next atomic.Int64
	var wg sync.WaitGroup
	for c := range l.clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(l.seed, uint64(c)+2))
			for i := int(next.Add(1)); i <= l.requests; i = int(next.Add(1)) {
				if i%(l.requests/4) == 0 {
					l.provider.storm("gemini-flash", 300*time.Millisecond)
				}
				l.client(client, fmt.Sprint("load-", i), random)
			}
		})
	}
	wg.Wait()
	// At last a family is spent for long: the first request asks every account, those
	// that follow none.
	l.provider.storm("claude", time.Hour)
	random := rand.New(rand.NewPCG(l.seed, 1))
	for i := range 20 {
		l.client(client, fmt.Sprint("last-", i), random)
	}
}

// client sends one request: most clients read all of the answer, some go away in the
// middle, some before it begins.
func (l *load) client(c *http.Client, id string, random *rand.Rand) {
	r := l.request(c, id, random)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, r)
}

func (l *load) request(c *http.Client, id string, random *rand.Rand) loadResult {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), followKey{}, new(follow)))
	defer cancel()
	models := loadModels()
	r := loadResult{request: id, model: models[random.IntN(len(models))], began: time.Now()}
	impatience := random.IntN(100)
	if impatience < 3 {
		l.provider.expect(id, cancel)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/v1internal:streamGenerateContent", strings.NewReader(`{"model":"`+r.model+`"}`))
	if err != nil {
		panic(err) // unreachable: the address is a server's
	}
	q.Header.Set("X-Request-Id", id)
	resp, err := c.Do(q)
	r.ended = time.Now()
	if err != nil {
		r.err, r.left = err, ctx.Err() != nil
		return r
	}
	defer resp.Body.Close()
	r.status = resp.StatusCode
	if impatience >= 3 && impatience < 8 && r.status == http.StatusOK {
		resp.Body.Read(make([]byte, 8))
		r.left = true
		return r
	}
	_, r.err = io.Copy(io.Discard, resp.Body)
	return r
}

// findings are violations by the check that found them.
type findings map[string][]string

func (f findings) add(check, format string, args ...any) {
	f[check] = append(f[check], fmt.Sprintf(format, args...))
}

// The checks.
const (
	checkFrozen  = "no request is sent to a cell known frozen before it started"
	checkHealthy = "no healthy account is frozen"
	checkOnce    = "every 429 is in the log exactly once"
	checkErrors  = "clients see an error only when nothing is usable"
)

// history is what the log says of a run.
type history struct {
	freezes map[string][]freeze // by account
	limits  map[loadAttempt]int // 429s
}

// freeze is one block of a cell from its record to its end.
type freeze struct {
	seq       events.Seq
	target    string
	at, until time.Time
	ended     events.Seq // the record that ended it before its time; 0: none
}

func (l *load) history(t *testing.T) history {
	t.Helper()
	h := history{map[string][]freeze{}, map[loadAttempt]int{}}
	for r, err := range l.engine.History(t.Context(), events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := r.Event.(type) {
		case *events.LimitObserved:
			if e.Status == http.StatusTooManyRequests {
				id, _, _ := strings.Cut(e.RequestID, projection.RepeatMark)
				h.limits[loadAttempt{r.Account, id}]++
			}
			if e.Effect == events.EffectStarted || e.Effect == events.EffectExtended || e.Effect == events.EffectHeld {
				h.freezes[r.Account] = append(h.freezes[r.Account], freeze{seq: r.Seq, target: e.Target, at: r.At, until: e.Until})
			}
		case *events.Recovered:
			for i := range h.freezes[r.Account] {
				if f := &h.freezes[r.Account][i]; f.target == e.Target && f.ended == 0 {
					f.ended = r.Seq
				}
			}
		}
	}
	return h
}

// check judges a run.
func (l *load) check(t *testing.T) findings {
	t.Helper()
	f, h := findings{}, l.history(t)
	for account, list := range h.freezes {
		for _, x := range list {
			if !l.provider.caused[events.Cell{Account: account, Target: x.target}] {
				f.add(checkHealthy, "%s of %s was frozen by record %d", x.target, account, x.seq)
			}
		}
	}
	for at := range maps.Keys(l.provider.limits) {
		if sent, recorded := l.provider.limits[at], h.limits[at]; sent != recorded {
			f.add(checkOnce, "%s was answered 429 by %s %d times, the log has %d", at.request, at.account, sent, recorded)
		}
	}
	for at, n := range h.limits {
		if l.provider.limits[at] == 0 {
			f.add(checkOnce, "the log has %d 429s of %s for %s, which was sent none", n, at.account, at.request)
		}
	}
	tried := map[loadAttempt]bool{}
	for _, s := range l.sends {
		tried[loadAttempt{s.lease.Account, s.request}] = true
		l.checkSend(f, h, s)
	}
	for _, r := range l.seen {
		if (r.err != nil || r.status >= 400) && !r.left {
			l.checkError(f, h, r, tried)
		}
	}
	return f
}

// checkSend looks for a block that was in the log before the pick began and lasted
// beyond it.
func (l *load) checkSend(f findings, h history, s loadSend) {
	id := l.engine.State().Groups().Resolve(provider, s.lease.Model)
	for _, x := range h.freezes[s.lease.Account] {
		over := x.ended > 0 && x.ended <= s.lease.Seq
		if id.Covers(x.target) && x.seq <= s.known && x.until.After(s.picked) && !over && s.lease.Probe == 0 {
			f.add(checkFrozen, "%s was sent to %s at head %d, but record %d froze %s", s.request, s.lease.Account, s.known, x.seq, x.target)
			return
		}
	}
}

// checkError looks for an account that could have served the request all the time,
// and was not asked.
func (l *load) checkError(f findings, h history, r loadResult, tried map[loadAttempt]bool) {
	id := l.engine.State().Groups().Resolve(provider, r.model)
	for i := range loadAccounts {
		account := loadAccount(i)
		blocked := slices.ContainsFunc(h.freezes[account], func(x freeze) bool {
			return id.Covers(x.target) && x.at.Before(r.ended) && x.until.After(r.began)
		})
		if !blocked && !tried[loadAttempt{account, r.request}] {
			f.add(checkErrors, "%s (%s) got %d, %v, but %s was usable and not asked", r.request, r.model, r.status, r.err, account)
			return
		}
	}
}

func TestTransportLoad(t *testing.T) {
	requests := loadRequests
	if testing.Short() {
		requests = 4_000
	}
	l := newLoad(t, requests, 64)
	began := time.Now()
	l.run(l.transport())
	took := time.Since(began)
	for check, list := range l.check(t) {
		t.Errorf("%s: not so %d times, such as %s", check, len(list), strings.Join(list[:min(len(list), 5)], "; "))
	}
	results := map[string]int{}
	for _, r := range l.seen {
		results[cmp.Or(map[bool]string{true: "gone"}[r.left], fmt.Sprint(r.status))]++
	}
	t.Logf("seed %d: %d requests in %v, %d sends; provider: %v, storms %d; clients: %v",
		l.seed, requests, took.Round(time.Millisecond), len(l.sends), l.provider.counts, l.provider.storms, results)
	for _, kind := range []string{"ok", "stream", "broken stream", "hold", "quota 429", "short 429", "500", "503", "529"} {
		if l.provider.counts[kind] == 0 {
			t.Errorf("the provider never answered %q: the test shows less than it says", kind)
		}
	}
	if results["429"] == 0 || results["gone"] == 0 || results["200"] < requests/2 {
		t.Errorf("clients got %v: want successes, and some who left or found nothing usable", results)
	}
}
