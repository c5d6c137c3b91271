package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/abeyance/abeyance/projection"
)

// misfit says what of a value does not have the shape that it must.
type misfit struct {
	code  Code   // invalid_body: not the members and types; invalid: not within the bounds
	where string // the path of the value, as groups[0].label; empty: all of it
	what  string
}

func (m *misfit) Error() string {
	if m.where == "" {
		return m.what
	}
	return m.where + ": " + m.what
}

// problem is the refusal of a body.
func (m *misfit) problem() *Problem {
	if m.code == CodeInvalidBody {
		return newProblem(m.code, "the body is not what this route takes: "+m.Error())
	}
	return newProblem(m.code, m.Error())
}

// in returns the misfit of a value as one of what it is a part of.
func (m *misfit) in(part string) *misfit {
	switch {
	case m.where == "":
		m.where = part
	case m.where[0] == '[':
		m.where = part + m.where
	default:
		m.where = part + "." + m.where
	}
	return m
}

func badForm(format string, args ...any) *misfit {
	return &misfit{code: CodeInvalidBody, what: fmt.Sprintf(format, args...)}
}

func outOfBounds(format string, args ...any) *misfit {
	return &misfit{code: Code(projection.CodeInvalid), what: fmt.Sprintf(format, args...)}
}

// number checks a number as it is written.
func (s *shape) number(text string) *misfit {
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil: // beyond all numbers
		return outOfBounds("%s is out of range", brief(text))
	case s.least != nil && v < *s.least && s.greatest != nil, s.greatest != nil && v > *s.greatest && s.least != nil:
		return outOfBounds("%s is not within %s and %s", brief(text), plain(*s.least), plain(*s.greatest))
	case s.least != nil && v < *s.least:
		return outOfBounds("%s is below %s", brief(text), plain(*s.least))
	case s.greatest != nil && v > *s.greatest:
		return outOfBounds("%s is over %s", brief(text), plain(*s.greatest))
	}
	return nil
}

// text checks a string.
func (s *shape) text(text []byte) *misfit {
	if s.words != nil {
		if slices.Contains(s.words, string(text)) {
			return nil
		}
		return outOfBounds("%q is none of %s", brief(string(text)), strings.Join(s.words, ", "))
	}
	if s.shortest != nil && (len(text) == 0 && *s.shortest > 0 || *s.shortest > 1 && utf8.RuneCount(text) < *s.shortest) {
		return outOfBounds("it must have at least %s", counted(*s.shortest, "character", "characters"))
	}
	if s.longest != nil && len(text) > *s.longest && utf8.RuneCount(text) > *s.longest {
		return outOfBounds("it has over %d characters", *s.longest)
	}
	if s.pattern != nil && !(s.named && isName(text)) && !s.pattern.Match(text) {
		if s.is == "" {
			return outOfBounds("%q does not match %s", brief(string(text)), s.pattern)
		}
		return outOfBounds("%q is not allowed: it must be %s", brief(string(text)), s.is)
	}
	if s.instant {
		if _, err := parseTime(string(text)); err != nil {
			return outOfBounds("%q is no time: write RFC 3339, as 2026-11-23T00:00:00Z", brief(string(text)))
		}
	}
	return nil
}

// isName reports whether a text is of letters, digits, '.', '_' and '-': nearly all ids,
// providers and models are, and to match a pattern takes a hundred times longer.
func isName(text []byte) bool {
	for _, c := range text {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return len(text) > 0
}

// length checks the number of items of an array.
func (s *shape) length(n int) *misfit {
	switch {
	case s.fewest != nil && n < *s.fewest:
		return outOfBounds("it must have at least %s", counted(*s.fewest, "item", "items"))
	case s.most != nil && n > *s.most:
		return outOfBounds("it has %d items, and at most %d are taken", n, *s.most)
	}
	return nil
}

// brief shortens what a client sent before it is given back.
func brief(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// plain writes a bound without an exponent.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
