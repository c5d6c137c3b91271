// Package api is the HTTP surface of an engine: picks and reports for proxies, and
// everything an operator reads and does. The JSON shapes are exported: a client in
// Go decodes into the structs that the handlers encode.
//
// Conventions that hold on every route:
//
//   - Bodies are JSON with snake_case names. One value, no unknown fields, at most
//     1 MiB, Content-Type application/json. What the OpenAPI document says of bodies and
//     parameters is what they are checked by, and there is no other check of their form.
//   - Times are RFC 3339 in UTC with milliseconds, null where there is none
//     ([Time]); durations are numbers named *_seconds.
//   - Errors are application/problem+json (RFC 9457) with a stable code ([Problem]);
//     one table says which route can answer which.
//   - Every route but /healthz and /readyz needs a bearer token with the scope that
//     one table gives the route; a route without a row in it is refused.
//   - Account ids are accepted and shown as given. URLs, page tokens, logs and
//     metrics hold stored ids only.
//
// The routes below /v0/management, which dashboards written for CLIProxyAPI call, keep that
// API's shapes instead: see package compat.
//
// A handler keeps no copy of anything: each answer is computed from the published
// state, so a read after an acknowledged write sees it. Streams share the newest records
// as they are sent, for seconds; records never change.
//
// A new route needs a row in routeScopes and one in outlooks, an example in
// examples.json, a body in takingBodies if it takes one, and a transcript in
// testdata/routes; then the tests say what is still missing, and
//
//	go test ./api -run Examples -update
//	go test ./api -run 'OpenAPI|Problems|EveryRoute' -update
//
// write the answers of the examples, and then openapi.json, which holds them,
// docs/problems.md, and the transcript, which for a new route they draft.
package api
