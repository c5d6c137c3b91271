package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router"
)

// scratch is a directory for what all tests of the process share.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "abeyance-api-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	// After refusing a long header the server waits half a second before it closes.
	code := m.Run()
	if err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// start is when the clock of every test starts.
func start() time.Time { return time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) }

// clock is a wall clock that only a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a server over an engine on a log in memory.
type bench struct {
	t        testing.TB
	server   *api.Server
	engine   *projection.Engine
	log      *eventstest.Log
	book     *identity.Book
	tokens   *api.Tokens
	sessions *api.Sessions
	clock    *clock
	// token :: name → the token itself; one per scope, named after it
	token    map[string]string
	logs     *bytes.Buffer
	owners   *api.Owners
	registry *prometheus.Registry
}

// tune changes a bench before it is made.
type tune struct {
	observe bool
	starts  bool                        // do not call Ready
	quiet   bool                        // no access log
	log     func(events.Log) events.Log // what the engine writes to, over the log in memory; nil: the log itself
	options func(*api.Options)          // nil: as they are
}

func newBench(t testing.TB, tunes ...tune) *bench {
	t.Helper()
	var o tune
	if len(tunes) > 0 {
		o = tunes[0]
	}
	b := &bench{
		t: t, log: eventstest.New(), book: identity.New(), clock: &clock{t: start()}, token: map[string]string{},
		logs: new(bytes.Buffer), registry: prometheus.NewRegistry(), owners: new(api.Owners),
	}
	dir := t.TempDir()
	var err error
	if b.tokens, _, err = api.OpenTokens(dir); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(dir, api.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	b.token["admin"] = strings.TrimSpace(string(first))
	for _, scope := range []api.Scope{api.ScopeRoute, api.ScopeRead, api.ScopeOperate} {
		if b.token[string(scope)], err = b.tokens.Create(string(scope), []api.Scope{scope}); err != nil {
			t.Fatal(err)
		}
	}
	if b.sessions, err = api.OpenSessions(dir, b.tokens); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(b.logs, nil))
	options := api.Options{
		Logger: logger, AccessLog: !o.quiet, Registry: b.registry, Tokens: b.tokens, Sessions: b.sessions, Version: "test",
		AllowedHosts: []string{"example.com", "x"}, // what net/http/httptest and the requests written by hand say
	}
	if o.options != nil {
		o.options(&options)
	}
	b.server, err = api.New(options)
	if err != nil {
		t.Fatal(err)
	}
	var log events.Log = b.log
	if o.log != nil {
		log = o.log(log)
	}
	b.engine, err = projection.Open(t.Context(), log, &projection.Options{
		Now: b.clock.now, ObserveOnly: o.observe, Registerer: b.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.engine.Close() })
	if !o.starts {
		b.server.Ready(b.backend())
	}
	return b
}

func (b *bench) backend() api.Backend {
	return api.Backend{
		Engine: b.engine, Router: router.New(b.engine, &router.Options{Identities: b.book}), Identities: b.book,
		Bytes:  func() int64 { return 4096 },
		Owners: b.owners, Reload: b.reload,
	}
}

// request is one request of a test.
type request struct {
	method, path string
	as           string // the name of the token; "-": none; empty: admin
	body         string
	header       map[string]string
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
	compat bool // of a compat route
}

// build makes a request of one of a test.
func (b *bench) build(q request) *http.Request {
	b.t.Helper()
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r := httptest.NewRequestWithContext(b.t.Context(), q.method, q.path, body)
	switch {
	case q.body == "":
	case takesFiles(q.method + " " + r.URL.Path):
		r.Header.Set("Content-Type", "application/octet-stream")
	default:
		r.Header.Set("Content-Type", "application/json")
	}
	if q.as == "" {
		q.as = "admin"
	}
	if q.as != "-" {
		r.Header.Set("Authorization", "Bearer "+b.token[q.as])
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	return r
}

func (b *bench) do(q request) answer {
	b.t.Helper()
	return b.serve(b.build(q))
}

// serve has the server answer a request, and holds the answer against the document.
func (b *bench) serve(r *http.Request) answer {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(w, r)
	a := answer{
		t: b.t, status: w.Code, header: w.Header(), body: w.Body.String(), compat: strings.HasPrefix(r.URL.Path, "/v0/management/"),
	}
	b.conforms(r, a)
	return a
}

func (b *bench) get(path string) answer {
	b.t.Helper()
	return b.do(request{method: http.MethodGet, path: path})
}

func (b *bench) post(path, body string) answer {
	b.t.Helper()
	return b.do(request{method: http.MethodPost, path: path, body: body})
}

func (b *bench) put(path, body string) answer {
	b.t.Helper()
	return b.do(request{method: http.MethodPut, path: path, body: body})
}

// want fails unless the status is the one given.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d; body: %s", a.status, status, a.body)
	}
	return a
}

// problem fails unless the answer is the problem given, in form and code.
func (a answer) problem(status int, code string) api.Problem {
	a.t.Helper()
	a.want(status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("Content-Type %q of a problem", got)
	}
	p := a.decodeProblem()
	if string(p.Code) != code || p.Status != status || p.Title != http.StatusText(status) || p.Detail == "" || p.Type != "about:blank" {
		a.t.Errorf("problem %+v, want the code %s and status %d", p, code, status)
	}
	return p
}

// decodeProblem reads a problem as its route answers it.
func (a answer) decodeProblem() api.Problem {
	a.t.Helper()
	if !a.compat && strings.Contains(a.body, `"counts":`) {
		return decode[api.Blocked](a).Problem
	}
	if !a.compat {
		return decode[api.Problem](a)
	}
	p := decode[api.CompatProblem](a)
	if p.Message == "" || p.Message != p.Detail {
		a.t.Errorf("the error of a compat route is %q, its detail %q", p.Message, p.Detail)
	}
	return p.Problem
}

// decode reads an answer strictly: what the struct does not have must not be there.
func decode[T any](a answer) T {
	a.t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// limited is a report of a spent quota for an account.
func limited(account, model string) string {
	doc, err := json.Marshal(map[string]any{
		"account": account, "provider": "antigravity", "model": model, "status": 429,
		"headers": map[string]any{"content-type": "application/json", "Date": []string{"Mon, 23 Nov 2026 09:00:00 GMT"}},
		"body":    strings.ReplaceAll(quotaBody, "MODEL", model),
	})
	if err != nil {
		panic(err)
	}
	return string(doc)
}

const quotaBody = `{"error":{"code":429,"message":"You have exhausted your capacity on this model. Your quota will reset after 71h15m27s.","status":"RESOURCE_EXHAUSTED","details":[` +
	`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED","domain":"cloudcode-pa.googleapis.com","metadata":{"quotaResetDelay":"71h15m27.79s","model":"MODEL"}},` +
	`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"256527.79s"}]}}`

// pool puts two accounts into the pool.
func (b *bench) pool() {
	b.t.Helper()
	for _, id := range []string{"a1", "a2"} {
		b.put("/v1/accounts/"+id, `{"provider":"antigravity"}`).want(http.StatusOK)
	}
}

func (b *bench) records() []events.Record {
	b.t.Helper()
	var list []events.Record
	for r, err := range b.log.Records(b.t.Context(), 0) {
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}
