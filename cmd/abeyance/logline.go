package main

import (
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// newLogHandler writes the daemon's log in one of its forms. In neither can what an
// upstream or a client wrote begin a line, or do something to a terminal: slog escapes
// the control characters below the space, and not all others.
func newLogHandler(w io.Writer, format string, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: tame}
	if format == logJSON {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// tame makes the text of an attribute one that can be seen.
func tame(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(graphic(v))
	case error:
		a.Value = slog.StringValue(graphic(v.Error()))
	}
	return a
}

// graphic writes what cannot be seen as Go does: \u009b. What can be seen stays, and
// the characters below the space, which are the handlers' to escape.
func graphic(text string) string {
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) && r >= ' ' {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return !strconv.IsPrint(r) }
