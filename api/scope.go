package api

import (
	"fmt"
	"slices"
)

// Scope is a right that a token carries.
type Scope string

// The scopes. ScopeOperate implies ScopeRead, ScopeAdmin implies all; the others
// imply nothing, so that a proxy's token cannot read the history and an
// operator's cannot pick.
const (
	ScopeRoute   Scope = "route"   // pick, report and classify: for a proxy
	ScopeRead    Scope = "read"    // everything there is to see
	ScopeOperate Scope = "operate" // suspend, lift, clear and recheck
	ScopeAdmin   Scope = "admin"   // the pool, definitions, tokens, verification, import and export

	scopeOpen Scope = "" // no token at all
)

// Scopes lists every scope.
func Scopes() []Scope { return []Scope{ScopeRoute, ScopeRead, ScopeOperate, ScopeAdmin} }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Scope) UnmarshalText(text []byte) error {
	if !slices.Contains(Scopes(), Scope(text)) {
		return fmt.Errorf("%q is no scope: they are %v", text, Scopes())
	}
	*s = Scope(text)
	return nil
}

// allows reports whether a set of scopes includes, or implies, the one needed.
func allows(have []Scope, need Scope) bool {
	return slices.ContainsFunc(have, func(s Scope) bool {
		return s == need || s == ScopeAdmin || s == ScopeOperate && need == ScopeRead
	})
}

// routeScopes is the one table of rights: method and pattern → scope. A route that
// is not in it is refused.
func routeScopes() map[string]Scope {
	return map[string]Scope{
		"GET /healthz":      scopeOpen,
		"GET /readyz":       scopeOpen,
		"GET /metrics":      ScopeRead,
		"GET /openapi.json": ScopeRead,

		"POST /v1/pick":     ScopeRoute,
		"POST /v1/reports":  ScopeRoute,
		"POST /v1/classify": ScopeRoute,

		"GET /v1/head":          ScopeRead,
		"GET /v1/cells":         ScopeRead,
		"GET /v1/summary":       ScopeRead,
		"GET /v1/accounts":      ScopeRead,
		"GET /v1/groups":        ScopeRead,
		"GET /v1/policy":        ScopeRead,
		"GET /v1/why":           ScopeRead,
		"GET /v1/events":        ScopeRead,
		"GET /v1/events/{seq}":  ScopeRead,
		"GET /v1/events/stream": ScopeRead,
		"GET /v1/episodes":      ScopeRead,
		"POST /v1/replay":       ScopeRead,

		"GET /v1/session":    ScopeRead,
		"POST /v1/session":   ScopeRead,
		"DELETE /v1/session": ScopeRead,

		"POST /v1/suspend": ScopeOperate,
		"POST /v1/lift":    ScopeOperate,
		"POST /v1/clear":   ScopeOperate,
		"POST /v1/recheck": ScopeOperate,

		"PUT /v1/accounts/{id}":         ScopeAdmin,
		"PATCH /v1/accounts/{id}":       ScopeAdmin,
		"DELETE /v1/accounts/{id}":      ScopeAdmin,
		"POST /v1/accounts/{id}/forget": ScopeAdmin,
		"PUT /v1/groups":                ScopeAdmin,
		"PUT /v1/policy":                ScopeAdmin,
		"POST /v1/reload":               ScopeAdmin,
		"POST /v1/import":               ScopeAdmin,
		"GET /v1/export":                ScopeAdmin,
		"GET /v1/verify":                ScopeAdmin,
		"GET /v1/backup":                ScopeAdmin,
		"GET /v1/tokens":                ScopeAdmin,
		"POST /v1/tokens":               ScopeAdmin,
		"DELETE /v1/tokens/{name}":      ScopeAdmin,

		"GET /v0/management/oauth-quota-groups":                   ScopeRead,
		"GET /v0/management/auth-files":                           ScopeRead,
		"GET /v0/management/auth-files/quota-groups":              ScopeRead,
		"PATCH /v0/management/auth-files/quota-groups/manual":     ScopeOperate,
		"PATCH /v0/management/auth-files/quota-groups/auto/clear": ScopeOperate,
		"PUT /v0/management/oauth-quota-groups":                   ScopeAdmin,
	}
}
