package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// AccountRow is one account of the pool.
type AccountRow struct {
	Account  string `json:"account" doc:"the id as given"`
	Stored   string `json:"stored" doc:"the id in the log: a pseudonym if the id holds an @"`
	Provider string `json:"provider"`
	Priority int    `json:"priority" doc:"higher is served first"`
	Weight   int    `json:"weight" minimum:"1" maximum:"16"`
	Disabled bool   `json:"disabled"`
	// DisableCooling records limits, but never blocks automatically.
	DisableCooling    bool   `json:"disable_cooling"`
	Origin            string `json:"origin" enum:"configured,observed"`
	CredentialVersion string `json:"credential_version"`
	// Available is false if the account is disabled, or everything or every enabled
	// group of its provider is blocked.
	Available bool   `json:"available"`
	AddedAt   Time   `json:"added_at"`
	AddedSeq  uint64 `json:"added_seq"`
}

// AccountPut adds an account or replaces its settings. Omitted settings are reset.
type AccountPut struct {
	Provider          string `json:"provider" format:"provider"`
	Priority          int    `json:"priority,omitempty" minimum:"-2147483648" maximum:"2147483647" default:"0" doc:"higher is served first"`
	Weight            int    `json:"weight,omitempty" minimum:"0" maximum:"16" default:"1" doc:"how many turns it has of the strategy weighted; 0 stands for 1"`
	Disabled          bool   `json:"disabled,omitempty"`
	DisableCooling    bool   `json:"disable_cooling,omitempty"`
	CredentialVersion string `json:"credential_version,omitempty" format:"name" doc:"opaque, such as a counter or a date; a change releases holds"`
	OnBehalfOf        string `json:"on_behalf_of,omitempty"`
}

// AccountPatch changes the settings that are set.
type AccountPatch struct {
	Priority          *int    `json:"priority,omitempty" minimum:"-2147483648" maximum:"2147483647" doc:"higher is served first"`
	Weight            *int    `json:"weight,omitempty" minimum:"1" maximum:"16"`
	Disabled          *bool   `json:"disabled,omitempty"`
	DisableCooling    *bool   `json:"disable_cooling,omitempty"`
	CredentialVersion *string `json:"credential_version,omitempty" format:"name" doc:"opaque, such as a counter or a date; a change releases holds"`
	OnBehalfOf        string  `json:"on_behalf_of,omitempty"`
}

// AccountAnswer is the outcome of a change to an account.
type AccountAnswer struct {
	Change
	Account *AccountRow `json:"account" doc:"null once it is removed"`
}

// routeAccounts registers the pool.
func (s *Server) routeAccounts() {
	const one = "/v1/accounts/{id}"
	handle(s, huma.Operation{OperationID: "accounts", Method: http.MethodGet, Path: "/v1/accounts", Summary: "The pool"}, listAccounts)
	handleBody(s, huma.Operation{OperationID: "put-account", Method: http.MethodPut, Path: one, Summary: "Add an account, or replace its settings"}, putAccount)
	handleBody(s, huma.Operation{OperationID: "patch-account", Method: http.MethodPatch, Path: one, Summary: "Change settings of an account"}, patchAccount)
	handle(s, huma.Operation{OperationID: "remove-account", Method: http.MethodDelete, Path: one, Summary: "Take an account out of the pool"}, removeAccount)
}

type accountsQuery struct {
	Account  string `query:"account" format:"id"`
	Provider string `query:"provider" format:"provider"`
	Paging
}

func listAccounts(_ context.Context, b *Backend, q *accountsQuery) (Page[AccountRow], error) {
	account, provider := b.Identities.Stored(q.Account), projection.CanonicalProvider(q.Provider)
	from, err := q.after("accounts", account, provider)
	if err != nil {
		return Page[AccountRow]{}, err
	}
	v := b.present()
	page := Page[AccountRow]{AsOfSeq: uint64(v.state.Head().Seq), Now: Time{v.now}, Items: []AccountRow{}}
	last := from
	for a := range v.state.Accounts(max(from.Account, account)) {
		if account != "" && a.ID != account {
			break
		}
		if a.ID == from.Account || provider != "" && a.Spec.Provider != provider {
			continue
		}
		if len(page.Items) == q.size() {
			page.NextPageToken = last.token()
			break
		}
		page.Items = append(page.Items, *b.accountRow(v, a))
		last.Account = a.ID
	}
	return page, nil
}

