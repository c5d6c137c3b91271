package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// fuzzed lists the routes that FuzzHandlers asks, in an order that new ones do not
// change much. The stream has no end, and is tested by itself.
func fuzzed() []string {
	var list []string
	for route := range api.RouteScopes() {
		if route != "GET /v1/events/stream" {
			list = append(list, route)
		}
	}
	slices.Sort(list)
	return list
}

// FuzzHandlers sends two requests to any of the routes, of any path, query and body: no
// answer is a fault of the server's, each is as the document says, and the log is whole
// afterwards: each record continues the one before, and reading it anew gives the state
// that the engine has.
func FuzzHandlers(f *testing.F) {
	routes := fuzzed()
	list, err := api.Examples()
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range list {
		i := slices.Index(routes, e.Route)
		if i < 0 {
			continue
		}
		_, query, _ := strings.Cut(e.Path, "?")
		f.Add(uint8(i), "a1", query, []byte(e.Request), uint8(slices.Index(routes, "POST /v1/reports")), []byte(takingBodies()["POST /v1/reports"]))
	}
	for route, body := range goodBodies() {
		f.Add(uint8(slices.Index(routes, route)), "a1", "", []byte(body), uint8(slices.Index(routes, "POST /v1/replay")), []byte(`{}`))
	}
	f.Add(uint8(slices.Index(routes, "POST /v1/import")), "a1", "groups=true", []byte(stateSection+stateEntry("a1")), uint8(0), []byte(nil))
	f.Add(uint8(slices.Index(routes, "PUT /v1/accounts/{id}")), "mira@example.com", "", []byte(`{"provider":"kimi"}`), uint8(0), []byte("{"))
	b := newBench(f, tune{quiet: true})
	f.Fuzz(func(t *testing.T, first uint8, name, query string, body []byte, second uint8, body2 []byte) {
		b := b.fresh(t)
		b.fuzz(routes[int(first)%len(routes)], name, query, body)
		b.fuzz(routes[int(second)%len(routes)], name, "", body2)
		b.sound(t)
	})
}

// fresh returns a bench of the same server, whose engine and log are new: to make a server
// takes longer than what it is asked.
func (b *bench) fresh(t *testing.T) *bench {
	t.Helper()
	n := *b
	n.t, n.log, n.book, n.clock, n.owners = t, eventstest.New(), identity.New(), &clock{t: start()}, new(api.Owners)
	var err error
	n.engine, err = projection.Open(t.Context(), n.log, &projection.Options{Now: n.clock.now, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.engine.Close() })
	for _, row := range b.tokens.List() {
		if b.token[row.Name] == "" { // an earlier input made it
			if err := b.tokens.Delete(row.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.whole()
	n.pool()
	return &n
}

// fuzz makes a request of a route and looks at the answer.
func (b *bench) fuzz(route, name, query string, body []byte) {
	b.t.Helper()
	method, pattern, _ := strings.Cut(route, " ")
	if route == "DELETE /v1/tokens/{name}" {
		name += "-" // the token that the requests are made with is no input's to delete
	}
	target := strings.NewReplacer("{id}", escape(name), "{seq}", escape(name), "{name}", escape(name)).Replace(pattern)
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, bytes.NewReader(body))
	r.URL.RawQuery = query
	r.Header.Set("Authorization", "Bearer "+b.token["admin"])
	r.Header.Set("Content-Type", "application/json")
	if len(body)%3 == 0 { // sometimes under a key
		r.Header.Set("Idempotency-Key", "k")
	}
	a := b.serve(r)
	if a.status >= 500 && !(a.status == http.StatusServiceUnavailable && strings.Contains(a.body, `"code":"all_`)) {
		b.t.Errorf("%s answered %d: %s", route, a.status, a.body)
	}
	if a.status >= 400 {
		var p api.Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Code.Status() != a.status || p.Detail == "" {
			b.t.Errorf("%s answered %d, which is no problem: %v %s", route, a.status, err, a.body)
		}
	}
}

// sound fails unless the log is a chain, and gives the state that the engine has.
func (b *bench) sound(t *testing.T) {
	t.Helper()
	prev := events.Genesis("memory")
	for i, r := range b.records() {
		if r.Seq != events.Seq(i+1) || events.ChainHash(prev, r.Encoded()) != r.Hash {
			t.Fatalf("record %d does not continue the one before", i+1)
		}
		prev = r.Hash
	}
	again, err := projection.Open(t.Context(), b.log, &projection.Options{Now: b.clock.now, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	was, err := b.engine.State().Dump()
	if err != nil {
		t.Fatal(err)
	}
	is, err := again.State().Dump()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, is) {
		t.Error("the log, read anew, gives another state")
	}
}
