package api

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// guard lets a request through to its route if its token has the scope that the
// table gives the route. A route without a row is refused.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.request = r
		x.route = r.Method + " " + r.Pattern
		need, known := s.scopes[x.route]
		if known && need == scopeOpen {
			next.ServeHTTP(x, r)
			return
		}
		given := presented(r)
		if x.identify(s, given); x.token == nil {
			x.Header().Set("WWW-Authenticate", challenge(given))
			x.problem(s.unauthorized(x, given))
			return
		}
		if !known || !allows(x.token.Scopes, need) {
			x.Header().Set("WWW-Authenticate", `Bearer realm="abeyance", error="insufficient_scope", scope="`+string(need)+`"`)
			x.problem(newProblem(CodeForbiddenScope, "the token "+x.token.Name+" lacks the scope "+string(need)))
			return
		}
		if p := s.paced(x, need); p != nil {
			x.problem(p)
			return
		}
		next.ServeHTTP(x, r)
	})
}

// identify finds out who asks: by the word of the program around the server, by the
// token given or, without one, by a session.
func (x *exchange) identify(s *Server, given string) {
	if k := callerOf(x.request.Context()); k != nil {
		x.token = k
		return
	}
	if given == "" {
		x.session, x.token = s.sessions.find(x.request)
		return
	}
	x.token = s.tokens.find(given)
}

// bearer returns the bearer token that a request presents, empty if it presents none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func challenge(presented string) string {
	if presented != "" {
		return `Bearer realm="abeyance", error="invalid_token"`
	}
	return `Bearer realm="abeyance"`
}

// buffer reads the bodies of requests that have one, within the bounds, before huma
// decodes them.
func (s *Server) buffer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost, http.MethodPut, http.MethodPatch:
			x := exchangeOf(r.Context())
			if p := x.read(); p != nil {
				x.problem(p)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(x.body))
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) notFound(_ http.ResponseWriter, r *http.Request) {
	exchangeOf(r.Context()).problem(newProblem(CodeNotFound, "there is no such route; GET /openapi.json lists them"))
}

// methodNotAllowed answers 405 with the methods that the path has.
func (s *Server) methodNotAllowed(_ http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if s.router.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
		}
	}
	slices.Sort(allowed)
	x.Header().Set("Allow", strings.Join(allowed, ", "))
	x.problem(newProblem(CodeMethod, "the methods of this path are "+strings.Join(allowed, ", ")))
}
