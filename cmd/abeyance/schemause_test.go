package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// What the schema calls right serve reads, and what it underlines serve refuses.
func TestEditorsAgreeWithTheReader(t *testing.T) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		doc   string
		right bool
	}{
		{string(example), true},
		{uncommented(string(example)), true},
		{"listen: 127.0.0.1:1\n", true},
		{"policy: {capacity: none, auth: {bound: 5m}, payment: {bound: {5h: 1h, daily: 1d}}}\n", true},
		{"policy: {providers: {codex/codex-main: {probe: {mode: 'off'}}}}\n", true},
		{"accounts: []\n", true},
		{"accounts: [{id: a, provider: p, weight: 16}]\n", true},
		{"policy: {capacity: {jitter: 0s, bound: 1d12h, ladder: [1s, 1w]}}\n", true},
		{"lissen: x\n", false},
		{"log: {fromat: json}\n", false},
		{"log: {format: xml}\n", false},
		{"log: {level: loud}\n", false},
		{"log: [json]\n", false},
		{"observe_only: maybe\n", false},
		{"listen: [a]\n", false},
		{"accounts: [{provider: codex}]\n", false},
		{"accounts: [{id: a}]\n", false},
		{"accounts: [{id: a, provider: p, weight: heavy}]\n", false},
		{"accounts: [{id: a, provider: p, weight: 17}]\n", false},
		{"bootstrap: all\n", false},
		{"groups: [{label: x}]\n", false},
		{"groups: {id: x}\n", false},
		{"strategies: {default: random}\n", false},
		{"strategies: {providers: {codex: sticki}}\n", false},
		{"aliases: {codex: [a]}\n", false},
		{"policy: {capacity: some}\n", false},
		{"policy: {capacity: {bound: soon}}\n", false},
		{"policy: {capacity: {bound: {6h: 1h}}}\n", false},
		{"policy: {capacity: {ladder: [1s]}}\n", false},
		{"policy: {forbidden: {hold: [bored]}}\n", false},
		{"policy: {poison: {accounts: 1}}\n", false},
		{"policy: {probe: {mode: sometimes}}\n", false},
		{"policy: {providers: {codex: {providers: {}}}}\n", false},
	} {
		name := strings.TrimSpace(c.doc)
		if len(name) > 60 {
			name = "the example"
		}
		t.Run(name, func(t *testing.T) {
			_, err := parseConfig("f", []byte(c.doc))
			if right := err == nil; right != c.right {
				t.Errorf("serve: %v", err)
			}
			err = validate(t, c.doc)
			if right := err == nil; right != c.right {
				t.Errorf("the schema: %v", err)
			}
		})
	}
}

// validate checks a document against the schema, as an editor does.
func validate(t *testing.T, doc string) error {
	t.Helper()
	var v any
	if err := yaml.Load([]byte(doc), &v); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var whole schema
	decode(t, string(configSchema), &whole)
	decode(t, string(plain), &v)
	return (&validator{t, whole}).check(whole, v, "")
}

// validator knows as much of JSON schemas as ours needs. What it does not know fails the
// test.
type validator struct {
	t     *testing.T
	whole schema
}

func (v *validator) check(s schema, value any, at string) error {
	for key, rule := range s {
		if err := v.rule(s, key, rule, value, at); err != nil {
			return err
		}
	}
	return nil
}

func (v *validator) rule(s schema, key string, rule, value any, at string) error {
	bad := func(is bool) error {
		if is {
			return fmt.Errorf("%s: %v is against %s: %v", at, value, key, rule)
		}
		return nil
	}
	switch key {
	case "$schema", "title", "description", "default", "definitions", "properties":
		return nil
	case "$ref":
		name := strings.TrimPrefix(rule.(string), "#/definitions/")
		return v.check(v.whole["definitions"].(map[string]any)[name].(map[string]any), value, at)
	case "allOf":
		return v.check(rule.([]any)[0].(map[string]any), value, at)
	case "anyOf":
		for _, one := range rule.([]any) {
			if v.check(one.(map[string]any), value, at) == nil {
				return nil
			}
		}
		return bad(true)
	case "not":
		return bad(v.check(rule.(map[string]any), value, at) == nil)
	case "const":
		return bad(!reflect.DeepEqual(rule, value))
	case "enum":
		return bad(!slices.Contains(rule.([]any), value))
	case "type":
		return bad(!isType(rule.(string), value))
	case "pattern", "minLength", "minimum", "maximum", "items", "minItems", "maxItems", "required", "additionalProperties":
	default:
		v.t.Errorf("the rule %s is not known here", key)
	}
	switch value := value.(type) {
	case string:
		return bad(key == "pattern" && !regexp.MustCompile(rule.(string)).MatchString(value) ||
			key == "minLength" && len(value) < int(rule.(float64)))
	case float64:
		return bad(key == "minimum" && value < rule.(float64) || key == "maximum" && value > rule.(float64))
	case []any:
		return v.list(key, rule, value, at)
	case map[string]any:
		return v.object(s, key, rule, value, at)
	}
	return nil
}

func (v *validator) list(key string, rule any, list []any, at string) error {
	switch {
	case key == "items":
		for i, item := range list {
			if err := v.check(rule.(map[string]any), item, fmt.Sprint(at, "/", i)); err != nil {
				return err
			}
		}
	case key == "minItems" && len(list) < int(rule.(float64)), key == "maxItems" && len(list) > int(rule.(float64)):
		return fmt.Errorf("%s: %d items", at, len(list))
	}
	return nil
}

func (v *validator) object(s schema, key string, rule any, object map[string]any, at string) error {
	switch key {
	case "required":
		for _, must := range rule.([]any) {
			if object[must.(string)] == nil {
				return fmt.Errorf("%s: %s is missing", at, must)
			}
		}
	case "additionalProperties":
		known, _ := s["properties"].(map[string]any)
		for name, value := range object {
			below, is := known[name].(map[string]any)
			if !is && rule == false {
				return fmt.Errorf("%s: unknown key %s", at, name)
			}
			if !is {
				below = rule.(map[string]any)
			}
			if err := v.check(below, value, at+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func isType(name string, value any) bool {
	switch value := value.(type) {
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "integer" && value == float64(int(value))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// The example names the schema in its first line, for editors, and it is there.
func TestExampleNamesWhatEditorsRead(t *testing.T) {
	doc, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(doc), "\n")
	path, ok := strings.CutPrefix(first, "# yaml-language-server: $schema=")
	if !ok {
		t.Fatalf("the first line is %s", first)
	}
	named, err := os.ReadFile("../../" + path)
	if err != nil || string(named) != string(configSchema) {
		t.Errorf("the schema named is not there, or another: %v", err)
	}
	if got := runOK(t, "config", "schema"); got != string(configSchema) {
		t.Error("config schema prints another")
	}
}
