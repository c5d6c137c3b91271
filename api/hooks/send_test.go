package hooks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func hookAt(t testing.TB, url string) *Hook {
	t.Helper()
	return &Hook{Name: "ops", URL: url, Secret: mustSecret(t, publishedSecret), Version: "1.2.3"}
}

// served is a receiver on loopback.
func served(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/hook"
}

func TestSendAsTheSchemeAsks(t *testing.T) {
	body := []byte(publishedBody)
	url := served(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("the body is %q, %v", got, err)
		}
		h := r.Header
		seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
			t.Errorf("webhook-timestamp %q", h.Get("webhook-timestamp"))
		}
		want := mustSecret(t, publishedSecret).sign(publishedID, time.Unix(seconds, 0), got)
		if h.Get("webhook-id") != publishedID || h.Get("webhook-signature") != want {
			t.Errorf("id %q, signature %q", h.Get("webhook-id"), h.Get("webhook-signature"))
		}
		if r.Method != http.MethodPost || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "abeyance/1.2.3" {
			t.Errorf("%s with %v", r.Method, h)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s := newSender(hookAt(t, url), nil)
	defer s.close()
	if a := s.send(t.Context(), publishedID, body); a.outcome != outcomeDelivered {
		t.Errorf("%+v", a)
	}
}

func TestOutcomes(t *testing.T) {
	for status, want := range map[int]outcome{
		200: outcomeDelivered, 202: outcomeDelivered, 299: outcomeDelivered, 302: outcomeRedirected, 307: outcomeRedirected,
		304: outcomeRedirected, 400: outcomeRefused, 401: outcomeRefused, 404: outcomeRefused, 410: outcomeGone,
		429: outcomeRefused, 500: outcomeFailed, 503: outcomeFailed,
	} {
		url := served(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		s := newSender(hookAt(t, url), nil)
		if a := s.send(t.Context(), "msg_x", nil); a.outcome != want {
			t.Errorf("status %d: %+v, want %s", status, a, want)
		}
		s.close()
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	var reached atomic.Int32
	target := served(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := served(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, status) })
		s := newSender(hookAt(t, url), nil)
		if a := s.send(t.Context(), "msg_x", nil); a.outcome != outcomeRedirected || !strings.Contains(a.text, "not followed") {
			t.Errorf("status %d: %+v", status, a)
		}
		s.close()
	}
	if reached.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

func TestWhatAnswersSayIsNotReadForEver(t *testing.T) {
	sent := make(chan int, 1)
	url := served(t, func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for piece := make([]byte, 64<<10); n < 64<<20; n += len(piece) {
			if _, err := w.Write(piece); err != nil {
				break
			}
		}
		sent <- n
	})
	s := newSender(hookAt(t, url), nil)
	defer s.close()
	if a := s.send(t.Context(), "msg_x", nil); a.outcome != outcomeDelivered {
		t.Errorf("%+v", a)
	}
	if n := <-sent; n > 16<<20 {
		t.Errorf("%d bytes of the answer were taken", n)
	}
}

func TestErrorsDoNotShowTheAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := newSender(hookAt(t, "http://"+addr+"/T0KEN?key=hunter2"), nil)
	defer s.close()
	a := s.send(t.Context(), "msg_x", nil)
	if a.outcome != outcomeUnreachable || strings.Contains(a.text, "T0KEN") || strings.Contains(a.text, "hunter2") {
		t.Errorf("%+v", a)
	}
}

// What a name of this machine resolves to is checked when it is connected to.
func TestALoopbackNameMustLeadToLoopback(t *testing.T) {
	for address, good := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "10.0.0.1:80": false, "[fe80::1]:80": false, "x": false} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h := hookAt(t, "http://localhost:"+port) // as a hosts file might have it
	h.URL = "http://" + net.JoinHostPort(anotherAddress(t), port)
	s := newSender(h, nil)
	defer s.close()
	if a := s.send(t.Context(), "msg_x", nil); a.outcome != outcomeUnreachable || !strings.Contains(a.text, "another") {
		t.Errorf("%+v", a)
	}
}

// anotherAddress is one of this machine that is not loopback, or, if there is none, one
// of documentation: the check comes before anything is sent.
func anotherAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "192.0.2.1"
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "0": 0, "-5": 0, "99999999999999999999999": 0, "999999999": time.Hour,
		"Tue, 17 Mar 2026 12:00:30 GMT": 30 * time.Second, "Tue, 17 Mar 2026 11:00:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": time.Hour,
		"soon": 0, "1.5": 0, "NaN": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestBackoffDoublesUpToABound(t *testing.T) {
	for failures, full := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: maxBackoff, 17: maxBackoff, 1 << 40: maxBackoff,
	} {
		seen := map[time.Duration]bool{}
		for range 50 {
			got := backoff(failures, 0)
			if got < full/2 || got > full {
				t.Errorf("after %d failures %s, want %s to %s", failures, got, full/2, full)
			}
			seen[got] = true
		}
		if len(seen) < 2 {
			t.Errorf("after %d failures always the same: nothing is spread", failures)
		}
	}
	if got := backoff(1, time.Hour); got != time.Hour {
		t.Errorf("asked to wait an hour it waits %s", got)
	}
}

// hanging never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAReceiverThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := newSender(hookAt(t, "https://x"), hanging{}).send(context.Background(), "msg_x", nil)
		if a.outcome != outcomeTimeout || time.Since(began) != attemptTimeout {
			t.Errorf("%+v after %s", a, time.Since(began))
		}
	})
}

// dripping answers at once with a body that never ends.
type dripping struct{}

func (dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: drip{r.Context()}, Request: r}, nil
}

type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, "x"), nil
	case <-d.ctx.Done():
		return 0, errors.Join(errors.New("given up"), d.ctx.Err())
	}
}

func (drip) Close() error { return nil }

func TestAnAnswerThatDripsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := newSender(hookAt(t, "https://x"), dripping{}).send(context.Background(), "msg_x", nil)
		if a.outcome != outcomeDelivered || time.Since(began) > attemptTimeout {
			t.Errorf("%+v after %s", a, time.Since(began))
		}
	})
}
