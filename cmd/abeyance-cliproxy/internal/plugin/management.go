package plugin

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/api/compat"
)

// The routes below the host's /v0/management are those of Abeyance's own server: the
// host finds out whether the caller has its management key, and the server does the
// rest as it does for the daemon.

// ownBase is below it where the routes are that CLIProxyAPI's dashboards do not know.
const ownBase = compat.Base + "/abeyance/"

// compatRoutes are those that dashboards of CLIProxyAPI call. GET auth-files is not
// among them: the host has it itself.
func compatRoutes() []managementRoute {
	return []managementRoute{
		{http.MethodGet, compat.Base + "/oauth-quota-groups", "Quota groups in force"},
		{http.MethodPut, compat.Base + "/oauth-quota-groups", "Replace the configured quota groups"},
		{http.MethodGet, compat.Base + "/auth-files/quota-groups", "Accounts and quota groups"},
		{http.MethodPatch, compat.Base + "/auth-files/quota-groups/manual", "Suspend by hand, or lift"},
		{http.MethodPatch, compat.Base + "/auth-files/quota-groups/auto/clear", "End cooldowns and holds"},
	}
}

// ownRoutes maps what follows ownBase to a route of the server: hosts take exact paths
// alone.
func ownRoutes() map[string]managementRoute {
	return map[string]managementRoute{
		"summary":  {http.MethodGet, "/v1/summary", "Usable accounts per provider and group"},
		"cells":    {http.MethodGet, "/v1/cells", "Every account and target, and what blocks it"},
		"accounts": {http.MethodGet, "/v1/accounts", "The accounts learnt"},
		"why":      {http.MethodGet, "/v1/why", "Why an account is blocked"},
		"events":   {http.MethodGet, "/v1/events", "History"},
		"episodes": {http.MethodGet, "/v1/episodes", "Freezes"},
		"policy":   {http.MethodGet, "/v1/policy", "The policy in force"},
		"metrics":  {http.MethodGet, "/metrics", "Figures for Prometheus"},
		"suspend":  {http.MethodPost, "/v1/suspend", "Block by hand"},
		"lift":     {http.MethodPost, "/v1/lift", "End manual suspensions"},
		"clear":    {http.MethodPost, "/v1/clear", "End cooldowns and holds"},
		"recheck":  {http.MethodPost, "/v1/recheck", "Probe with the next requests"},
	}
}

// routes answers management.register.
func routes() managementRoutes {
	list := compatRoutes()
	own := ownRoutes()
	for _, name := range slices.Sorted(maps.Keys(own)) {
		list = append(list, managementRoute{own[name].Method, ownBase + name, own[name].Description})
	}
	return managementRoutes{Routes: list, Resources: resources()}
}

// passed are the headers that the server gets to see. The management key is not among
// them.
var passed = []string{"Accept", "Content-Type", "Content-Encoding", "Idempotency-Key"}

// manage answers management.handle.
func (p *Plugin) manage(request []byte) []byte {
	var q managementRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return fail(&failure{Code: codeInvalid, Message: "the request cannot be read: " + err.Error()})
	}
	if !strings.HasPrefix(q.Path, compat.Base+"/") {
		return ok(resource(q.Path))
	}
	c := p.core.Load()
	if c == nil {
		return ok(problem(http.StatusServiceUnavailable, "starting", "the log is not open; the host's log says why"))
	}
	path := q.Path
	if name, own := strings.CutPrefix(q.Path, ownBase); own {
		route, known := ownRoutes()[name]
		if !known || route.Method != q.Method {
			return ok(problem(http.StatusNotFound, "not_found", "abeyance has no such route"))
		}
		path = route.Path
	}
	r, err := http.NewRequest(q.Method, (&url.URL{Path: path, RawQuery: q.Query.Encode()}).String(), bytes.NewReader(q.Body))
	if err != nil {
		return ok(problem(http.StatusBadRequest, "invalid_body", "the request cannot be read"))
	}
	for _, name := range passed {
		if v := q.Headers.Get(name); v != "" {
			r.Header.Set(name, v)
		}
	}
	w := api.ReplyTo(api.WithCaller(r, api.Caller{Name: "management-key", Scopes: []api.Scope{api.ScopeAdmin}}), c.server)
	return ok(managementResponse{StatusCode: w.Status, Headers: w.Head, Body: w.Body.Bytes()})
}

// problem is an answer of this package's own, in the form of the server's.
func problem(status int, code, detail string) managementResponse {
	doc, err := json.Marshal(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail, "code": code, "error": detail,
	})
	if err != nil {
		return managementResponse{StatusCode: status} // unreachable: only texts and a number
	}
	return managementResponse{StatusCode: status, Headers: http.Header{"Content-Type": {"application/problem+json"}}, Body: doc}
}
