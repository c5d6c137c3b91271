package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// examplesFile holds the examples of the document: requests, in an order in which each
// does what it says, and what a server answered. A test makes them of one server, one
// after another, and compares; go test ./api -run Examples -update writes anew what was
// answered.
//
//go:embed examples.json
var examplesFile []byte

// Example is one request of the document and its answer.
type Example struct {
	Name   string `json:"name"`  // unique
	Route  string `json:"route"` // METHOD pattern
	Path   string `json:"path"`  // with its query
	Status int    `json:"status"`
	// Request is the body: a JSON value, or a string for a file; absent: none.
	Request json.RawMessage `json:"request,omitempty"`
	// Answer is the body of the answer: a JSON value, or a string for text.
	Answer json.RawMessage `json:"answer,omitempty"`
}

// Examples returns the examples of the document.
func Examples() ([]Example, error) {
	var list []Example
	if err := json.Unmarshal(examplesFile, &list); err != nil {
		return nil, fmt.Errorf("examples.json: %w", err)
	}
	return list, nil
}

// exampleTime is an instant in examples.
func exampleTime() time.Time { return time.Date(2026, 11, 26, 8, 15, 27, 790_000_000, time.UTC) }

// illustrate puts the examples into the document.
func (s *Server) illustrate(doc *huma.OpenAPI) error {
	list, err := Examples()
	if err != nil {
		return err
	}
	by := map[string]*huma.Operation{}
	for _, op := range operations(doc) {
		by[op.Method+" "+op.Path] = op
	}
	for i := range list {
		if op := by[list[i].Route]; op != nil {
			list[i].show(op)
		}
	}
	return nil
}

// show puts an example into its operation. Refusals have examples of their own.
func (e *Example) show(op *huma.Operation) {
	if e.Request != nil && op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			e.add(media, e.Request)
		}
	}
	if r := op.Responses[strconv.Itoa(e.Status)]; r != nil && e.Answer != nil {
		for _, media := range r.Content {
			e.add(media, e.Answer)
		}
	}
}

func (e *Example) add(media *huma.MediaType, value json.RawMessage) {
	if media.Examples == nil {
		media.Examples = map[string]*huma.Example{}
	}
	media.Examples[e.Name] = &huma.Example{Summary: e.Path, Value: value}
}
