package signal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of the tolerant reader. Error bodies nest about eight levels deep and hold
// about sixty values; what lies beyond the bounds is skipped, not refused.
const (
	maxDepth = 48
	maxNodes = 2048
)

// kind is the type of a JSON value. The zero kind is the absent value.
type kind uint8

const (
	absent kind = iota
	literal
	number
	text
	object
	array
)

// node is one value of a tree. Strings are kept as spans of the source and are
// unescaped only when read, so that building a tree costs one allocation.
type node struct {
	kind       kind
	escaped    bool // text with a backslash in it
	cut        bool // the source ended inside the value: "43" may have been "434702s"
	key        span // of a member of an object, without quotes
	raw        span // of a text without quotes, of a literal or number as it stands
	next, kids int32
}

type span struct{ from, to int32 }

// tree is the result of reading JSON tolerantly: what providers and the proxies
// between send is at times cut off, has stray commas, raw line breaks in strings,
// or Python's quotes. All of that reads as the value that was meant.
type tree struct {
	src   string
	nodes []node
	store [72]node
}

// value is one value in a tree. The zero value is the absent one; all methods accept it.
type value struct {
	t *tree
	i int32
}

// readJSON reads the first value in src. The answer is absent if src does not
// begin like a JSON object, array or string.
func readJSON(src string) value {
	src = strings.TrimLeft(src, " \t\r\n\ufeff")
	if src == "" || (src[0] != '{' && src[0] != '[' && src[0] != '"') {
		return value{}
	}
	t := &tree{src: src}
	t.nodes = t.store[:1] // node 0 stands for "none"
	r := reader{t: t}
	return value{t, r.value(0)}
}

// reader is the position in the source while a tree is built.
type reader struct {
	t   *tree
	pos int
}

// value reads one value and returns its node, 0 if there is none.
func (r *reader) value(depth int) int32 {
	src := r.t.src
	r.space(" \t\r\n")
	if r.pos >= len(src) || len(r.t.nodes) >= maxNodes {
		r.pos = len(src)
		return 0
	}
	switch c := src[r.pos]; c {
	case '{', '[':
		if depth >= maxDepth {
			r.skip()
			return 0
		}
		return r.nested(depth, c == '{')
	case '"', '\'':
		return r.string()
	default:
		return r.bare()
	}
}

// nested reads an object or an array. Its end may be missing.
func (r *reader) nested(depth int, isObject bool) int32 {
	k, end := array, byte(']')
	if isObject {
		k, end = object, '}'
	}
	self := r.add(node{kind: k})
	r.pos++
	last := int32(0)
	for {
		r.space(" \t\r\n,")
		if r.pos >= len(r.t.src) || len(r.t.nodes) >= maxNodes {
			r.pos = len(r.t.src)
			return self
		}
		if c := r.t.src[r.pos]; c == end || c == '}' || c == ']' {
			r.pos++
			return self
		}
		var key span
		if isObject {
			key = r.key()
		}
		kid := r.value(depth + 1)
		if kid == 0 {
			continue
		}
		r.t.nodes[kid].key = key
		if last == 0 {
			r.t.nodes[self].kids = kid
		} else {
			r.t.nodes[last].next = kid
		}
		last = kid
	}
}

// key reads a member's name and the colon after it. A name may be quoted or bare.
func (r *reader) key() span {
	var s span
	if c := r.t.src[r.pos]; c == '"' || c == '\'' {
		s, _ = r.quoted()
	} else {
		s = r.token()
	}
	for s.from < s.to && r.t.src[s.from] == ' ' { // " @type" occurs
		s.from++
	}
	for s.from < s.to && r.t.src[s.to-1] == ' ' {
		s.to--
	}
	r.space(" \t\r\n:")
	return s
}

func (r *reader) string() int32 {
	s, escaped := r.quoted()
	return r.add(node{kind: text, raw: s, escaped: escaped, cut: int(s.to) == r.pos})
}

// quoted reads up to the closing quote, or to the end of the source.
func (r *reader) quoted() (span, bool) {
	src, quote := r.t.src, r.t.src[r.pos]
	r.pos++
	from, escaped := r.pos, false
	for r.pos < len(src) {
		switch src[r.pos] {
		case '\\':
			escaped = true
			r.pos++
		case quote:
			r.pos++
			return span{int32(from), int32(r.pos - 1)}, escaped
		}
		r.pos++
	}
	r.pos = len(src)
	return span{int32(from), int32(r.pos)}, escaped
}

func (r *reader) bare() int32 {
	s := r.token()
	k := literal
	if c := r.t.src[s.from]; c == '-' || c == '+' || (c >= '0' && c <= '9') {
		k = number
	}
	return r.add(node{kind: k, raw: s, cut: r.pos == len(r.t.src)})
}

