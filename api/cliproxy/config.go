package cliproxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/abeyance/abeyance/projection"
)

// The sections of a config.yaml.
const (
	sectionState  = "oauth-account-quota-group-state"
	sectionGroups = "oauth-quota-groups"
)

// Bounds of what is read as YAML at once, in bytes, and of how deep it goes.
const (
	maxItem  = 64 << 10
	maxWhole = 256 << 10
	maxDepth = 8
)

func parseConfig(doc []byte) (*File, error) {
	found, err := findSections(doc, sectionState, sectionGroups)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, wrong(0, "this is no file to import: it has neither a section %s nor one %s as a config.yaml of CLIProxyAPI, and is neither a .cds file nor an export of Abeyance",
			sectionState, sectionGroups)
	}
	f := &File{Source: projection.SourceConfig}
	if s := found[sectionState]; s != nil {
		err = s.each(func(place string, m *mapping) error { return f.addState(place, m) })
	}
	if s := found[sectionGroups]; s != nil && err == nil {
		err = s.each(func(_ string, m *mapping) error { return f.addGroup(m) })
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// each reads the items of a section, one after another.
func (s *section) each(do func(place string, m *mapping) error) error {
	list, whole, err := s.items()
	if err != nil {
		return err
	}
	if whole != nil {
		return s.eachOf(whole, do)
	}
	if len(list) > projection.MaxImport {
		return tooMany(list[projection.MaxImport].line)
	}
	for i := range list {
		nodes, err := list[i].load(maxItem)
		if err == nil && len(nodes) != 1 {
			err = wrong(list[i].line, "this is not one item of a list")
		}
		if err == nil {
			err = s.item(i, list[i].line, nodes[0], do)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachOf reads the items of a list that was written in another style, which must be
// short.
func (s *section) eachOf(whole *item, do func(place string, m *mapping) error) error {
	nodes, err := whole.load(maxWhole)
	if err != nil {
		return err
	}
	for i, n := range nodes {
		if err := s.item(i, whole.line, n, do); err != nil {
			return err
		}
	}
	return nil
}

func (s *section) item(i, line int, n *yaml.Node, do func(place string, m *mapping) error) error {
	place := fmt.Sprintf("%s[%d]", s.name, i)
	m, err := newMapping(n, line-1)
	if err == nil {
		err = do(place, m)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{e.Line, place + ": " + e.Message}
	}
	return err
}

// load reads an item's text, and returns the elements of the list that it is.
func (x *item) load(limit int) ([]*yaml.Node, error) {
	if len(x.text) > limit {
		return nil, wrong(x.line, "this takes more than %d KiB, and no entry does", limit>>10)
	}
	var doc yaml.Node
	limits := loaderlimits.New(loaderlimits.DepthValue(maxDepth))
	if err := yaml.Load(x.text, &doc, yaml.WithPlugin(limits)); err != nil {
		return nil, x.misread(err)
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	switch n := doc.Content[0]; {
	case n.Kind == yaml.SequenceNode:
		return n.Content, nil
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, nil
	default:
		return nil, wrong(x.line, "a list is wanted here")
	}
}

// misread words an error of the YAML reader, which counts lines from 1.
func (x *item) misread(err error) error {
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok && len(many.Errors) > 0 {
		err = many.Errors[0]
	}
	line, message := x.line, err.Error()
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		message = one.Message
		if one.Mark.Line > 0 {
			line += one.Mark.Line - 1
		}
	}
	return wrong(line, "this cannot be read as YAML: %s", keepRaw(strings.TrimPrefix(message, "yaml: ")))
}

// mapping is an entry being read. The first error stays.
type mapping struct {
	fields map[string]*yaml.Node
	before int // lines before the text that was read
	line   int
	err    error
}

func newMapping(n *yaml.Node, before int) (*mapping, error) {
	m := &mapping{fields: map[string]*yaml.Node{}, before: before, line: before + n.Line}
	if n.Kind != yaml.MappingNode {
		return nil, wrong(m.line, "an entry has fields with values")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || m.fields[key.Value] != nil {
			return nil, wrong(before+key.Line, "the field %q is given twice, or is none", keep(key.Value))
		}
		m.fields[key.Value] = value
	}
	return m, nil
}

// take returns a field, once; nil if it is not there or null.
func (m *mapping) take(name string) *yaml.Node {
	n := m.fields[name]
	delete(m.fields, name)
	if n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		m.fail(n, name, "aliases are not followed: write the value out")
		return nil
	}
	return n
}

func (m *mapping) fail(n *yaml.Node, name, format string, args ...any) {
	if m.err == nil {
		m.err = wrong(m.before+n.Line, "%s: %s", name, fmt.Sprintf(format, args...))
	}
}

func (m *mapping) text(name string) string {
	n := m.take(name)
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		m.fail(n, name, "write one text")
	}
	return strings.TrimSpace(n.Value)
}

func (m *mapping) flag(name string) *bool {
	n := m.take(name)
	if n == nil {
		return nil
	}
	v, err := strconv.ParseBool(strings.ToLower(n.Value))
	if err != nil || n.Kind != yaml.ScalarNode {
		m.fail(n, name, "write true or false")
	}
	return &v
}

func (m *mapping) number(name string) int {
	n := m.take(name)
	if n == nil {
		return 0
	}
	v, err := strconv.Atoi(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		m.fail(n, name, "write a whole number")
	}
	return v
}

func (m *mapping) time(name string) time.Time {
	n := m.fields[name]
	t, err := parseTime(m.text(name))
	if err != nil {
		m.fail(n, name, "%v", err)
	}
	return t
}

func (m *mapping) list(name string) []string {
	n := m.take(name)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		m.fail(n, name, "write a list")
		return nil
	}
	var list []string
	for _, v := range n.Content {
		if v.Kind != yaml.ScalarNode {
			m.fail(v, name, "write a list of texts")
			return nil
		}
		list = append(list, strings.TrimSpace(v.Value))
	}
	return list
}

// finish returns the first error: what is left is fields that nobody asked for.
func (m *mapping) finish() error {
	if m.err != nil || len(m.fields) == 0 {
		return m.err
	}
	name := slices.Min(slices.Collect(maps.Keys(m.fields)))
	return wrong(m.before+m.fields[name].Line, "the field %q is unknown", keep(name))
}
