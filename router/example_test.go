package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// A proxy in one process with Abeyance: open the log, pick an account for each
// request, report each answer.
func Example() {
	upstream := httptest.NewServer(http.HandlerFunc(spentClaude))
	defer upstream.Close()
	dir, err := os.MkdirTemp("", "abeyance-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	log, err := boltlog.Open(dir, nil)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	antigravity := projection.PutAccount{}
	antigravity.Spec.Provider = "antigravity"
	first, second := antigravity, antigravity
	first.ID, second.ID = "first", "second"
	engine, err := projection.Open(context.Background(), log, &projection.Options{
		Accounts: []projection.PutAccount{first, second},
	})
	if err != nil {
		panic(err)
	}
	defer engine.Close()
	pool := router.New(engine, nil)

	// serve sends one request with the account whose turn it is.
	serve := func(model string) {
		lease, err := pool.Pick(router.Request{Provider: "antigravity", Model: model})
		if blocked, ok := errors.AsType[*router.BlockedError](err); ok {
			fmt.Printf("%s: %s, back in %s\n", model, blocked.Code, time.Until(blocked.EarliestEnd).Round(time.Hour))
			return
		}
		if err != nil {
			panic(err)
		}
		request, err := http.NewRequest(http.MethodPost, upstream.URL+"/"+model, strings.NewReader("{}"))
		if err != nil {
			panic(err)
		}
		request.Header.Set("Authorization", "Bearer "+lease.Account) // your account's real token
		began := time.Now()
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err) // no answer says nothing about the account
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		outcome, err := pool.Report(context.Background(), lease, signal.Observation{
			Status: response.StatusCode, Header: response.Header, Body: body, StartedAt: began,
		})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s on %s: %s, effect %s\n", model, lease.Account, outcome.Class, outcome.Effect)
	}
	serve("claude-opus-4-6-thinking")
	serve("claude-sonnet-4-6")
	serve("gpt-oss-120b-medium")
	serve("gemini-3-flash")
	// Output:
	// claude-opus-4-6-thinking on first: quota_exhausted, effect started
	// claude-sonnet-4-6 on second: quota_exhausted, effect started
	// gpt-oss-120b-medium: all_cooling, back in 71h0m0s
	// gemini-3-flash on first: ok, effect none
}

// spentClaude is a provider whose Claude quota is spent on every account.
func spentClaude(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/gemini") {
		fmt.Fprint(w, `{"candidates":[]}`)
		return
	}
	w.WriteHeader(http.StatusTooManyRequests)
	fmt.Fprint(w, `{"error":{"code":429,"message":"Individual quota reached. Resets in 71h15m27s.","status":"RESOURCE_EXHAUSTED"}}`)
}
