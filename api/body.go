package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"
)

// maxBody bounds request bodies.
const maxBody = 1 << 20

// What is taken of a body that nobody reads, so that the connection can be used again.
const (
	maxLeft     = 256 << 10 // bytes: net/http waits for no more either
	leftTimeout = 250 * time.Millisecond
)

// arriving is a request's body while it is read.
type arriving struct {
	io.ReadCloser
	over bool // nothing more comes, or can
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	a.over = a.over || err != nil
	return n, err
}

// read reads the request's body into x.body.
func (x *exchange) read() *Problem {
	r := x.request
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || media != "application/json":
		return newProblem(CodeMediaType, "send the body with Content-Type: application/json")
	case r.Header.Get("Content-Encoding") != "":
		return newProblem(CodeMediaType, "send the body without Content-Encoding")
	}
	return x.readUpTo(r.Body, maxBody, "the body is over 1 MiB")
}

// readUpTo reads a body of at most so many bytes into x.body.
func (x *exchange) readUpTo(body io.Reader, limit int64, tooLarge string) *Problem {
	if x.request.ContentLength > limit {
		return newProblem(CodeBodyTooLarge, tooLarge)
	}
	// MaxBytesReader also tells the server to wait for no more of it before it answers.
	var err error
	x.body, err = io.ReadAll(http.MaxBytesReader(x.ResponseWriter, io.NopCloser(body), limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(CodeBodyTooLarge, tooLarge)
	}
	if err != nil {
		return unread(err)
	}
	return nil
}

// unread says why a body could not be read.
func unread(err error) *Problem {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return newProblem(CodeTimeout, "the body did not arrive in time")
	}
	return newProblem(CodeInvalidBody, "the body could not be read")
}

// leaveBody is called before an answer, and lets it wait for no body that nobody has read,
// as that of a request without a token. net/http takes such a body before it sends the
// answer, and one that drips would hold the answer up until the connection is cut off. What
// is not here at once ends the connection, after the answer.
func (x *exchange) leaveBody() {
	r := x.request
	switch {
	case r.ContentLength == 0 || r.ContentLength > maxLeft || x.arrives.over:
		return // there is no more of it, or net/http does not wait for so much
	case r.ProtoMajor != 1 || r.Header.Get("Expect") != "" || x.Header().Get("Connection") == "close":
		return // nor does it wait then, and to read would ask the client for the body
	}
	control := http.NewResponseController(x.ResponseWriter)
	if control.SetReadDeadline(time.Now().Add(leftTimeout)) != nil {
		return // a writer without deadlines, as in tests, waits for nothing
	}
	// MaxBytesReader also ends the connection, in a way that lets the client have the answer.
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(x.ResponseWriter, &x.arrives, maxLeft)); err != nil {
		x.Header().Set("Connection", "close")
		return
	}
	_ = control.SetReadDeadline(x.began.Add(readTimeout)) // as it was
}
