package projection

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// ImportSource names the source of an import for people.
func ImportSource(source string) string {
	switch source {
	case SourceConfig:
		return "CLIProxyAPI's config.yaml"
	case SourceCooldowns:
		return "CLIProxyAPI's cooldown file"
	default:
		return source
	}
}

// The sources of imports.
const (
	SourceConfig    = "cliproxyapi-config" // the state section of a CLIProxyAPI config.yaml
	SourceCooldowns = "cds"                // a CLIProxyAPI .cds file
)

// ImportText says in a line what an import took over: from where, whose it was there and
// since when as the source has it, and what blocks.
func ImportText(e *events.Imported) string {
	var parts []string
	if e.Suspended {
		parts = append(parts, "suspended without an end: "+e.Reason)
	}
	if !e.CoolUntil.IsZero() {
		parts = append(parts, fmt.Sprintf("cooling until %s: %s", clockTime(e.CoolUntil), answeredAs(e.Model, e.Class)))
	}
	return "from " + importedFrom(e, true) + ": " + strings.Join(parts, "; ")
}

// importedFrom says where an import comes from, when the source wrote it, and, if
// wanted, who did.
func importedFrom(e *events.Imported, who bool) string {
	var original struct {
		By string    `json:"updated_by"`
		At time.Time `json:"updated_at"`
	}
	// What another version left out, or wrote otherwise, is not told.
	_ = json.Unmarshal([]byte(e.Original), &original)
	text := ImportSource(e.Source)
	if who && original.By != "" {
		text += " by " + original.By
	}
	if at := cmp.Or(e.SuspendedAt, original.At); !at.IsZero() {
		text += " as of " + clockTime(at)
	}
	return text
}
