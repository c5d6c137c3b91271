package api

import (
	"context"
	"maps"
	"slices"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// maxSeenRecords is how many of the newest records are looked through for models. It
// stands in the document's text, too.
const maxSeenRecords = 10_000

// modelsSeen returns the models that new groups are held against, besides those that
// cells are known by: what picks asked for since the server was started, which no record
// tells, and what the newest records name, which may be longer ago than that.
func (b *Backend) modelsSeen(ctx context.Context) ([]projection.ModelName, error) {
	seen := map[projection.ModelName]bool{}
	for _, n := range b.Router.Asked() {
		seen[n] = true
	}
	left := maxSeenRecords
	for r, err := range b.Engine.History(ctx, events.Query{Newest: true}) {
		if err != nil {
			return nil, err
		}
		if n := modelOf(r.Event); n.Model != "" {
			seen[n] = true
		}
		if left--; left == 0 {
			break
		}
	}
	return slices.Collect(maps.Keys(seen)), nil
}

// modelOf returns the model that an event names, the zero name if it names none.
func modelOf(e events.Event) projection.ModelName {
	switch e := e.(type) {
	case *events.LimitObserved:
		return projection.ModelName{Provider: e.Provider, Model: e.Model}
	case *events.Recovered:
		return projection.ModelName{Provider: e.Provider, Model: e.Model}
	case *events.Imported:
		return projection.ModelName{Provider: e.Provider, Model: e.Model}
	}
	return projection.ModelName{}
}
