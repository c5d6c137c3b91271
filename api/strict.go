package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// checkNames refuses what encoding/json lets through: a member given twice, of which
// it takes the last, and one in another case than the API's. doc must have been
// decoded into a value of type t, without unknown members: then doc is valid JSON, and
// what is left to see of a member's case is whether it is lower, for all names are.
func checkNames(doc []byte, t reflect.Type) error {
	w := walker{doc: doc}
	return w.value(t)
}

// walker reads one valid JSON value.
type walker struct {
	doc []byte
	at  int
}

// value walks over the value at hand, which was decoded into a t; nil: into none of
// our types.
func (w *walker) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch w.space(); w.doc[w.at] {
	case '{':
		return w.object(t)
	case '[':
		return w.list(t)
	case '"':
		w.text()
	default:
		for w.at < len(w.doc) && !strings.ContainsRune(" \t\r\n,]}", rune(w.doc[w.at])) {
			w.at++
		}
	}
	return nil
}

func (w *walker) object(t reflect.Type) error {
	seen := map[string]bool{}
	for w.open('}') {
		name := w.name()
		switch {
		case seen[name]:
			return fmt.Errorf("the member %q is given twice", name)
		case t != nil && t.Kind() == reflect.Struct && !lower(name):
			return fmt.Errorf("the member %q is unknown: names are in lower case", name)
		}
		seen[name] = true
		w.space()
		w.at++ // the colon
		if err := w.value(w.member(t, name)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) list(t reflect.Type) error {
	if t != nil && t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for w.open(']') {
		if err := w.value(t); err != nil {
			return err
		}
	}
	return nil
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

// name reads a member's name.
func (w *walker) name() string {
	var name string
	// It cannot fail: the document was decoded before.
	_ = json.Unmarshal(w.text(), &name)
	return name
}

// member returns the type of a member. It is looked up only for what has members or
// items itself.
func (w *walker) member(t reflect.Type, name string) reflect.Type {
	w.space()
	if c := w.doc[w.at]; t == nil || c != '{' && c != '[' {
		return nil
	}
	switch t.Kind() {
	case reflect.Map:
		return t.Elem()
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
				return f.Type
			}
		}
	}
	return nil
}

// lower reports whether a name has no letters but a to z in lower case. encoding/json
// also takes the letters that fold to them, as the sign for Kelvin does to k.
func lower(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' || c >= 0x80 {
			return false
		}
	}
	return true
}
