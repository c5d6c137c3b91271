package router

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/abeyance/abeyance/router/signal"
)

// refusal reads the beginning of an answer's body, which is what classifying looks
// at, and leaves the answer with its body whole. What ends within that bound is closed,
// so that its connection serves again at once.
func refusal(resp *http.Response) []byte {
	head, err := io.ReadAll(io.LimitReader(resp.Body, signal.MaxBody))
	if err == nil && len(head) < signal.MaxBody {
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(head))
		return head
	}
	// After an error, reading on gives the same error.
	resp.Body = joined{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	return head
}

// problemDoc is the body of the answers that Transport makes itself: RFC 9457, with the
// members of the pick route of the HTTP API that a client may know. Which accounts
// there are, and why each is blocked, is the operator's affair.
type problemDoc struct {
	Type        string  `json:"type"`
	Title       string  `json:"title"`
	Status      int     `json:"status"`
	Detail      string  `json:"detail"`
	Code        string  `json:"code"`
	EarliestEnd *string `json:"earliest_end,omitempty"`
	NextProbe   *string `json:"next_probe,omitempty"`
}

// codeRequest is the code of a request that cannot be routed.
const codeRequest = "invalid"

// malformed answers a request that names no model, or nothing that can be picked.
func malformed(r *http.Request, err error) *http.Response {
	return respond(r, problemDoc{Status: http.StatusBadRequest, Code: codeRequest, Detail: err.Error()}, 0)
}

// unavailable answers a request that no account can serve: rule 31.
func unavailable(r *http.Request, e *BlockedError) *http.Response {
	p := problemDoc{
		Status: http.StatusServiceUnavailable, Code: string(e.Code), Detail: e.Error(),
		EarliestEnd: instant(e.EarliestEnd), NextProbe: instant(e.NextProbe),
	}
	switch e.Code {
	case BlockNoAccounts:
		p.Status = http.StatusNotFound
	case BlockCooling:
		p.Status = http.StatusTooManyRequests
		return respond(r, p, e.RetryAfter())
	}
	return respond(r, p, 0)
}

// instant writes a time as the HTTP API does; nil for none.
func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// respond makes a response to a request.
func respond(r *http.Request, p problemDoc, retryAfter time.Duration) *http.Response {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	doc, err := json.Marshal(p)
	if err != nil {
		doc = []byte("{}") // unreachable: strings and numbers
	}
	h := http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}
	if retryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(int(retryAfter / time.Second))}
	}
	resp := &http.Response{
		Status: strconv.Itoa(p.Status) + " " + p.Title, StatusCode: p.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: int64(len(doc)), Body: io.NopCloser(bytes.NewReader(doc)), Request: r,
	}
	if r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp
}
