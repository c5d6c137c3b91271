package api

import (
	"bytes"
	"net/http"
)

// Reply is what a handler answered within the process.
type Reply struct {
	Status int
	Head   http.Header
	Body   bytes.Buffer
}

// ReplyTo has a handler answer a request, and keeps the answer as a whole: it is of no use
// for streams.
func ReplyTo(r *http.Request, h http.Handler) *Reply {
	w := &Reply{Head: http.Header{}}
	h.ServeHTTP(w, r)
	return w
}

// Header implements http.ResponseWriter.
func (w *Reply) Header() http.Header { return w.Head }

// WriteHeader implements http.ResponseWriter.
func (w *Reply) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
	}
}

// Write implements http.ResponseWriter.
func (w *Reply) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.Body.Write(p)
}
