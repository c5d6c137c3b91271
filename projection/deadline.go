package projection

import (
	"encoding/binary"
	"hash/fnv"
	"iter"
	"math"
	"time"
	_ "time/tzdata" // the providers' zones, on machines without a zone database

	"github.com/abeyance/abeyance/events"
)

// Sources of a deadline that are not a hint's.
const (
	SourceLadder = "ladder"
	SourceWindow = "window" // the provider's next reset, whose hour is known
	sourceImport = "import"
)

// ruling is what the policy makes of a blocking signal.
type ruling struct {
	class  events.Class
	until  time.Time
	reset  time.Time // the chosen hint's instant before clamp and jitter
	hint   *events.Hint
	lost   []events.Hint
	clamp  *events.Clamp
	source string
	step   int
	length time.Duration // of the ladder step
}

// question is what the policy is asked: a pure value.
type question struct {
	signal   *events.Signal
	rules    *events.Rules
	provider string
	account  string
	target   string
	now      time.Time
	started  time.Time // when the request was sent; zero: unknown
	ladder   Ladder
}

// rule turns a signal into a deadline: the latest plausible hint, else the
// provider's next reset for windows that end at a known hour, else the ladder.
// A hintless signal that belongs to a burst already answered gives a zero deadline.
func (q *question) rule() ruling {
	r := ruling{class: q.signal.Class}
	rule := classRule(q.rules, r.class)
	// A rate limit that lasts longer than rate limits do is a spent quota.
	if longest := q.longestHint(); r.class == events.ClassRateLimited && longest > rule.Bound.Unknown && longest <= q.plausible() {
		if promoted := classRule(q.rules, events.ClassQuotaExhausted); promoted.Blocks {
			r.class, rule = events.ClassQuotaExhausted, promoted
		}
	}
	bound, name := rule.Bound.For(q.signal.Window)
	limit := q.now.Add(bound)
	q.weigh(&r, limit)
	switch {
	case r.hint != nil:
		r.source = r.hint.Source
		r.until = r.reset
		if r.until.After(limit) {
			r.clamp = &events.Clamp{Bound: name, Asked: q.asked(r.hint), Given: bound.Seconds()}
			r.until = limit
		}
	case q.burst(r.class):
	case q.nextReset(&r):
	default:
		q.climb(&r, rule)
	}
	if r.until.IsZero() {
		return r
	}
	r.until = r.until.Add(q.jitter(rule.Jitter, r.until))
	if r.until.After(limit) {
		r.until = limit
	}
	return r
}

// weigh chooses among the hints: the latest within the limit, else the latest.
func (q *question) weigh(r *ruling, limit time.Time) {
	best, within := -1, false
	var at time.Time
	hints := make([]events.Hint, len(q.signal.Hints))
	copy(hints, q.signal.Hints)
	for i := range hints {
		h := &hints[i]
		if !h.Usable() {
			continue
		}
		h.Lost = ""
		t, why := q.instant(h)
		if why != "" {
			h.Lost = why
			continue
		}
		ok := !t.After(limit)
		switch {
		case best < 0 || ok && !within || ok == within && t.After(at):
			if best >= 0 {
				hints[best].Lost = lostTo(within, ok)
			}
			best, at, within = i, t, ok
		default:
			h.Lost = lostTo(ok, within)
		}
	}
	for i := range hints {
		if i == best {
			r.hint = &hints[i]
			r.reset = at
		} else if len(r.lost) < events.MaxLost {
			r.lost = append(r.lost, hints[i])
		}
	}
}

// lostTo names why a hint lost: loser and winner say whether each was within the
// bound.
func lostTo(loser, winner bool) string {
	if !loser && winner {
		return events.LostOverBound
	}
	return events.LostEarlier
}

// instant returns when a hint says to come back, or why it is no deadline. Delays
// beyond what the log can hold count as its far end; the bound cuts them.
func (q *question) instant(h *events.Hint) (time.Time, string) {
	if !h.At.IsZero() {
		if !h.At.After(q.now) {
			return time.Time{}, events.LostPast
		}
		if h.At.After(q.now.Add(maxDelay)) {
			return time.Time{}, events.LostNotFinite // no quota lasts that long, and no log holds the year 9999
		}
		return h.At, ""
	}
	switch s := h.Seconds; {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return time.Time{}, events.LostNotFinite
	case s < 0:
		return time.Time{}, events.LostNegative
	case s == 0:
		return time.Time{}, events.LostZero
	default:
		return q.now.Add(seconds(s)), ""
	}
}

