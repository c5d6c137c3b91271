package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
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

// process is the clients in their process.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	said *bytes.Buffer
	done bool
}

// start has the clients connect, and returns when every connection is open.
func (s *server) start(j job) *process {
	s.t.Helper()
	j.Addr, j.Token = s.addr, s.token
	text, err := json.Marshal(j)
	if err != nil {
		s.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{t: s.t, cmd: exec.Command(exe), said: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), envJob+"="+string(text))
	p.cmd.Stderr = p.said
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.kill)
	if line, err := p.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		p.kill()
		s.t.Fatalf("the clients said %q (%v)\n%s", line, err, p.said)
	}
	return p
}

func (p *process) kill() {
	if p.done {
		return
	}
	p.done = true
	p.cmd.Process.Kill()
	p.cmd.Wait() // its error is the kill
}

// finish reads what the clients saw, which they tell within a time.
func (p *process) finish(within time.Duration, seen any) {
	p.t.Helper()
	stop := time.AfterFunc(within, func() { p.cmd.Process.Kill() })
	defer stop.Stop()
	err := json.NewDecoder(p.out).Decode(seen)
	p.done = true
	if werr := p.cmd.Wait(); werr != nil || err != nil {
		p.t.Fatalf("the clients ended with %v, %v\n%s", werr, err, p.said)
	}
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
