package demo

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// perModel is the pool of most proxies today, for comparison: a 429 freezes the exact
// model of the account, until the reset it names. It is a transport as Abeyance's is.
type perModel struct {
	accounts []string
	base     http.RoundTripper

	mu     sync.Mutex
	until  map[[2]string]time.Time // (account, model); guarded by mu
	served int                     // the turn; guarded by mu
}

// RoundTrip implements http.RoundTripper.
func (m *perModel) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	model := router.ModelInPath(r.URL.Path)
	last := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}, Body: http.NoBody, ProtoMajor: 1, ProtoMinor: 1}
	for range maxTries {
		account, ok := m.pick(model)
		if !ok {
			break
		}
		out := r.Clone(r.Context())
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.Header.Set("Authorization", "Bearer "+account)
		resp, err := m.base.RoundTrip(out)
		if err != nil || resp.StatusCode == http.StatusOK {
			return resp, err
		}
		if last, err = m.freeze(account, model, resp); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// pick returns the next account that is not frozen for the model.
func (m *perModel) pick(model string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for i := range m.accounts {
		turn := (m.served + 1 + i) % len(m.accounts)
		if a := m.accounts[turn]; !now.Before(m.until[[2]string{a, model}]) {
			m.served = turn
			return a, true
		}
	}
	return "", false
}

// freeze reads a refusal, keeps the account from the model for as long as it says, a
// minute if it does not, and returns the answer whole.
func (m *perModel) freeze(account, model string, resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, signal.MaxBody))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	now := time.Now()
	wait, ok := signal.RetryAfter(signal.Classify(signal.Observation{
		Provider: provider, Model: model, Operation: events.OpGenerate, Status: resp.StatusCode, Header: resp.Header, Body: body, ObservedAt: now,
	}))
	if !ok {
		wait = 60
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until[[2]string{account, model}] = now.Add(time.Duration(wait * float64(time.Second)))
	return resp, nil
}
