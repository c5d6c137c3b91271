package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/api/compat"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// maxProblemCells bounds the cells that a problem lists.
const maxProblemCells = 100

// headers sets the headers that go with a problem.
func (p *Problem) headers(h http.Header) {
	if p.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.retryAfter)}
	}
}

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	p.headers(h)
	return h
}

// transform turns the errors that huma makes by itself into problems.
func transform(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if e.Status != http.StatusUnprocessableEntity {
		return newProblem(CodeInternal, e.Detail), nil // unreachable: huma itself refuses parameters only
	}
	var details []string
	for _, d := range e.Errors {
		details = append(details, d.Location+": "+d.Message)
	}
	return newProblem(Code(projection.CodeInvalid), strings.Join(details, "; ")), nil
}

// problem maps an error to the problem a client sees. What is no fault of the
// client's is logged here, once.
func (s *Server) problem(ctx context.Context, b *Backend, err error) *Problem {
	x := exchangeOf(ctx)
	if p := b.refusal(err); p != nil {
		if x != nil && x.given != "" { // an id that is not in the book is known to its request alone
			p.Detail = strings.ReplaceAll(p.Detail, x.account, x.given)
		}
		return p
	}
	if p := interruption(err); p != nil {
		return p
	}
	if ctx.Err() != nil {
		return newProblem(CodeCanceled, "the request ended before it was answered")
	}
	route := ""
	if x != nil {
		route = x.route
	}
	s.logger.ErrorContext(ctx, "a request failed", "route", route, "error", err)
	return newProblem(CodeInternal, "the server failed; its log says why")
}

// refusal maps what is wrong with a request.
func (b *Backend) refusal(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*projection.Error](err); ok {
		p := newProblem(Code(e.Code), b.Identities.Show(e.Message))
		p.Cells = b.cells(e.Cells[:min(len(e.Cells), maxProblemCells)])
		return p
	}
	if e, ok := errors.AsType[*ConfigError](err); ok {
		return newProblem(CodeInvalidConfig, e.Error())
	}
	for _, known := range []struct {
		err  error
		code Code
	}{
		{router.ErrRequest, Code(projection.CodeInvalid)},
		{projection.ErrFuture, CodeAtInFuture},
		{ErrTokenExists, CodeTokenExists},
		{ErrUnknownToken, CodeUnknownToken},
		{ErrLastAdmin, CodeLastAdmin},
		{ErrTokenInvalid, Code(projection.CodeInvalid)},
		{compat.ErrWholeAccount, CodeWholeAccount},
	} {
		if errors.Is(err, known.err) {
			return newProblem(known.code, err.Error())
		}
	}
	return nil
}

// interruption maps the states of the server in which nothing can be done.
func interruption(err error) *Problem {
	if _, ok := errors.AsType[*projection.UnknownOutcomeError](err); ok {
		return newProblem(CodeUnknownOutcome, "writing the log failed: the command may or may not be stored; look after the restart")
	}
	switch {
	case errors.Is(err, projection.ErrBusy):
		p := newProblem(CodeBusy, "too many commands are waiting; nothing was done")
		p.retryAfter = 1
		return p
	case errors.Is(err, events.ErrFull):
		p := newProblem(CodeDiskFull, "rejected: disk full; nothing was stored: make room and send it again")
		p.retryAfter = 1
		return p
	case errors.Is(err, projection.ErrStopped), errors.Is(err, events.ErrClosed):
		return newProblem(CodeStopped, "the server is stopping; nothing was done")
	}
	return nil
}

// invalid refuses a value that can never be right.
func invalid(format string, args ...any) *Problem {
	return newProblem(Code(projection.CodeInvalid), fmt.Sprintf(format, args...))
}
