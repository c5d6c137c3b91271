package signal

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Instants outside this range are no dates that a provider means, and not all of
// them can be stored: an instant is stored as 64 bits of nanoseconds, which end in
// the year 2262.
var (
	firstInstant = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	lastInstant  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// readInstant reads a field that holds a point in time: RFC 3339, an HTTP date,
// wall time without a zone (taken in zone), or a number since 1970 whose unit shows
// in its size. The second result says why the instant is lost; it is empty for a
// readable one, past or not.
func readInstant(raw string, zone *time.Location) (time.Time, string) {
	s := strings.TrimSpace(raw)
	n, rest, ok := leadingNumber(s)
	if ok && rest == "" {
		return epoch(n)
	}
	if len(s) > 64 {
		return time.Time{}, events.LostUnreadable
	}
	t, ok := readDate(s, zone)
	if !ok {
		return lostWord(s)
	}
	return inRange(t)
}

func lostWord(s string) (time.Time, string) {
	if _, lost := readDelay(s, 1); lost == events.LostNotFinite || lost == events.LostNegative {
		return time.Time{}, lost
	}
	return time.Time{}, events.LostUnreadable
}

// inRange drops dates no clock shows.
func inRange(t time.Time) (time.Time, string) {
	switch {
	case t.After(lastInstant):
		return time.Time{}, events.LostNotFinite
	case t.Before(firstInstant):
		return time.Time{}, events.LostPast
	}
	return t.UTC(), ""
}

// epoch reads a number since 1970 by its magnitude: seconds have ten digits now,
// milliseconds thirteen, microseconds sixteen, nanoseconds nineteen.
func epoch(n float64) (time.Time, string) {
	switch {
	case n == 0:
		return time.Time{}, events.LostZero
	case n >= 1e20:
		return time.Time{}, events.LostNotFinite
	case n >= 1e17:
		n /= 1e9
	case n >= 1e14:
		n /= 1e6
	case n >= 1e11:
		n /= 1e3
	}
	whole, fraction := math.Modf(n)
	return inRange(time.Unix(int64(whole), int64(fraction*1e9)).Round(time.Millisecond))
}

// readDate reads the written forms of a date.
func readDate(s string, zone *time.Location) (time.Time, bool) {
	if len(s) < 10 {
		return time.Time{}, false
	}
	if s[0] < '0' || s[0] > '9' {
		t, err := http.ParseTime(s)
		if err != nil {
			t, err = time.Parse(time.RFC1123Z, s)
		}
		return t, err == nil
	}
	if s[4] != '-' || s[7] != '-' {
		return time.Time{}, false
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	// time.Parse accepts a fraction after the seconds in all of these.
	for _, layout := range [...]string{"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -0700 MST"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if bare, ok := strings.CutSuffix(s, " UTC"); ok {
		s, zone = bare, time.UTC
	} else if bare, ok := strings.CutSuffix(s, " GMT"); ok {
		s, zone = bare, time.UTC
	}
	for _, layout := range [...]string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 at 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// findInstant finds the first date with a time of day in a sentence, with the zone
// that may follow it.
func findInstant(s string) (string, bool) {
	for i := 0; i+16 <= len(s); i++ {
		if !dateAt(s, i) {
			continue
		}
		end := i + 16
		if s[i+10] == ' ' && strings.HasPrefix(s[i+11:], "at ") {
			end += 3
		}
		if end > len(s) || s[end-3] != ':' {
			continue
		}
		return s[i : end+zoneLen(s[end:])], true
	}
	return "", false
}

func dateAt(s string, i int) bool {
	for j, c := range "dddd-dd-dd" {
		if c == 'd' && !digitAt(s, i+j) || c == '-' && s[i+j] != '-' {
			return false
		}
	}
	c := s[i+10]
	return (i == 0 || !digitAt(s, i-1)) && (c == 'T' || c == 't' || c == ' ')
}

// zoneLen is the length of what belongs to a date after its minutes: seconds, a
// fraction, and a zone.
func zoneLen(s string) int {
	n := 0
	for n < len(s) && (s[n] == ':' || s[n] == '.' || digitAt(s, n)) && n < 14 {
		n++
	}
	for n > 0 && (s[n-1] == '.' || s[n-1] == ':') { // the end of the sentence
		n--
	}
	switch rest := s[n:]; {
	case rest == "":
	case rest[0] == 'Z' || rest[0] == 'z':
		n++
	case (rest[0] == '+' || rest[0] == '-') && len(rest) >= 6 && rest[3] == ':' && digitAt(rest, 1):
		n += 6
	case strings.HasPrefix(rest, " UTC") || strings.HasPrefix(rest, " GMT"):
		n += 4
	case len(rest) >= 6 && rest[0] == ' ' && (rest[1] == '+' || rest[1] == '-') && numberLen(rest[2:6]) == 4:
		n += 6 // Go's " +0800"; the name after it says no more
	}
	return n
}
