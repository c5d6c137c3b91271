package router

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// payload is the body of a request, to be sent more than once if it is whole.
type payload struct {
	head []byte // the body, or as much as was read
	// rest is the caller's body, which goes on after head; nil if head is all.
	rest  io.ReadCloser
	none  bool                          // the request has no body
	fresh func() (io.ReadCloser, error) // the caller's GetBody; nil: none
}

// errOneWay means that a body was sent and cannot be had again.
var errOneWay = errors.New("the request's body was too long to keep")

// readPayload reads a request's body up to a bound. A body that fits is closed; so
// is one that fails.
func readPayload(r *http.Request, bound int) (*payload, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return &payload{none: true}, nil
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), int64(bound), 64<<10)) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(r.Body, int64(bound)+1))
	if err != nil {
		r.Body.Close()
		return nil, err
	}
	p := &payload{head: b.Bytes(), fresh: r.GetBody}
	if len(p.head) > bound {
		p.rest = r.Body
		return p, nil
	}
	return p, r.Body.Close()
}

// attach gives a copy of the request a body to send.
func (p *payload) attach(out *http.Request) (err error) {
	switch {
	case p.none:
	case p.rest != nil:
		out.Body = joined{io.MultiReader(bytes.NewReader(p.head), p.rest), p.rest}
		p.rest, p.head = nil, nil // it is the sender's now, to read and to close
	case p.head != nil:
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.head)), nil }
		out.Body, err = out.GetBody()
	case p.fresh != nil:
		out.Body, err = p.fresh()
	default:
		err = errOneWay // unreachable while repeatable is asked first
	}
	return err
}

// repeatable reports whether there is a body for another attempt.
func (p *payload) repeatable() bool { return p.none || p.head != nil || p.fresh != nil }

// abandon closes a body that was never sent, as a RoundTripper must.
func (p *payload) abandon() {
	if p.rest != nil {
		p.rest.Close()
	}
}

// joined reads one thing and closes another.
type joined struct {
	io.Reader
	io.Closer
}
