package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Sequences of ECMA-48 and of xterm that terminals have in common.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // another page, without cursor and wrapped lines
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	eraseLine   = "\x1b[K" // from here on
	eraseBelow  = "\x1b[J"
)

// screen shows one page of text on a terminal, and leaves what was on it alone.
type screen struct {
	out  io.Writer
	size func() (width, height int) // 0: not known
}

func newScreen(f *os.File) *screen {
	s := &screen{out: f, size: func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return width, height
	}}
	fmt.Fprint(f, enterScreen)
	return s
}

// draw replaces the page, in one write so that it does not flicker. The last line is for
// a note, if there is one, or for how many lines there was no place for.
func (s *screen) draw(text, note string) error {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if note != "" {
		lines = append(lines, "", plain(note))
	}
	if _, height := s.size(); height > 1 && len(lines) > height {
		last := fmt.Sprintf("and %d more lines", len(lines)-height+1)
		if note != "" {
			last = plain(note)
		}
		lines = append(lines[:height-1], last)
	}
	_, err := io.WriteString(s.out, toTop+strings.Join(lines, eraseLine+"\n")+eraseLine+eraseBelow)
	return err
}

func (s *screen) close() { fmt.Fprint(s.out, leaveScreen) }
