package router

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
)

// loadModels are three of each family that Antigravity counts together.
func loadModels() []string {
	return []string{
		"claude-opus-4-6-thinking", "claude-sonnet-4-6", "gpt-oss-120b-medium",
		"gemini-3-pro-high", "gemini-3-pro-low", "gemini-3.1-pro-preview",
		"gemini-3-flash", "gemini-2.5-flash", "gemini-2.5-flash-thinking",
	}
}

// loadFamily is the provider's own view of what shares a quota.
func loadFamily(model string) string {
	switch {
	case strings.HasPrefix(model, "claude-"), strings.HasPrefix(model, "gpt-oss"):
		return "claude"
	case strings.Contains(model, "-pro"):
		return "gemini-pro"
	}
	return "gemini-flash"
}

// fakeProvider imitates Antigravity with accounts whose quotas run dry and come back,
// and with everything else that goes wrong at a provider. It remembers what it gave
// cause for.
type fakeProvider struct {
	mu     sync.Mutex
	random *rand.Rand                    // guarded by mu, like all below
	quotas map[events.Cell]*loadQuota    // (account, family)
	brief  map[events.Cell]time.Time     // (account, model) → the end of a short limit
	caused map[events.Cell]bool          // what may be blocked because of its answers
	limits map[loadAttempt]int           // 429s sent
	short  map[string]bool               // requests that met a shortage: one each
	leave  map[string]context.CancelFunc // clients that go away as soon as they wait
	counts map[string]int                // answers by kind
	storms int                           // how often all of one family was spent at once
}

// loadQuota is one quota: so many requests, then a pause.
type loadQuota struct {
	left  int
	spent time.Time // until then
}

// loadAttempt is one request as it met one account.
type loadAttempt struct{ account, request string }

func newFakeProvider(seed uint64) *fakeProvider {
	return &fakeProvider{
		random: rand.New(rand.NewPCG(seed, 1)), quotas: map[events.Cell]*loadQuota{}, brief: map[events.Cell]time.Time{},
		caused: map[events.Cell]bool{}, limits: map[loadAttempt]int{}, short: map[string]bool{},
		leave: map[string]context.CancelFunc{}, counts: map[string]int{},
	}
}

// loadAnswer is what the provider makes up its mind to do.
type loadAnswer struct {
	kind   string // "ok", "stream", "broken stream", "hold", or the name of an error
	status int
	body   string // of an error, or of the event that breaks a stream
}

// ServeHTTP implements http.Handler.
func (p *fakeProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	a := p.decide(loadAttempt{r.Header.Get("Authorization"), r.Header.Get("X-Request-Id")}, ModelInBody(body))
	switch a.kind {
	case "hold":
		<-r.Context().Done()
	case "ok":
		io.WriteString(w, hello)
	case "stream", "broken stream":
		p.stream(w, r, a.body)
	default:
		w.Header().Set("Content-Type", "text/event-stream") // as Antigravity labels its errors
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	}
}

// stream writes a few events slowly, and the last one if it is not empty.
func (p *fakeProvider) stream(w http.ResponseWriter, r *http.Request, last string) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 4 {
		io.WriteString(w, eventChat)
		w.(http.Flusher).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
	if last != "" {
		io.WriteString(w, "data: "+last+"\n\n")
	}
}

// decide says what becomes of a request, and remembers it.
func (p *fakeProvider) decide(at loadAttempt, model string) (a loadAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() {
		p.counts[a.kind]++
		if a.status == http.StatusTooManyRequests {
			p.limits[at]++
		}
	}()
	now := time.Now()
	if a := p.refuse(at, model, now); a.kind != "" {
		return a
	}
	if leave := p.leave[at.request]; leave != nil {
		leave()
		return loadAnswer{kind: "hold"}
	}
	switch p.random.IntN(40) {
	case 0:
		return loadAnswer{"broken stream", http.StatusOK, p.spend(at.account, model, now)}
	case 1:
		return loadAnswer{"broken stream", http.StatusOK, overloaded}
	default:
		return loadAnswer{kind: [...]string{"ok", "stream"}[p.random.IntN(2)], status: http.StatusOK}
	}
}

