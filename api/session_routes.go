package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// SessionCreate begins a session.
type SessionCreate struct {
	Person string `json:"person,omitempty" maxLength:"64" doc:"who logs in: it stands in the log as on_behalf_of, beside the token's name"`
}

// SessionAnswer says who asks.
type SessionAnswer struct {
	Token     string  `json:"token" doc:"the token's name"`
	Scopes    []Scope `json:"scopes" nullable:"false"`
	Person    string  `json:"person" doc:"of a session"`
	ExpiresAt Time    `json:"expires_at" doc:"of a session; null: a token asks"`
}

// Allows reports whether who asks has a scope, or one that implies it.
func (a *SessionAnswer) Allows(need Scope) bool { return allows(a.Scopes, need) }

// SessionEnded is the answer to a logout.
type SessionEnded struct {
	Status string `json:"status" enum:"ok"`
}

// routeSession registers the logins of browsers.
func (s *Server) routeSession() {
	handle(s, huma.Operation{
		OperationID: "session", Method: http.MethodGet, Path: "/v1/session", Summary: "Who asks: the token, its scopes and, in a session, the person",
	}, s.getSession)
	handleBody(s, huma.Operation{
		OperationID: "create-session", Method: http.MethodPost, Path: "/v1/session", Summary: "Log a browser in: the answer sets a cookie that stands for the token",
		Description: "The cookie is HttpOnly and SameSite=Strict, and lasts 12 hours, through restarts too. Deleting the token ends it at once.",
	}, s.createSession)
	handle(s, huma.Operation{
		OperationID: "delete-session", Method: http.MethodDelete, Path: "/v1/session", Summary: "Log a browser out, at once and everywhere",
	}, s.deleteSession)
	at := s.api.OpenAPI().Paths["/v1/session"]
	at.Post.Responses["200"].Headers = setCookie("the session's cookie: its value is the secret, which no other answer holds")
	at.Delete.Responses["200"].Headers = setCookie("the same cookie, empty and over: the browser forgets it")
}

// setCookie describes the header that an answer has.
func setCookie(text string) map[string]*huma.Param {
	return map[string]*huma.Param{"Set-Cookie": {Schema: &huma.Schema{Type: huma.TypeString}, Description: text}}
}

func (s *Server) getSession(ctx context.Context, _ *Backend, _ *none) (SessionAnswer, error) {
	x := exchangeOf(ctx)
	a := SessionAnswer{Token: x.token.Name, Scopes: x.token.Scopes}
	if x.session != nil {
		a.Person, a.ExpiresAt = x.session.Person, Time{x.session.ExpiresAt}
	}
	return a, nil
}

func (s *Server) createSession(ctx context.Context, _ *Backend, _ *none, q *SessionCreate) (SessionAnswer, error) {
	x := exchangeOf(ctx)
	switch {
	case s.sessions == nil:
		return SessionAnswer{}, newProblem(CodeUnavailable, "this server keeps no sessions")
	case x.session != nil:
		return SessionAnswer{}, newProblem(CodeUnauthorized, "send the token itself as Authorization: Bearer TOKEN: a session begins no other")
	}
	name, err := person(q.Person)
	if err != nil {
		return SessionAnswer{}, err
	}
	secret, n, err := s.sessions.create(x.token, name)
	if err != nil {
		return SessionAnswer{}, err
	}
	s.logger.InfoContext(ctx, "a browser was logged in", "token", x.token.Name, "peer", x.request.RemoteAddr)
	http.SetCookie(x, s.sessions.cookie(x.request.TLS != nil, secret, n.ExpiresAt))
	return SessionAnswer{Token: n.Token, Scopes: x.token.Scopes, Person: n.Person, ExpiresAt: Time{n.ExpiresAt}}, nil
}

func (s *Server) deleteSession(ctx context.Context, b *Backend, _ *none) (SessionEnded, error) {
	x := exchangeOf(ctx)
	if x.session == nil {
		return SessionEnded{}, invalid("the request is of no session: a token is ended by DELETE /v1/tokens/{name}")
	}
	if err := s.sessions.remove(x.session); err != nil {
		return SessionEnded{}, err
	}
	http.SetCookie(x, s.sessions.cookie(x.request.TLS != nil, "", b.Engine.Now()))
	return SessionEnded{"ok"}, nil
}
