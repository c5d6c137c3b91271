package router

import (
	"maps"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// probeRef is a probe that was let out.
type probeRef struct {
	lease   Lease
	account string // the stored id
	at      time.Time
	done    bool
}

// due is when a blocked cell may be probed (rule 23). Only a cooldown may.
func (r *reference) due(a *projection.Account, c *projection.Cell, id *projection.Resolution, now time.Time) (empty, background time.Time) {
	k := c.Cooling
	manual := c.Suspended != nil && (c.Suspended.Until.IsZero() || now.Before(c.Suspended.Until))
	if k == nil || !now.Before(k.Until) || c.Held != nil && r.wrong != "probes holds" || manual {
		return time.Time{}, time.Time{}
	}
	rule := r.engine.State().Policy().Rules(id.Provider, id.Group).Probe
	from := k.StartedAt
	if k.Probes > 0 {
		from = k.Probed
	}
	if rule.Mode != projection.ProbeOff {
		empty = from.Add(twice(rule.EmptyFirst, rule.EmptyCap, k.Probes))
	}
	if rule.Mode == projection.ProbeAlways && k.Until.Sub(k.StartedAt) > rule.OnlyLongerThan {
		background = from.Add(twice(rule.BackgroundFirst, rule.BackgroundCap, k.Probes))
	}
	// A success makes the siblings due at once, until they are asked after it.
	m := r.returned[[2]string{a.Spec.Provider, c.Target}]
	if m.Seq > k.Sent && r.wrong != "forgets siblings" {
		if rule.Mode != projection.ProbeOff {
			empty = earliest(empty, m.At)
		}
		if rule.Mode == projection.ProbeAlways {
			background = earliest(background, m.At)
		}
	}
	if c.Recheck.Seq > k.Sent { // whatever the mode
		empty, background = earliest(empty, c.Recheck.At), earliest(background, c.Recheck.At)
	}
	return earliest(empty, k.Until), earliest(background, k.Until)
}

// twice is a first delay doubled n times, at most a cap.
func twice(first, limit time.Duration, n int) time.Duration {
	for ; n > 0 && first < limit; n-- {
		first *= 2
	}
	return min(first, limit)
}

// follow reads what the log says of probes that succeeded.
func (r *reference) follow(records []events.Record) {
	for _, rec := range records {
		if e, ok := rec.Event.(*events.Recovered); ok && e.Probe {
			r.returned[[2]string{e.Provider, e.Target}] = projection.Mark{Seq: rec.Seq, At: rec.At}
		}
		r.read = rec.Seq
	}
}

// dueFor lists the accounts that a probe may go to now: of those not asked yet the one
// whose deadline is the earliest, else the one that was asked the longest ago.
func (r *reference) dueFor(f field, q *Request, nobody bool) (best []string) {
	key := [2]string{f.id.Provider, f.id.Target}
	var end, last time.Time
	for _, v := range f.verdicts {
		due := v.background
		if nobody {
			due = v.empty
		}
		if v.excluded || due.IsZero() || due.After(q.Now) {
			continue
		}
		tried := r.tried(key, v.ID)
		if due.After(tried) {
			tried = asked(f, v.Account, q.Now)
		}
		switch {
		case len(best) > 0 && (tried.After(last) || tried.Equal(last) && v.until.After(end)):
		case len(best) > 0 && tried.Equal(last) && v.until.Equal(end):
			best = append(best, v.ID)
		default:
			best, end, last = []string{v.ID}, v.until, tried
		}
	}
	return best
}

// asked is when a probe last found the account spent, unless an operator has asked
// for another since.
func asked(f field, a *projection.Account, now time.Time) (last time.Time) {
	for _, c := range a.Cells {
		k := c.Cooling
		if f.id.Covers(c.Target) && k != nil && now.Before(k.Until) && c.Recheck.Seq <= k.Sent && k.Probed.After(last) {
			last = k.Probed
		}
	}
	return last
}

// tried is when an account was probed last, as far as a router remembers.
func (r *reference) tried(key [2]string, account string) time.Time {
	list := r.probes[key]
	for _, p := range slices.Backward(list[max(0, len(list)-1-maxTried):]) {
		if p.account == account {
			return p.at
		}
	}
	return time.Time{}
}

// nextFree is when a target's next probe may go out, as far as the last one is
// concerned.
func (r *reference) nextFree(f field, now time.Time) time.Time {
	list := r.probes[[2]string{f.id.Provider, f.id.Target}]
	if len(list) == 0 {
		return time.Time{}
	}
	last := list[len(list)-1]
	rule := r.engine.State().Policy().Rules(f.id.Provider, f.id.Group).Probe
	wait := rule.Spacing
	if !last.done && r.wrong != "two in flight" {
		wait = max(wait, rule.Claim)
	}
	if now.Before(last.at.Add(-10 * time.Second)) { // the clock went back behind it
		return time.Time{}
	}
	return last.at.Add(wait)
}

// finish is what a report of a lease, or its release, does to the probe: known by what
// the lease's text and the report say of it. A lease of the process before may say the
// same, if nothing was recorded since.
func (r *reference) finish(l Lease) {
	for list := range maps.Values(r.probes) {
		for _, p := range list {
			p.done = p.done || p.lease.Probe == l.Probe && p.lease.Seq == l.Seq && p.lease.Account == l.Account
		}
	}
}
