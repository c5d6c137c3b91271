package projection

import (
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Policy is the table in force that turns signals into deadlines.
type Policy struct {
	Version    uint64
	Seq        events.Seq // of the record that defined it
	Configured []byte
	events.Policy
}

func noPolicy() *Policy { return &Policy{} }

// Rules returns the rules for a canonical provider and a group id, the most
// specific override first.
func (p *Policy) Rules(provider, group string) *events.Rules {
	if len(p.Overrides) == 0 {
		return &p.Default
	}
	for _, match := range [...]string{provider + "/" + group, provider} {
		i, ok := slices.BinarySearchFunc(p.Overrides, match, func(o events.Override, m string) int {
			return strings.Compare(o.Match, m)
		})
		if ok {
			return &p.Overrides[i].Rules
		}
	}
	return &p.Default
}

// classRule returns the rule of a class; the zero rule blocks nothing.
func classRule(r *events.Rules, class events.Class) events.ClassRule {
	for _, c := range r.Classes {
		if c.Class == class {
			return c
		}
	}
	return events.ClassRule{Class: class}
}

// holds reports whether a reason makes a hold under the rules. The reasons are
// unique over the classes, so the list of any class counts.
func holds(r *events.Rules, reason string) bool {
	return reason != "" && slices.ContainsFunc(r.Classes, func(c events.ClassRule) bool {
		return c.Blocks && slices.Contains(c.Hold, reason)
	})
}

const day = 24 * time.Hour

// defaultRules is the policy that ships. The bounds follow the longest resets seen
// of each window (166 h for a weekly one), with room for a late clock.
func defaultRules() events.Rules {
	same := func(d time.Duration) events.Bound {
		return events.Bound{FiveHour: d, Daily: d, Weekly: d, Monthly: d, Unknown: d}
	}
	r := events.Rules{
		Classes: []events.ClassRule{
			{
				Class: events.ClassQuotaExhausted, Blocks: true,
				Bound: events.Bound{FiveHour: 6 * time.Hour, Daily: 26 * time.Hour, Weekly: 8 * day, Monthly: 32 * day, Unknown: 8 * day},
				First: 5 * time.Minute, Cap: time.Hour, Jitter: 30 * time.Second,
			},
			{
				Class: events.ClassRateLimited, Blocks: true, Bound: same(5 * time.Minute),
				First: time.Second, Cap: 5 * time.Minute, Jitter: time.Second,
			},
			{
				Class: events.ClassCapacity, Blocks: true, Bound: same(5 * time.Minute),
				First: 5 * time.Second, Cap: time.Minute, Jitter: time.Second,
			},
			{
				Class: events.ClassAuth, Blocks: true, Bound: same(30 * time.Minute),
				First: time.Minute, Cap: 30 * time.Minute, After: 2, Within: 10 * time.Minute,
			},
			{Class: events.ClassPayment, Blocks: true, Bound: same(day), First: time.Hour, Cap: day},
			{
				Class: events.ClassForbidden, Blocks: true, Bound: same(6 * time.Hour), First: 10 * time.Minute, Cap: 6 * time.Hour,
				Hold: []string{
					events.ReasonBanned, events.ReasonInvalidGrant, events.ReasonNotEntitled, events.ReasonSubscription,
					events.ReasonVerification, events.ReasonWorkspaceDead,
				},
			},
			{Class: events.ClassOverloaded},
			{Class: events.ClassServerError},
			{Class: events.ClassNotFound},
			{Class: events.ClassBadRequest},
		},
		Poison: events.PoisonRule{Accounts: 3, Within: 10 * time.Minute},
		Probe: events.ProbeRule{
			Mode: "always", EmptyFirst: 5 * time.Minute, EmptyCap: time.Hour, BackgroundFirst: time.Hour,
			BackgroundCap: 12 * time.Hour, OnlyLongerThan: 2 * time.Hour, Spacing: 30 * time.Second, Claim: 2 * time.Minute,
		},
	}
	sortClasses(&r)
	return r
}

func sortClasses(r *events.Rules) {
	slices.SortFunc(r.Classes, func(a, b events.ClassRule) int { return strings.Compare(string(a.Class), string(b.Class)) })
}
