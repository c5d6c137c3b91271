package api

import (
	"context"
	"net/http"
)

// Caller is who makes a request, where the program around the server has found that
// out by means of its own.
type Caller struct {
	// Name is the actor's, as a token's name would be.
	Name   string
	Scopes []Scope
}

type callerKey struct{}

// WithCaller returns a request that the server takes for one of the caller, whatever it
// presents. No request from a network can come with one.
func WithCaller(r *http.Request, c Caller) *http.Request {
	// Valid for as long as the request is.
	k := &token{Name: c.Name, Scopes: c.Scopes, valid: r.Context(), revoke: func() {}, changes: new(allowance)}
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, k))
}

// callerOf returns the token that stands for a request's caller, nil if it has none.
func callerOf(ctx context.Context) *token {
	k, _ := ctx.Value(callerKey{}).(*token)
	return k
}
