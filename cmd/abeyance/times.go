package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// relative says how far t is from now, for people: "in 71h15m", "3m ago". The zero
// Time is empty.
func relative(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return ""
	case d > 0:
		return "in " + span(d)
	case d > -time.Second:
		return "now"
	default:
		return span(-d) + " ago"
	}
}

// span gives a duration in its two largest units, rounded down, at least a second.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "1s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return units(d, time.Minute, time.Second)
	case d < 4*day:
		return units(d, time.Hour, time.Minute)
	default:
		return units(d, day, time.Hour)
	}
}

func units(d, large, small time.Duration) string {
	names := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h", 24 * time.Hour: "d"}
	text := fmt.Sprintf("%d%s", d/large, names[large])
	if rest := d % large / small; rest > 0 {
		text += fmt.Sprintf("%d%s", rest, names[small])
	}
	return text
}

// parseMoment reads an instant as an operator writes one: RFC 3339, or a duration
// such as 2h, which means that long before now.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := projection.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d), nil
	}
	return parseInstant(flag, text)
}

// parseInstant reads RFC 3339, or a date and time in UTC without a zone.
func parseInstant(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage("%s %q is no instant: write 2026-11-30T09:00:00Z", flag, text)
}
