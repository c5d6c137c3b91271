package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router"
)

// format is a form of text that several members and parameters share. A struct tag
// format:"NAME" asks for it, and the document states its bounds and its pattern: they
// are checked there, and nowhere else.
type format struct {
	longest int    // characters; 0: not bounded here
	pattern string // for both Go and ECMAScript; empty: any text
	text    string // what it is, in the description and in refusals
	words   []any  // the only ones there are; the document then lists them
	names   bool   // the pattern matches every text of letters, digits, '.', '_' and '-'
}

// plainText is text without control characters.
const plainText = `^[^\x00-\x1f\x7f-\x9f]*$`

// formats are the formats by name. Those but token-name, group-id and those with words
// let empty text through: it stands for what is not given, and where something must be given a
// minLength says so.
func formats() map[string]format {
	return map[string]format{
		"id": {
			names: true, longest: events.MaxID, pattern: plainText,
			text: "at most 256 bytes of UTF-8 in normal form C, without control characters",
		},
		"provider": {
			names: true, longest: events.MaxName, pattern: `^( *[^ /@\x00-\x1f\x7f-\x9f]+ *)?$`,
			text: "a provider such as antigravity or codex, at most 128 bytes without spaces, slashes and at signs; case does not matter",
		},
		"target": {
			names: true, longest: events.MaxTarget, pattern: plainText,
			text: "a group id, model:NAME or *",
		},
		"name": {longest: events.MaxName, text: "at most 128 bytes of plain text"},
		"group-id": {
			longest: 80, pattern: `^ *[A-Za-z0-9][A-Za-z0-9._-]{0,63} *$`,
			text: "1 to 64 letters, digits, '.', '_' and '-', with a letter or digit first; case does not matter",
		},
		"any-group-id": {
			names: true, longest: events.MaxTarget, pattern: plainText,
			text: "a group id, in any form that the operator or CLIProxyAPI writes it",
		},
		"token-name": {
			longest: 64, pattern: `^[a-z0-9][a-z0-9._-]{0,63}$`,
			text: "1 to 64 of a-z, 0-9, '.', '_' and '-', with a letter or digit first",
		},
		"time-span": timeSpan(),
		"moment": {
			longest: 64, pattern: `^(seq:[0-9]{1,20}|` + rfc3339 + `)?$`,
			text: "RFC 3339, as 2026-11-23T00:00:00Z, or seq:N for the record N, from seq:1",
		},
		"instant": {longest: 64, pattern: `^(` + rfc3339 + `)?$`, text: "RFC 3339, as 2026-11-23T00:00:00Z"},
		"head":    {longest: 85, pattern: `^([1-9][0-9]{0,19}:[0-9A-Fa-f]{64})?$`, text: "SEQ:HASH, as GET /v1/head and verify give them"},
		"lease": {
			longest: 42, pattern: `^([1-9][0-9]{0,19}(\.p[1-9][0-9]{0,19})?)?$`,
			text: "what a pick returned, such as 17 or 17.p2",
		},
		"pattern": {
			names: true, longest: events.MaxID, pattern: `^[^\\\x00-\x1f\x7f-\x9f]*$`,
			text: "a model name in which * and ? are wildcards, at most 8 stars, no backslash",
		},
		"kind":       {words: enumOf(events.Kinds())},
		"class":      {words: enumOf(events.Classes())},
		"operation":  {words: enumOf(events.Operations())},
		"strategy":   {words: enumOf(router.AllStrategies())},
		"scope":      {words: enumOf(Scopes())},
		"page-token": {longest: 4096, text: "the next_page_token of the page before"},
	}
}

const rfc3339 = `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})`

// dateTime is the format of JSON Schema for instants.
const dateTime = "date-time"

// state writes into a schema what its format means. needed: empty text is none.
func (f format) state(s *huma.Schema, needed bool) {
	if f.words != nil {
		s.Enum, s.Format = f.words, ""
		return
	}
	if s.MaxLength == nil && f.longest > 0 {
		s.MaxLength = &f.longest
	}
	if s.Pattern == "" {
		s.Pattern = f.pattern
	}
	if needed && s.MinLength == nil {
		s.MinLength = new(1)
	}
}

// timeSpan is the format of durations. That of JSON Schema is another.
func timeSpan() format {
	return format{
		longest: 64,
		pattern: `^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$`,
		text:    "a duration of at most 366 days, such as 90s, 15m, 1h30m or 2d",
	}
}
