package projection

import (
	"maps"
	"time"

	"github.com/abeyance/abeyance/events"
)

// The modes of probing, as the policy names them.
const (
	ProbeOff       = "off"
	ProbeWhenEmpty = "when-empty"
	ProbeAlways    = "always"
)

// maxReturned bounds what is remembered of probes that succeeded: model targets come
// from clients.
const maxReturned = 1024

// pool is the accounts of a provider that share a target: where one probe finds the
// quota back, it may be back for the others.
type pool struct{ provider, target string }

// returned :: pool → the last probe that found a quota of it back. It is replaced
// whole, never changed.
type returned map[pool]Mark

// with returns the same with one more mark. The oldest makes room.
func (r returned) with(p pool, m Mark) returned {
	next := make(returned, len(r)+1)
	maps.Copy(next, r)
	next[p] = m
	if len(next) > maxReturned {
		oldest := p
		for q, n := range next {
			if n.Seq < next[oldest].Seq {
				oldest = q
			}
		}
		delete(next, oldest)
	}
	return next
}

// probes says when the cell, which cools and is blocked by nothing else, may be probed
// while nobody else, and while somebody else can serve.
func (j *judge) probes(a *Account, c *Cell, rule *events.ProbeRule) (empty, background Instant) {
	k := c.Cooling
	empty, background = Never, Never
	from := k.StartedAt
	if k.Probes > 0 {
		from = k.Probed
	}
	if rule.Mode != ProbeOff {
		empty = InstantOf(from.Add(doubled(rule.EmptyFirst, rule.EmptyCap, k.Probes)))
	}
	if rule.Mode == ProbeAlways && k.Until.Sub(k.StartedAt) > rule.OnlyLongerThan {
		background = InstantOf(from.Add(doubled(rule.BackgroundFirst, rule.BackgroundCap, k.Probes)))
	}
	if m, ok := j.state.returned[pool{a.Spec.Provider, c.Target}]; ok && m.Seq > k.Sent {
		if rule.Mode != ProbeOff {
			empty = min(empty, InstantOf(m.At))
		}
		if rule.Mode == ProbeAlways {
			background = min(background, InstantOf(m.At))
		}
	}
	if c.Recheck.Seq > k.Sent { // an operator asked, whatever the mode
		at := InstantOf(c.Recheck.At)
		empty, background = min(empty, at), min(background, at)
	}
	// Once the cooldown is over the cell stands in no probe's way.
	return min(empty, InstantOf(k.Until)), min(background, InstantOf(k.Until))
}

// Asked says when a probe last found the account spent for requests that resolve to r:
// zero if none did since the cooldowns began, or an operator has asked for one since.
func (a *Account) Asked(r *Resolution, now time.Time) (last time.Time) {
	for i := range a.Cells {
		c := &a.Cells[i]
		k := c.cooling(now)
		if k == nil || !r.Covers(c.Target) || c.Recheck.Seq > k.Sent {
			continue
		}
		if k.Probed.After(last) {
			last = k.Probed
		}
	}
	return last
}

// doubled is a first delay doubled n times, at most a cap.
func doubled(first, limit time.Duration, n int) time.Duration {
	for range n {
		if first >= limit {
			break
		}
		first *= 2
	}
	return min(first, limit)
}

// probed notes a probe that found the quota still spent.
func (k *Cooling) probed(r events.Record) {
	k.Probes++
	k.Probed = r.At
}

// Recheck asks for a probe of cells that cool, now rather than when it is due. Holds
// and suspensions are not probed.
type Recheck struct {
	Filter Filter
	Reason string
	DryRun bool
}

// decide implements Intent.
func (c *Recheck) decide(d *decider) error {
	d.out.DryRun = c.DryRun
	reason := events.Scrub(c.Reason, events.MaxText)
	return d.end(c.Filter, verb{
		name: "recheck", other: "clear or lift", block: "cooldown without a hold or suspension", otherBlock: "hold or manual suspension", models: true,
		does: func(c *Cell, now time.Time) bool {
			k, held, manual := c.Live(now)
			return k != nil && held == nil && manual == nil
		},
		start: blockedSince,
		otherStart: func(c *Cell) time.Time {
			if c.Held != nil {
				return c.Held.Since
			}
			return c.Suspended.Since
		},
		event: func(c *Cell) events.Event {
			if c.Recheck.Seq > c.Cooling.Sent {
				return nil // asked for, and not answered yet
			}
			return &events.RecheckRequested{Target: c.Target, Reason: reason}
		},
	})
}
