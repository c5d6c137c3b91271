package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// configError is a mistake in a configuration file, with its line if it is known.
type configError struct {
	file    string
	line    int // 0: unknown
	message string
}

func (e *configError) Error() string {
	if e.line == 0 {
		return fmt.Sprintf("%s: %s", e.file, e.message)
	}
	return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.message)
}

// mistake places an error at a path. Its text may begin with a part of the path, or
// go on with what stands below it: neither is said twice, and the line is that of
// the deepest thing named.
func (p *parsedConfig) mistake(err error, path ...string) error {
	message, path := err.Error(), slices.Clone(path)
	if last := len(path) - 1; last > 0 && path[0] == "groups" {
		message = p.withoutGroup(message, path[last])
	}
	for {
		head, rest, ok := strings.Cut(message, ": ")
		if !ok {
			break
		}
		if name, err := strconv.Unquote(head); err == nil {
			head = name
		}
		if !strings.Contains("."+strings.Join(path, ".")+".", "."+head+".") {
			below := slices.Concat(path, []string{head})
			if _, found := p.find(below...); found < len(below) {
				break
			}
			path = below
		}
		message = rest
	}
	message = strings.TrimPrefix(message, path[len(path)-1]+" ")
	return &configError{p.name, p.at(path...), strings.Join(path, ".") + ": " + message}
}

// withoutGroup takes "groups[1]" and the group's id off a message.
func (p *parsedConfig) withoutGroup(message, index string) string {
	message = strings.TrimPrefix(message, "groups["+index+"]")
	if i, err := strconv.Atoi(index); err == nil && p.file.Groups != nil {
		message = strings.TrimPrefix(message, " "+strconv.Quote((*p.file.Groups)[i].ID))
	}
	return strings.TrimPrefix(message, ": ")
}

// mistakes turns the decoder's errors into ours.
func (p *parsedConfig) mistakes(err error) error {
	var list []error
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		for _, e := range many.Errors {
			list = append(list, p.misread(e))
		}
		return errors.Join(list...)
	}
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		return p.misread(one)
	}
	return &configError{file: p.name, message: err.Error()}
}

// misread words one error of the decoder for people who never saw our types.
func (p *parsedConfig) misread(e *yaml.LoadError) error {
	m := strings.TrimPrefix(e.Message, "yaml: ")
	if field, rest, ok := strings.Cut(strings.TrimPrefix(m, "field "), " not found in type "); ok && rest != "" {
		return &configError{p.name, e.Mark.Line, fmt.Sprintf("unknown key %q", field)}
	}
	if got, ok := strings.CutPrefix(m, "cannot construct !!"); ok {
		if tagged, want, ok := strings.Cut(got, " into "); ok {
			m = fmt.Sprintf("write %s, not %s", wanted(want), written(tagged))
		}
	}
	if path := p.pathOf(e.Mark); path != nil {
		m = strings.Join(path, ".") + ": " + m
	}
	return &configError{p.name, e.Mark.Line, m}
}

// wanted names a Go type as the file has it.
func wanted(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "one text"
	case strings.HasPrefix(goType, "int"):
		return "a whole number"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	default:
		return "keys with values"
	}
}

// written names a value as the decoder quotes it: "seq", or "str `maybe`".
func written(tagged string) string {
	tag, value, _ := strings.Cut(tagged, " ")
	switch {
	case tag == "seq":
		return "a list"
	case tag == "map":
		return "keys with values"
	case tag == "null" || value == "":
		return "nothing"
	default:
		return value
	}
}

// pathOf returns the path of the value that begins at a place in the document, or
// nil. The mark of an error is that of its node.
func (p *parsedConfig) pathOf(at yaml.Mark) []string {
	if p.root == nil || len(p.root.Content) == 0 {
		return nil
	}
	return pathBelow(p.root.Content[0], at)
}

func pathBelow(n *yaml.Node, at yaml.Mark) []string {
	for name, v := range children(n) {
		if v.Line == at.Line && v.Column == at.Column {
			return []string{name}
		}
		if below := pathBelow(v, at); below != nil {
			return append([]string{name}, below...)
		}
	}
	return nil
}

// children yields what a node holds, each with its key or index. What an alias
// stands for is elsewhere.
func children(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		switch n.Kind {
		case yaml.SequenceNode:
			for i, v := range n.Content {
				if !yield(strconv.Itoa(i), v) {
					return
				}
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if !yield(n.Content[i].Value, n.Content[i+1]) {
					return
				}
			}
		}
	}
}