// plausible is the longest that any quota is taken to last: the policy's bound for a
// monthly one. A rate limit that asks for more has a wrong unit: it is cut to what a
// rate limit may last, and not taken for a quota.
func (q *question) plausible() time.Duration {
	return classRule(q.rules, events.ClassQuotaExhausted).Bound.Monthly
}

// maxDelay keeps now plus a delay within the 64-bit nanoseconds of the log.
const maxDelay = 100 * 366 * day

// seconds converts without overflow.
func seconds(s float64) time.Duration {
	if s >= maxDelay.Seconds() {
		return maxDelay
	}
	return time.Duration(s * float64(time.Second))
}

func (q *question) asked(h *events.Hint) float64 {
	if h.At.IsZero() {
		return h.Seconds
	}
	return h.At.Sub(q.now).Seconds()
}

// longestHint returns the longest usable delay.
func (q *question) longestHint() (longest time.Duration) {
	for t := range q.instants() {
		longest = max(longest, t.Sub(q.now))
	}
	return longest
}

// instants yields when the hints that could be a deadline say to come back, in the
// provider's order of precedence.
func (q *question) instants() iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for i := range q.signal.Hints {
			h := &q.signal.Hints[i]
			if !h.Usable() {
				continue
			}
			if t, why := q.instant(h); why == "" && !yield(t) {
				return
			}
		}
	}
}

// nextReset sets the deadline of a spent daily or monthly quota without a hint to
// the provider's next reset, where its hour is known.
func (q *question) nextReset(r *ruling) bool {
	zone := resetZone(q.provider)
	if zone == nil || r.class != events.ClassQuotaExhausted {
		return false
	}
	y, m, d := q.now.In(zone).Date()
	var at time.Time
	switch q.signal.Window {
	case events.WindowDaily:
		at = time.Date(y, m, d+1, 0, 0, 0, 0, zone)
	case events.WindowMonthly:
		at = time.Date(y, m+1, 1, 0, 0, 0, 0, zone)
	default:
		return false
	}
	r.source, r.until = SourceWindow, at.UTC()
	return true
}

// resetZone returns the zone in whose midnight a provider's daily and monthly
// quotas reset, nil if it is not known. Sources: Google's quota pages (midnight
// Pacific), OpenRouter's and GitHub's (UTC), Alibaba's, Zhipu's, Moonshot's and
// MiniMax's (UTC+8).
func resetZone(provider string) *time.Location {
	switch provider {
	case "antigravity", "gemini-api", "gemini-cli", "vertex-ai":
		if zone, err := time.LoadLocation("America/Los_Angeles"); err == nil {
			return zone
		}
		return nil // unreachable: the zone is compiled in
	case "openrouter", "github-copilot", "github-models", "amazon-q", "bedrock":
		return time.UTC
	case "qwen", "zai-glm", "kimi", "moonshot", "minimax", "iflow":
		return time.FixedZone("UTC+8", 8*60*60)
	default:
		return nil
	}
}

// burst reports whether a hintless signal comes from a request that was sent before
// the cell's last deadline for the class, and arrives after it: the cooldown that
// ended then was the answer to it already.
func (q *question) burst(class events.Class) bool {
	last := q.ladder.Deadline
	return q.ladder.Class == class && !q.started.IsZero() && q.started.Before(last) && !q.now.Before(last)
}

// climb takes a step of the ladder. The first hintless signal that started at or
// after the previous deadline takes one: those of a burst have been sorted out, and
// while the cell cools a step changes nothing. The ladder is at its foot again when
// the signal comes later than the last deadline and four times the last step.
func (q *question) climb(r *ruling, rule events.ClassRule) {
	last := q.ladder
	if last.Class != r.class || q.now.After(last.Deadline.Add(4*last.Length)) {
		last.Step = 0
	}
	r.step = last.Step + 1
	r.length = rule.First
	for i := 1; i < r.step && r.length < rule.Cap; i++ {
		r.length *= 2
	}
	r.length = min(r.length, rule.Cap)
	r.source, r.until = SourceLadder, q.now.Add(r.length)
}

// jitter spreads deadlines over [0, most] by a hash of the cell and the reset, so
// that a pool does not come back in one instant and that a replay gives the same.
func (q *question) jitter(most time.Duration, reset time.Time) time.Duration {
	if most <= 0 {
		return 0
	}
	var room [128]byte // on the stack, as names of a usual length are
	cell := append(append(append(append(room[:0], q.account...), 0), q.target...), 0)
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(cell, uint64(reset.Unix())))
	// FNV's high bits mix poorly on short input; fold them in.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(float64(x>>11) / (1 << 53) * float64(most))
}
