package demo

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/router"
)

// upstream imitates a provider whose accounts have one quota per model family, with
// the bodies that Antigravity really sends. It listens on loopback.
type upstream struct {
	url    string
	server *http.Server
	began  time.Time
	window time.Duration
	// quota :: account → requests per family and window
	quota map[string]int

	mu      sync.Mutex
	used    map[bucket]int // guarded by mu
	denied  int            // 429s sent; guarded by mu
	served  int            // guarded by mu
	failing string         // a model without capacity; guarded by mu
}

// bucket is what one quota counts.
type bucket struct {
	account, family string
	window          int64
}

func startUpstream(quota map[string]int, window time.Duration) (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{
		url: "http://" + l.Addr().String(), window: window, quota: quota, began: time.Now(), used: map[bucket]int{},
	}
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: 5 * time.Second}
	go u.server.Serve(l) // returns when the server is closed
	return u, nil
}

func (u *upstream) close() { u.server.Close() }

// family is the provider's own view of what shares a quota.
func family(model string) string {
	switch {
	case strings.HasPrefix(model, "claude-"), strings.HasPrefix(model, "gpt-oss"):
		return "claude"
	case strings.Contains(model, "-pro"):
		return "gemini-pro"
	default:
		return "gemini-flash"
	}
}

// ServeHTTP answers POST /models/{model} for the account in the Authorization
// header.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	model := router.ModelInPath(r.URL.Path)
	account := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	request, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return // the client is gone
	}
	w.Header().Set("Content-Type", "application/json")
	if bytes.Contains(request, []byte(poisoned)) {
		u.deny()
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}`)
		return
	}
	now := time.Since(u.began)
	b := bucket{account, family(model), int64(now / u.window)}
	switch ok, short := u.spend(b, model); {
	case short:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, capacityBody(model))
	case !ok:
		left := time.Duration(b.window+1)*u.window - now
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, quotaBody(model, left, time.Now().Add(left)))
	default:
		fmt.Fprint(w, `{"candidates":[{"content":{"parts":[{"text":"Hello."}]}}]}`)
	}
}

// poisoned marks a request that the provider refuses whoever sends it, with the 429
// that Antigravity really gives malformed ones.
const poisoned = "poison"

func (u *upstream) deny() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.denied++
}

func (u *upstream) spend(b bucket, model string) (ok, short bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if model == u.failing {
		return false, true
	}
	if u.used[b] >= u.quota[b.account] {
		u.denied++
		return false, false
	}
	u.used[b]++
	u.served++
	return true, false
}

// exhaust spends an account's quota of a model's family for the present window.
func (u *upstream) exhaust(account, model string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used[bucket{account, family(model), int64(time.Since(u.began) / u.window)}] = u.quota[account]
}

// refill gives an account its quota back before the window ends.
func (u *upstream) refill(account, model string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.used, bucket{account, family(model), int64(time.Since(u.began) / u.window)})
}

func (u *upstream) fail(model string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failing = model
}

func (u *upstream) counts() (served, denied int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.served, u.denied
}

func quotaBody(model string, left time.Duration, reset time.Time) string {
	return fmt.Sprintf(`{"error":{"code":429,"message":"Individual quota reached. Contact your administrator to enable overages. Resets in %[2]s.",`+
		`"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED",`+
		`"domain":"cloudcode-pa.googleapis.com","metadata":{"model":%[1]q,"quotaResetDelay":"%[2]s","quotaResetTimeStamp":%[4]q}},`+
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%[3]fs"}]}}`,
		model, left, left.Seconds(), reset.UTC().Format(time.RFC3339))
}

func capacityBody(model string) string {
	return fmt.Sprintf(`{"error":{"code":503,"message":"No capacity available for model %s on the server","status":"UNAVAILABLE",`+
		`"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MODEL_CAPACITY_EXHAUSTED",`+
		`"domain":"cloudcode-pa.googleapis.com","metadata":{"model":%q}}]}}`, model, model)
}
