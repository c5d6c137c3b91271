package stream

import (
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/tests/child"
)

const accounts = 100

// server is an engine on a disk, served over loopback.
type server struct {
	t        *testing.T
	engine   *projection.Engine
	registry *prometheus.Registry
	addr     string
	token    string
	reports  int // made
}

func serve(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	log, err := boltlog.Open(filepath.Join(dir, "data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	o := &projection.Options{}
	for i := range accounts {
		o.Accounts = append(o.Accounts, projection.PutAccount{ID: fmt.Sprint("a", i), Spec: events.AccountSpec{Provider: "antigravity"}})
	}
	s := &server{t: t, registry: prometheus.NewRegistry()}
	if s.engine, err = projection.Open(t.Context(), log, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.engine.Close() })
	tokens, _, err := api.OpenTokens(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if s.token, err = tokens.Create("watch", []api.Scope{api.ScopeRead}); err != nil {
		t.Fatal(err)
	}
	surface, err := api.New(api.Options{Tokens: tokens, Registry: s.registry})
	if err != nil {
		t.Fatal(err)
	}
	surface.Ready(api.Backend{Engine: s.engine, Router: router.New(s.engine, nil)})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	h := api.NewHTTPServer(surface.Handler(), nil)
	go h.Serve(listener)
	t.Cleanup(func() { h.Close() })
	return s
}

// figure is the value of a metric without labels.
func (s *server) figure(name string) int {
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Error(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
	}
	s.t.Errorf("no metric %s", name)
	return -1
}

// memory is how many bytes this process uses, without garbage.
func memory() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// start has the clients connect, and returns when every stream has begun.
func (s *server) start(c clients) *child.Process {
	s.t.Helper()
	c.Addr, c.Token = s.addr, s.token
	p, err := child.Start(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	return p
}

// finish appends the last record, waits until every reader has it, and returns what the
// clients have seen.
func (s *server) finish(p *child.Process) (seen report) {
	s.t.Helper()
	_, err := s.engine.Execute(s.t.Context(), projection.Command{
		Origin: events.Origin{Actor: "operator:load", Via: events.ViaGo},
		Do:     &projection.Suspend{Filter: projection.Filter{Account: "a0", Target: "*"}, Reason: lastReason, Forever: true},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.Finish(2*grace, &seen); err != nil {
		s.t.Fatal(err)
	}
	return seen
}
