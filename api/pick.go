package api

import (
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// PickRequest asks who may serve a model now.
type PickRequest struct {
	Provider string `json:"provider" format:"provider"`
	Model    string `json:"model" format:"id" doc:"as the client named it; aliases and thinking suffixes included"`
	// Candidates restricts the choice; empty: the provider's configured accounts.
	Candidates []string `json:"candidates,omitempty" format:"id" nullable:"false" maxItems:"256" doc:"choose among these accounts; one not known counts as unblocked"`
	Exclude    []string `json:"exclude,omitempty" format:"id" nullable:"false" maxItems:"256" doc:"accounts not to return, such as those tried already"`
	Session    string   `json:"session,omitempty" maxLength:"256" doc:"what sticky keeps on one account, such as a conversation's id"`
	Strategy   string   `json:"strategy,omitempty" format:"strategy" doc:"for this request; without it the provider's holds"`
	DryRun     bool     `json:"dry_run,omitempty" doc:"leave the turn as it is, and let no probe out"`
}

// PickAnswer names the account.
type PickAnswer struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Target   string `json:"target" doc:"the quota group of the model, or model:NAME"`
	Probe    bool   `json:"probe" doc:"this request tests whether a quota is back: report how it went"`
	Lease    string `json:"lease" doc:"SEQ, or SEQ.pN of a probe; send it with the report: it dates the evidence"`
	Degraded bool   `json:"degraded,omitempty" doc:"the log cannot be written: limits and recoveries since then may be missing"`
	// WouldBlock is the status that would have kept the account from being picked,
	// had the server not been told only to observe.
	WouldBlock string `json:"would_block,omitempty" enum:"suspended,held,cooling"`
}

// maxReasons bounds the reasons of a blocked pick.
const maxReasons = 100

// routeProxies registers what is on every request's path of a proxy: plain handlers
// of chi, described in the same document.
func (s *Server) routeProxies(r chi.Router) {
	r.Post("/v1/pick", s.known(s.pick))
	r.Post("/v1/reports", s.known(s.report))
	r.Post("/v1/classify", s.known(s.classify))

	s.documented(huma.Operation{OperationID: "pick", Method: http.MethodPost, Path: "/v1/pick", Summary: "Name the account for a request"},
		reflect.TypeFor[PickRequest](), reflect.TypeFor[PickAnswer]())
	s.documented(huma.Operation{OperationID: "report", Method: http.MethodPost, Path: "/v1/reports", Summary: "Say what the upstream answered"},
		reflect.TypeFor[ReportRequest](), reflect.TypeFor[ReportAnswer]())
	s.documented(huma.Operation{OperationID: "classify", Method: http.MethodPost, Path: "/v1/classify", Summary: "Ask what an upstream's answer would mean"},
		reflect.TypeFor[ClassifyRequest](), reflect.TypeFor[ClassifyAnswer]())
}

// take reads the body of a plain handler into v.
func (s *Server) take(x *exchange, v any, read func([]byte, any, *shape) *Problem) *Problem {
	if p := x.read(); p != nil {
		return p
	}
	return read(x.body, v, s.spec.bodies[x.route])
}

func (s *Server) pick(_ http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	var q PickRequest
	if p := s.take(x, &q, decode); p != nil {
		x.problem(p)
		return
	}
	b := s.backend.Load()
	if err := q.check(); err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	lease, err := b.Router.Pick(router.Request{
		Provider: q.Provider, Model: q.Model, Candidates: q.Candidates, Exclude: q.Exclude,
		Strategy: router.Strategy(q.Strategy), Session: q.Session, DryRun: q.DryRun,
	})
	if none, ok := errors.AsType[*router.BlockedError](err); ok {
		x.blocked(none)
		return
	}
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	b.stored(r.Context(), lease.Account)
	x.json(http.StatusOK, "application/json", PickAnswer{
		Account: lease.Account, Provider: lease.Provider, Model: lease.Model, Target: lease.Target, Probe: lease.Probe != 0,
		Lease: lease.String(), Degraded: lease.Degraded, WouldBlock: string(lease.WouldBlock),
	})
}

// check refuses names that no account can have: a candidate that is not known would be
// answered as usable.
func (q *PickRequest) check() error {
	for _, list := range [][]string{q.Candidates, q.Exclude} {
		for _, id := range list {
			if err := projection.CheckID("an account", id); err != nil {
				return invalid("%v", err)
			}
		}
	}
	return nil
}

// blocked answers that no account can serve a request: rule 31.
func (x *exchange) blocked(e *router.BlockedError) {
	p := Blocked{Problem: *newProblem(Code(e.Code), e.Error()), Reasons: []BlockedReason{}, Counts: BlockedCounts(e.Counts)}
	p.EarliestEnd, p.NextProbe = Time{e.EarliestEnd}, Time{e.NextProbe}
	for r := range e.Reasons() {
		if len(p.Reasons) == maxReasons {
			break
		}
		p.Reasons = append(p.Reasons, BlockedReason{
			Account: r.Account, Target: r.Target, Status: r.Status, Until: Time{r.Until}, Volatile: r.Volatile,
		})
	}
	if p.Status == http.StatusTooManyRequests {
		p.retryAfter = int(e.RetryAfter() / time.Second)
	}
	p.headers(x.Header())
	x.json(p.Status, problemType, p)
}
