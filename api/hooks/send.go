package hooks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Bounds of an attempt.
const (
	attemptTimeout = 10 * time.Second // from the connection to the end of the answer
	maxAnswer      = 4 << 10          // bytes of an answer that are read, so that the connection can be used again
	maxHeaders     = 16 << 10         // bytes of its headers
	maxAnswerText  = 512              // bytes of what is said of an answer
	maxRetryAfter  = time.Hour        // that is honoured
)

// outcome is what became of an attempt: the values of a metric's label.
type outcome string

const (
	outcomeDelivered   outcome = "delivered"
	outcomeGone        outcome = "gone"        // 410: nobody wants to be told any more
	outcomeRedirected  outcome = "redirected"  // 3xx, which is not followed
	outcomeRefused     outcome = "refused"     // 4xx
	outcomeFailed      outcome = "failed"      // any other status
	outcomeTimeout     outcome = "timeout"     // no answer in time
	outcomeUnreachable outcome = "unreachable" // no connection, or a broken one
)

func outcomes() []outcome {
	return []outcome{
		outcomeDelivered, outcomeGone, outcomeRedirected, outcomeRefused, outcomeFailed, outcomeTimeout, outcomeUnreachable,
	}
}

// answer is an outcome, in words too, and what the receiver asks for.
type answer struct {
	outcome
	text       string // without the address, which may be a secret
	retryAfter time.Duration
}

// sender makes the attempts of one hook.
type sender struct {
	hook *Hook
	// transport makes one exchange, and is no client that would look at redirects: what a
	// receiver answers must not choose whom this machine talks to.
	transport http.RoundTripper
}

// newSender returns a sender. A nil transport makes it connect as the hook asks for.
func newSender(h *Hook, transport http.RoundTripper) *sender {
	if transport == nil {
		transport = newTransport(h)
	}
	return &sender{h, transport}
}

func newTransport(h *Hook) *http.Transport {
	dialer := &net.Dialer{Timeout: attemptTimeout}
	t := &http.Transport{
		DialContext: dialer.DialContext, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 1,
		IdleConnTimeout: time.Minute, TLSHandshakeTimeout: attemptTimeout, MaxResponseHeaderBytes: maxHeaders,
		DisableCompression: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if strings.HasPrefix(h.URL, "http:") && !h.Insecure {
		t.Proxy = nil
		dialer.Control = onlyLoopback
	}
	return t
}

// onlyLoopback refuses to connect to another machine, whatever a name resolves to.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return errors.New("the name of this machine resolves to another one")
	}
	return nil
}

// close lets go of connections.
func (s *sender) close() {
	if t, ok := s.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// send makes one attempt.
func (s *sender) send(ctx context.Context, id string, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.hook.URL, bytes.NewReader(body))
	if err != nil {
		return answer{outcome: outcomeUnreachable, text: "the address cannot be used"} // unreachable: it was checked
	}
	now := time.Now()
	r.Header.Set("Content-Type", "application/json")
	// A build without a version calls it "(devel)", and brackets begin a comment there.
	r.Header.Set("User-Agent", "abeyance/"+cmp.Or(strings.Trim(s.hook.Version, "()"), "unknown"))
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", s.hook.Secret.sign(id, now, body))
	answered, err := s.transport.RoundTrip(r)
	if err != nil {
		return unanswered(ctx, err)
	}
	defer answered.Body.Close()
	// The status is the answer: what follows it only keeps the connection busy.
	if _, err := io.CopyN(io.Discard, answered.Body, maxAnswer); err != nil && !errors.Is(err, io.EOF) && ctx.Err() != nil {
		s.close()
	}
	a := answer{outcome: outcomeOf(answered.StatusCode), text: fmt.Sprintf("status %d", answered.StatusCode)}
	if a.outcome == outcomeRedirected {
		a.text += ", which is not followed: the address must be the last one"
	}
	a.retryAfter = retryAfter(answered.Header.Get("Retry-After"), now)
	return a
}

// unanswered says why there is no answer, without the address. Errors quote what was
// answered instead, which is hostile.
func unanswered(ctx context.Context, err error) answer {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return answer{outcome: outcomeTimeout, text: fmt.Sprintf("no answer within %s", attemptTimeout)}
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return answer{outcome: outcomeTimeout, text: "no answer in time"}
	}
	return answer{outcome: outcomeUnreachable, text: events.Scrub(err.Error(), maxAnswerText)}
}

func outcomeOf(status int) outcome {
	switch {
	case status >= 200 && status < 300:
		return outcomeDelivered
	case status == http.StatusGone:
		return outcomeGone
	case status >= 300 && status < 400:
		return outcomeRedirected
	case status >= 400 && status < 500:
		return outcomeRefused
	default:
		return outcomeFailed
	}
}

// retryAfter reads how long a receiver asks to wait: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
