package cliproxy

import (
	"bytes"
	"encoding/json"

	"github.com/abeyance/abeyance/events"
)

// An import keeps the source's own fields, so that nothing is lost that Abeyance has no
// word for. The account is not among them: its id may hold an e-mail address, and the
// record says it.

// Bounds of the fields that are kept, in bytes: escaped as JSON they fit the record's
// 4 KiB together.
const (
	maxKept    = 128
	maxKeptRaw = 384 // of what people and providers wrote
)

// keep makes a field of a file fit to be kept.
func keep(text string) string { return events.Scrub(text, maxKept) }

func keepRaw(text string) string { return events.Scrub(text, maxKeptRaw) }

// original returns the fields that are kept as JSON.
func original(fields any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		return "{}" // unreachable: the fields are texts, numbers and flags
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
