package api

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// shape is a schema of the document in the form that values are checked by. There is
// no other check of their form: what the document says of a request holds, because a
// schema with a keyword that a shape cannot hold is refused when the server is made.
type shape struct {
	kinds    kinds
	members  map[string]*shape // of an object
	required []string          // of them
	open     bool              // members that are not listed are taken
	others   *shape            // their shape; nil: anything
	items    *shape            // of an array
	fewest   *int              // items
	most     *int
	least    *float64 // of a number
	greatest *float64
	shortest *int // characters of a string
	longest  *int
	words    []string // that a string may be; nil: any
	pattern  *regexp.Regexp
	named    bool     // the pattern matches every name; see isName
	is       string   // what the text must be, for people
	instant  bool     // a string is RFC 3339
	either   []*shape // of different kinds: one of them
}

// kinds is a set of kinds of JSON values.
type kinds uint8

const (
	kindObject kinds = 1 << iota
	kindArray
	kindString
	kindNumber
	kindInteger // a number without fraction and exponent
	kindBool
	kindNull
)

// String names the kinds as a person would.
func (k kinds) String() string {
	var list []string
	if k&kindNumber != 0 {
		k &^= kindInteger // which is one
	}
	for i, name := range []string{"an object", "an array", "a string", "a number", "an integer", "true or false", "null"} {
		if k&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, " or ")
}

func kindOf(typ string) (kinds, error) {
	switch typ {
	case huma.TypeObject:
		return kindObject, nil
	case huma.TypeArray:
		return kindArray, nil
	case huma.TypeString:
		return kindString, nil
	case huma.TypeNumber:
		return kindNumber | kindInteger, nil
	case huma.TypeInteger:
		return kindInteger, nil
	case huma.TypeBoolean:
		return kindBool, nil
	case "null":
		return kindNull, nil
	}
	return 0, fmt.Errorf("the type %q cannot be held", typ)
}

// moulder makes shapes of schemas.
type moulder struct {
	registry huma.Registry
	formats  map[string]format
	// made :: reference → its shape, so that types may hold themselves
	made map[string]*shape
	// patterns :: text → compiled, since many members share one
	patterns map[string]*regexp.Regexp
}

func newMoulder(r huma.Registry) *moulder {
	return &moulder{registry: r, formats: formats(), made: map[string]*shape{}, patterns: map[string]*regexp.Regexp{}}
}

// shape returns the shape of a schema. Errors name a keyword that it cannot hold.
func (m *moulder) shape(s *huma.Schema) (*shape, error) {
	if s.Ref == "" {
		out := new(shape)
		return out, m.mould(out, s)
	}
	if out := m.made[s.Ref]; out != nil {
		return out, nil
	}
	out := new(shape)
	m.made[s.Ref] = out
	if err := m.mould(out, m.registry.SchemaFromRef(s.Ref)); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Ref, err)
	}
	return out, nil
}

func (m *moulder) mould(out *shape, s *huma.Schema) error {
	if s.AllOf != nil || s.AnyOf != nil || s.Not != nil || s.Const != nil || s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil ||
		s.MultipleOf != nil || s.UniqueItems || s.MinProperties != nil || s.MaxProperties != nil || len(s.DependentRequired) > 0 ||
		s.ContentEncoding != "" {
		return errors.New("a keyword of the schema is held by nothing")
	}
	if s.OneOf != nil {
		return m.alternatives(out, s.OneOf)
	}
	var err error
	if out.kinds, err = kindOf(s.Type); err != nil {
		return err
	}
	if s.Nullable {
		out.kinds |= kindNull
	}
	out.fewest, out.most, out.least, out.greatest = s.MinItems, s.MaxItems, s.Minimum, s.Maximum
	if err := m.text(out, s); err != nil {
		return err
	}
	if s.Items != nil {
		if out.items, err = m.shape(s.Items); err != nil {
			return fmt.Errorf("items: %w", err)
		}
	}
	return m.object(out, s)
}

// text fills in what is said of a string.
func (m *moulder) text(out *shape, s *huma.Schema) (err error) {
	out.shortest, out.longest = s.MinLength, s.MaxLength
	for _, word := range s.Enum {
		text, ok := word.(string)
		if !ok {
			return fmt.Errorf("the enum holds %v, which is no string", word)
		}
		out.words = append(out.words, text)
	}
	if s.Pattern != "" && m.patterns[s.Pattern] == nil {
		if m.patterns[s.Pattern], err = regexp.Compile(s.Pattern); err != nil {
			return err
		}
	}
	out.pattern = m.patterns[s.Pattern]
	known, ours := m.formats[s.Format]
	out.is, out.named = known.text, known.names && s.Pattern == known.pattern
	out.instant = s.Format == dateTime
	if s.Format != "" && s.Type == huma.TypeString && !ours && !out.instant {
		return fmt.Errorf("the format %q is held by nothing", s.Format)
	}
	return nil
}

// object fills in what is said of members.
func (m *moulder) object(out *shape, s *huma.Schema) (err error) {
	out.required = s.Required
	out.members = map[string]*shape{}
	for name, member := range s.Properties {
		if out.members[name], err = m.shape(member); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	switch others := s.AdditionalProperties.(type) {
	case nil:
		out.open = true
	case bool:
		out.open = others
	case *huma.Schema:
		out.open = true
		out.others, err = m.shape(others)
	default:
		return fmt.Errorf("additionalProperties is a %T", others)
	}
	return err
}

// alternatives fills in shapes of which a value has one. The kind of the value tells
// which, so that a refusal can say what is wrong with it.
func (m *moulder) alternatives(out *shape, list []*huma.Schema) error {
	for _, s := range list {
		one, err := m.shape(s)
		if err != nil {
			return err
		}
		if out.kinds&one.kinds != 0 {
			return errors.New("two alternatives take the same kind of value")
		}
		out.kinds |= one.kinds
		out.either = append(out.either, one)
	}
	return nil
}

// of returns the alternative for a kind of value.
func (s *shape) of(k kinds) *shape {
	if i := slices.IndexFunc(s.either, func(one *shape) bool { return one.kinds&k != 0 }); i >= 0 {
		return s.either[i]
	}
	return s
}
