package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

const schemaPath = "abeyance.schema.json"

// The schema is made from the types that a configuration file is read into. What a key
// means is what its comment in abeyance.example.yaml says: a key that is not there, or
// that has no comment, is a mistake.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	g := newSchemaMaker(t)
	var doc bytes.Buffer
	e := json.NewEncoder(&doc)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(g.root()); err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(g.fields)) {
		if g.fields[key] == "" {
			t.Errorf("the key %s (of %s) is not in %s, or has no comment there", key[strings.LastIndex(key, ".")+1:], key, examplePath)
		}
	}
	if *update {
		if err := os.WriteFile(schemaPath, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(configSchema), doc.String()); diff != "" {
		t.Errorf("the types or the comments changed; go test ./cmd/abeyance -run Schema -update writes the schema (-committed +made):\n%s", diff)
	}
}

// schemaMaker makes a JSON schema, of the draft that editors know best.
type schemaMaker struct {
	t *testing.T
	// examples are the places of the example file that show a type.
	examples map[reflect.Type][]*yaml.Node
	// fields :: type.key → its comment, as the example has it first
	fields      map[string]string
	definitions map[string]schema
}

type schema map[string]any

func newSchemaMaker(t *testing.T) *schemaMaker {
	t.Helper()
	doc, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Load([]byte(uncommented(string(doc))), &root, yaml.WithV3Defaults()); err != nil {
		t.Fatal(err)
	}
	g := &schemaMaker{t: t, examples: map[reflect.Type][]*yaml.Node{}, fields: map[string]string{}, definitions: map[string]schema{}}
	g.visit(reflect.TypeFor[configFile](), root.Content[0])
	return g
}

// uncommented makes the examples in comments real: each begins with a key after a line
// that is an empty comment, and takes the place of the default after it.
func uncommented(doc string) string {
	begin := regexp.MustCompile(`^( *)# ([a-z_]+):$`)
	lines := strings.Split(doc, "\n")
	var out []string
	for i := 0; i < len(lines); i++ {
		m := begin.FindStringSubmatch(lines[i])
		if m == nil || i == 0 || strings.TrimSpace(lines[i-1]) != "#" {
			out = append(out, lines[i])
			continue
		}
		out[len(out)-1] = "" // the empty comment: what stands above it is said of the key
		indent, key := m[1], m[2]
		for ; i < len(lines) && strings.HasPrefix(lines[i], indent+"# "); i++ {
			out = append(out, indent+strings.TrimPrefix(lines[i], indent+"# "))
		}
		if i < len(lines) && !strings.HasPrefix(lines[i], indent+key+":") {
			i-- // no default
		}
	}
	return strings.Join(out, "\n")
}

// visit notes where the example shows a type and those in it, and what it says of keys.
func (g *schemaMaker) visit(t reflect.Type, n *yaml.Node) {
	switch t.Kind() {
	case reflect.Pointer:
		g.visit(t.Elem(), n)
	case reflect.Slice:
		for _, item := range n.Content {
			g.visit(t.Elem(), item)
		}
	case reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			g.visit(t.Elem(), n.Content[i])
		}
	case reflect.Struct:
		g.examples[t] = append(g.examples[t], n)
		for _, f := range yamlFields(t) {
			key, value := lookUp(n, f.name)
			if value != nil {
				g.visit(f.Type, value)
			}
			name := f.owner.Name() + "." + f.name
			if g.fields[name] == "" {
				g.fields[name] = comment(key, value)
			}
		}
	}
}

// comment is what the example says of a key: above it or behind it.
func comment(key, value *yaml.Node) string {
	if key == nil {
		return ""
	}
	text := key.HeadComment
	for _, c := range []string{key.LineComment, value.LineComment} {
		if text == "" {
			text = c
		}
	}
	// Of several paragraphs the last is the key's: those before head a part of the file.
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	text = paragraphs[len(paragraphs)-1]
	joined := ""
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "#")
		if strings.HasPrefix(line, "   ") { // an entry of a list
			joined += "\n"
		} else if joined != "" {
			joined += " "
		}
		joined += strings.Join(strings.Fields(line), " ")
	}
	return joined
}

func lookUp(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// yamlField is a key of a struct, also of one that is inlined into it.
type yamlField struct {
	reflect.StructField
	name  string
	owner reflect.Type
}

func yamlFields(t reflect.Type) (list []yamlField) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			list = append(list, yamlFields(f.Type)...)
		case name != "-" && name != "":
			list = append(list, yamlField{f, name, t})
		}
	}
	return list
}

func (g *schemaMaker) root() schema {
	s := g.object(reflect.TypeFor[configFile]())
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "Configuration of abeyance serve"
	s["definitions"] = g.definitions
	return s
}

