package api

import (
	"context"
	"net"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

// Routes lets tests walk what is registered.
func (s *Server) Routes() chi.Routes { return s.router }

// OpenAPI is the document as it is served.
func (s *Server) OpenAPI() ([]byte, error) { return s.spec.text() }

// RouteScopes is the table of rights.
func RouteScopes() map[string]Scope { return routeScopes() }

// Allows is how scopes imply each other.
func Allows(have []Scope, need Scope) bool { return allows(have, need) }

// Unguarded removes a row of the table of a server.
func (s *Server) Unguarded(route string) { delete(s.scopes, route) }

// ProblemOf maps an error as the handlers do.
func (s *Server) ProblemOf(err error) *Problem {
	b := s.backend.Load()
	if p := b.refusal(err); p != nil {
		return p
	}
	return interruption(err)
}

// CheckNames is the check of a document of any shape: no member is given twice.
func CheckNames(doc []byte) error {
	if bad := checkShape(doc, nil); bad != nil {
		return bad
	}
	return nil
}

// Outlooks are the codes of their own of all routes.
func Outlooks() map[string][]Code {
	list := map[string][]Code{}
	for route, o := range outlooks() {
		list[route] = o.own
	}
	return list
}

// CheckBody is the check of a body of a route.
func (s *Server) CheckBody(route string, doc []byte) error {
	if bad := checkShape(doc, s.spec.bodies[route]); bad != nil {
		return bad
	}
	return nil
}

// FormatsOfNames are the patterns that are said to match every name.
func FormatsOfNames() map[string]string {
	list := map[string]string{}
	for name, f := range formats() {
		if f.names {
			list[name] = f.pattern
		}
	}
	return list
}

// IsName is the short way round those patterns.
func IsName(text string) bool { return isName([]byte(text)) }

// Mould makes a shape of a schema.
func Mould(s *huma.Schema) error {
	_, err := newMoulder(huma.NewMapRegistry("#/", huma.DefaultSchemaNamer)).shape(s)
	return err
}

// FeedFrames is how many of the newest frames are kept.
const FeedFrames = feedFrames

// Narrow is what a stream does to its connection.
func Narrow(c net.Conn, bytes int) {
	narrow(context.WithValue(context.Background(), connKey{}, c), bytes)
}
