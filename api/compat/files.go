package compat

import (
	"cmp"
	"fmt"
	"iter"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// FilesAnswer is the whole answer of GET auth-files.
type FilesAnswer struct {
	Files []File `json:"files" nullable:"false" doc:"every account, by id"`
}

// File is one account: CLIProxyAPI keeps each in a file, whose name is its id.
type File struct {
	ID            string `json:"id" doc:"as given"`
	Name          string `json:"name" doc:"the id again"`
	Provider      string `json:"provider"`
	Type          string `json:"type" doc:"the provider again"`
	Status        string `json:"status" enum:"active,error,disabled" doc:"error: it is unavailable"`
	StatusMessage string `json:"status_message" doc:"why, for people; empty while it is active"`
	Disabled      bool   `json:"disabled"`
	// Unavailable is what CLIProxyAPI means by it: a disabled account is disabled, and
	// not unavailable besides.
	Unavailable bool `json:"unavailable" doc:"not disabled, and everything or every enabled group of its provider is blocked"`
}

// Files yields the accounts of a state as seen at now.
func Files(s *projection.State, ids Identities, now time.Time) iter.Seq[File] {
	return func(yield func(File) bool) {
		for _, n := range accountsByName(s, ids) {
			f := fileOf(s.Groups(), n.account, now)
			f.ID, f.Name = n.name, n.name
			if !yield(f) {
				return
			}
		}
	}
}

// fileOf is an account's entry, without its id.
func fileOf(groups *projection.Groups, a *projection.Account, now time.Time) File {
	f := File{Provider: a.Spec.Provider, Type: a.Spec.Provider, Status: "active", Disabled: a.Spec.Disabled}
	switch {
	case a.Spec.Disabled:
		f.Status, f.StatusMessage = "disabled", "disabled"
	case groups.Unavailable(a, now):
		f.Status, f.StatusMessage, f.Unavailable = "error", whyUnavailable(groups, a, now), true
	}
	return f
}

// whyUnavailable says in a line what blocks the account as a whole.
func whyUnavailable(groups *projection.Groups, a *projection.Account, now time.Time) string {
	all := a.Cell(events.TargetAll)
	switch cooling, held, by := all.Live(now); {
	case by != nil:
		return "suspended by hand: " + by.Reason
	case held != nil:
		return fmt.Sprintf("held until a human acts: %s", cmp.Or(held.Reason, string(held.Class)))
	case cooling != nil:
		return fmt.Sprintf("cooling until %s: %s", *stamp(cooling.Until), cooling.Class)
	}
	var first time.Time
	for _, g := range groups.Of(a.Spec.Provider) {
		c := a.Cell(g.ID)
		if at, never := c.Returns(now); !never && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return "every quota group is suspended, and none comes back by itself"
	}
	return "every quota group is suspended; the first comes back at " + *stamp(first)
}
