package demo

import (
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/router"
)

// provider is what the fake upstream imitates.
const provider = "antigravity"

// maxTries bounds the accounts tried for one request.
const maxTries = 4

// proxy is a reverse proxy over a pool, on a loopback address.
type proxy struct {
	url      string
	client   *http.Client    // for its clients
	upstream *http.Transport // for what is behind it
	server   *http.Server
	trouble  complaints
}

// startProxy serves the upstream through a pool, which is the proxy's transport.
func startProxy(upstream string, over func(*proxy) http.RoundTripper) (*proxy, error) {
	to, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{
		url:      "http://" + l.Addr().String(),
		client:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second},
		upstream: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	p.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: over(p),
		ErrorLog:  log.New(&p.trouble, "", 0),
	}}
	go p.server.Serve(l) // returns when the server is closed
	return p, nil
}

func (p *proxy) close() {
	p.server.Close()
	p.client.CloseIdleConnections()
	p.upstream.CloseIdleConnections()
}

// overAbeyance makes the transport that this project is about.
func overAbeyance(pool *router.Router) func(*proxy) http.RoundTripper {
	return func(p *proxy) http.RoundTripper { return transport(p, pool) }
}

func transport(p *proxy, pool *router.Router) *router.Transport {
	return &router.Transport{
		Router: pool, Provider: provider, Base: p.upstream, MaxAttempts: maxTries,
		Logger: slog.New(slog.NewTextHandler(&p.trouble, nil)),
		Authorize: func(r *http.Request, l router.Lease) error {
			r.Header.Set("Authorization", "Bearer "+l.Account)
			return nil
		},
	}
}

// complaints are what a proxy and its transport log: nothing, if all is well.
type complaints struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

// Write implements io.Writer.
func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

// err returns what was complained of, nil if nothing was.
func (c *complaints) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text.Len() == 0 {
		return nil
	}
	return errors.New(strings.TrimSpace(c.text.String()))
}
