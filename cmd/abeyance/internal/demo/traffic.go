package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// The run: how many requests at which pace over which models. A window of the fake
// quota is a second, so the run sees several of them.
const (
	requests    = 2400
	perSecond   = 600
	quotaWindow = time.Second
	seed        = 71
)

// models are three per family.
func models() []string {
	return []string{
		"claude-opus-4-6-thinking", "claude-sonnet-4-6", "gpt-oss-120b-medium",
		"gemini-3-pro-high", "gemini-3-pro-low", "gemini-3.1-pro-preview",
		"gemini-3-flash", "gemini-2.5-flash", "gemini-2.5-flash-thinking",
	}
}

// quotas are uneven, as in a pool of free and paid accounts: some run dry in every
// window, the pool as a whole does not.
func quotas() map[string]int {
	q := map[string]int{}
	for i := range 8 {
		q[fmt.Sprintf("ag-%d", i+1)] = 10 + 9*i
	}
	return q
}

// tally is what clients and the upstream saw of a run.
type tally struct {
	requests int
	unserved int64
	limits   int // 429s of the upstream
}

// run sends the same requests in the same order at the same pace through a pool.
func run(ctx context.Context, over func(*proxy) http.RoundTripper) (tally, error) {
	u, err := startUpstream(quotas(), quotaWindow)
	if err != nil {
		return tally{}, err
	}
	defer u.close()
	p, err := startProxy(u.url, over)
	if err != nil {
		return tally{}, err
	}
	defer p.close()
	t := tally{requests: requests}
	order := rand.New(rand.NewPCG(seed, seed))
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	var wg sync.WaitGroup
	var unserved atomic.Int64
	for i := range requests {
		model := models()[order.IntN(len(models()))]
		select {
		case <-tick.C:
		case <-ctx.Done():
			wg.Wait()
			return t, ctx.Err()
		}
		wg.Go(func() {
			if !send(p.client, p.url+"/models/"+model, fmt.Sprintf("run-%d", i)) {
				unserved.Add(1)
			}
		})
	}
	wg.Wait()
	t.unserved = unserved.Load()
	_, t.limits = u.counts()
	return t, p.trouble.err()
}

func send(client *http.Client, url, id string) bool { return post(client, url, id, `{"contents":[]}`) }

func post(client *http.Client, url, id, body string) bool {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("X-Request-Id", id)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// traffic runs the same load through Abeyance and through per-model cooldowns.
func (d *demo) traffic(ctx context.Context) error {
	d.act("Real traffic, and the same traffic with per-model cooldowns")
	e, closeLog, err := openEngine(ctx, d.dir+"/traffic", &projection.Options{
		Policy: &projection.PolicyConfig{RulesConfig: projection.RulesConfig{
			// The fake quota comes back every second: the jitter of days-long resets is off.
			QuotaExhausted: &projection.ClassConfig{Jitter: new(projection.Duration(0))},
		}},
		Accounts: accounts(sortedAccounts()),
	})
	if err != nil {
		return err
	}
	defer closeLog()
	ours, err := run(ctx, overAbeyance(router.New(e, nil)))
	if err != nil {
		return err
	}
	recorded, err := countLimits(ctx, e)
	if err != nil {
		return err
	}
	theirs, err := run(ctx, func(p *proxy) http.RoundTripper {
		return &perModel{accounts: sortedAccounts(), base: p.upstream, until: map[[2]string]time.Time{}}
	})
	if err != nil {
		return err
	}
	d.say("%d accounts, 3 families of 3 models, %d requests a second for %d s, each run", len(quotas()), perSecond, requests/perSecond)
	d.say("unserved: %d with Abeyance, %d with per-model cooldowns; 429s in the log: %d of %d", ours.unserved, theirs.unserved, recorded, ours.limits)
	d.summary = fmt.Sprintf("requests %d, upstream 429s %d; with per-model cooling on the same run: %d", ours.requests, ours.limits, theirs.limits)
	d.yours("abeyance serve --observe-only beside your proxy, then: abeyance status; abeyance events --kind limit_observed")
	return d.check(ours.limits > 0 && ours.limits < theirs.limits && recorded == ours.limits,
		"fewer 429s than with per-model cooldowns, and every one of them in the log")
}

func sortedAccounts() []string {
	var ids []string
	for id := range quotas() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// countLimits counts the 429s that the log holds.
func countLimits(ctx context.Context, e *projection.Engine) (n int, err error) {
	for r, err := range e.History(ctx, events.Query{}) {
		if err != nil {
			return n, err
		}
		if x, ok := r.Event.(*events.LimitObserved); ok && x.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n, nil
}
