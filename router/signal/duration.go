package signal

import (
	"math"
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// day in seconds, for the limits and windows of this package.
const (
	hour = 3600.0
	day  = 24 * hour
)

// units are the names of time units in seconds, as providers spell them. A unit is
// read as the whole run of letters after a number, so "ms" is never "m" and "s".
var units = map[string]float64{
	"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6,
	"ms": 1e-3, "msec": 1e-3, "msecs": 1e-3, "millis": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
	"s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
	"m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
	"h": hour, "hr": hour, "hrs": hour, "hour": hour, "hours": hour,
	"d": day, "day": day, "days": day,
	"w": 7 * day, "wk": 7 * day, "week": 7 * day, "weeks": 7 * day,
	"month": 30 * day, "months": 30 * day,
	"毫秒": 1e-3, "秒": 1, "秒钟": 1, "分": 60, "分钟": 60, "小时": hour, "个小时": hour, "天": day, "周": 7 * day,
}

// readDelay reads a field that holds a delay: a number of the given unit ("30",
// "1.5"), a Go or protobuf duration ("71h15m27.79s", "581981.3s", "500ms"), words
// ("15 hours 23 minutes") or a clock ("01:32:22", "1.04:00:00"). The second result
// says why the delay is lost; it is empty for a positive finite one.
func readDelay(raw string, unit float64) (float64, string) {
	s := strings.ToLower(strings.TrimSpace(raw))
	sign := 1.0
	if strings.HasPrefix(s, "-") {
		sign, s = -1, s[1:]
	}
	s = strings.TrimPrefix(s, "+")
	switch s {
	case "nan", "inf", "infinity":
		return 0, events.LostNotFinite
	}
	seconds, rest, ok := readSpan(s, unit)
	if !ok {
		seconds, ok = exponent(s, unit)
		rest = ""
	}
	if !ok || strings.TrimSpace(rest) != "" {
		return 0, events.LostUnreadable
	}
	return seconds * sign, lostDelay(seconds * sign)
}

// lostDelay says why a delay can be no hint; empty if it can.
func lostDelay(seconds float64) string {
	switch {
	case math.IsNaN(seconds) || math.IsInf(seconds, 0):
		return events.LostNotFinite
	case seconds == 0:
		return events.LostZero
	case seconds < 0:
		return events.LostNegative
	}
	return ""
}

// exponent reads the forms of numbers that only floats have: "1e3".
func exponent(s string, unit float64) (float64, bool) {
	if s == "" || len(s) > 32 || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f * unit, err == nil
}

// readSpan reads the duration that s begins with, in seconds, and returns what follows.
// A number without a unit counts in the given unit, and only if it stands alone;
// unit 0 refuses it.
func readSpan(s string, unit float64) (seconds float64, rest string, ok bool) {
	if seconds, rest, ok = clock(s); ok {
		return seconds, rest, true
	}
	rest = s
	for {
		n, after, isNumber := leadingNumber(rest)
		if !isNumber {
			return seconds, rest, ok
		}
		name, tail := leadingUnit(after)
		scale, known := units[name]
		if !known {
			if ok || unit == 0 || name != "" || joined(after) {
				return seconds, rest, ok
			}
			return n * unit, after, true
		}
		seconds, ok = seconds+n*scale, true
		rest = tail
		if next := nextPart(tail); next != "" {
			rest = next
		}
	}
}

// joined reports whether what follows a number makes it part of a date or a ratio.
func joined(after string) bool {
	if after == "" {
		return false
	}
	switch after[0] {
	case '-', ':', '/', '%', '_':
		return true
	}
	return false
}

// nextPart steps over what may stand between the parts of a duration, up to a digit:
// "15 hours, 23 minutes", "1 day and 2 hours". It is empty if no part follows.
func nextPart(s string) string {
	t := strings.TrimLeft(s, " ,")
	t = strings.TrimPrefix(t, "and ")
	t = strings.TrimLeft(t, " ")
	if t == "" || t[0] < '0' || t[0] > '9' {
		return ""
	}
	return t
}

// leadingNumber reads digits with at most one point, and commas between thousands.
func leadingNumber(s string) (float64, string, bool) {
	n := numberLen(s)
	if n == 0 || n > 40 {
		return 0, s, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s[:n], ",", ""), 64)
	return f, s[n:], err == nil
}

func numberLen(s string) int {
	point := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && !point && i > 0 && digitAt(s, i+1):
			point = true
		case c == ',' && !point && i > 0 && thousands(s[i+1:]):
		default:
			return i
		}
	}
	return len(s)
}

func digitAt(s string, i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }

func thousands(s string) bool {
	return digitAt(s, 0) && digitAt(s, 1) && digitAt(s, 2) && !digitAt(s, 3)
}

// leadingUnit reads the letters after a number, with spaces before them.
func leadingUnit(s string) (string, string) {
	t := strings.TrimLeft(s, " ")
	end := len(t)
	for i, r := range t {
		if (r < 'a' || r > 'z') && r < 0x80 {
			end = i
			break
		}
	}
	name := t[:end]
	if _, known := units[name]; known || name == "" || name[0] < 0x80 {
		return name, t[end:]
	}
	return leadingHanUnit(t)
}

// leadingHanUnit finds the unit that a text without spaces begins with, the longest first.
func leadingHanUnit(t string) (string, string) {
	for _, name := range [...]string{"个小时", "毫秒", "秒钟", "分钟", "小时", "秒", "分", "天", "周", "µs", "μs"} {
		if strings.HasPrefix(t, name) {
			return name, t[len(name):]
		}
	}
	return t, ""
}

// clock reads "hh:mm:ss" and "d.hh:mm:ss", the form of Azure's API gateway.
func clock(s string) (float64, string, bool) {
	days := 0.0
	if i := strings.IndexByte(s, '.'); i > 0 && i <= 3 && len(s) > i+8 && s[i+3] == ':' {
		n, err := strconv.Atoi(s[:i])
		if err != nil {
			return 0, s, false
		}
		days, s = float64(n), s[i+1:]
	}
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return 0, s, false
	}
	h, err1 := strconv.ParseUint(s[:2], 10, 8)
	m, err2 := strconv.ParseUint(s[3:5], 10, 8)
	sec, err3 := strconv.ParseUint(s[6:8], 10, 8)
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, s, false
	}
	return days*day + float64(h)*hour + float64(m)*60 + float64(sec), s[8:], true
}
