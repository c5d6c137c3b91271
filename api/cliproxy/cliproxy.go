package cliproxy

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// File is what a file says.
type File struct {
	Source  string // projection.SourceConfig or projection.SourceCooldowns
	Entries []Entry
	Groups  []projection.GroupConfig // defined in the file
}

// Entry is what a file says of one account and target.
type Entry struct {
	Place string // in the file, as "records[3]"
	// ImportEntry is the entry, but for the account, which is as the file names it and
	// may hold an e-mail address.
	projection.ImportEntry
}

// Error says what is wrong with a file, and where.
type Error struct {
	Line    int // from 1; 0: of the file as a whole
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Message)
}

func wrong(line int, format string, args ...any) *Error {
	return &Error{Line: line, Message: fmt.Sprintf(format, args...)}
}

// Parse reads a file of either format, which it tells by itself. Errors are an *Error.
func Parse(doc []byte) (*File, error) {
	doc = bytes.TrimPrefix(doc, []byte("\ufeff"))
	switch begin := bytes.TrimSpace(doc[:min(len(doc), 4096)]); {
	case len(bytes.TrimSpace(doc)) == 0:
		return nil, wrong(0, "the file is empty")
	case bytes.HasPrefix(begin, []byte("{")):
		return parseCooldowns(doc)
	default:
		return parseConfig(doc)
	}
}

// tooMany refuses what no import takes, before it is read.
func tooMany(line int) error {
	return wrong(line, "the file has more than %d entries, the most that can be imported at once: split it", projection.MaxImport)
}

// parseTime reads a time as Go programs write it; what is not set is the zero time.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time as 2026-11-23T00:00:00Z", events.Scrub(text, 64))
	}
	if t.Year() <= 1 {
		return time.Time{}, nil
	}
	return t.UTC(), nil
}

// providerOf returns the provider that CLIProxyAPI means by a name. Most names are the
// same.
func providerOf(name string) string {
	switch strings.ToLower(name) {
	case "vertex":
		return "vertex-ai"
	case "openai-compatibility":
		return "openai-compat"
	default:
		return name
	}
}

// classOf returns the class that a reason names, or the one of most cooldowns.
func classOf(reason string) events.Class {
	switch class := events.Class(strings.ToLower(strings.TrimSpace(reason))); class {
	case events.ClassRateLimited, events.ClassCapacity, events.ClassAuth, events.ClassPayment, events.ClassForbidden,
		events.ClassOverloaded, events.ClassNotFound, events.ClassServerError, events.ClassBadRequest:
		return class
	default:
		return events.ClassQuotaExhausted
	}
}
