package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/events"
)

// Schemas of what reads its JSON itself.

// durationSchema describes projection.Duration.
type durationSchema struct{}

// Schema implements huma.SchemaProvider.
func (durationSchema) Schema(huma.Registry) *huma.Schema { return durationText("") }

func durationText(doc string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Format: "time-span", Description: doc}
	timeSpan().state(s, true)
	return s
}

// ruleSchema describes what projection.ClassConfig reads: the word none or the rules of
// a class. It is a component, because policies hold it many times.
type ruleSchema struct{}

// Schema implements huma.SchemaProvider.
func (ruleSchema) Schema(r huma.Registry) *huma.Schema {
	const name = "ClassRule"
	if r.Map()[name] == nil {
		r.Map()[name] = &huma.Schema{
			Description: "what a class of answers does: the word none, or how it blocks; what is left out is inherited",
			OneOf:       []*huma.Schema{{Type: huma.TypeString, Enum: []any{"none"}}, classRules()},
		}
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

func classRules() *huma.Schema {
	var reasons []any
	for _, r := range events.Reasons() {
		reasons = append(reasons, r)
	}
	windows := map[string]*huma.Schema{}
	for _, w := range []string{"5h", "daily", "weekly", "monthly", "unknown"} {
		windows[w] = durationText("the bound of the quota window " + w)
	}
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"bound": {
			Description: "how long a block may last: one duration, or one per quota window; 0 is none",
			OneOf: []*huma.Schema{
				durationText(""), {Type: huma.TypeObject, AdditionalProperties: false, Properties: windows},
			},
		},
		"ladder": {
			Type: huma.TypeArray, MinItems: new(2), MaxItems: new(2), Items: durationText(""),
			Description: "without a hint: the first step, which doubles up to the second",
		},
		"jitter": durationText("what a deadline is put off by at most"),
		"after":  {Type: huma.TypeInteger, Minimum: new(0.0), Maximum: new(100.0), Description: "how many such answers within the time block; 0 and 1: each does"},
		"within": durationText("the time in which they are counted"),
		"hold": {
			Type: huma.TypeArray, MaxItems: new(100), Items: &huma.Schema{Type: huma.TypeString, Enum: reasons},
			Description: "the reasons that hold until a human acts",
		},
	}}
}

// Schema implements huma.SchemaProvider.
func (HeaderValues) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeString}, {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
	}}
}

// Schema implements huma.SchemaProvider.
func (Tag) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{}
	for _, t := range []string{huma.TypeString, huma.TypeNumber, huma.TypeBoolean, "null"} {
		s.OneOf = append(s.OneOf, &huma.Schema{Type: t})
	}
	return s
}
