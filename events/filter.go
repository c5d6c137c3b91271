package events

import "slices"

// Filter chooses records. Fields that are set must all match; the zero value matches
// every record.
type Filter struct {
	Account string // stored id; records about it, expiries included
	Target  string // canonical
	Kind    Kind
}

// Matches reports whether the filter wants a record.
func (f Filter) Matches(r Record) bool {
	return (f.Kind == "" || f.Kind == r.Kind()) && (f.Account == "" && f.Target == "" || f.hits(r))
}

// hits reports whether a record is about the account and the target.
func (f *Filter) hits(r Record) bool {
	e, ok := r.Event.(*Expired)
	if !ok {
		return (f.Account == "" || f.Account == r.Account) && (f.Target == "" || f.Target == r.Target())
	}
	return slices.ContainsFunc(e.Cells, func(c Cell) bool {
		return (f.Account == "" || f.Account == c.Account) && (f.Target == "" || f.Target == c.Target)
	})
}
