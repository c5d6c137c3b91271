// Package router is what an in-process proxy embeds: [Router.Pick] names the
// account for a request, [Router.Report] says what the upstream answered. A pick
// reads one published snapshot: it takes no lock, touches no disk, appends nothing
// and allocates nothing.
//
//	lease, err := r.Pick(router.Request{Provider: "antigravity", Model: "claude-sonnet-4-6"})
//	// send the request with lease.Account's credential, then:
//	_, err = r.Report(ctx, lease, signal.Observation{Status: resp.StatusCode, Header: resp.Header, Body: body})
package router
