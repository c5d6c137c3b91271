package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// wrong is a document in which one thing is not as the schema says.
type wrong struct {
	what string
	doc  any
}

// spoil lists documents like value, each with one thing that a schema excludes.
func (d *description) spoil(s map[string]any, value any) []wrong {
	s = d.resolved(s)
	var list []wrong
	put := func(what string, doc any) { list = append(list, wrong{what, doc}) }
	if alternatives, ok := s["oneOf"].([]any); ok {
		for _, one := range alternatives {
			one := d.resolved(one.(map[string]any))
			if is(one, value) {
				list = d.spoil(one, value)
			}
		}
		return slices.DeleteFunc(list, func(w wrong) bool { // what another alternative takes
			return slices.ContainsFunc(alternatives, func(one any) bool {
				return (w.what == "another type" || w.what == "null") && is(d.resolved(one.(map[string]any)), w.doc)
			})
		})
	}
	if !strings.Contains(fmt.Sprint(s["type"]), "null") {
		put("null", nil)
	}
	for _, other := range []any{"x", 1, true, []any{}, map[string]any{}} {
		if !is(s, other) {
			put("another type", other)
		}
	}
	switch v := value.(type) {
	case map[string]any:
		d.spoilObject(s, v, put)
	case []any:
		d.spoilArray(s, v, put)
	case string:
		spoilText(s, put)
	case int:
		if n, ok := s["minimum"].(json.Number); ok {
			put("below the minimum", json.RawMessage(next(n, -1)))
		}
		if n, ok := s["maximum"].(json.Number); ok {
			put("over the maximum", json.RawMessage(next(n, 1)))
		}
		put("a fraction", json.RawMessage("0.5"))
	}
	return list
}

// next is a number beside a bound.
func next(n json.Number, by int64) string {
	v, _ := n.Int64()
	return fmt.Sprint(v + by)
}

// is reports whether a value has the type of a schema.
func is(s map[string]any, value any) bool {
	switch value.(type) {
	case map[string]any:
		return typeOf(s) == "object"
	case []any:
		return typeOf(s) == "array"
	case string:
		return typeOf(s) == "string"
	case bool:
		return typeOf(s) == "boolean"
	case nil:
		return strings.Contains(fmt.Sprint(s["type"]), "null")
	default:
		return typeOf(s) == "integer" || typeOf(s) == "number"
	}
}

func (d *description) spoilObject(s, v map[string]any, put func(string, any)) {
	with := func(name string, value any) map[string]any {
		object := maps.Clone(v)
		object[name] = value
		return object
	}
	for _, name := range required(s) {
		object := maps.Clone(v)
		delete(object, name)
		put("without "+name, object)
	}
	if s["additionalProperties"] == false {
		put("an unknown member", with("unknown", 1))
	}
	others, _ := s["additionalProperties"].(map[string]any)
	for name, value := range v {
		member, ok := members(s)[name].(map[string]any)
		if !ok {
			member = others
		}
		for _, w := range d.spoil(member, value) {
			put(name+": "+w.what, with(name, w.doc))
		}
	}
}

func (d *description) spoilArray(s map[string]any, v []any, put func(string, any)) {
	items := s["items"].(map[string]any)
	for i, item := range v {
		for _, w := range d.spoil(items, item) {
			list := slices.Clone(v)
			list[i] = w.doc
			put("an item: "+w.what, list)
		}
	}
	if most := intOf(s, "maxItems", -1); most >= 0 && len(v) > 0 {
		put("too many items", slices.Repeat(v[:1], most+1))
	}
	if fewest := intOf(s, "minItems", 0); fewest > 0 && len(v) > 0 {
		put("too few items", v[:fewest-1])
	}
}

func spoilText(s map[string]any, put func(string, any)) {
	if s["enum"] != nil {
		put("another word", "frozen")
		return
	}
	if longest := intOf(s, "maxLength", -1); longest >= 0 {
		put("too long", strings.Repeat("1", longest+1))
	}
	if intOf(s, "minLength", 0) > 0 {
		put("empty", "")
	}
	if s["pattern"] != nil {
		put("not of the pattern", "\x00/\\")
	}
	if s["format"] == "date-time" {
		put("no time", "yesterday")
	}
}
