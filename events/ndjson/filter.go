package ndjson

import (
	"slices"

	"github.com/abeyance/abeyance/events"
)

// Matches reports whether the filter wants a record.
func (f Filter) Matches(r events.Record) bool {
	if f == (Filter{}) {
		return true
	}
	return (f.Kind == "" || f.Kind == r.Kind()) && f.hits(r)
}

// hits reports whether a record is about the account and the target.
func (f *Filter) hits(r events.Record) bool {
	e, ok := r.Event.(*events.Expired)
	if !ok {
		return (f.Account == "" || f.Account == r.Account) && (f.Target == "" || f.Target == r.Target())
	}
	return slices.ContainsFunc(e.Cells, func(c events.Cell) bool {
		return (f.Account == "" || f.Account == c.Account) && (f.Target == "" || f.Target == c.Target)
	})
}
