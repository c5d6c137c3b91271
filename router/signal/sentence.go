package signal

import (
	"strings"
	"time"
)

// anchors are the words after which a message states a delay. They are tried in
// this order, so that in "Rate limit of 50 per 86400s exceeded. Please wait 5631
// seconds" only the wait counts.
var anchors = [...]string{
	"retry after", "retry in", "retry-after", "retry_after", "again after", "again in",
	"reset after", "resets after", "reset in", "resets in", "replenished in", "refreshes in", "renews in",
	"wait for", "wait", "available in", "available after", "cooldown of", "back in",
}

// fillers may stand between an anchor and its number.
var fillers = [...]string{
	"about ", "approximately ", "around ", "roughly ", "at least ", "another ", "up to ", "for ", "an additional ", "time ", "~",
}

// sentenceDelay finds the delay that a message, in lower case, states in words. It
// returns the text of the delay and its seconds, which may be zero.
func sentenceDelay(low string) (raw string, seconds float64, ok bool) {
	for _, anchor := range anchors {
		for from := 0; ; {
			i := strings.Index(low[from:], anchor)
			if i < 0 {
				break
			}
			from += i + len(anchor)
			if raw, seconds, ok := delayAt(low, from); ok {
				return raw, seconds, true
			}
		}
	}
	return hanDelay(low)
}

// delayAt reads the delay that follows an anchor which ends at from.
func delayAt(low string, from int) (string, float64, bool) {
	rest := strings.TrimLeft(low[from:], " :=\"")
	for _, f := range fillers {
		rest = strings.TrimPrefix(rest, f)
	}
	seconds, after, ok := readSpan(rest, 1)
	if !ok {
		return "", 0, false
	}
	return strings.TrimSpace(rest[:len(rest)-len(after)]), seconds, true
}

// hanDelay finds "N <unit>后" ("after N ..."), as Chinese and Japanese messages put it.
func hanDelay(message string) (string, float64, bool) {
	end := strings.Index(message, "后")
	if end < 0 {
		end = strings.Index(message, "後") // Japanese and traditional Chinese
	}
	if end < 0 {
		return "", 0, false
	}
	start := end
	for start > 0 && !digitAt(message, start-1) {
		start--
		if end-start > 16 {
			return "", 0, false
		}
	}
	for start > 0 && (digitAt(message, start-1) || message[start-1] == '.') {
		start--
	}
	seconds, rest, ok := readSpan(message[start:end], 0)
	return message[start:end], seconds, ok && strings.TrimSpace(rest) == ""
}

// resetWords mark a message whose date is that of a reset and not of something else.
var resetWords = [...]string{"reset", "regain access", "again", "until", "available", "renew", "重置", "恢复", "刷新"}

// sentenceInstant finds the instant of the reset that a message states, as sent.
func sentenceInstant(message, low string) (string, bool) {
	if raw, ok := limitStamp(message); ok {
		return raw, true
	}
	raw, ok := findInstant(message)
	if !ok {
		return "", false
	}
	for _, w := range resetWords {
		if strings.Contains(low, w) {
			return raw, true
		}
	}
	return "", false
}

// limitStamp finds the epoch that old Claude surfaces append: "limit reached|1749924000".
func limitStamp(message string) (string, bool) {
	_, after, ok := strings.Cut(message, "limit reached|")
	if !ok {
		return "", false
	}
	n := 0
	for n < len(after) && digitAt(after, n) {
		n++
	}
	return after[:n], n >= 10
}

// asciiLower lowers ASCII letters only, so that offsets stay those of s.
func asciiLower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// chinaTime is the zone of Z.ai's wall times, which carry none.
var chinaTime = time.FixedZone("UTC+8", 8*3600)
