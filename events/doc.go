// Package events defines what happened: the sealed set of event types, the record
// each is stored as, the hash chain over records, and the [Log] that keeps them.
//
// # Format
//
// A record is one value of package wire, an array of twelve fields:
//
//	[1, seq, at, kind, account, actor, on_behalf_of, via,
//	 correlation_id, idempotency_key, request_hash | nil, payload]
//
// where 1 is the format version and the payload is the kind's own array, whose
// first field is the version of that payload. The record's hash is
//
//	SHA-256("abeyance.record.v1" || hash of the record before || bytes of the record)
//
// and the first record follows SHA-256("abeyance.log.v1" || log id). A log stores
// bytes || hash; whoever reads one checks the hash before it decodes a byte.
//
// The format only grows: a new meaning is a new kind, or a new version of a
// payload. A reader that meets a kind or a version it does not know stops with a
// [*FormatError]; nothing is ever skipped.
package events
