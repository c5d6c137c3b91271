package api

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// ForgetRequest is the body of POST /v1/accounts/{id}/forget.
type ForgetRequest struct {
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
}

// ForgetAnswer says what was erased.
type ForgetAnswer struct {
	Stored string `json:"stored" doc:"the id in the log, by which the account is shown from now on"`
	// Forgotten: the entry that told which id this was is erased. The log is as it was.
	Forgotten bool   `json:"forgotten"`
	Unchanged string `json:"unchanged,omitempty" doc:"why nothing was erased"`
	InPool    bool   `json:"in_pool" doc:"the account is still in the pool"`
}

// routeForget registers the erasure of given ids.
func (s *Server) routeForget() {
	handleBody(s, huma.Operation{
		OperationID: "forget-account", Method: http.MethodPost, Path: "/v1/accounts/{id}/forget", Summary: "Erase which id an account was given",
		Description: "An id with an e-mail address stands in the log as a pseudonym, and beside the log with the address. This erases the latter, " +
			"by either id; the log and its hashes stay as they are. A config file or a request that names the id makes it known again.",
	}, s.forget)
}

// forget erases the entry of an id that was given.
func (s *Server) forget(ctx context.Context, b *Backend, in *accountPath, q *ForgetRequest) (ForgetAnswer, error) {
	if err := projection.CheckID("the account", in.ID); err != nil {
		return ForgetAnswer{}, invalid("%v", err)
	}
	id := b.stored(ctx, in.ID)
	known := b.Identities.Known(id)
	a := ForgetAnswer{Stored: id, InPool: b.Engine.State().Account(id) != nil}
	if !known && !a.InPool {
		there, err := b.mentions(ctx, events.Filter{Account: id})
		if err == nil && !there {
			err = unknownAccount(in.ID)
		}
		if err != nil {
			return ForgetAnswer{}, err
		}
	}
	var err error
	if a.Forgotten, err = b.Identities.Forget(id); err != nil {
		return ForgetAnswer{}, err
	}
	if !a.Forgotten {
		a.Unchanged = "no other id is kept for it: it was forgotten before, or is stored as it was given"
		return a, nil
	}
	s.logger.LogAttrs(ctx, slog.LevelInfo, "forgotten which id an account was given", slog.String("account", id),
		slog.String("token", exchangeOf(ctx).token.Name), slog.String("on_behalf_of", events.Scrub(q.OnBehalfOf, events.MaxID)))
	return a, nil
}
