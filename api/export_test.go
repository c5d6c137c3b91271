package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/go-chi/chi/v5"
)

// Routes lets tests walk what is registered.
func (s *Server) Routes() chi.Routes { return s.router }

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

// CheckNames is the check of members' names against what v points to.
func CheckNames(doc []byte, v any) error { return checkNames(doc, reflect.TypeOf(v)) }

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
