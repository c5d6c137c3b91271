package router

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

// upstreamFunc is a provider: what it answers to a request.
type upstreamFunc func(*http.Request) (*http.Response, error)

func (f upstreamFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// arrival is one request as a scripted provider saw it.
type arrival struct {
	account string
	body    string
	request *http.Request
}

// rig is a Transport over a pool, with a scripted provider.
type rig struct {
	*pool
	Transport
	mu       sync.Mutex
	arrivals []arrival // guarded by mu
}

// newRig returns a rig whose provider answers by f, with n accounts on a clock that
// is set. The account of a request is in its Authorization header.
func newRig(t testing.TB, n int, f upstreamFunc) *rig {
	t.Helper()
	return rigOver(newPool(t, setup{accounts: accounts(n, nil)}), f)
}

// liveRig is a rig on the real clock, which is a bubble's where there is one.
func liveRig(t testing.TB, n int, f upstreamFunc) *rig {
	t.Helper()
	p := &pool{TB: t, log: eventstest.New()}
	var err error
	if p.engine, err = projection.Open(t.Context(), p.log, &projection.Options{Accounts: accounts(n, nil)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.engine.Close() })
	p.Router = New(p.engine, nil)
	return rigOver(p, f)
}

func rigOver(p *pool, f upstreamFunc) *rig {
	r := &rig{pool: p}
	r.Transport = Transport{
		Router: p.Router, Provider: provider, Logger: nil,
		Authorize: func(r *http.Request, l Lease) error {
			r.Header.Set("Authorization", l.Account)
			return nil
		},
		Base: upstreamFunc(func(q *http.Request) (*http.Response, error) {
			a := arrival{account: q.Header.Get("Authorization"), request: q}
			if q.Body != nil {
				b, err := io.ReadAll(q.Body)
				q.Body.Close()
				if err != nil {
					return nil, err
				}
				a.body = string(b)
			}
			r.mu.Lock()
			r.arrivals = append(r.arrivals, a)
			r.mu.Unlock()
			return f(q)
		}),
	}
	return r
}

// send sends a request for a model and reads the answer.
func (r *rig) send(model string) (int, string) {
	r.Helper()
	return r.sendAs(model, "")
}

// sendAs does so under a request id; empty: none.
func (r *rig) sendAs(model, id string) (int, string) {
	r.Helper()
	q := post(r, `{"model":"`+model+`"}`)
	if id != "" {
		q.Header.Set("X-Request-Id", id)
	}
	resp, err := r.RoundTrip(q)
	if err != nil {
		r.Fatalf("RoundTrip: %v", err)
	}
	return resp.StatusCode, readAnswer(r, resp)
}

func post(t testing.TB, body string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://upstream.invalid/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// readAnswer reads a body to its end and closes it.
func readAnswer(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return string(b)
}

// tried lists the accounts in the order in which requests arrived.
func (r *rig) tried() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, a := range r.arrivals {
		list = append(list, a.account)
	}
	return strings.Join(list, " ")
}

// limits returns the records of limits, oldest first.
func (r *rig) limits() []*events.LimitObserved {
	r.Helper()
	return recordsOf[*events.LimitObserved](r.pool)
}

func recordsOf[E events.Event](p *pool) (list []E) {
	p.Helper()
	for rec, err := range p.engine.History(p.Context(), events.Query{}) {
		if err != nil {
			p.Fatal(err)
		}
		if e, ok := rec.Event.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// reply makes an answer.
func reply(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), ProtoMajor: 1, ProtoMinor: 1,
	}
}

// Bodies as Antigravity and Anthropic send them.
const (
	quotaSpent = `{"error":{"code":429,"message":"Individual quota reached. Contact your administrator to enable overages. Resets in 71h15m27s.",` +
		`"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED",` +
		`"domain":"cloudcode-pa.googleapis.com","metadata":{"quotaResetDelay":"71h15m27.791609974s"}},` +
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"256527.791609974s"}]}}`
	noCapacity = `{"error":{"code":503,"message":"No capacity available for model gemini-3-flash on the server","status":"UNAVAILABLE",` +
		`"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MODEL_CAPACITY_EXHAUSTED","domain":"cloudcode-pa.googleapis.com"}]}}`
	overloaded = `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`
	noAuth     = `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`
	banned     = `{"error":{"code":403,"message":"This service has been disabled in this account for violation of Terms of\n\t\tService.","status":"PERMISSION_DENIED"}}`
	hello      = `{"candidates":[{"content":{"parts":[{"text":"Hello."}]}}]}`
)

// by answers each account by its own function, the others with a greeting.
func by(answers map[string]func() *http.Response) upstreamFunc {
	return func(r *http.Request) (*http.Response, error) {
		if f := answers[r.Header.Get("Authorization")]; f != nil {
			return f(), nil
		}
		return reply(200, hello), nil
	}
}

// always is one answer again and again.
func always(status int, body string) func() *http.Response {
	return func() *http.Response { return reply(status, body) }
}

// inTurn gives the answers one after another, then greetings.
func inTurn(answers ...func() *http.Response) func() *http.Response {
	i := 0
	return func() *http.Response {
		if i++; i <= len(answers) {
			return answers[i-1]()
		}
		return reply(200, hello)
	}
}

// blockedCells lists what is blocked now as "account/target".
func (r *rig) blockedCells() []string {
	var list []string
	s := r.engine.State()
	for a := range s.Accounts("") {
		for i := range a.Cells {
			if a.Cells[i].Status(r.engine.Now()) != projection.StatusAvailable {
				list = append(list, a.ID+"/"+a.Cells[i].Target)
			}
		}
	}
	return list
}