// of returns the schema of a type. Those with a name of their own are defined once.
func (g *schemaMaker) of(t reflect.Type) schema {
	switch {
	case t.Kind() == reflect.Pointer:
		return g.of(t.Elem())
	case t == reflect.TypeFor[projection.Duration]():
		g.definitions["duration"] = schema{
			"type": "string", "description": "a duration such as 90s, 15m, 1h30m, 2d or 1w", "pattern": `^(0|0s|([0-9]+(ms|[smhdwy]))+)$`,
		}
		return reference("duration")
	case t.Kind() == reflect.Slice:
		return schema{"type": "array", "items": g.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return schema{"type": "object", "additionalProperties": g.of(t.Elem())}
	case t.Kind() == reflect.Struct:
		return g.define(t)
	}
	names := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer"}
	if names[t.Kind()] == "" {
		g.t.Fatalf("no schema for the type %s", t)
	}
	return schema{"type": names[t.Kind()]}
}

func reference(name string) schema { return schema{"$ref": "#/definitions/" + name} }

func (g *schemaMaker) define(t reflect.Type) schema {
	name := strings.ToLower(strings.TrimSuffix(t.Name(), "Config"))
	if g.definitions[name] == nil {
		g.definitions[name] = schema{} // rules may stand in rules
		s := g.object(t)
		switch t {
		case reflect.TypeFor[projection.ClassConfig]():
			s = schema{"anyOf": []schema{{"const": "none", "description": "only gives advice"}, s}}
		case reflect.TypeFor[projection.BoundConfig]():
			s = schema{"anyOf": []schema{g.of(reflect.TypeFor[projection.Duration]()), s}}
		}
		g.definitions[name] = s
	}
	return reference(name)
}

func (g *schemaMaker) object(t reflect.Type) schema {
	properties := schema{}
	for _, f := range yamlFields(t) {
		key := f.owner.Name() + "." + f.name
		s := g.of(f.Type)
		for k, v := range schemaDetails()[key] {
			if k == "items" {
				maps.Copy(s["items"].(schema), v.(schema))
				continue
			}
			s[k] = v
		}
		if _, refers := s["$ref"]; refers { // beside which this draft reads nothing
			s = schema{"allOf": []schema{s}}
		}
		s["description"] = g.fields[key]
		if d := g.defaultOf(t, f); d != nil {
			s["default"] = d
		}
		properties[f.name] = s
	}
	s := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if must := required()[t]; must != nil {
		s["required"] = must
	}
	return s
}

// defaultOf returns the default of a single value, which is what the example says, if
// there is one place alone where the file has it.
func (g *schemaMaker) defaultOf(t reflect.Type, f yamlField) any {
	if len(g.examples[t]) != 1 || required()[t] != nil {
		return nil
	}
	_, value := lookUp(g.examples[t][0], f.name)
	if value == nil || value.Kind != yaml.ScalarNode {
		return nil
	}
	var v any
	if err := value.Load(&v); err != nil {
		g.t.Fatal(err)
	}
	return v
}

// required are the keys without which an entry of a list is refused.
func required() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[accountConfig]():          {"id", "provider"},
		reflect.TypeFor[projection.GroupConfig](): {"id"},
	}
}

// schemaDetails says of keys what their types do not: the values that there are.
func schemaDetails() map[string]schema {
	pair := schema{"minItems": 2, "maxItems": 2}
	strategies := schema{"enum": router.AllStrategies()}
	return map[string]schema{
		"configFile.bootstrap":     {"enum": projection.Presets()},
		"logConfig.format":         {"enum": []string{logText, logJSON}},
		"logConfig.level":          {"enum": logLevels()},
		"accountConfig.id":         {"minLength": 1},
		"accountConfig.provider":   {"minLength": 1},
		"accountConfig.weight":     {"minimum": 0, "maximum": 16},
		"strategyConfig.default":   strategies,
		"strategyConfig.providers": {"additionalProperties": schema{"type": "string", "enum": router.AllStrategies()}},
		"ClassConfig.ladder":       pair,
		"ClassConfig.after":        {"minimum": 0, "maximum": 100},
		"ClassConfig.hold":         {"items": schema{"enum": events.Reasons()}},
		"PoisonConfig.accounts":    {"minimum": 0, "maximum": 100, "not": schema{"const": 1}},
		"ProbeConfig.mode":         {"enum": []string{projection.ProbeOff, projection.ProbeWhenEmpty, projection.ProbeAlways}},
		"ProbeConfig.empty":        pair,
		"ProbeConfig.background":   pair,
	}
}
