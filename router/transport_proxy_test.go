package router

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// throughProxy serves a provider behind a ReverseProxy over a rig, on loopback. It
// returns the proxy's address and a client for it.
func throughProxy(t *testing.T, p *pool, upstream http.HandlerFunc) (string, *http.Client) {
	t.Helper()
	provider := httptest.NewServer(upstream)
	t.Cleanup(provider.Close)
	to, err := url.Parse(provider.URL)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	r := rigOver(p, nil)
	r.Base = base
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(q *httputil.ProxyRequest) { q.SetURL(to) },
		Transport: &r.Transport,
	})
	t.Cleanup(proxy.Close)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return proxy.URL, client
}

// ask sends a request for a model through a proxy.
func ask(ctx context.Context, client *http.Client, url, model string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/messages", strings.NewReader(`{"model":"`+model+`"}`))
	if err != nil {
		return nil, err
	}
	return client.Do(q)
}

// Each event reaches the client while the provider has not thought of the next one.
func TestTransportStreamsEventByEvent(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	next := make(chan bool, 1)
	url, client := throughProxy(t, p, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", sse)
		for i := 0; <-next; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, eventSpent)
	})
	next <- true
	resp, err := ask(t.Context(), client, url, opus)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for i := range 5 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
		}
		next <- i < 4
	}
	if rest := readAnswer(t, resp); rest != eventSpent {
		t.Errorf("the stream ends with %q", rest)
	}
	if n := len(recordsOf[*events.LimitObserved](p)); n != 1 {
		t.Errorf("%d limits recorded", n)
	}
	p.wants(p.round(1, Request{Model: opus}), "all_cooling")
}

func TestTransportKeepsLengthAndTrailers(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	url, client := throughProxy(t, p, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "length") {
			io.WriteString(w, hello)
			return
		}
		w.Header().Set("Trailer", "X-Usage")
		io.WriteString(w, hello)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Usage", "42")
	})
	for query, want := range map[string]string{"?length": fmt.Sprint(len(hello), " "), "": "-1 42"} {
		q := post(t, `{"model":"`+opus+`"}`)
		var err error
		if q.URL, err = q.URL.Parse(url + "/v1/messages" + query); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body := readAnswer(t, resp)
		if got := fmt.Sprint(resp.ContentLength, " ", resp.Trailer.Get("X-Usage")); got != want || body != hello {
			t.Errorf("length and trailer %q, want %q", got, want)
		}
	}
}

func TestTransportSwitchesProtocols(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(1, nil)})
	url, client := throughProxy(t, p, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		line, err := buf.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		io.WriteString(conn, "you said "+line)
	})
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/models/"+opus, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Connection", "Upgrade")
	q.Header.Set("Upgrade", "echo")
	resp, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, body %T", resp.StatusCode, resp.Body)
	}
	io.WriteString(conn, "hello\n")
	if b, err := io.ReadAll(conn); string(b) != "you said hello\n" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

// A client that goes away in the middle ends its own request only: the provider
// learns of it, and no account is blamed.
func TestRule36ClientGoesAway(t *testing.T) {
	p := newPool(t, setup{accounts: accounts(2, nil)})
	gone := make(chan struct{})
	url, client := throughProxy(t, p, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sse)
		io.WriteString(w, eventText)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := ask(ctx, client, url, opus)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, len(eventText))); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-gone
	if n := len(recordsOf[*events.LimitObserved](p)); n != 0 {
		t.Errorf("%d limits recorded", n)
	}
	p.wants(p.round(2, Request{Model: opus}), "a002", "a001")
}

// A provider that cannot be reached is tried for other accounts, and is nobody's
// cooldown.
func TestRule15UnreachableProvider(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	r := newRig(t, 5, nil)
	r.Base, r.MaxAttempts = &http.Transport{}, 4
	tries := 0
	r.Authorize = func(*http.Request, Lease) error { tries++; return nil }
	q := post(t, `{"model":"`+opus+`"}`)
	var err error
	if q.URL, err = q.URL.Parse(down.URL); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RoundTrip(q); err == nil || tries != 4 {
		t.Errorf("error %v after %d tries, want one after 4", err, tries)
	}
	r.wants(r.round(1, Request{Model: opus}), "a005")
}
