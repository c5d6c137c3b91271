package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// specification is the OpenAPI document of a server, and what it says of requests in the
// form that they are checked by.
type specification struct {
	text       func() ([]byte, error) // the document, as served
	outlooks   map[string]outlook
	parameters parameters
	bodies     map[string]*shape // :: "METHOD pattern" → the shape of the body
}

// document completes the description of the routes once all are registered, and takes
// from it what requests are checked by. Errors are about descriptions that cannot be
// held.
func (s *Server) document() error {
	doc := s.api.OpenAPI()
	schemas := doc.Components.Schemas
	schemas.Schema(reflect.TypeFor[Problem](), true, "")
	schemas.Schema(reflect.TypeFor[Blocked](), true, "")
	schemas.Schema(reflect.TypeFor[CompatProblem](), true, "")
	delete(schemas.Map(), "ErrorModel") // huma's own error, which no answer has
	delete(schemas.Map(), "ErrorDetail")
	d := newDescriber()
	for name, schema := range schemas.Map() {
		t := schemas.TypeFromRef("#/components/schemas/" + name)
		if t == nil {
			continue // a schema of our own, whole as it is
		}
		d.members(schema, t)
		allowNull(schema, t)
	}
	optional(schemas.Map()["ClassifyRequest"], "account") // which a report needs
	unbound(schemas.Map())
	if err := s.illustrate(doc); err != nil {
		return err
	}
	// It is long, and seldom asked for.
	s.spec.text = sync.OnceValues(func() ([]byte, error) { return json.Marshal(doc) })
	m := newMoulder(schemas)
	s.spec.parameters, s.spec.bodies = parameters{}, map[string]*shape{}
	for _, op := range operations(doc) {
		for _, p := range op.Parameters {
			d.parameter(op, p)
		}
		slices.SortStableFunc(op.Parameters, func(a, b *huma.Param) int {
			return cmp.Or(strings.Compare(a.In, b.In), strings.Compare(a.Name, b.Name))
		})
		s.respond(op)
		if err := s.mould(op, m); err != nil {
			return err
		}
	}
	return nil
}

// mould takes over what an operation says of requests.
func (s *Server) mould(op *huma.Operation, m *moulder) error {
	if err := s.spec.parameters.add(op, m); err != nil {
		return err
	}
	if op.RequestBody == nil {
		return nil
	}
	media := op.RequestBody.Content["application/json"]
	if media == nil {
		return nil // a file, which its reader checks
	}
	route := op.Method + " " + op.Path
	body, err := m.shape(media.Schema)
	if err != nil {
		return fmt.Errorf("%s: %w", route, err)
	}
	s.spec.bodies[route] = body
	return nil
}

// describer says what members and parameters are.
type describer struct {
	common, own map[string]string
	formats     map[string]format
}

func newDescriber() *describer { return &describer{commonWords(), ownWords(), formats()} }

// describe says what a member of a type, or a parameter of an operation, is. What means
// the same everywhere is said once.
func (d *describer) describe(owner, member string) string {
	return cmp.Or(d.own[owner+"."+member], d.common[member])
}

// members completes the schemas of the members of a type.
func (d *describer) members(s *huma.Schema, t reflect.Type) {
	owners := ownersIn(t)
	for member, p := range s.Properties {
		owner := owners[member]
		completeConfig(owner, member, p)
		p.Description = cmp.Or(p.Description, d.describe(t.Name(), member), d.describe(owner, member))
		needed := slices.Contains(s.Required, member)
		for _, text := range []*huma.Schema{p, p.Items, others(p), others(others(p))} {
			if text == nil {
				continue
			}
			if f, ok := d.formats[text.Format]; ok {
				f.state(text, needed || text == p.Items)
				describeForm(p, f)
			}
		}
	}
}

// optional says that a member may be left out.
func optional(s *huma.Schema, member string) {
	s.Required = slices.DeleteFunc(s.Required, func(m string) bool { return m == member })
	s.Properties[member].MinLength = nil
}

// unbound describes the definitions that an import found in a file: those of a request
// without its bounds, for they are shown as they stand, whether they can be or not.
func unbound(schemas map[string]*huma.Schema) {
	found := new(*schemas["GroupConfig"])
	found.Properties = map[string]*huma.Schema{}
	for name, p := range schemas["GroupConfig"].Properties {
		bare := &huma.Schema{Type: p.Type, Nullable: p.Nullable, Description: "as the file has it"}
		if p.Items != nil {
			bare.Items = &huma.Schema{Type: p.Items.Type}
		}
		found.Properties[name] = bare
	}
	schemas["FoundGroup"] = found
	schemas["ImportGroups"].Properties["found"].Items = &huma.Schema{Ref: "#/components/schemas/FoundGroup"}
}

// ownersIn maps the members of a type to the name of the type that declares each: itself,
// or one that is embedded in it.
func ownersIn(t reflect.Type) map[string]string {
	owners := map[string]string{}
	for _, f := range reflect.VisibleFields(t) {
		owner := t
		for _, i := range f.Index[:len(f.Index)-1] {
			owner = owner.Field(i).Type
		}
		member, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		owners[member], _, _ = strings.Cut(owner.Name(), "[") // of generic types
	}
	return owners
}

// others is the schema of the values of a map, or nil.
func others(s *huma.Schema) *huma.Schema {
	if s == nil {
		return nil
	}
	o, _ := s.AdditionalProperties.(*huma.Schema)
	return o
}

// describeForm adds to a description what form the text has.
func describeForm(s *huma.Schema, f format) {
	if s.Ref != "" || f.text == "" || strings.Contains(s.Description, f.text) {
		return
	}
	s.Description = strings.TrimPrefix(s.Description+": "+f.text, ": ")
}

func (d *describer) parameter(op *huma.Operation, p *huma.Param) {
	p.Schema = new(*p.Schema) // huma shares none, but one of ours may be in two operations
	p.Description = cmp.Or(p.Description, d.describe(op.OperationID, p.Name))
	p.Schema.Description = ""
	if f, ok := d.formats[p.Schema.Format]; ok {
		f.state(p.Schema, p.In == "path")
		if !strings.Contains(p.Description, f.text) {
			p.Description = strings.TrimPrefix(p.Description+": "+f.text, ": ")
		}
	}
	p.Required = p.In == "path"
}

// allowNull writes into the schema of a type which of its members may be null: those
// that encoding/json writes so. huma leaves out references.
func allowNull(s *huma.Schema, t reflect.Type) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.Properties[name]
		if p == nil || p.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omit") {
			continue
		}
		ref := &huma.Schema{Ref: p.Ref}
		s.Properties[name] = &huma.Schema{Description: p.Description, AnyOf: []*huma.Schema{ref, {Type: "null"}}}
	}
}
