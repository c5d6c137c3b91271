package events

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secret is one shape of text that never reaches the log.
type secret struct {
	name  string // what takes its place: "[name]"
	shape *regexp.Regexp
	// marks are texts, in lower case, without one of which the shape cannot match:
	// looking for all of them at once is some hundred times cheaper than one shape.
	marks []string
}

// secrets are replaced in this order. The shapes are those the providers document
// for their credentials. A shape begins where no letter or digit stands before it:
// an underscore may.
var secrets = []secret{
	{"jwt", regexp.MustCompile(`(^|[^A-Za-z0-9])eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?`), []string{"eyj"}},
	{
		"token", regexp.MustCompile(`(?i)(^|[^A-Za-z0-9])(?:bearer|basic|token)[ \t]+[A-Za-z0-9._~+/=-]{12,}`),
		[]string{"bearer", "basic", "token"},
	},
	{
		"key", regexp.MustCompile(`(^|[^A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}`),
		[]string{"sk-", "sk_", "pk-", "pk_", "rk-", "rk_"},
	},
	{"key", regexp.MustCompile(`(^|[^A-Za-z0-9])AIza[A-Za-z0-9_-]{16,}`), []string{"aiza"}},
	{"token", regexp.MustCompile(`(^|[^A-Za-z0-9])(?:ya29\.|1//)[A-Za-z0-9._/-]{12,}`), []string{"ya29.", "1//"}},
	{
		"token", regexp.MustCompile(`(^|[^A-Za-z0-9])(?:gh[pousr]_|github_pat_|xox[abprs]-|xai-|gsk_|hf_|aby_|AKIA|ASIA)[A-Za-z0-9_-]{12,}`),
		[]string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "xai-", "gsk_", "hf_", "aby_", "akia", "asia"},
	},
	{
		"secret", regexp.MustCompile(`(?i)((?:^|[^A-Za-z0-9])(?:api[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]?token|client[-_]?secret|` +
			`password|authorization|cookie)(?:\\?["'])?\s*[:=]\s*(?:\\?["'])?)[^\s"'\\,;&<>\[]{6,}`),
		[]string{"key", "token", "secret", "password", "authorization", "cookie"},
	},
	{
		"email", regexp.MustCompile(`()[A-Za-z0-9][A-Za-z0-9._%+-]*(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}`),
		[]string{"@", "%40"},
	},
}

// mark is a mark in the table of all marks.
type mark struct {
	text  string
	pivot int  // where in the text the byte is under which it is listed
	shape uint // the bit of its secret
}

// marks lists the marks of all secrets under their rarest bytes, so that one pass
// over a text compares next to nothing.
var marks = marksOf(secrets)

// rarest are the bytes of marks, those rarest in messages and evidence first.
const rarest = "@%jzxwk_b/-y.ghfpc2u"

func marksOf(secrets []secret) *[256][]mark {
	var table [256][]mark
	for i := range secrets {
		for _, text := range secrets[i].marks {
			pivot := 0
			for _, c := range rarest {
				if at := strings.IndexRune(text, c); at >= 0 {
					pivot = at
					break
				}
			}
			table[text[pivot]] = append(table[text[pivot]], mark{text, pivot, 1 << i})
		}
	}
	return &table
}

// suspects returns the bits of the secrets that may be in a text, given in lower case.
func suspects(lower string) (shapes uint) {
	for i := range len(lower) {
		for _, m := range marks[lower[i]] {
			if i >= m.pivot && strings.HasPrefix(lower[i-m.pivot:], m.text) {
				shapes |= m.shape
			}
		}
	}
	return shapes
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
		before, found := text, suspects(strings.ToLower(text))
		for i := 0; found != 0; i, found = i+1, found>>1 {
			// What an earlier shape replaced only takes marks away, or adds its name.
			if s := &secrets[i]; found&1 != 0 {
				text = s.shape.ReplaceAllString(text, "${1}["+s.name+"]")
			}
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
	if plain(s) {
		return s
	}
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

// plain reports whether a text is printable ASCII with single spaces inside, which
// oneLine would leave as it is.
func plain(s string) bool {
	if strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") || strings.Contains(s, "  ") {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
