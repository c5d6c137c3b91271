// Package compat speaks the quota-group part of CLIProxyAPI's management API: it maps
// between the JSON of that API and the values of package projection. It knows no HTTP
// server and keeps nothing, so that whoever has an engine and an identity book can serve
// the API, be it package api or a plugin inside another program.
//
// The routes, below [Base]:
//
//	GET   /oauth-quota-groups             {"oauth-quota-groups": [DEFINITION, ...]}, highest priority first
//	PUT   /oauth-quota-groups             [DEFINITION, ...] or {"items": [...]}: replaces the configured groups
//	GET   /auth-files                     {"files": [FILE, ...]}: the accounts
//	GET   /auth-files/quota-groups        {"items": [ITEM, ...]}: each account with each of its groups
//	PATCH /auth-files/quota-groups/manual {"auth_id", "group_id", "manual_suspended", "reason"?, "updated_by"?}
//	PATCH /auth-files/quota-groups/auto/clear {"auth_id", "group_id"?, "updated_by"?}; without a group: all of the account
//
// PUT and PATCH answer {"status": "ok"}, also where it was so already. What a DEFINITION
// is says [cliproxy.Definition], what the others are [Item] and [File].
//
// The two systems differ, and this is what is made of it:
//
//   - Group ids are shown as the operator wrote them, and taken in any form that
//     [projection.CanonicalGroup] knows; the log has the canonical ones. Account ids are
//     shown as given.
//   - A block of everything ("*") is shown on each group of the account. Where only a
//     cooldown or hold of everything suspends a group, clearing the group ends that: it is
//     what the dashboard shows there. A suspension of everything by hand is lifted for no
//     single group: that is refused with [ErrWholeAccount] rather than answered with an ok
//     that changed nothing.
//   - A hold is an automatic suspension without an end. Blocks of single models have no
//     place in this API.
//   - A suspension made here has no end. One with an end, made elsewhere, is shown like
//     any other.
//   - Members that are not known are ignored.
package compat
