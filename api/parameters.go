package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

// parameter is a parameter of a route, as the document describes it.
type parameter struct {
	name, in string
	shape    *shape
}

// parameters are those of each route, by "METHOD pattern".
type parameters map[string][]parameter

// add takes over the parameters of an operation.
func (p parameters) add(op *huma.Operation, m *moulder) error {
	route := op.Method + " " + op.Path
	p[route] = nil // a route without parameters is known too
	for _, described := range op.Parameters {
		s, err := m.shape(described.Schema)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", route, described.Name, err)
		}
		p[route] = append(p[route], parameter{described.Name, described.In, s})
	}
	return nil
}

// check refuses a request whose parameters are not those that the document describes:
// query parameters that the route does not take, those given twice, and queries that
// cannot be read, because what is ignored would widen the answer; and values that are
// out of bounds. Empty ones stand for none.
func (p parameters) check(x *exchange) *Problem {
	r := x.request
	if r.URL.RawQuery == "" && len(p[x.route]) == 0 {
		return nil // as most requests of proxies
	}
	var query url.Values
	var err error
	if !isCompat(r.URL.Path) { // there they are ignored: some are sent to get past caches
		query, err = url.ParseQuery(r.URL.RawQuery)
	}
	if err != nil {
		return newProblem(CodeUnknownParameter, "the query cannot be read")
	}
	known := 0
	for _, one := range p[x.route] {
		var text string
		switch one.in {
		case "path":
			text = pathValue(r, one.name)
		case "header":
			text = r.Header.Get(one.name)
		default:
			values, given := query[one.name]
			if !given {
				continue
			}
			known++
			if len(values) > 1 {
				return newProblem(CodeUnknownParameter, "the query parameter "+one.name+" is given more than once")
			}
			text = values[0]
		}
		if bad := one.shape.parameter(text); bad != nil && text != "" {
			return newProblem(bad.code, bad.in(one.name).Error())
		}
	}
	if known < len(query) {
		return newProblem(CodeUnknownParameter, "this route takes no such query parameter; GET /openapi.json lists those it takes")
	}
	return nil
}

// pathValue returns a part of the path, decoded.
func pathValue(r *http.Request, name string) string {
	text := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return text // it is decoded already
	}
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text // unreachable: the URL was parsed
}

// isInteger reports whether a text is an integer in decimal.
func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// parameter checks the text of a parameter.
func (s *shape) parameter(text string) *misfit {
	switch {
	case s.kinds&kindString != 0:
		return s.text([]byte(text))
	case s.kinds&kindBool != 0 && text != "true" && text != "false":
		return outOfBounds("%q is neither true nor false", brief(text))
	case s.kinds&kindInteger != 0 && !isInteger(text):
		return outOfBounds("%q is no integer", brief(text))
	case s.kinds&kindInteger != 0:
		return s.number(text)
	}
	return nil
}

// knownParameters is check for the routes of huma. A body that is missing is refused here
// too: huma would do so in words of its own.
func (s *Server) knownParameters(ctx huma.Context, next func(huma.Context)) {
	x := exchangeOf(ctx.Context())
	p := s.spec.parameters.check(x)
	if p == nil && len(x.body) == 0 && s.spec.bodies[x.route] != nil {
		p = emptyBody()
	}
	if p != nil {
		x.problem(p)
		return
	}
	next(ctx)
}

// known is check for a plain handler. It reports whether that can go on.
func (s *Server) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		if p := s.spec.parameters.check(x); p != nil {
			x.problem(p)
			return
		}
		next(w, r)
	}
}
