package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// The bounds of a [Transport] whose fields are zero.
const (
	// DefaultAttempts is how often a request is sent at most.
	DefaultAttempts = 3
	// DefaultMaxBody is how much of a request's body is kept to send it again: prompts
	// with pictures in them are a few MiB.
	DefaultMaxBody = 8 << 20
	// DefaultMaxPause is the longest wait before a request is sent to the same account
	// again. Clients notice longer ones; CLIProxyAPI also waits below 3 s only.
	DefaultMaxPause = 3 * time.Second
)

// maxShort is on how many accounts a request may meet a provider that lacks capacity
// or is overloaded: the shortage is the provider's, and more requests add to it.
const maxShort = 2

// Transport is an [http.RoundTripper] over a pool: for each request it picks an
// account, lets the caller authorize the request for it, sends it, reports what came
// back, and sends it again where the report's advice says so. With
// [net/http/httputil.ReverseProxy] it makes a pool proxy; in an [http.Client] it makes
// a client of a pool. Router, Provider or Route, and Authorize are what it needs.
//
// What it sends again: a request whose answer is 400 or above, while the body can be
// sent again, to another account or, where that is advised, to the same one; and one
// whose connection could not be made, to another account. A connection that fails
// later may have carried the request to the provider, so that error is returned.
// When there is nothing more to try, the caller gets the last answer whole; without
// one, an answer that Transport makes: problem+json (RFC 9457) with status 404, 429
// or 503 after the [BlockCode], 400 if the request names no model.
//
// What it leaves alone: it imposes no timeout, starts no goroutine, and hands on the
// body of a success as it comes, in the same pieces, without waiting for it. It
// watches the bytes pass, keeping 64 KiB of them at most, and makes one report: when
// an error event passes in a stream (the client has it by then), or when the body
// ends or is closed. Of any other answer up to 64 KiB are read before it is handed on.
// A client that gives up before anything came leaves no report, nor does a request
// that never reached the provider: neither is an account's fault. Answers that switch
// protocols (101) and others below 200 or from 300 to 399 are handed on untouched,
// without a report.
//
// Request ids: the id of all reports of one request is its X-Request-Id, if that is
// 1 to 200 printable ASCII characters without "~", else a new UUIDv7. It is the same
// for every account tried, by which the poison guard sees that one request is refused
// everywhere. The engine takes the same account and id for the same observation,
// though, and a request may meet an account twice: when an answer advises to ask the
// same account again, or when a client sends an id again. The second report is then
// made under the id with "~2" added, or "~" and a UUID, so that no answer is lost. A
// proxy for clients that it does not trust should remove their X-Request-Id: clients
// that send one id for everything blunt the poison guard. The header is passed on as
// it came, and not added where there is none.
//
// The request that is sent is a copy without Accept-Encoding: an answer in a coding
// that Base does not undo by itself could not be read. The Request of an answer is the
// caller's own, which has no credential.
//
// Fields must not change after the first request. All methods may be called from
// several goroutines.
type Transport struct {
	// Router picks, and takes the reports.
	Router *Router
	// Provider is whose accounts serve the requests; the model is then found in the
	// path (ModelInPath), else in the body (ModelInBody). Not used with Route.
	Provider string
	// Route says what to pick for a request. Body is the request's, at most MaxBody
	// bytes of it; Request.Exclude may name accounts, those tried are added. An error
	// that wraps ErrRequest is answered with 400, any other is returned. Nil: Provider.
	Route func(r *http.Request, body []byte) (Request, error)
	// Operation says what a request asks of the provider. Nil: OperationOf.
	Operation func(r *http.Request) events.Operation
	// Authorize makes a request the account's own: it sets headers, in place of the
	// credentials that the client may have sent to the proxy, and may change the URL or
	// replace the body. The request is a copy and may be changed at will. An error means
	// that the account cannot be used, and another is tried. Nil: requests are sent as
	// they are.
	Authorize func(r *http.Request, l Lease) error
	// Refresh renews the credential of an account that was refused for the first time;
	// the request is then sent to the account once more. Nil, or an error: another
	// account is tried.
	Refresh func(ctx context.Context, l Lease) error
	// Base sends the requests. Nil: http.DefaultTransport.
	Base http.RoundTripper
	// MaxAttempts is how often a request is sent at most, to all accounts together. 0:
	// DefaultAttempts.
	MaxAttempts int
	// MaxBody is how many bytes of a body are read before sending, so that the request
	// can be sent again. A longer one is sent once as it comes, unless the request has
	// a GetBody. 0: DefaultMaxBody.
	MaxBody int
	// MaxPause is the longest wait before the same account is asked again. Where the
	// advice is to wait longer, another account is asked at once. 0: DefaultMaxPause;
	// negative: none is waited.
	MaxPause time.Duration
	// MaxWait is how long a request waits for an account when none is usable at first.
	// 0: not at all.
	MaxWait time.Duration
	// Logger receives reports that could not be recorded. Nil: nothing is logged.
	Logger *slog.Logger
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	p, err := readPayload(r, cmp.Or(t.MaxBody, DefaultMaxBody))
	if err != nil {
		return nil, err
	}
	defer p.abandon()
	q, err := t.route(r, p.head)
	if errors.Is(err, ErrRequest) {
		return malformed(r, err), nil
	}
	if err != nil {
		return nil, err
	}
	id, err := requestID(r)
	if err != nil {
		return nil, err
	}
	operation := OperationOf
	if t.Operation != nil {
		operation = t.Operation
	}
	x := &exchange{t: t, in: r, payload: p, query: q, id: id, operation: operation(r)}
	return x.run()
}

// route finds what to pick for a request.
func (t *Transport) route(r *http.Request, body []byte) (Request, error) {
	if t.Route != nil {
		return t.Route(r, body)
	}
	q := Request{Provider: t.Provider, Model: ModelInPath(r.URL.Path)}
	if q.Model == "" {
		q.Model = ModelInBody(body)
	}
	if q.Model == "" {
		return q, fmt.Errorf("%w: neither its path nor its body names a model", ErrRequest)
	}
	return q, nil
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func (t *Transport) logger() *slog.Logger {
	if t.Logger != nil {
		return t.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// headerRequestID is by which clients and proxies name a request.
const headerRequestID = "X-Request-Id"

// maxRequestID leaves room for what is added to the id within events.MaxID.
const maxRequestID = 200

// requestID returns the id that a request came with, or a new one.
func requestID(r *http.Request) (string, error) {
	id := r.Header.Get(headerRequestID)
	odd := func(c rune) bool { return c <= ' ' || c > '~' }
	if id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, odd) && !strings.Contains(id, projection.RepeatMark) {
		return id, nil
	}
	fresh, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("no random id for the request: %w", err)
	}
	return fresh.String(), nil
}