// refuse returns an error, or nothing.
func (p *fakeProvider) refuse(at loadAttempt, model string, now time.Time) loadAnswer {
	family := events.Cell{Account: at.account, Target: loadFamily(model)}
	q := p.quotas[family]
	if q == nil {
		q = &loadQuota{left: 5 + p.random.IntN(40)}
		p.quotas[family] = q
	}
	one := events.Cell{Account: at.account, Target: events.ModelTarget + model}
	chance := p.random.IntN(1000)
	switch {
	case now.Before(q.spent):
		p.caused[family] = true
		return loadAnswer{"quota 429", http.StatusTooManyRequests, quotaAnswer("QUOTA_EXHAUSTED", model, q.spent.Sub(now))}
	case q.left == 0:
		return loadAnswer{"quota 429", http.StatusTooManyRequests, p.spend(at.account, model, now)}
	case now.Before(p.brief[one]), chance < 10:
		if !now.Before(p.brief[one]) {
			p.brief[one] = now.Add(p.pause())
		}
		p.caused[one] = true
		return loadAnswer{"short 429", http.StatusTooManyRequests, quotaAnswer("RATE_LIMIT_EXCEEDED", model, p.brief[one].Sub(now))}
	case chance < 20:
		return loadAnswer{"500", http.StatusInternalServerError, `{"error":{"code":500,"message":"Internal error encountered.","status":"INTERNAL"}}`}
	case chance < 40 && !p.short[at.request]:
		p.short[at.request] = true
		if chance < 22 {
			return loadAnswer{"529", 529, overloaded}
		}
		p.caused[one] = true
		return loadAnswer{"503", http.StatusServiceUnavailable, capacityAnswer(model, p.pause())}
	}
	q.left--
	return loadAnswer{}
}

func (p *fakeProvider) pause() time.Duration {
	return time.Duration(100+p.random.IntN(300)) * time.Millisecond
}

// spend ends a quota for a while and returns the error that says so.
func (p *fakeProvider) spend(account, model string, now time.Time) string {
	cell := events.Cell{Account: account, Target: loadFamily(model)}
	p.caused[cell] = true
	p.quotas[cell] = &loadQuota{left: 5 + p.random.IntN(40), spent: now.Add(p.pause())}
	return quotaAnswer("QUOTA_EXHAUSTED", model, p.quotas[cell].spent.Sub(now))
}

// storm spends one family of every account at once.
func (p *fakeProvider) storm(family string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.storms++
	for i := range loadAccounts {
		p.quotas[events.Cell{Account: loadAccount(i), Target: family}] = &loadQuota{left: 20, spent: time.Now().Add(d)}
	}
}

// expect makes the client of a request go away as soon as the provider keeps it waiting.
func (p *fakeProvider) expect(request string, leave context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave[request] = leave
}

// quotaAnswer is a 429 of Antigravity, as users publish them.
func quotaAnswer(reason, model string, left time.Duration) string {
	return fmt.Sprintf(`{"error":{"code":429,"message":"You have exhausted your capacity on this model. Your quota will reset after %[3]s.",`+
		`"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":%[1]q,`+
		`"domain":"cloudcode-pa.googleapis.com","metadata":{"uiMessage":"true","model":%[2]q,"quotaResetDelay":"%[3]s"}},`+
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%.9[4]fs"}]}}`, reason, model, left, left.Seconds())
}

// capacityAnswer is its 503.
func capacityAnswer(model string, left time.Duration) string {
	return fmt.Sprintf(`{"error":{"code":503,"message":"No capacity available for model %[1]s on the server","status":"UNAVAILABLE",`+
		`"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"MODEL_CAPACITY_EXHAUSTED",`+
		`"domain":"cloudcode-pa.googleapis.com","metadata":{"model":%[1]q}},`+
		`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"%.9[2]fs"}]}}`, model, left.Seconds())
}
