package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// relative says how far t is from now, for people: "in 71h16m", "3m ago". What is to
// come is rounded up, so that it is not there before it is said to be. The zero Time
// is empty.
func relative(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return ""
	case d > 0:
		return "in " + spanUp(d)
	case d > -time.Second:
		return "now"
	default:
		return span(-d) + " ago"
	}
}

// span gives a duration in its two largest units, rounded down, at least a second.
func span(d time.Duration) string {
	d = max(d, time.Second)
	large, small := unitsOf(d)
	text := fmt.Sprintf("%d%s", d/large.length, large.name)
	if rest := d % large.length / small.length; rest > 0 {
		text += fmt.Sprintf("%d%s", rest, small.name)
	}
	return text
}

// spanUp is span rounded up.
func spanUp(d time.Duration) string {
	_, small := unitsOf(d)
	return span((d + small.length - 1) / small.length * small.length)
}

type unit struct {
	name   string
	length time.Duration
}

// unitsOf returns the two units that a duration is told in. Resets lie up to days
// ahead and providers give them in hours, so days begin late.
func unitsOf(d time.Duration) (large, small unit) {
	second, minute, hour, day := unit{"s", time.Second}, unit{"m", time.Minute}, unit{"h", time.Hour}, unit{"d", 24 * time.Hour}
	switch {
	case d < time.Minute:
		return second, second
	case d < time.Hour:
		return minute, second
	case d < 4*day.length:
		return hour, minute
	default:
		return day, hour
	}
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

// parsePoint reads a point of the log as an operator writes one: seq:N, or an instant
// as parseMoment reads it. Empty is the zero Moment.
func parsePoint(flag, text string, now time.Time) (projection.Moment, error) {
	if digits, ok := strings.CutPrefix(text, "seq:"); ok {
		seq, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || seq == 0 {
			return projection.Moment{}, usage("%s %q is no record: write seq:12", flag, text)
		}
		return projection.Moment{Seq: events.Seq(seq)}, nil
	}
	at, err := parseMoment(flag, text, now)
	return projection.Moment{At: at}, err
}

// pointText is a point as the API takes it.
func pointText(m projection.Moment) string {
	if m == (projection.Moment{}) {
		return ""
	}
	return m.String()
}

// parsePoints reads the two ends of a range.
func parsePoints(from, to string, now time.Time) (a, b projection.Moment, err error) {
	if a, err = parsePoint("--from", from, now); err == nil {
		b, err = parsePoint("--to", to, now)
	}
	return a, b, err
}
