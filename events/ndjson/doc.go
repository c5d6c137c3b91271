// Package ndjson is the text form of a log: lines of JSON from which the log can be
// made again, byte for byte, and which other tools can read. It knows records and no
// state.
//
// # Format
//
// Every line is one JSON object and ends with a newline. The first says what follows:
//
//	{"abeyance_export":1,"log":"0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90","first_seq":1,
//	 "prev":"5f2b...","last_seq":2048,"filter":{"account":"a1","target":"claude","kind":"suspended"}}
//
// (on one line) where 1 is the version of the format, first_seq and last_seq are the
// range of the log that was read, and prev is the hash of the record before first_seq;
// before the first of a log it is the one that ties the chain to the log's id. filter
// is there if not every record of the range was wanted, with the members that were set.
//
// Then comes one line for each record wanted, in order:
//
//	{"seq":7,"at":"2026-11-23T09:00:00.000Z","kind":"suspended","account":"a1",
//	 "actor":"operator:ops","via":"cli","correlation_id":"0195...",
//	 "data":{"target":"claude","reason":"billing dispute","forever":true},
//	 "prev":"41c7...","hash":"9d0e...","record":"nAEHz..."}
//
// record is the record's stored bytes in base64 (RFC 4648 section 4, padded), and hash
// is SHA-256("abeyance.record.v1" || prev || bytes), as package events has it: each line
// proves itself, and in an export without a filter the hash of one line is the prev of
// the next. All members before prev are there for people and other tools: they have the
// names and the form that they have in GET /v1/events, are left out where they are
// empty, and are not read back. Account ids are the stored ones: what is exported holds
// no e-mail address.
//
// The last line says that the export is whole:
//
//	{"abeyance_export_end":1,"records":2048,"seq":2048,"hash":"9d0e..."}
//
// with the number of record lines, and the newest record of the range. A file without
// it was cut off.
//
// A reader that meets another version stops. New members for people may come without a
// new version; a change of anything else is a new version.
package ndjson
