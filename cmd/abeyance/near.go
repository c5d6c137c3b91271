package main

import (
	"cmp"
	"slices"
	"strings"
)

// maxNear bounds how many words are offered in the place of a mistyped one.
const maxNear = 3

// nearest returns the words that somebody may have meant who wrote another, the likeliest
// first: those that begin with it, and those that a slip of the fingers turns into it. A
// third of a word may be wrong, at most three letters of it; what differs in more is
// another word, and a guess would mislead.
func nearest(written string, known []string) []string {
	type guess struct {
		word     string
		distance int
	}
	from := []rune(strings.ToLower(written))
	bound := min(len(from)/3, 3)
	var found []guess
	for _, word := range known {
		to := []rune(strings.ToLower(word))
		d := bound + 1
		switch {
		case word == written:
			continue
		case len(from)-len(to) <= bound && len(to)-len(from) <= bound:
			d = slips(from, to)
		}
		if begins := len(from) >= 3 && strings.HasPrefix(string(to), string(from)); d > bound && begins {
			d = bound
		}
		if d <= bound {
			found = append(found, guess{word, d})
		}
	}
	slices.SortStableFunc(found, func(a, b guess) int { return cmp.Compare(a.distance, b.distance) })
	var words []string
	for _, g := range found {
		if !slices.Contains(words, g.word) && len(words) < maxNear {
			words = append(words, g.word)
		}
	}
	return words
}

// slips counts the letters that are missing, too many, wrong, or swapped with the next
// (the optimal string alignment distance).
func slips(a, b []rune) int {
	var before []int // the row before the last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			wrong := last[j]
			if a[i] != b[j] {
				wrong++
			}
			row[j+1] = min(wrong, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// didYouMean asks about the nearest words, as the end of a message; empty if there is
// none.
func didYouMean(written string, known []string) string {
	near := nearest(written, known)
	if len(near) == 0 {
		return ""
	}
	for i := range near {
		near[i] = plain(near[i])
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}

// among refuses a value that is none of the known ones. Empty passes: it was not given.
func among[T ~string](flag string, value T, known []T) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	list := texts(known)
	return usage("%s %q is none of %s%s", flag, string(value), strings.Join(list, ", "), didYouMean(string(value), list))
}

// texts returns names as strings.
func texts[T ~string](names []T) []string {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	return list
}
