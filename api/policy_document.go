package api

import (
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// PolicyDocument writes a policy the way an operator writes one, with every value
// in force. Read back, it gives the same policy.
func PolicyDocument(p events.Policy) projection.PolicyConfig {
	doc := projection.PolicyConfig{RulesConfig: rulesDocument(&p.Default)}
	for i := range p.Overrides {
		if doc.Providers == nil {
			doc.Providers = map[string]projection.RulesConfig{}
		}
		doc.Providers[p.Overrides[i].Match] = rulesDocument(&p.Overrides[i].Rules)
	}
	return doc
}

func rulesDocument(r *events.Rules) projection.RulesConfig {
	class := func(k events.Class) *projection.ClassConfig {
		for i := range r.Classes {
			if r.Classes[i].Class == k {
				return classDocument(&r.Classes[i])
			}
		}
		return &projection.ClassConfig{None: true}
	}
	return projection.RulesConfig{
		QuotaExhausted: class(events.ClassQuotaExhausted),
		RateLimited:    class(events.ClassRateLimited),
		Capacity:       class(events.ClassCapacity),
		Auth:           class(events.ClassAuth),
		Payment:        class(events.ClassPayment),
		Forbidden:      class(events.ClassForbidden),
		Overloaded:     class(events.ClassOverloaded),
		ServerError:    class(events.ClassServerError),
		NotFound:       class(events.ClassNotFound),
		BadRequest:     class(events.ClassBadRequest),
		Poison:         &projection.PoisonConfig{Accounts: new(r.Poison.Accounts), Within: length(r.Poison.Within)},
		Probe: &projection.ProbeConfig{
			Mode: new(r.Probe.Mode), Empty: steps(r.Probe.EmptyFirst, r.Probe.EmptyCap),
			Background:     steps(r.Probe.BackgroundFirst, r.Probe.BackgroundCap),
			OnlyLongerThan: length(r.Probe.OnlyLongerThan), Spacing: length(r.Probe.Spacing), Claim: length(r.Probe.Claim),
		},
	}
}

func classDocument(r *events.ClassRule) *projection.ClassConfig {
	if !r.Blocks {
		return &projection.ClassConfig{None: true}
	}
	c := &projection.ClassConfig{Bound: boundDocument(r.Bound), Ladder: steps(r.First, r.Cap), Jitter: length(r.Jitter)}
	if r.After > 1 {
		c.After, c.Within = new(r.After), length(r.Within)
	}
	if len(r.Hold) > 0 {
		c.Hold = new(r.Hold)
	}
	return c
}

func boundDocument(b events.Bound) *projection.BoundConfig {
	if b.FiveHour == b.Daily && b.Daily == b.Weekly && b.Weekly == b.Monthly && b.Monthly == b.Unknown {
		return &projection.BoundConfig{All: length(b.Unknown)}
	}
	return &projection.BoundConfig{
		FiveHour: length(b.FiveHour), Daily: length(b.Daily), Weekly: length(b.Weekly), Monthly: length(b.Monthly), Unknown: length(b.Unknown),
	}
}

func length(d time.Duration) *projection.Duration { return new(projection.Duration(d)) }

func steps(first, limit time.Duration) []projection.Duration {
	return []projection.Duration{projection.Duration(first), projection.Duration(limit)}
}
