package router_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// A pool proxy: it serves each request with an account that can, and tries another
// one when an account's quota turns out to be spent.
func ExampleTransport() {
	provider := httptest.NewServer(http.HandlerFunc(oneSpentAccount))
	defer provider.Close()
	pool, closePool := openPool("first", "second", "third")
	defer closePool()

	// The proxy.
	upstream, err := url.Parse(provider.URL)
	if err != nil {
		panic(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: &router.Transport{
			Router:   pool,
			Provider: "antigravity",
			Authorize: func(r *http.Request, l router.Lease) error {
				r.Header.Set("Authorization", "Bearer the token of "+l.Account)
				return nil
			},
		},
	})
	defer proxy.Close()

	// Its clients.
	for _, model := range []string{"claude-opus-4-6-thinking", "claude-sonnet-4-6", "claude-sonnet-4-6", "gemini-3-flash"} {
		resp, err := http.Post(proxy.URL+"/v1/messages", "application/json", strings.NewReader(`{"model": "`+model+`"}`))
		if err != nil {
			panic(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
		fmt.Printf("%s: %s\n", model, answer)
	}
	// Output:
	// claude-opus-4-6-thinking: served by the token of second
	// claude-sonnet-4-6: served by the token of third
	// claude-sonnet-4-6: served by the token of second
	// gemini-3-flash: served by the token of first
}

// openPool opens a pool of accounts in a directory of its own.
func openPool(ids ...string) (*router.Router, func()) {
	dir, err := os.MkdirTemp("", "abeyance-example-")
	if err != nil {
		panic(err)
	}
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		panic(err)
	}
	var accounts []projection.PutAccount
	for _, id := range ids {
		a := projection.PutAccount{ID: id}
		a.Spec.Provider = "antigravity"
		accounts = append(accounts, a)
	}
	engine, err := projection.Open(context.Background(), log, &projection.Options{Accounts: accounts})
	if err != nil {
		panic(err)
	}
	return router.New(engine, nil), func() {
		engine.Close()
		log.Close()
		os.RemoveAll(dir)
	}
}

// oneSpentAccount is a provider that has served the first account all the Claude
// models that it may have this week.
func oneSpentAccount(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if strings.Contains(string(body), "claude") && strings.HasSuffix(token, "first") {
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":{"code":429,"message":"Individual quota reached. Resets in 71h15m27s.","status":"RESOURCE_EXHAUSTED"}}`)
		return
	}
	fmt.Fprintf(w, "served by %s", token)
}
