package signal

import (
	"math"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Sources of hints that more than one place knows.
const (
	sourceMessage    = "message"
	sourceRetryAfter = "header:retry-after"
	sourceRetryMilli = "header:retry-after-ms"
	sourceResetsAt   = "error.resets_at"
)

// maxHints bounds the hints of one answer.
const maxHints = 16

// RetryAfter is the provider's delay in seconds exactly as sent, for people and for
// tools that compare: not rounded, not capped, and also where the policy will not
// follow it. It is the first hint, in the provider's order of precedence, that is a
// delay, or one of the two instants that providers mean as one: an HTTP date in
// Retry-After and Codex's resets_at. Failing that it is the time from the
// observation to the first instant; failing that, a delay of the body that belongs
// to another window than the exhausted one; failing that, a literal zero. ok is
// false if the answer states none of these.
func RetryAfter(s events.Signal) (seconds float64, ok bool) {
	for _, accept := range [...]func(events.Hint) bool{isDelay, isDistance, isAside, isZero} {
		for _, h := range s.Hints {
			if accept(h) {
				return h.Seconds, true
			}
		}
	}
	return 0, false
}

// isDelay, isDistance, isAside and isZero are the four kinds of RetryAfter.
func isDelay(h events.Hint) bool {
	meant := h.At.IsZero() || h.Source == sourceRetryAfter || h.Source == sourceResetsAt
	return h.Usable() && meant && h.Seconds > 0
}

func isDistance(h events.Hint) bool { return h.Usable() && h.Seconds > 0 }

func isAside(h events.Hint) bool {
	return h.Lost == events.LostUnrelated && h.At.IsZero() && h.Seconds > 0 && !strings.HasPrefix(h.Source, "header:")
}

func isZero(h events.Hint) bool {
	return h.Lost == events.LostZero && h.At.IsZero() && h.Source != sourceMessage
}

// ResetAt is the instant of the reset: the first one the answer states, else the
// delay of [RetryAfter] after observedAt. ok is false if neither is known.
func ResetAt(s events.Signal, observedAt time.Time) (at time.Time, ok bool) {
	for _, h := range s.Hints {
		if h.Usable() && !h.At.IsZero() {
			return h.At, true
		}
	}
	seconds, ok := RetryAfter(s)
	if !ok || observedAt.IsZero() || seconds > lastInstant.Sub(observedAt).Seconds() {
		return time.Time{}, false
	}
	return observedAt.Add(time.Duration(seconds * float64(time.Second))).UTC(), true
}

// delay adds a hint from a field that holds a delay in the given unit (seconds per 1).
func (a *answer) delay(source, raw string, unit float64) {
	if raw == "" {
		return
	}
	seconds, lost := readDelay(raw, unit)
	a.addDelay(source, raw, seconds, lost)
}

// addDelay adds a hint whose seconds are read already.
func (a *answer) addDelay(source, raw string, seconds float64, lost string) {
	if math.IsNaN(seconds) || math.IsInf(seconds, 0) {
		seconds, lost = 0, events.LostNotFinite
	}
	a.addHint(events.Hint{Source: source, Raw: raw, Seconds: seconds, Lost: lost})
}

// instant adds a hint from a field that holds a point in time. Its Seconds are the
// distance from the observation, where that is known.
func (a *answer) instant(source, raw string, zone *time.Location) {
	if raw == "" {
		return
	}
	at, lost := readInstant(raw, zone)
	if lost == "" && a.when.past(at) {
		lost = events.LostPast
	}
	h := events.Hint{Source: source, Raw: raw, At: at, Lost: lost}
	if !at.IsZero() && !a.when.observed.IsZero() {
		h.Seconds = at.Sub(a.when.observed).Seconds()
	}
	a.addHint(h)
}

// reset adds a hint from a header that holds a delay with some providers and an
// instant with others: the size of the number, or its form, tells.
func (a *answer) reset(source, raw string) {
	n, rest, ok := leadingNumber(raw)
	dated := !ok && len(raw) > 4 && (raw[0] >= 'A' && raw[0] <= 'Z') || len(raw) > 10 && raw[4] == '-' && raw[7] == '-'
	if ok && rest == "" && n >= 1e9 || dated {
		a.instant(source, raw, time.UTC)
		return
	}
	a.delay(source, raw, 1)
}

// retryAfter adds the hints of the standard headers: milliseconds first, because
// whoever sends both means the finer one.
func (a *answer) retryAfter() {
	a.delay(sourceRetryMilli, a.get("Retry-After-Ms"), 1e-3)
	raw := a.get("Retry-After")
	if raw == "" {
		return
	}
	seconds, lost := readDelay(raw, 1)
	if lost == "" && a.isEpoch(seconds) {
		a.instant(sourceRetryAfter, raw, time.UTC)
		return
	}
	if lost != events.LostUnreadable {
		a.addDelay(sourceRetryAfter, raw, seconds, lost)
		return
	}
	a.instant(sourceRetryAfter, raw, time.UTC)
	if last := len(a.hints) - 1; last >= 0 && !a.when.sent.IsZero() && a.hints[last].Seconds > 0 {
		// A date in Retry-After is a delay from the answer's own Date.
		a.hints[last].Seconds = a.hints[last].At.Sub(a.when.sent).Seconds()
	}
}

// isEpoch reports whether a number of seconds is plainly an instant put into a
// field for delays: within a year of the observation.
func (a *answer) isEpoch(n float64) bool {
	if n < 1e9 || a.when.observed.IsZero() {
		return false
	}
	at, lost := epoch(n)
	distance := at.Sub(a.when.observed)
	return lost == "" && distance.Abs() < 366*24*time.Hour
}

// sentence adds the hints of the message: a delay in words, and an instant. A
// message that blames the request may echo the prompt and is not searched.
func (a *answer) sentence(zone *time.Location) {
	m := a.problem.message
	if a.refusesRequest() && !a.says("you will regain access") {
		return
	}
	if raw, ok := sentenceInstant(m, a.low); ok {
		a.instant(sourceMessage, raw, zone)
	}
	if raw, seconds, ok := sentenceDelay(a.low); ok {
		a.addDelay(sourceMessage, raw, seconds, lostDelay(seconds))
	}
}

// addHint keeps a hint unless an equal one from the same field is there.
func (a *answer) addHint(h events.Hint) {
	if len(a.hints) >= maxHints {
		return
	}
	a.hints = append(a.hints, h)
}

// setAside marks the hints found since index from as those of another window than
// the exhausted one.
func (a *answer) setAside(from int) {
	for i := from; i < len(a.hints); i++ {
		if a.hints[i].Lost == "" {
			a.hints[i].Lost = events.LostUnrelated
		}
	}
}

// longest is the longest usable delay in seconds, as far as it is known; 0 if none.
func (a *answer) longest() float64 {
	most := 0.0
	for _, h := range a.hints {
		if h.Usable() {
			most = max(most, h.Seconds)
		}
	}
	return most
}
