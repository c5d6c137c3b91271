package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// BenchmarkPickOverLoopback measures POST /v1/pick with authentication and metrics
// on, beside a bare handler that decodes and encodes the same JSON: the goal is
// 0.80 of its rate (design.md section 12).
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
	for name, h := range map[string]http.Handler{"pick": bench.server.Handler(), "floor": http.HandlerFunc(bare)} {
		b.Run(name, func(b *testing.B) {
			srv := httptest.NewServer(h)
			defer srv.Close()
			client := srv.Client()
			body := []byte(`{"provider":"antigravity","model":"claude-opus-4-6"}`)
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL+"/v1/pick", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+bench.token["admin"])
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
		})
	}
}
