package ndjson

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// object appends the members of a JSON object to a buffer. encoding/json would do it
// too, and take most of the time of an export.
type object struct {
	b []byte
	n int // members so far
}

// open begins an object.
func (o *object) open() { o.b, o.n = append(o.b, '{'), 0 }

// close ends it.
func (o *object) close() { o.b = append(o.b, '}') }

// name begins a member. Names are ours, and need no escaping.
func (o *object) name(name string) {
	if o.n > 0 {
		o.b = append(o.b, ',')
	}
	o.n++
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

// text adds a member unless the text is empty.
func (o *object) text(name, s string) {
	if s != "" {
		o.needText(name, s)
	}
}

func (o *object) needText(name, s string) {
	o.name(name)
	o.b = appendString(o.b, s)
}

// uint adds a member unless the number is 0.
func (o *object) uint(name string, n uint64) {
	if n != 0 {
		o.needUint(name, n)
	}
}

func (o *object) needUint(name string, n uint64) {
	o.name(name)
	o.b = strconv.AppendUint(o.b, n, 10)
}

// int adds a member unless the number is 0.
func (o *object) int(name string, n int) {
	if n != 0 {
		o.needInt(name, n)
	}
}

func (o *object) needInt(name string, n int) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, int64(n), 10)
}

// number adds a member. The log holds finite numbers only.
func (o *object) number(name string, f float64) {
	o.name(name)
	form := byte('f')
	if abs := math.Abs(f); abs >= 1e21 || abs != 0 && abs < 1e-6 {
		form = 'e'
	}
	o.b = strconv.AppendFloat(o.b, f, form, -1, 64)
}

// flag adds a member if it is set.
func (o *object) flag(name string, set bool) {
	if set {
		o.needFlag(name, true)
	}
}

func (o *object) needFlag(name string, set bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, set)
}

// time adds a member unless the time is zero.
func (o *object) time(name string, t time.Time) {
	if !t.IsZero() {
		o.needTime(name, t)
	}
}

// needTime adds a member, null for the zero time.
func (o *object) needTime(name string, t time.Time) {
	o.name(name)
	if t.IsZero() {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = appendTime(o.b, t)
}

// begin begins a member that is an object. end goes back to the outer one, which begin
// returned.
func (o *object) begin(name string) (outer int) {
	o.name(name)
	outer = o.n
	o.open()
	return outer
}

func (o *object) end(outer int) {
	o.close()
	o.n = outer
}

// list adds a member that is a list of n values, each appended by value, unless n is 0.
func (o *object) list(name string, n int, value func(i int)) {
	if n == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '[')
	for i := range n {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		value(i)
	}
	o.b = append(o.b, ']')
}

// appendTime appends a time as the API writes it: RFC 3339 in UTC, with milliseconds.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = strconv.AppendInt(append(b, '"'), int64(year), 10) // of four digits: the log's times are in int64 nanoseconds
	b = appendTwo(append(b, '-'), int(month))
	b = appendTwo(append(b, '-'), day)
	b = appendTwo(append(b, 'T'), hour)
	b = appendTwo(append(b, ':'), minute)
	b = appendTwo(append(b, ':'), second)
	millis := t.Nanosecond() / 1e6
	b = append(b, '.', byte('0'+millis/100))
	return append(appendTwo(b, millis%100), 'Z', '"')
}

// appendTwo appends a number from 0 to 99 in two digits.
func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			b = appendEscaped(b, c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(append(b, s[from:i]...), `\ufffd`...)
			from = i + 1
		case r == '\u2028' || r == '\u2029': // which JavaScript takes for the end of a line
			b = append(append(b, s[from:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xF])
			from = i + n
		}
		i += n
	}
	return append(append(b, s[from:]...), '"')
}

// appendEscaped appends a character of ASCII that must not stand in a string as it is.
func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
	}
}