func (b *Backend) accountRow(v *view, a *projection.Account) *AccountRow {
	return &AccountRow{
		Account: b.Identities.Given(a.ID), Stored: a.ID, Provider: a.Spec.Provider, Priority: a.Spec.Priority,
		Weight: a.Spec.Weight, Disabled: a.Spec.Disabled, DisableCooling: a.Spec.DisableCooling, Origin: string(a.Spec.Origin),
		CredentialVersion: a.Spec.CredentialVersion, Available: v.available(a), AddedAt: Time{a.AddedAt}, AddedSeq: uint64(a.AddedSeq),
	}
}

// available: an account as a whole is unavailable only when it is disabled, or when
// everything or every enabled group of its provider is blocked.
func (v *view) available(a *projection.Account) bool {
	provider := a.Spec.Provider
	groups := v.state.Groups().Of(provider)
	if len(groups) == 0 {
		return a.Usable(&projection.Resolution{Provider: provider}, v.now)
	}
	return slices.ContainsFunc(groups, func(g events.Group) bool {
		return a.Usable(&projection.Resolution{Provider: provider, Group: g.ID, Target: g.ID}, v.now)
	})
}

type accountPath struct {
	ID string `path:"id" format:"id" doc:"as given or as stored, percent-encoded"`
}

func putAccount(ctx context.Context, b *Backend, in *accountPath, q *AccountPut) (AccountAnswer, error) {
	done, err := b.Owners.change(SectionAccounts, nil) // an observed account would be adopted
	if err != nil {
		return AccountAnswer{}, err
	}
	defer done()
	put := &projection.PutAccount{ID: b.stored(ctx, in.ID), Spec: events.AccountSpec{
		Provider: q.Provider, Priority: q.Priority, Weight: q.Weight, Disabled: q.Disabled,
		DisableCooling: q.DisableCooling, CredentialVersion: q.CredentialVersion,
	}}
	// An id must be known before it can stand in the log, and a refused one need not
	// be remembered.
	trial := projection.Command{Origin: exchangeOf(ctx).origin("operator", q.OnBehalfOf), Do: put}
	if _, err := projection.Decide(b.Engine.State(), trial, b.Engine.Now()); err != nil {
		return AccountAnswer{}, err
	}
	if err := projection.CheckID("the account", in.ID); err != nil {
		return AccountAnswer{}, invalid("%v", err)
	}
	if err := b.Identities.Add(in.ID); err != nil {
		return AccountAnswer{}, err
	}
	return b.changeAccount(ctx, put.ID, q.OnBehalfOf, put)
}

func patchAccount(ctx context.Context, b *Backend, in *accountPath, q *AccountPatch) (AccountAnswer, error) {
	id := b.stored(ctx, in.ID)
	return b.changeOneAccount(ctx, id, q.OnBehalfOf, &projection.PatchAccount{
		ID: id, Priority: q.Priority, Weight: q.Weight, Disabled: q.Disabled,
		DisableCooling: q.DisableCooling, CredentialVersion: q.CredentialVersion,
	})
}

type removeAccountInput struct {
	ID         string `path:"id" format:"id" doc:"as given or as stored, percent-encoded"`
	Force      bool   `query:"force" doc:"although a manual suspension is live"`
	Reason     string `query:"reason"`
	OnBehalfOf string `query:"on_behalf_of"`
}

func removeAccount(ctx context.Context, b *Backend, in *removeAccountInput) (AccountAnswer, error) {
	id := b.stored(ctx, in.ID)
	return b.changeOneAccount(ctx, id, in.OnBehalfOf, &projection.RemoveAccount{ID: id, Reason: in.Reason, Force: in.Force})
}

// changeOneAccount is changeAccount for what may not be done to an account of a file.
func (b *Backend) changeOneAccount(ctx context.Context, id, onBehalfOf string, do projection.Intent) (AccountAnswer, error) {
	done, err := b.changeOne(id)
	if err != nil {
		return AccountAnswer{}, err
	}
	defer done()
	return b.changeAccount(ctx, id, onBehalfOf, do)
}

// changeAccount runs a command about one account and shows the account after it.
func (b *Backend) changeAccount(ctx context.Context, id, onBehalfOf string, do projection.Intent) (AccountAnswer, error) {
	o, err := b.execute(ctx, onBehalfOf, do)
	if err != nil {
		return AccountAnswer{}, err
	}
	a := AccountAnswer{Change: change(&o)}
	v := b.present()
	if account := v.state.Account(id); account != nil {
		a.Account = b.accountRow(v, account)
	}
	return a, nil
}
