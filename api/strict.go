package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checkShape refuses a document that does not have a shape: what the schema of a body
// excludes, and what encoding/json lets through although the schema says nothing of it,
// a member given twice, of which it takes the last. doc must be valid JSON.
func checkShape(doc []byte, s *shape) *misfit {
	w := walker{doc: doc}
	return w.value(s)
}

// walker reads one valid JSON value.
type walker struct {
	doc []byte
	at  int
}

// value walks over the value at hand. A nil shape takes anything.
func (w *walker) value(s *shape) *misfit {
	w.space()
	from, kind := w.at, w.kind()
	if s != nil {
		if kind&s.kinds == 0 {
			if kind == kindNull {
				return badForm("it cannot be null; leave it out")
			}
			return badForm("it cannot be %s; it must be %s", kind, s.kinds)
		}
		s = s.of(kind)
	}
	switch kind {
	case kindObject:
		return w.object(s)
	case kindArray:
		return w.list(s)
	case kindString:
		if text := w.text(); s != nil {
			return s.text(unquoted(text))
		}
	default:
		w.word()
		if s != nil && kind&(kindNumber|kindInteger) != 0 {
			return s.number(string(w.doc[from:w.at]))
		}
	}
	return nil
}

// kind tells the kind of the value at hand.
func (w *walker) kind() kinds {
	switch w.doc[w.at] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	for i := w.at; i < len(w.doc) && strings.IndexByte(" \t\r\n,]}", w.doc[i]) < 0; i++ {
		if strings.IndexByte(".eE", w.doc[i]) >= 0 {
			return kindNumber
		}
	}
	return kindInteger
}

func (w *walker) object(s *shape) *misfit {
	var seen names
	for w.open('}') {
		name := unquoted(w.text())
		if !seen.add(name) {
			return badForm("the member %q is given twice", brief(string(name)))
		}
		member, bad := s.member(name)
		if bad != nil {
			return bad
		}
		w.space()
		w.at++ // the colon
		if bad := w.value(member); bad != nil {
			return bad.in(brief(string(name)))
		}
	}
	if s == nil {
		return nil
	}
	for _, name := range s.required {
		if !seen.has([]byte(name)) {
			return outOfBounds("%s is missing", name)
		}
	}
	return nil
}

// names are the members of an object that were seen. Nearly all objects have few, for
// which a map costs more than to look at each.
type names struct {
	few  [][]byte
	many map[string]bool
}

const fewNames = 16

func (n *names) has(name []byte) bool {
	return n.many[string(name)] || slices.ContainsFunc(n.few, func(other []byte) bool { return bytes.Equal(name, other) })
}

// add reports whether the name is new.
func (n *names) add(name []byte) bool {
	switch {
	case n.has(name):
		return false
	case len(n.few) < fewNames:
		n.few = append(n.few, name)
	default:
		if n.many == nil {
			n.many = map[string]bool{}
		}
		n.many[string(name)] = true
	}
	return true
}

// member returns the shape of a member.
func (s *shape) member(name []byte) (*shape, *misfit) {
	if s == nil {
		return nil, nil
	}
	if member := s.members[string(name)]; member != nil {
		return member, nil
	}
	switch {
	case s.members[strings.ToLower(string(name))] != nil: // encoding/json would take it for that one
		return nil, badForm("the member %q is unknown: names are in lower case", brief(string(name)))
	case s.open:
		return s.others, nil
	default:
		return nil, badForm("the member %q is unknown", brief(string(name)))
	}
}

func (w *walker) list(s *shape) *misfit {
	var items *shape
	if s != nil {
		items = s.items
	}
	n := 0
	for ; w.open(']'); n++ {
		if bad := w.value(items); bad != nil {
			return bad.in("[" + strconv.Itoa(n) + "]")
		}
	}
	if s == nil {
		return nil
	}
	return s.length(n)
}

// open steps over the bracket or comma at hand, and reports whether another item
// follows. If not it steps over the closing bracket.
func (w *walker) open(end byte) bool {
	w.space()
	if w.doc[w.at] != end {
		w.at++
		w.space()
	}
	if w.doc[w.at] != end {
		return true
	}
	w.at++
	return false
}

func (w *walker) space() {
	for strings.IndexByte(" \t\r\n", w.doc[w.at]) >= 0 {
		w.at++
	}
}

// word steps over a number, true, false or null.
func (w *walker) word() {
	for w.at < len(w.doc) && strings.IndexByte(" \t\r\n,]}", w.doc[w.at]) < 0 {
		w.at++
	}
}

// text steps over a string and returns it as it stands, with its quotes.
func (w *walker) text() []byte {
	from := w.at
	for w.at++; w.doc[w.at] != '"'; w.at++ {
		if w.doc[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.doc[from:w.at]
}

// unquoted returns what a JSON string says.
func unquoted(text []byte) []byte {
	if bare := text[1 : len(text)-1]; bytes.IndexByte(bare, '\\') < 0 && utf8.Valid(bare) {
		return bare
	}
	var s string
	// It cannot fail: the document is valid.
	_ = json.Unmarshal(text, &s)
	return []byte(s)
}
