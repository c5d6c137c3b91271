package api

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// timeFormat is RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Time is an instant in an answer or a request. It is written as RFC 3339 in UTC
// with milliseconds; the zero Time is null.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, t.UTC().Format(timeFormat)), nil
}

// UnmarshalJSON implements json.Unmarshaler: null, or RFC 3339 with any offset and
// any number of fractional digits.
func (t *Time) UnmarshalJSON(doc []byte) error {
	if bytes.Equal(doc, []byte("null")) {
		t.Time = time.Time{}
		return nil
	}
	s, err := strconv.Unquote(string(doc))
	if err != nil {
		return fmt.Errorf("%s is no time: write RFC 3339, as 2026-11-23T00:00:00Z", doc)
	}
	t.Time, err = parseTime(s)
	return err
}

// Schema implements huma.SchemaProvider.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

// wholeMillis returns a duration in seconds, rounded to milliseconds. Duration.Seconds
// adds two floats, and 1.656 s would become 1.6560000000000001.
func wholeMillis(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time: write RFC 3339, as 2026-11-23T00:00:00Z", s)
	}
	return t.UTC(), nil
}
