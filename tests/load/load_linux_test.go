package load

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// maxMemory is what the server's process may take, in megabytes.
const maxMemory = 400

// TestOpenConnections: no pick fails, and the memory stays within its bound.
func TestOpenConnections(t *testing.T) {
	j := job{Kind: "picks", Conns: 1000, Rate: 500, Seconds: 2}
	if *long {
		j = job{Kind: "picks", Conns: 10_000, Rate: 5000, Seconds: 20}
	}
	if err := files(j.Conns); err != nil {
		t.Skip(err)
	}
	t.Logf("load average %s, %d cores; %d connections, %d picks a second for %.0f s", loadAverage(t), runtime.NumCPU(), j.Conns, j.Rate, j.Seconds)
	for _, c := range []struct {
		name  string
		serve func() *server
	}{
		{"the floor", func() *server { return serveOnly(t, bare) }},
		{"abeyance", func() *server { return serve(t) }},
	} {
		settle()
		f, took := c.serve().run(j)
		if want := int(float64(j.Rate) * j.Seconds); f.Asked != want || f.Errors != 0 {
			t.Errorf("%s: %d of %d picks, of which %d failed: %s", c.name, f.Asked, want, f.Errors, f.First)
		}
		if took.memory >= maxMemory {
			t.Errorf("%s took %.0f MB, want less than %d", c.name, took.memory, maxMemory)
		}
		t.Logf("%-9s  p50 %8v  p99 %8v  max %8v  %3d µs of processor a pick  at most %.0f MB", c.name, f.P50.Round(time.Microsecond),
			f.P99.Round(time.Microsecond), f.Max.Round(time.Microsecond), took.processor.Microseconds()/int64(max(1, f.Asked)), took.memory)
	}
	t.Logf("load average %s", loadAverage(t))
}

// cost is what this process took for a load.
type cost struct {
	memory    float64 // at most, in megabytes
	processor time.Duration
}

// run puts the load on a server, and returns what the clients saw and what it took.
func (s *server) run(j job) (seen figures, took cost) {
	s.t.Helper()
	forget(s.t)
	p := s.start(j)
	before := processor(s.t)
	err := p.Go()
	if err == nil {
		err = p.Finish(time.Duration(j.Seconds)*time.Second+2*patience, &seen)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	took = cost{memory: memory(s.t), processor: processor(s.t) - before}
	s.http.Close()
	return seen, took
}

// TestFailuresAreSeen: a handler that fails one pick in a hundred, and one that names
// nobody, are caught.
func TestFailuresAreSeen(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"a refusal":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"no account": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"account":""}`)) },
	} {
		var n atomic.Int64
		s := serveOnly(t, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%100 == 0 {
				fail(w, r)
				return
			}
			bare(w, r)
		})
		if seen, _ := s.run(job{Kind: "picks", Conns: 10, Rate: 500, Seconds: 1}); seen.Asked != 500 || seen.Errors < 5 {
			t.Errorf("%s: %+v", name, seen)
		}
	}
}

func loadAverage(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(doc))[:3], " ")
}

// TestSlowClients: whoever sends a byte a second is cut off when its time is over, takes
// hardly any memory until then, and costs the others nothing.
func TestSlowClients(t *testing.T) {
	kinds := []job{{Kind: "slow", Conns: 300}}
	if *long {
		kinds = []job{{Kind: "slow", Conns: 2000}, {Kind: "slow", Conns: 2000, Bodies: true}}
	}
	for _, j := range kinds {
		if err := files(j.Conns); err != nil {
			t.Skip(err)
		}
		s := serve(t)
		client := s.client()
		alone := s.ask(client, 200)
		settle()
		before := used()
		p := s.start(j)
		beside := s.ask(client, 200)
		debug.FreeOSMemory()
		grown := float64(used()-before) / 1e6
		var c cuts
		if err := p.Finish(2*patience, &c); err != nil {
			t.Fatal(err)
		}
		// Headers have 5 s and bodies 15 s; a busy machine gets some more.
		name, bound := "headers", 10*time.Second
		if j.Bodies {
			name, bound = "bodies", patience
		}
		t.Logf("%d slow %s: cut off after %v at the latest, %.1f MB while they were open; picks p50 %v, p99 %v, and without them %v, %v",
			j.Conns, name, c.Longest.Round(10*time.Millisecond), grown, middle(beside), high(beside), middle(alone), high(alone))
		if c.Closed != j.Conns || c.Longest > bound || j.Bodies && c.Answered != j.Conns {
			t.Errorf("slow %s: %+v of %d, want all within %s", name, c, j.Conns, bound)
		}
		if limit := float64(j.Conns) * 0.04; grown > max(20, limit) {
			t.Errorf("slow %s took %.1f MB", name, grown)
		}
		client.CloseIdleConnections()
		s.http.Close()
	}
}

// settle waits until what came before is gone: connections that were closed leave their
// goroutines a moment later.
func settle() {
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > 50 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	runtime.GC() // twice: pools keep what they hold through one
	debug.FreeOSMemory()
}

// used is the memory of the heap and the stacks, in bytes.
func used() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// client is a client that is not slow.
func (s *server) client() *http.Client {
	return &http.Client{Transport: &http.Transport{}, Timeout: patience}
}

// ask makes some picks, one after the other, and returns how long each took.
func (s *server) ask(client *http.Client, n int) []time.Duration {
	s.t.Helper()
	var took []time.Duration
	for range n {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.addr+"/v1/pick",
			bytes.NewReader([]byte(`{"provider":"antigravity","model":"claude-opus-4-6"}`)))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		r.Header.Set("Content-Type", "application/json")
		began := time.Now()
		res, err := client.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		var answer struct{ Account string }
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK || answer.Account == "" {
			s.t.Fatalf("a pick was answered %s, %v", res.Status, err)
		}
		res.Body.Close()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

func middle(took []time.Duration) time.Duration { return took[len(took)/2].Round(time.Microsecond) }
func high(took []time.Duration) time.Duration {
	return took[len(took)*99/100].Round(time.Microsecond)
}
