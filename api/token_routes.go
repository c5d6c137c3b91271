package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// TokenRow is one token. The token itself is shown only once, when it is made.
type TokenRow struct {
	Name      string  `json:"name"`
	ID        string  `json:"id" doc:"it stands in the token before its secret, so that one that was found somewhere can be told and ended; empty: the token was not made here"`
	Scopes    []Scope `json:"scopes" nullable:"false"`
	CreatedAt Time    `json:"created_at"`
}

// TokensAnswer lists the tokens by name. There are at most 256, so that one page
// holds them all.
type TokensAnswer = Page[TokenRow]

// TokenCreate makes a token.
type TokenCreate struct {
	Name   string  `json:"name" format:"token-name" doc:"it stands in the log as operator:NAME or proxy:NAME"`
	Scopes []Scope `json:"scopes" nullable:"false" format:"scope" minItems:"1" maxItems:"16"`
}

// TokenCreated is the only answer that holds a token.
type TokenCreated struct {
	TokenRow
	Token string `json:"token"`
}

// routeTokens registers the tokens.
func (s *Server) routeTokens() {
	handle(s, huma.Operation{OperationID: "tokens", Method: http.MethodGet, Path: "/v1/tokens", Summary: "Who may call what"}, s.listTokens)
	handleBody(s, huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: "/v1/tokens", Summary: "Make a token, shown only now"}, s.createToken)
	handle(s, huma.Operation{OperationID: "delete-token", Method: http.MethodDelete, Path: "/v1/tokens/{name}", Summary: "End a token at once"}, s.deleteToken)
}

func (s *Server) listTokens(_ context.Context, b *Backend, _ *none) (TokensAnswer, error) {
	return s.tokensAnswer(b), nil
}

func (s *Server) tokensAnswer(b *Backend) TokensAnswer {
	return TokensAnswer{AsOfSeq: uint64(b.Engine.State().Head().Seq), Now: Time{b.Engine.Now()}, Items: s.tokens.List()}
}

func (s *Server) createToken(ctx context.Context, _ *Backend, _ *none, q *TokenCreate) (TokenCreated, error) {
	plain, err := s.tokens.Create(q.Name, q.Scopes)
	if err != nil {
		return TokenCreated{}, err
	}
	s.logger.InfoContext(ctx, "a token was made", "name", q.Name, "by", exchangeOf(ctx).token.Name)
	k := s.tokens.find(plain)
	if k == nil { // deleted in this very moment
		return TokenCreated{}, ErrUnknownToken
	}
	return TokenCreated{k.row(), plain}, nil
}

type tokenPath struct {
	Name string `path:"name" maxLength:"256"`
}

func (s *Server) deleteToken(ctx context.Context, b *Backend, in *tokenPath) (TokensAnswer, error) {
	if err := s.tokens.Delete(in.Name); err != nil {
		return TokensAnswer{}, err
	}
	s.logger.InfoContext(ctx, "a token was deleted", "name", in.Name, "by", exchangeOf(ctx).token.Name)
	return s.tokensAnswer(b), nil
}
