package signal

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// form is what a body looks like, whatever its Content-Type says: Google labels
// plain JSON errors text/event-stream.
type form uint8

const (
	formEmpty form = iota
	formJSON
	formStream // server-sent events
	formHTML
	formXML
	formText
	formBinary // compressed or otherwise unreadable
)

// String names the form in the evidence of answers that say nothing else.
func (f form) String() string {
	return [...]string{"empty", "json", "event-stream", "html", "xml", "text", "binary"}[f]
}

// formOf looks at the first bytes of a body, which has no space before it.
func formOf(body string) form {
	if body == "" {
		return formEmpty
	}
	if unreadable(body) {
		return formBinary
	}
	switch body[0] {
	case '{', '"':
		return formJSON
	case '[':
		if isLabel(body) {
			return formText
		}
		return formJSON
	case '<':
		if isHTML(body) {
			return formHTML
		}
		return formXML
	}
	if isStream(body) {
		return formStream
	}
	return formText
}

// isLabel reports whether a body begins with a word in brackets, as proxies put it
// in front of what they pass on: "[429]: {...}", "[1302][...]", "[ERROR] ...".
func isLabel(body string) bool {
	if body == "" || body[0] != '[' {
		return false
	}
	end := strings.IndexByte(body[:min(len(body), 64)], ']')
	if end < 2 || strings.ContainsAny(body[1:end], "[{\",\n") {
		return false
	}
	rest := strings.TrimLeft(body[end+1:], " \t\r\n")
	return rest != ""
}

// unreadable reports whether the first bytes hold control characters or bytes that
// are not UTF-8 in numbers that no text has.
func unreadable(body string) bool {
	head, bad := body[:min(len(body), 64)], 0
	for i, r := range head {
		if r == utf8.RuneError && i < len(head)-utf8.UTFMax || r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			bad++
		}
	}
	return bad >= 2 || body[0] == 0x1f
}

func isHTML(body string) bool {
	head := asciiLower(body[:min(len(body), 1024)])
	for _, mark := range [...]string{"<!doctype html", "<html", "<head", "<body", "<title"} {
		if strings.Contains(head, mark) {
			return true
		}
	}
	return false
}

func isStream(body string) bool {
	for _, field := range [...]string{"data:", "event:", "id:", "retry:", ":"} {
		if strings.HasPrefix(body, field) {
			return true
		}
	}
	return false
}

// streamEvents calls visit with the name and data of each event of a stream until
// it returns false. Data that spans lines is joined as the format says; an event
// whose data is one line, as nearly all are, costs no allocation.
func streamEvents(body string, visit func(name, data string) bool) {
	name, data, lines := "", "", 0
	for rest := body; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimSuffix(line, "\r")
		field, content, _ := strings.Cut(line, ":")
		content = strings.TrimPrefix(content, " ")
		switch {
		case field == "event":
			name = content
		case field == "data" && lines == 0:
			data, lines = content, 1
		case field == "data" && lines < 512:
			data, lines = data+"\n"+content, lines+1
		}
		if line == "" || rest == "" {
			if lines > 0 && !visit(name, data) {
				return
			}
			name, data, lines = "", "", 0
		}
	}
}

// tag returns the text of the first XML element of that name.
func tag(body, name string) string {
	_, after, ok := strings.Cut(body, "<"+name+">")
	if !ok {
		return ""
	}
	content, _, _ := strings.Cut(after, "<")
	return content
}

// decodeBase64 decodes both alphabets, padded or not, up to a bound that no error
// code in a header reaches.
func decodeBase64(s string) string {
	const most = 8 << 10
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	if len(s) > most {
		return ""
	}
	enc := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		enc = base64.RawURLEncoding
	}
	b, err := enc.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
