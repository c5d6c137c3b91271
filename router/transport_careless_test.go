package router

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router/signal"
)

// careless is a transport with one fault: what the checks of a load are checked with.
type careless struct {
	*load
	fault string
	turn  atomic.Int64
}

// The faults.
const (
	faultNone   = "none"
	faultSilent = "drops reports"
	faultTwice  = "reports twice"
	faultSmears = "blames the next account too"
	faultBlind  = "picks what is frozen"
	faultWeak   = "gives up at the first refusal"
)

// RoundTrip implements http.RoundTripper.
func (c *careless) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body.Close()
	q := Request{Provider: provider, Model: ModelInBody(body)}
	for {
		c.note(r.Context())
		lease, err := c.pick(q)
		if err != nil {
			return respond(r, problemDoc{Status: http.StatusTooManyRequests}, 0), nil
		}
		out := r.Clone(r.Context())
		out.Body = io.NopCloser(bytes.NewReader(body))
		c.authorize(out, lease)
		began := time.Now()
		resp, err := c.upstream(out)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		c.report(lease, signal.Observation{
			Status: resp.StatusCode, Header: resp.Header, Body: refusal(resp), StartedAt: began, RequestID: r.Header.Get("X-Request-Id"),
		})
		if q.Exclude = append(q.Exclude, lease.Account); c.fault == faultWeak || len(q.Exclude) == loadAccounts {
			return resp, nil
		}
	}
}

func (c *careless) pick(q Request) (Lease, error) {
	l, err := c.router.Pick(q)
	if c.fault == faultBlind && err == nil {
		l.Account = loadAccount(int(c.turn.Add(1)))
	}
	return l, err
}

func (c *careless) report(l Lease, o signal.Observation) {
	reports := map[string]int{faultSilent: 0, faultTwice: 2}
	n, ok := reports[c.fault]
	if !ok {
		n = 1
	}
	for i := range n {
		o.RequestID += strings.Repeat(projection.RepeatMark, i)
		c.router.Report(context.Background(), l, o)
	}
	if c.fault == faultSmears {
		var number int
		fmt.Sscanf(l.Account, "a%d", &number)
		l.Account = loadAccount(number) // numbers begin with 1
		c.router.Report(context.Background(), l, o)
	}
}

// Each fault is found by the check that is there for it, and a transport without one
// passes.
func TestTransportLoadFindsFaults(t *testing.T) {
	for fault, want := range map[string]string{
		faultNone: "", faultSilent: checkOnce, faultTwice: checkOnce, faultSmears: checkHealthy, faultBlind: checkFrozen, faultWeak: checkErrors,
	} {
		t.Run(fault, func(t *testing.T) {
			l := newLoad(t, 400, 16)
			l.run(&careless{load: l, fault: fault})
			f := l.check(t)
			if want != "" && len(f[want]) == 0 {
				t.Errorf("not found: %s", want)
			}
			if want == "" && len(f) != 0 {
				t.Errorf("found without a fault: %v", f)
			}
		})
	}
}
