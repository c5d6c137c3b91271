package api_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// resolved follows the reference that a schema may be.
func (d *description) resolved(s map[string]any) map[string]any {
	if ref, ok := s["$ref"].(string); ok {
		return d.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return s
}

func members(s map[string]any) map[string]any {
	m, _ := s["properties"].(map[string]any)
	return m
}

func required(s map[string]any) []string {
	var list []string
	names, _ := s["required"].([]any)
	for _, name := range names {
		list = append(list, name.(string))
	}
	return list
}

// typeOf is the type of a schema, null left out.
func typeOf(s map[string]any) string {
	switch typ := s["type"].(type) {
	case string:
		return typ
	case []any:
		return typ[0].(string)
	}
	return ""
}

func intOf(s map[string]any, keyword string, otherwise int) int {
	if n, ok := s[keyword].(json.Number); ok {
		v, _ := n.Int64()
		return int(v)
	}
	return otherwise
}

// draw draws a value of a schema.
func (d *description) draw(t *rapid.T, s map[string]any) any {
	s = d.resolved(s)
	if list, ok := s["oneOf"].([]any); ok {
		return d.draw(t, rapid.SampledFrom(list).Draw(t, "alternative").(map[string]any))
	}
	if words, ok := s["enum"].([]any); ok {
		return rapid.SampledFrom(words).Draw(t, "word")
	}
	switch typeOf(s) {
	case "object":
		return d.drawObject(t, s)
	case "array":
		list := []any{}
		least := intOf(s, "minItems", 0)
		for range rapid.IntRange(least, min(least+2, intOf(s, "maxItems", 3))).Draw(t, "items") {
			list = append(list, d.draw(t, s["items"].(map[string]any)))
		}
		return list
	case "integer":
		return rapid.IntRange(intOf(s, "minimum", -9), intOf(s, "maximum", 9)).Draw(t, "integer")
	case "number":
		return rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
	case "boolean":
		return rapid.Bool().Draw(t, "boolean")
	case "null":
		return nil
	}
	return drawText(t, s)
}

func (d *description) drawObject(t *rapid.T, s map[string]any) any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(members(s))) {
		if slices.Contains(required(s), name) || rapid.IntRange(0, 2).Draw(t, name) == 0 {
			object[name] = d.draw(t, members(s)[name].(map[string]any))
		}
	}
	if others, ok := s["additionalProperties"].(map[string]any); ok {
		for range rapid.IntRange(0, 2).Draw(t, "others") {
			object[rapid.SampledFrom([]string{"kimi", "codex", "X-Some", "codex/codex-main"}).Draw(t, "name")] = d.draw(t, others)
		}
	}
	return object
}

func drawText(t *rapid.T, s map[string]any) string {
	if s["format"] == "date-time" {
		return rapid.SampledFrom([]string{"2026-11-23T09:00:00Z", "2026-11-23T10:00:00.123456+01:00", "2200-01-01T00:00:00Z", "1999-12-31T23:59:59Z"}).Draw(t, "time")
	}
	text := rapid.StringN(intOf(s, "minLength", 0), 20, -1)
	if pattern, ok := s["pattern"].(string); ok {
		text = rapid.StringMatching(pattern)
	}
	longest := intOf(s, "maxLength", 1000)
	return text.Filter(func(v string) bool {
		return utf8.ValidString(v) && len(v) >= intOf(s, "minLength", 0) && utf8.RuneCountInString(v) <= longest
	}).Draw(t, "text")
}
