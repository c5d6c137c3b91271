package load

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/tests/child"
)

const accounts = 1000

// server is a handler on loopback.
type server struct {
	t     *testing.T
	http  *http.Server
	addr  string
	token string
}

// listen serves a server on loopback until the test ends.
func (s *server) listen() *server {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	go s.http.Serve(l) // its error is the close
	s.t.Cleanup(func() { s.http.Close() })
	return s
}

// serve serves an engine on a disk, as the daemon does, with everything on that a request
// has to pass.
func serve(t *testing.T) *server {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	o := &projection.Options{}
	for i := range accounts {
		o.Accounts = append(o.Accounts, projection.PutAccount{ID: fmt.Sprint("a", i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	engine, err := projection.Open(t.Context(), log, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	tokens, _, err := api.OpenTokens(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t}
	if s.token, err = tokens.Create("proxy", []api.Scope{api.ScopeRoute}); err != nil {
		t.Fatal(err)
	}
	surface, err := api.New(api.Options{Tokens: tokens, MaxConnectionsPerPeer: 100, MaxChangesPerSecond: 100})
	if err != nil {
		t.Fatal(err)
	}
	surface.Ready(api.Backend{Engine: engine, Router: router.New(engine, nil)})
	s.http = api.NewHTTPServer(surface.Handler(), nil)
	return s.listen()
}

// bare is the floor: it decodes and encodes the JSON of a pick.
func bare(w http.ResponseWriter, r *http.Request) {
	var q api.PickRequest
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(api.PickAnswer{Account: "a1", Provider: q.Provider, Model: q.Model, Target: "claude", Lease: "4"})
}

// serveOnly serves a handler with net/http's defaults.
func serveOnly(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{t: t, token: "none", http: &http.Server{Handler: h}}
	return s.listen()
}

// start has the clients connect, and returns when every connection is open.
func (s *server) start(j job) *child.Process {
	s.t.Helper()
	j.Addr, j.Token = s.addr, s.token
	p, err := child.Start(j)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	return p
}

// memory is the most that this process had of the machine's memory since forget, in
// megabytes.
func memory(t *testing.T) float64 {
	t.Helper()
	doc, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(doc)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatalf("no memory in %s", doc)
	return 0
}

// processor is the time that this process has had of the processors.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// forget has memory begin anew.
func forget(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Logf("the most memory includes what was before: %v", err)
	}
}
