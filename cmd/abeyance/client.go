package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events/sidecar"
)

// requestTimeout bounds one request: long enough for a check of a large log.
const requestTimeout = 5 * time.Minute

// client talks to one daemon.
type client struct {
	base   string // without a slash at its end
	socket string // unix:/path, if that is where the daemon is; base is then only a form
	token  string
	http   *http.Client
}

// newClient checks the address before a token is sent anywhere.
func newClient(base, token string) (*client, error) {
	if strings.HasPrefix(base, "unix:") {
		return newSocketClient(base, token)
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usage("--url %q is no address of a daemon: write http://127.0.0.1:8417", base)
	}
	return &client{
		base: strings.TrimSuffix(u.String(), "/"), token: token,
		http: &http.Client{Timeout: requestTimeout, CheckRedirect: noRedirect},
	}, nil
}

// noRedirect keeps the token from being sent on.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newSocketClient talks to a daemon on a unix socket.
func newSocketClient(address, token string) (*client, error) {
	path, ok := api.SocketPath(address)
	if !ok {
		return nil, usage("--url %q is no address of a daemon: the path of a unix socket must be absolute", address)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &client{
		base: "http://localhost", socket: address, token: token,
		http: &http.Client{Timeout: requestTimeout, CheckRedirect: noRedirect, Transport: &http.Transport{DialContext: dial}},
	}, nil
}

// address is where the daemon is, for people.
func (c *client) address() string { return cmp.Or(c.socket, c.base) }

// readToken returns the token in a file.
func readToken(name string) (string, error) { return readSecret("token file", name) }

// readPrivateToken is readToken for a file that stays: nobody but its owner must be able
// to read it, as with every token that the daemon keeps.
func readPrivateToken(name string) (string, error) {
	doc, err := sidecar.Read(name)
	if err != nil {
		return "", fmt.Errorf("the token file: %w", err)
	}
	return oneSecret("token file", name, doc)
}

// call is one request.
type call struct {
	method string
	path   string // escaped
	query  url.Values
	body   any    // nil: none
	raw    []byte // a file, instead of a body
}

func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query}
}

// do sends a call and decodes the answer into out, unless that is nil. Errors are a
// *problemError for an answer that is not a success.
func (c *client) do(ctx context.Context, q call, out any) error {
	req, err := c.request(ctx, q)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return readProblem(res)
	}
	if out == nil || res.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", c.address(), err)
	}
	return nil
}

// unreachable says that no answer came, and what to do about a certificate that nobody
// here has signed: Go's message names no way on.
func (c *client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the address is said once
	}
	if _, strange := errors.AsType[x509.UnknownAuthorityError](err); strange {
		return fmt.Errorf("the certificate of the daemon at %s is signed by nobody known here: if it is your own, name it in SSL_CERT_FILE: %w", c.address(), err)
	}
	return fmt.Errorf("the daemon at %s does not answer: %w", c.address(), err)
}

func (c *client) request(ctx context.Context, q call) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		doc, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(doc)
	}
	media := "application/json"
	if q.raw != nil {
		body, media = bytes.NewReader(q.raw), "application/octet-stream"
	}
	address := c.base + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", media)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("X-Abeyance-Via", "cli")
	return req, nil
}

// readProblem turns an answer into an error. Whatever sent it, there is a message.
func readProblem(res *http.Response) error {
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxInput))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	e := &problemError{body: doc}
	if json.Unmarshal(doc, &e.Problem) != nil || e.Detail == "" {
		e.Problem = api.Problem{Detail: fmt.Sprintf("the server answered %s, and not as Abeyance does: is the URL right?", res.Status)}
	}
	e.Status = res.StatusCode
	return e
}

// accountPath is the path of one account.
func accountPath(id string) string { return "/v1/accounts/" + url.PathEscape(id) }

// params builds a query from pairs of a name and a value; empty values are left out.
func params(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// maxPage is how much of a list is asked for at once: the most that the API gives.
const maxPage = 1000

// pageSize is how many items to ask for if some are there of a limit; 0: all are wanted.
func pageSize(limit, there int) int {
	if limit == 0 {
		return maxPage
	}
	return min(maxPage, limit-there)
}

// pages fetches a list page by page until limit items are there; 0: all. The answer
// is that of the first page with the items of all.
func pages[T any](ctx context.Context, c *client, q call, limit int) (*api.Page[T], error) {
	all := new(api.Page[T])
	for {
		q.query.Set("page_size", strconv.Itoa(pageSize(limit, len(all.Items))))
		page := new(api.Page[T])
		if err := c.do(ctx, q, page); err != nil {
			return nil, err
		}
		if q.query.Get("page_token") == "" {
			all = page
		} else {
			all.Items = append(all.Items, page.Items...)
			all.NextPageToken = page.NextPageToken
		}
		switch {
		case limit > 0 && len(all.Items) >= limit:
			all.Items = all.Items[:limit]
			return all, nil
		case all.NextPageToken == nil:
			return all, nil
		}
		q.query.Set("page_token", *all.NextPageToken)
	}
}
