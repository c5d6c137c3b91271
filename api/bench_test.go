package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
)

// BenchmarkPickOverLoopback measures POST /v1/pick with authentication and metrics
// on, beside a bare handler that decodes and encodes the same JSON, in turns of some
// milliseconds. of-floor is its rate in parts of the bare one's.
func BenchmarkPickOverLoopback(b *testing.B) {
	bench := newBench(b, tune{quiet: true})
	bench.pool()
	bare := func(w http.ResponseWriter, r *http.Request) {
		var q api.PickRequest
		if json.NewDecoder(r.Body).Decode(&q) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.PickAnswer{Account: "a1", Provider: q.Provider, Model: q.Model, Target: "claude", Lease: "4"})
	}
	pick := poster(b, bench.server.Handler(), bench.token["admin"])
	floor := poster(b, http.HandlerFunc(bare), bench.token["admin"])
	const round = 20
	var picks, floors time.Duration
	rounds := 0
	for b.Loop() {
		began := time.Now()
		for range round {
			floor()
		}
		between := time.Now()
		for range round {
			pick()
		}
		floors += between.Sub(began)
		picks += time.Since(between)
		rounds++
	}
	b.ReportMetric(float64(picks.Nanoseconds())/float64(rounds*round), "ns/pick")
	b.ReportMetric(float64(floors.Nanoseconds())/float64(rounds*round), "floor-ns")
	b.ReportMetric(float64(floors)/float64(picks), "of-floor")
}

// poster serves a handler on loopback and returns a function that asks it for a pick.
func poster(b *testing.B, h http.Handler, token string) func() {
	srv := httptest.NewServer(h)
	b.Cleanup(srv.Close)
	client := srv.Client()
	body := []byte(`{"provider":"antigravity","model":"claude-opus-4-6"}`)
	return func() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL+"/v1/pick", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), `"target":"claude"`) {
			b.Fatal(res.StatusCode, string(text), err)
		}
	}
}
