package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/abeyance/abeyance/api"
)

// client calls the API within the process, in the name of a browser's request.
type client struct{ api http.Handler }

// get asks for path with a query, empty values left out, and decodes the answer into a
// value. An error is an *api.Problem, or a fault.
func (c client) get(r *http.Request, path string, query map[string]string, into any) error {
	values := url.Values{}
	for k, v := range query {
		if v != "" {
			values.Set(k, v)
		}
	}
	_, err := c.do(r, call{method: http.MethodGet, path: path, query: values}, into)
	return err
}

// eachPage asks for one page of a list after another, with the token of each in the query
// of the next, until ask returns none.
func eachPage(query map[string]string, ask func() (next *string, err error)) error {
	for {
		next, err := ask()
		if err != nil || next == nil {
			return err
		}
		query["page_token"] = *next
	}
}

// call is one request to the API.
type call struct {
	method, path string
	query        url.Values
	body         any    // nil: none
	token        string // instead of the browser's cookie
}

// do makes a call, decodes the answer, and returns its headers.
func (c client) do(r *http.Request, q call, into any) (http.Header, error) {
	var text []byte
	header, err := c.raw(r, q, &text)
	if err != nil {
		return header, err
	}
	return header, json.Unmarshal(text, into)
}

// raw makes a call and returns the headers and the text of the answer.
func (c client) raw(r *http.Request, q call, text *[]byte) (http.Header, error) {
	var body bytes.Buffer
	if q.body != nil {
		if err := json.NewEncoder(&body).Encode(q.body); err != nil {
			return nil, err
		}
	}
	at := url.URL{Path: q.path, RawQuery: q.query.Encode()}
	inner, err := http.NewRequestWithContext(r.Context(), q.method, at.String(), &body)
	if err != nil {
		return nil, err
	}
	inner.Host, inner.RemoteAddr, inner.TLS, inner.RequestURI = r.Host, r.RemoteAddr, r.TLS, at.String()
	if via := r.Header["X-Forwarded-For"]; len(via) > 0 {
		inner.Header["X-Forwarded-For"] = via // who asks stays who asked
	}
	if q.body != nil {
		inner.Header.Set("Content-Type", "application/json")
	}
	if q.token != "" {
		inner.Header.Set("Authorization", "Bearer "+q.token)
	} else if cookies := r.Header["Cookie"]; len(cookies) > 0 {
		inner.Header["Cookie"] = cookies
	}
	w := api.ReplyTo(inner, c.api)
	if w.Status != http.StatusOK {
		problem := new(api.Problem)
		if err := json.Unmarshal(w.Body.Bytes(), problem); err != nil {
			return nil, fmt.Errorf("%s %s answered %d: %w", q.method, q.path, w.Status, err)
		}
		problem.Status = w.Status
		return w.Head, problem
	}
	*text = w.Body.Bytes()
	return w.Head, nil
}