// token reads an unquoted word, at least one byte of it, so that the reader always moves.
func (r *reader) token() span {
	from := r.pos
	r.pos++
	for r.pos < len(r.t.src) && !strings.ContainsRune(" \t\r\n,:{}[]\"", rune(r.t.src[r.pos])) {
		r.pos++
	}
	return span{int32(from), int32(r.pos)}
}

// skip passes over an object or array that lies too deep.
func (r *reader) skip() {
	open := 0
	for r.pos < len(r.t.src) {
		switch r.t.src[r.pos] {
		case '{', '[':
			open++
		case '}', ']':
			open--
		case '"':
			r.quoted()
			continue
		}
		r.pos++
		if open == 0 {
			return
		}
	}
}

func (r *reader) space(set string) {
	for r.pos < len(r.t.src) && strings.IndexByte(set, r.t.src[r.pos]) >= 0 {
		r.pos++
	}
}

func (r *reader) add(n node) int32 {
	r.t.nodes = append(r.t.nodes, n)
	return int32(len(r.t.nodes) - 1)
}

func (v value) kind() kind {
	if v.t == nil {
		return absent
	}
	return v.t.nodes[v.i].kind
}

// null reports whether the value is absent or the literal null.
func (v value) null() bool {
	k := v.kind()
	return k == absent || k == literal && (v.word() == "null" || v.word() == "None")
}

// word returns a literal or number as it stands.
func (v value) word() string {
	if v.t == nil {
		return ""
	}
	raw := v.t.nodes[v.i].raw
	return v.t.src[raw.from:raw.to]
}

// text returns a string without its escapes, a number or boolean as it stands, and
// nothing for null, objects, arrays, and values that the source ends in.
func (v value) text() string {
	if v.cut() {
		return ""
	}
	return v.partial()
}

// cut reports whether the source ended inside the value.
func (v value) cut() bool { return v.t != nil && v.t.nodes[v.i].cut }

// partial is text that also returns what is left of a value that was cut off.
func (v value) partial() string {
	switch k := v.kind(); {
	case k == text && v.t.nodes[v.i].escaped:
		return unescape(v.word())
	case k == text, k == number, k == literal && !v.null():
		return v.word()
	}
	return ""
}

// string is text for strings only.
func (v value) string() string {
	if v.kind() != text {
		return ""
	}
	return v.text()
}

// int returns a whole number, also one in a string, and 0 for all else.
func (v value) int() int {
	if k := v.kind(); k != number && k != text || v.cut() {
		return 0
	}
	word := strings.TrimSpace(v.word())
	if !digitAt(word, 0) || len(word) > 18 {
		return 0
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		return 0
	}
	return n
}

// key returns a member's name, without spaces around it.
func (v value) key() string {
	if v.t == nil {
		return ""
	}
	k := v.t.nodes[v.i].key
	return v.t.src[k.from:k.to]
}

// first and next walk the elements of an array or the members of an object.
func (v value) first() value {
	if v.t == nil {
		return value{}
	}
	return v.at(v.t.nodes[v.i].kids)
}

func (v value) next() value {
	if v.t == nil {
		return value{}
	}
	return v.at(v.t.nodes[v.i].next)
}

func (v value) at(i int32) value {
	if i == 0 {
		return value{}
	}
	return value{v.t, i}
}

// get returns the first member of an object that has one of the names, the names
// in their order.
func (v value) get(names ...string) value {
	if v.kind() != object {
		return value{}
	}
	for _, name := range names {
		for m := v.first(); m.t != nil; m = m.next() {
			if m.key() == name {
				return m
			}
		}
	}
	return value{}
}

// unescape undoes JSON's backslashes. An unknown or broken escape stays as it is.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 >= len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		switch at := strings.IndexByte(`nrtbf`, c); {
		case at >= 0:
			b.WriteByte("\n\r\t\b\f"[at])
		case c == 'u':
			s = unescapeUnicode(&b, s)
		case c == '"' || c == '\\' || c == '/' || c == '\'':
			b.WriteByte(c)
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
}

// unescapeUnicode writes the character of the four hex digits that s begins with,
// joining surrogate pairs, and returns what follows.
func unescapeUnicode(b *strings.Builder, s string) string {
	r, ok := hex4(s)
	if !ok {
		b.WriteString(`\u`)
		return s
	}
	s = s[4:]
	if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(s, `\u`) {
		if low, ok := hex4(s[2:]); ok && low >= 0xDC00 && low < 0xE000 {
			b.WriteRune((r-0xD800)<<10 + (low - 0xDC00) + 0x10000)
			return s[6:]
		}
	}
	if !utf8.ValidRune(r) {
		r = utf8.RuneError
	}
	b.WriteRune(r)
	return s
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 32)
	return rune(n), err == nil
}
