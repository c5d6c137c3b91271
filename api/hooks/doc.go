// Package hooks tells receivers by HTTP what an operator should know of: webhooks, by
// the scheme of https://www.standardwebhooks.com.
//
// # What is sent
//
// A message is a POST of JSON, {"type", "timestamp", "data"}, with the headers
//
//	webhook-id:        msg_HEX                the same whenever the same message is sent
//	webhook-timestamp: SECONDS                of this attempt, since 1970
//	webhook-signature: v1,BASE64              of HMAC-SHA-256(secret, ID.SECONDS.BODY)
//
// With several secrets there are as many signatures, with a space between.
//
// Types are group.exhausted, cell.frozen, cell.held, cell.suspended, hint.clamped and
// engine.degraded; group.recovered, cell.recovered and engine.recovered for what is over
// after it was told of; digest for several that are over; and test.
//
// # What is promised
//
// Each hook has its messages in order, one at a time. A message that was acknowledged, by
// a status of 2xx, is not sent again; one that was not is sent until it is. The place in
// the log is kept in a file, after each acknowledgement and before the next message, so
// that a restart goes on where the hook was. Only a process that dies between an
// acknowledgement and that tells one message again; and what time alone brought is told
// again after the clock went back and comes by it anew. It has the same id, unless more is
// to be said by then, such as how it ended: data.key is the same in any case.
//
// What happened while a receiver could not be reached does not come as a storm:
//
//   - What began and is over before it was told is one message: of the type of its
//     beginning, with over, ended_at and how.
//   - Neighbours that are over for more than a minute come together, as a digest of at
//     most 32.
//
// So everything that began is told, and what is over costs a message for 32.
//
// # The file
//
// webhooks.json, mode 0600, replaced atomically:
//
//	{"version": 1, "log_id": ID, "hooks": {NAME: {"seq", "hash", "at", "told": [ID, ...]}}}
//
// All up to a record, and up to an instant, was told, and beyond it the notices listed. A
// hook that is not in the file, or of another log, begins at the head.
package hooks
