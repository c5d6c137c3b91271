package compat

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Identities maps account ids as given to ids as stored, and back: a *identity.Book.
type Identities interface {
	Stored(given string) string
	Given(stored string) string
}

// ItemsAnswer is the whole answer of GET auth-files/quota-groups.
type ItemsAnswer struct {
	Items []Item `json:"items" nullable:"false" doc:"every account with every enabled group of its provider, by account, then by the groups' priority"`
}

// Item is one account and quota group. Texts that are not set are empty, times null.
type Item struct {
	AuthID             string  `json:"auth_id" doc:"the account, as given"`
	Provider           string  `json:"provider"`
	GroupID            string  `json:"group_id" doc:"as the operator wrote it"`
	Label              string  `json:"label"`
	EffectiveStatus    string  `json:"effective_status" enum:"available,auth_disabled,manual_suspended,auto_suspended"`
	ManualSuspended    bool    `json:"manual_suspended"`
	ManualReason       string  `json:"manual_reason"`
	AutoSuspendedUntil *string `json:"auto_suspended_until" format:"date-time" doc:"null: not suspended, or until a human acts"`
	AutoReason         string  `json:"auto_reason" enum:",quota_exhausted"`
	SourceModel        string  `json:"source_model" doc:"whose answer suspended it"`
	SourceProvider     string  `json:"source_provider"`
	ResetTimeSource    string  `json:"reset_time_source" enum:",retry_after,computed_backoff" doc:"whether the provider said when, or a ladder did"`
	UpdatedAt          *string `json:"updated_at" format:"date-time" doc:"of what suspends it; null: nothing does"`
	UpdatedBy          string  `json:"updated_by" doc:"who suspended it by hand: on whose behalf, else whose token"`
}

// The values of an [Item]'s texts.
const (
	StatusAvailable = "available"
	StatusDisabled  = "auth_disabled"
	StatusManual    = "manual_suspended"
	StatusAuto      = "auto_suspended"

	reasonQuota   = "quota_exhausted"
	sourceHint    = "retry_after"
	sourceBackoff = "computed_backoff"
)

// Items yields the items of a state as seen at now. An error says that the groups in
// force cannot be read.
func Items(s *projection.State, ids Identities, now time.Time) (iter.Seq[Item], error) {
	names, err := newNames(s.Groups())
	if err != nil {
		return nil, err
	}
	return func(yield func(Item) bool) {
		for _, n := range accountsByName(s, ids) {
			groups := s.Groups().Of(n.account.Spec.Provider)
			for i := range groups {
				item := itemOf(n.account, &groups[i], now)
				item.AuthID, item.GroupID = n.name, names.of(groups[i].ID)
				if !yield(item) {
					return
				}
			}
		}
	}, nil
}

// named is an account with its id as given.
type named struct {
	name    string
	account *projection.Account
}

// accountsByName lists the pool by the ids that are shown.
func accountsByName(s *projection.State, ids Identities) []named {
	list := make([]named, 0, s.Len())
	for a := range s.Accounts("") {
		list = append(list, named{ids.Given(a.ID), a})
	}
	slices.SortFunc(list, func(a, b named) int { return strings.Compare(a.name, b.name) })
	return list
}

// itemOf is what blocks an account for a group, without their ids.
func itemOf(a *projection.Account, g *events.Group, now time.Time) Item {
	own, all := a.Cell(g.ID), a.Cell(events.TargetAll)
	i := Item{Provider: a.Spec.Provider, Label: cmp.Or(g.Label, g.ID), EffectiveStatus: StatusAvailable}
	auto := i.setAuto(&own, &all, now)
	manual := i.setManual(&own, &all, now)
	switch {
	case a.Spec.Disabled:
		i.EffectiveStatus = StatusDisabled
	case manual:
		i.EffectiveStatus = StatusManual
	case auto:
		i.EffectiveStatus = StatusAuto
	}
	return i
}

// setManual shows the suspension of the group, or else of everything. Who and when are
// its own then, whatever happened automatically since.
func (i *Item) setManual(own, all *projection.Cell, now time.Time) bool {
	_, _, m := own.Live(now)
	if m == nil {
		_, _, m = all.Live(now)
	}
	if m == nil {
		return false
	}
	i.ManualSuspended, i.ManualReason = true, m.Reason
	i.UpdatedAt, i.UpdatedBy = stamp(m.Since), cmp.Or(m.OnBehalfOf, m.By)
	return true
}

// setAuto shows the hold or cooldown that lasts the longest.
func (i *Item) setAuto(own, all *projection.Cell, now time.Time) bool {
	cooling, held, _ := own.Live(now)
	also, heldAll, _ := all.Live(now)
	if cooling == nil || also != nil && also.Until.After(cooling.Until) {
		cooling = also
	}
	held = cmp.Or(held, heldAll)
	switch {
	case held != nil:
		i.SourceModel, i.SourceProvider, i.UpdatedAt = held.Model, held.Provider, stamp(held.Last.At)
	case cooling != nil:
		i.AutoSuspendedUntil, i.ResetTimeSource = stamp(cooling.Until), resetSource(cooling.Source)
		i.SourceModel, i.SourceProvider, i.UpdatedAt = cooling.Model, cooling.Provider, stamp(cooling.Last.At)
	default:
		return false
	}
	i.AutoReason = reasonQuota
	return true
}

// resetSource says whether somebody named the instant that a cooldown ends, or it was
// worked out: from the ladder, or from when the provider's quotas are known to reset.
func resetSource(source string) string {
	switch source {
	case projection.SourceLadder, projection.SourceWindow:
		return sourceBackoff
	default:
		return sourceHint
	}
}

// stamp writes an instant as the rest of the surface does: RFC 3339 in UTC with
// milliseconds; null for none.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}
