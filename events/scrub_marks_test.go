package events

import (
	"strings"
	"testing"
)

// The table of marks must find what a search for each mark would find: a mark that
// it misses is a secret that is stored.
func TestRule35OnePassFindsEveryMark(t *testing.T) {
	pieces := []string{"", " ", "a", "k", "x-", "__", "//", "ya29", "eyeyj", "sk", "…", "%4", "@"}
	for i := range secrets {
		for _, m := range secrets[i].marks {
			for _, before := range pieces {
				for _, after := range pieces {
					text := strings.ToLower(before + m + after)
					if got, want := suspects(text), searchedFor(text); got != want {
						t.Fatalf("suspects(%q) = %b, want %b", text, got, want)
					}
				}
			}
		}
	}
}

func searchedFor(lower string) (shapes uint) {
	for i := range secrets {
		for _, m := range secrets[i].marks {
			if strings.Contains(lower, m) {
				shapes |= 1 << i
			}
		}
	}
	return shapes
}
