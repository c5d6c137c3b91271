package events

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secrets are the shapes of text that never reach the log, in the order they are
// replaced. Each has the name that takes its place. The shapes are those the
// providers document for their credentials.
var secrets = []struct {
	name  string
	shape *regexp.Regexp
}{
	{"jwt", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(\.[A-Za-z0-9_-]*)?`)},
	{"token", regexp.MustCompile(`(?i)\b(bearer|basic|token)[ \t]+[A-Za-z0-9._~+/=-]{12,}`)},
	{"key", regexp.MustCompile(`\b(sk|pk|rk)[-_][A-Za-z0-9_-]{12,}`)},
	{"key", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{16,}`)},
	{"token", regexp.MustCompile(`\b(ya29\.|1//)[A-Za-z0-9._/-]{12,}`)},
	{"token", regexp.MustCompile(`\b(gh[pousr]_|github_pat_|xox[abprs]-|xai-|gsk_|hf_|aby_|AKIA|ASIA)[A-Za-z0-9_-]{12,}`)},
	{"secret", regexp.MustCompile(
		`(?i)(\b(?:api[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]?token|client[-_]?secret|password|authorization|cookie)(?:\\?["'])?\s*[:=]\s*(?:\\?["'])?)[^\s"'\\,;&<>\[]{6,}`)},
	{"email", regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._%+-]*(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}`)},
}

// Scrub makes hostile text fit to be stored and shown: valid UTF-8 on one line,
// without control or invisible formatting characters, with bearer tokens, API keys,
// JWTs and e-mail addresses replaced by "[jwt]", "[key]", ..., and at most limit
// bytes, cut at a character with an ellipsis. It is idempotent. It reads no more than 4
// times the limit plus 1 KiB of text, so the work is bounded by the limit alone.
func Scrub(text string, limit int) string {
	text = oneLine(cutText(text, 4*limit+1<<10))
	// A cut or a replacement may give what is left a new shape, hence the passes.
	for range scrubPasses {
		before := text
		for _, s := range secrets {
			text = s.shape.ReplaceAllString(text, replacement(s.name))
		}
		if text = shorten(text, limit); text == before {
			break
		}
	}
	return text
}

// scrubPasses bounds the passes; more than three are not known to be needed.
const scrubPasses = 8

// shorten cuts text to at most limit bytes, the last of them an ellipsis.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const ellipsis = "…"
	if limit < len(ellipsis) {
		return ""
	}
	return strings.TrimSpace(cutText(text, limit-len(ellipsis))) + ellipsis
}

// replacement keeps what stands before a named secret, so that a reader still sees
// which field it was.
func replacement(name string) string {
	if name == "secret" {
		return "${1}[secret]"
	}
	return "[" + name + "]"
}

// cutText returns at most limit bytes of s without splitting a character.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// oneLine replaces runs of white space by a space and drops control and invisible
// formatting characters, which would hide a secret from the shapes above; bytes
// that are not UTF-8 become U+FFFD.
func oneLine(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = true
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r) // an invalid byte ranges as U+FFFD
	}
	return b.String()
}
