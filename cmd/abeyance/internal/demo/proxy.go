package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// provider is what the fake upstream imitates.
const provider = "antigravity"

// chooser is what a proxy needs of a pool: an account for a model, and somewhere to
// say what it answered. The proxy below runs with Abeyance and, for comparison,
// with the per-model cooldowns that proxies of today have.
type chooser interface {
	// pick returns an account not in tried, or the wait until there may be one.
	pick(model string, tried []string) (lease router.Lease, wait time.Duration)
	// report takes the answer and reports whether another account is worth a try.
	report(ctx context.Context, l router.Lease, o signal.Observation) (again bool, err error)
}

// maxTries bounds the accounts tried for one request.
const maxTries = 4

// proxy is a reverse proxy over a pool: pick, authorize, send, report, retry.
type proxy struct {
	url     string
	server  *http.Server
	to      string
	pool    chooser
	client  *http.Client
	problem func(error)
}

func startProxy(to string, pool chooser, problem func(error)) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{
		url: "http://" + l.Addr().String(), to: to, pool: pool, problem: problem,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second}
	go p.server.Serve(l) // returns when the server is closed
	return p, nil
}

func (p *proxy) close() {
	p.server.Close()
	p.client.CloseIdleConnections()
}

// ServeHTTP serves a request with the first account that can.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the request could not be read", http.StatusBadRequest)
		return
	}
	model := strings.TrimPrefix(r.URL.Path, "/models/")
	var tried []string
	var last *answer
	for len(tried) < maxTries {
		lease, wait := p.pool.pick(model, tried)
		if lease.Account == "" {
			if last == nil {
				w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
				last = &answer{status: http.StatusTooManyRequests}
			}
			break
		}
		tried = append(tried, lease.Account)
		var again bool
		if last, again, err = p.try(r, lease, body); err != nil {
			p.problem(err)
			http.Error(w, "the upstream cannot be reached", http.StatusBadGateway)
			return
		}
		if !again {
			break
		}
	}
	w.WriteHeader(last.status)
	w.Write(last.body)
}

type answer struct {
	status int
	body   []byte
}

// try sends the request with one account and reports what came back.
func (p *proxy) try(r *http.Request, l router.Lease, body []byte) (*answer, bool, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	out.Header.Set("Authorization", "Bearer "+l.Account)
	began := time.Now()
	resp, err := p.client.Do(out)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, false, err
	}
	again, err := p.pool.report(context.WithoutCancel(r.Context()), l, signal.Observation{
		Provider: provider, Model: l.Model, Operation: events.OpGenerate, Status: resp.StatusCode, Header: resp.Header,
		Body: got, StartedAt: began, ObservedAt: time.Now(), RequestID: r.Header.Get("X-Request-Id"),
	})
	return &answer{resp.StatusCode, got}, again, err
}

// abeyance is the pool this project is about.
type abeyance struct{ router *router.Router }

func (a abeyance) pick(model string, tried []string) (router.Lease, time.Duration) {
	l, err := a.router.Pick(router.Request{Provider: provider, Model: model, Exclude: tried})
	if blocked, ok := errors.AsType[*router.BlockedError](err); ok {
		return router.Lease{}, blocked.RetryAfter()
	}
	return l, 0
}

func (a abeyance) report(ctx context.Context, l router.Lease, o signal.Observation) (bool, error) {
	out, err := a.router.Report(ctx, l, o)
	return out.Advice.Action == "retry_other", err
}

// perModel is the pool of most proxies today: a 429 freezes the exact model of the
// account, until the reset it names.
type perModel struct {
	accounts []string

	mu     sync.Mutex
	until  map[[2]string]time.Time // (account, model); guarded by mu
	served int                     // the turn; guarded by mu
}

func (m *perModel) pick(model string, tried []string) (router.Lease, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
next:
	for i := range m.accounts {
		a := m.accounts[(m.served+1+i)%len(m.accounts)]
		for _, t := range tried {
			if t == a {
				continue next
			}
		}
		if now.Before(m.until[[2]string{a, model}]) {
			continue
		}
		m.served = (m.served + 1 + i) % len(m.accounts)
		return router.Lease{Account: a, Provider: provider, Model: model}, 0
	}
	return router.Lease{}, time.Second
}

func (m *perModel) report(_ context.Context, l router.Lease, o signal.Observation) (bool, error) {
	s := signal.Classify(o)
	if s.Class == events.ClassOK {
		return false, nil
	}
	wait, ok := signal.RetryAfter(s)
	if !ok {
		wait = 60
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until[[2]string{l.Account, l.Model}] = o.ObservedAt.Add(time.Duration(wait * float64(time.Second)))
	return true, nil
}
