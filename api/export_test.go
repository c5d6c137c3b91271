package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"time"

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

// ClientOf is who sent a request, to a server that trusts some proxies.
func ClientOf(trusted []netip.Prefix, r *http.Request) netip.Addr { return peers{trusted}.of(r) }

// Bounds of wrong tokens.
const (
	GuessBurst  = guessBurst
	GuessEvery  = guessEvery
	MaxGuessers = maxGuessers
)

// Guesses counts wrong tokens without a server.
type Guesses struct{ g *guesses }

// NewGuesses returns one that has counted none.
func NewGuesses() Guesses { return Guesses{newGuesses()} }

// Wrong notes a wrong token.
func (g Guesses) Wrong(from netip.Addr, now time.Time) time.Duration {
	wait, _ := g.g.wrong(from, now)
	return wait
}

// Len is how many peers are remembered, by both of its structures.
func (g Guesses) Len() (peers, order int) { return len(g.g.peers), g.g.order.Len() }

// OpenConnections is how many peers have connections that are counted.
func (s *Server) OpenConnections() int {
	s.connections.mu.Lock()
	defer s.connections.mu.Unlock()
	return len(s.connections.open)
}

// Served is the certificate that a client would be given.
func (c *Certificate) Served(now time.Time) *tls.Certificate { return c.current(now) }

// Samples are the tokens that everybody knows.
func Samples() []string { return samples() }

// WellFormed is whether a text has the form of a token.
func WellFormed(plain string) bool { return wellFormed(plain) }
