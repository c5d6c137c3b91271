package plugin

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// The request of a pick is on the path of every request of the host, and most of it is
// of no use here: attributes, headers, metadata. encoding/json reads all of it twice
// and takes longer than the rest of a pick; scanner reads it once and makes only what
// is asked for. What it accepts and refuses is what encoding/json does, which a fuzz
// test holds; names of members are compared exactly, as the host writes them.

// errSyntax is why a document cannot be read.
var errSyntax = errors.New("the request is not the JSON that this method takes")

// maxDepth bounds the nesting of a document.
const maxDepth = 1000

// scanner reads one document. After an error every call fails, so that it need be
// looked at only at the end.
type scanner struct {
	doc   string
	at    int
	depth int
	bad   bool
}

func (s *scanner) fail() { s.bad, s.at = true, len(s.doc) }

// next skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.doc) {
		switch c := s.doc[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take skips a byte that must follow.
func (s *scanner) take(c byte) {
	if s.next() != c {
		s.fail()
		return
	}
	s.at++
}

// null skips a null, if one follows.
func (s *scanner) null() bool {
	if s.next() != 'n' {
		return false
	}
	s.word("null")
	return true
}

func (s *scanner) word(w string) {
	if !strings.HasPrefix(s.doc[s.at:], w) {
		s.fail()
		return
	}
	s.at += len(w)
}

// object calls member with each name; member must read or skip the value. A null is an
// object without members.
func (s *scanner) object(member func(name string)) {
	if s.null() {
		return
	}
	s.list('{', '}', func() {
		name := s.text()
		s.take(':')
		if !s.bad {
			member(name)
		}
	})
}

// array calls element before each; element must read or skip the value. A null is an
// array without elements.
func (s *scanner) array(element func()) {
	if s.null() {
		return
	}
	s.list('[', ']', element)
}

func (s *scanner) list(open, shut byte, one func()) {
	s.take(open)
	if s.depth++; s.depth > maxDepth {
		s.fail()
	}
	if s.next() == shut {
		s.at++
		s.depth--
		return
	}
	for !s.bad {
		one()
		switch s.next() {
		case ',':
			s.at++
		case shut:
			s.at++
			s.depth--
			return
		default:
			s.fail()
		}
	}
}

// Kinds of bytes in a string: plain, or one that ends what is plain.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// span skips a string and returns it as it stands, and whether it holds escapes or
// bytes beyond ASCII.
func (s *scanner) span() (raw string, plain bool) {
	s.take('"')
	start, plain := s.at, true
	for s.at < len(s.doc) {
		c := s.doc[s.at]
		s.at++
		if !special[c] {
			plain = plain && c < 0x80
			continue
		}
		switch c {
		case '"':
			return s.doc[start : s.at-1], plain
		case '\\':
			plain = false
			s.escape()
		default:
			s.fail() // a control character
		}
	}
	s.fail()
	return "", false
}

// escape skips what follows a backslash.
func (s *scanner) escape() {
	if s.at >= len(s.doc) {
		s.fail()
		return
	}
	c := s.doc[s.at]
	s.at++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
	case 'u':
		for range 4 {
			if s.at >= len(s.doc) || !isHex(s.doc[s.at]) {
				s.fail()
				return
			}
			s.at++
		}
	default:
		s.fail()
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// text reads a string; a null is an empty one. It shares the document's memory where
// it can.
func (s *scanner) text() string {
	if s.null() {
		return ""
	}
	start := s.at
	raw, plain := s.span()
	if plain || s.bad {
		return raw
	}
	var text string
	if json.Unmarshal([]byte(s.doc[start:s.at]), &text) != nil {
		s.fail() // unreachable: span has checked it
	}
	return text
}

// integer reads a whole number; a null is 0.
func (s *scanner) integer() int {
	if s.null() {
		return 0
	}
	start := s.at
	s.number()
	if s.bad {
		return 0
	}
	n, err := strconv.Atoi(s.doc[start:s.at])
	if err != nil {
		s.fail()
	}
	return n
}

// number skips a number.
func (s *scanner) number() {
	if s.next() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.at++
		s.digits()
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		s.digits()
	}
}

// peek returns the byte that follows, white space included, 0 at the end.
func (s *scanner) peek() byte {
	if s.at >= len(s.doc) {
		return 0
	}
	return s.doc[s.at]
}

// digits skips one digit or more.
func (s *scanner) digits() {
	start := s.at
	for s.at < len(s.doc) && s.doc[s.at] >= '0' && s.doc[s.at] <= '9' {
		s.at++
	}
	if s.at == start {
		s.fail()
	}
}

// skip skips a value of any kind.
func (s *scanner) skip() {
	switch c := s.next(); c {
	case '"':
		s.span()
	case '{':
		s.list('{', '}', func() {
			s.span()
			s.take(':')
			s.skip()
		})
	case '[':
		s.list('[', ']', s.skip)
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
}

// end returns an error unless the whole document was read.
func (s *scanner) end() error {
	if s.next(); s.bad || s.at < len(s.doc) {
		return errSyntax
	}
	return nil
}
