package signal

import (
	"bytes"
	"strings"
)

// lookAt is how many bytes at each end of a success body are searched for signs of
// an error before it is read at all.
const lookAt = 2 << 10

// mayFail reports whether the body of a 2xx answer has the shape of one that can
// carry an error: a page, a stream, or JSON with the marks of an error or of a business
// status near one of its ends. It is a filter and allocates nothing; what passes is
// read properly. Escaped quotes keep text that talks of errors out.
func mayFail(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	body = body[:min(len(body), MaxBody)]
	trimmed := bytes.TrimLeft(body[:min(len(body), 64)], " \t\r\n\xef\xbb\xbf")
	if len(trimmed) == 0 {
		return false
	}
	switch trimmed[0] {
	case '{', '[':
		return marked(body[:min(len(body), lookAt)]) || marked(body[max(0, len(body)-lookAt):])
	case '<':
		return htmlPrefix(trimmed) // a page of a CDN or of a login, not of an API
	case 'd', 'e', ':', 'i', 'r':
		return streamPrefix(trimmed) && markedEvent(body)
	}
	return false
}

func htmlPrefix(b []byte) bool {
	for _, tag := range [...]string{"<!doctype html", "<html"} {
		if len(b) >= len(tag) && strings.EqualFold(string(b[:len(tag)]), tag) {
			return true
		}
	}
	return false
}

func streamPrefix(b []byte) bool {
	for _, field := range [...]string{"data:", "event:", "id:", "retry:", ":"} {
		if len(b) >= len(field) && string(b[:len(field)]) == field {
			return true
		}
	}
	return false
}

// marked reports whether JSON has a mark of an error or of a business status.
func marked(b []byte) bool {
	return markedEvent(b) || hasAny(b, `"status"`, `"success"`, `"code"`)
}

// markedEvent is the same for the events of a stream, each of which has a status in
// some formats. `rror"` covers the key "error" and types such as "GoUsageLimitError".
func markedEvent(b []byte) bool {
	return hasAny(b, `rror"`, `event: error`, `event:error`, `.failed"`, `"base_resp"`)
}

func hasAny(b []byte, marks ...string) bool {
	for _, m := range marks {
		if bytes.Contains(b, []byte(m)) {
			return true
		}
	}
	return false
}

// body looks at a JSON body. In a success only what is plainly an error counts.
func (f *finder) body(v value, success bool) {
	if !success {
		f.value(v, v)
		return
	}
	if v.kind() == array {
		for e := v.first(); e.t != nil; e = e.next() {
			if failed(e) {
				f.value(e, e)
			}
		}
		return
	}
	if failed(v) {
		f.value(v, v)
	}
}

// stream looks at the events of a stream. Outside a success its first event with
// JSON in it is taken even if it has no mark of an error.
func (f *finder) stream(body string, success bool) {
	first := ""
	streamEvents(body, func(name, data string) bool {
		if first == "" {
			first = data
		}
		named := name == "error"
		if !named && !markedEvent([]byte(data)) {
			return true
		}
		if v := readJSON(data); v.t != nil && (named || failed(v)) {
			f.value(v, v)
		} else if named && data != "" {
			f.text(data)
		}
		return len(f.found) == 0
	})
	if len(f.found) == 0 && !success && first != "" {
		f.text(first)
	}
}

// failed reports whether a JSON object that came with status 200 is an error: by
// its type, by an error member, or by a business status. Content that talks about
// errors lies deeper than these members.
func failed(v value) bool {
	if v.kind() != object {
		return false
	}
	kind := v.get("type").string()
	if kind == "error" || strings.HasSuffix(kind, "Error") || strings.HasSuffix(kind, ".failed") {
		return true
	}
	switch e := v.get("error"); e.kind() {
	case object:
		return e.first().t != nil
	case text:
		return e.word() != "" && v.get("choices", "content", "candidates").null()
	}
	if b := v.get("base_resp"); b.kind() == object {
		return b.get("status_code").text() != "0" && !b.get("status_code").null()
	}
	if v.get("success").word() == "false" && v.get("success").kind() == literal {
		return !v.get("code", "msg", "message").null()
	}
	return statusIn(v) != 0 && !v.get("msg", "message").null() && v.get("choices", "content", "candidates", "output").null()
}
