package identity

import "strings"

// pseudonymLength is that of the ids that pseudonym makes.
const pseudonymLength = len(Prefix) + 20

// Show puts the ids as given into a text that names stored ones.
func (b *Book) Show(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, Prefix)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = Prefix + after
		n := min(pseudonymLength, len(text))
		out.WriteString(b.Given(text[:n]))
		text = text[n:]
	}
}
