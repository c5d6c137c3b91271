package signal

import (
	"strings"
)

// problem is one error as the provider put it, out of whatever wrapping it came in.
// Its texts are as sent.
type problem struct {
	top     value  // the document around it: flat fields beside "error"
	obj     value  // the error object; absent for plain text
	status  int    // a status the body states, 0 if none
	code    string // error.code, also when it is a number
	kind    string // error.type
	state   string // Google's error.status
	reason  string // error.reason (Amazon), or Google's ErrorInfo.reason, set by its family
	message string
	wrapped bool // found in a string: another proxy passed it on with a status of its own
}

// field reads from the error object, else from the document around it.
func (p *problem) field(names ...string) value {
	if v := p.obj.get(names...); !v.null() {
		return v
	}
	return p.top.get(names...)
}

// Bounds of the search for errors in a body.
const (
	maxWraps    = 8       // levels of wrapping
	maxProblems = 8       // errors in one body
	maxMessage  = 4 << 10 // bytes of a message that are searched
)

// finder collects the problems of one body.
type finder struct {
	found   []problem
	store   [1]problem // most bodies hold one
	headers value      // of a WebSocket frame
	status  int        // of a WebSocket frame or a business status
	refused bool       // the request was at fault: echoed text may look like an error
	// seen stops at wraps it went through already.
	wraps int
}

func (f *finder) add(p problem) {
	if len(f.found) >= maxProblems {
		return
	}
	if len(p.message) > maxMessage {
		p.message = p.message[:maxMessage]
		p.message = p.message[:max(0, strings.LastIndexByte(p.message, ' '))]
	}
	f.found = append(f.found, p)
}

// text looks at a body or a string that may be a document itself.
func (f *finder) text(s string) {
	if !isLabel(s) {
		if v := readJSON(s); v.t != nil {
			f.value(v, v)
			return
		}
	}
	if inner := innerDocument(s, f.refused); inner != "" && f.wraps < maxWraps {
		f.wraps++
		f.text(inner)
		return
	}
	f.add(problem{message: s})
}

// value looks at a document or a part of one. top is the object around it.
func (f *finder) value(v, top value) {
	if f.wraps++; f.wraps > maxWraps*maxProblems {
		return
	}
	switch v.kind() {
	case array:
		for e := v.first(); e.t != nil && len(f.found) < maxProblems; e = e.next() {
			f.value(e, e)
		}
	case text:
		f.string(v, top)
	case object:
		f.object(v, top)
	}
}

// string looks at a string in the place of an error: a document, or the message.
func (f *finder) string(v, top value) {
	s := sentenceOf(v)
	if inner := innerDocument(s, f.refused); inner != "" && f.wraps < maxWraps {
		before := len(f.found)
		f.text(inner)
		if len(f.found) > before {
			f.wrapped(before)
			return
		}
	}
	f.add(flat(top, value{}, s))
}

// object looks at an object: an envelope around an error, or the error itself.
func (f *finder) object(v, top value) {
	if h := v.get("headers"); h.kind() == object {
		f.headers = h
	}
	if n := statusIn(v); n != 0 {
		f.status = n
	}
	for _, name := range [...]string{"error", "body", "base_resp", "Error"} {
		switch inner := v.get(name); inner.kind() {
		case object, array:
			f.value(inner, v)
			return
		case text:
			f.string(inner, v)
			return
		}
	}
	if r := v.get("response"); r.kind() == object {
		if e := responseError(r); e.t != nil {
			f.value(e, r)
			return
		}
	}
	if f.listed(v) {
		return
	}
	f.leaf(v, top)
}

// responseError is where OpenAI's response objects keep their error.
func responseError(r value) value {
	for _, e := range [...]value{r.get("error"), r.get("status_details").get("error"), r.get("incomplete_details")} {
		if e.kind() == object {
			return e
		}
	}
	return value{}
}

// listed looks into "errors" and "detail", where some put a list or an object.
func (f *finder) listed(v value) bool {
	if v.get("message", "msg", "code").t != nil {
		return false
	}
	for _, name := range [...]string{"errors", "detail", "data"} {
		if e := v.get(name); e.kind() == object || e.kind() == array && e.first().t != nil {
			before := len(f.found)
			f.value(e, v)
			return len(f.found) > before
		}
	}
	return false
}

// leaf is an error object. If its message is a document, that one is meant.
func (f *finder) leaf(v, top value) {
	p := flat(top, v, messageIn(v))
	f.refused = f.refused || strings.EqualFold(p.state, "INVALID_ARGUMENT")
	before := len(f.found)
	if inner := innerDocument(p.message, f.refused); inner != "" && f.wraps < maxWraps {
		f.text(inner)
	}
	if len(f.found) == before || f.found[before].empty() {
		f.found = f.found[:before]
		f.add(p)
		return
	}
	f.wrapped(before)
}

// wrapped marks the problems found since index from.
func (f *finder) wrapped(from int) {
	for i := from; i < len(f.found); i++ {
		f.found[i].wrapped = true
	}
}

// empty reports whether nothing in a problem says what happened.
func (p *problem) empty() bool {
	return p.code == "" && p.kind == "" && p.state == "" && p.message == "" && p.obj.get("details").t == nil
}

// flat fills a problem from an error object, or from the document for a string.
func flat(top, obj value, message string) problem {
	from := obj
	if obj.t == nil {
		from = top
	}
	p := problem{top: top, obj: obj, message: message, status: statusIn(from)}
	// Codes are compared whole, so that one the body was cut off in is safe to keep.
	p.code = from.get("code", "error_code", "Code", "status_code", "__type").partial()
	p.kind = from.get("type").partial()
	p.reason = from.get("reason").partial()
	p.state = from.get("status").string()
	if said := top.get("message").string(); obj.t == nil && said != "" && !identifier(message) {
		p.message = message + ": " + said // {"error":"Too Many Requests","message":"..."}
	}
	if obj.t == nil && message != "" && identifier(message) && p.code == "" {
		p.code = message // {"error":"invalid_grant","error_description":"..."}
		p.message = cmpText(top.get("error_description", "message", "msg"), message)
	}
	return p
}

func cmpText(v value, otherwise string) string {
	if s := v.string(); s != "" {
		return s
	}
	return otherwise
}

// messageIn is the sentence of an error object, under the names in use.
func messageIn(v value) string {
	return sentenceOf(v.get("message", "msg", "Message", "status_msg", "error_description", "error_message", "errorMessage", "detail", "title"))
}

// sentenceOf is the text of a message. Of one that was cut off the last word is
// dropped, which may be half a number.
func sentenceOf(v value) string {
	s := v.partial()
	if !v.cut() {
		return s
	}
	return s[:max(0, strings.LastIndexByte(s, ' '))]
}

// ownStatus is the HTTP status of the error itself, by its type if it states none;
// 0 if neither tells. Anthropic's and OpenAI's types stand for one status each.
func (p *problem) ownStatus() int {
	if p.status != 0 {
		return p.status
	}
	switch asciiLower(p.kind) {
	case "rate_limit_error", "rate_limit_reached_error", "usage_limit_reached":
		return 429
	case "authentication_error", "invalid_authentication_error":
		return 401
	case "permission_error":
		return 403
	case "invalid_request_error":
		return 400
	case "not_found_error":
		return 404
	case "request_too_large":
		return 413
	case "api_error", "server_error":
		return 500
	case "overloaded_error":
		return 529
	}
	return 0
}

// statusIn is the HTTP status an object states, 0 if none.
func statusIn(v value) int {
	for _, name := range [...]string{"status", "status_code", "statusCode", "http_status", "http_code", "raw_status_code", "code"} {
		if n := v.get(name).int(); n >= 400 && n < 600 {
			return n
		}
	}
	return 0
}

// identifier reports whether s is a code and not a sentence.
func identifier(s string) bool {
	return len(s) <= 64 && !strings.ContainsAny(s, " \t\r\n{}")
}

// innerDocument returns the JSON document in a message: all of it, or what follows
// a prefix as in "Last error: HTTP 429: {...}". A message that refuses a request may
// echo text of the prompt, so there only a message that is a document counts.
func innerDocument(message string, refused bool) string {
	s := strings.TrimSpace(message)
	if len(s) < 2 {
		return ""
	}
	if s[0] == '{' || s[0] == '[' && strings.Contains(s[:min(len(s), 16)], "{") && !isLabel(s) || s[0] == '"' && s[1] != ' ' {
		return s
	}
	if refused {
		return ""
	}
	i := strings.IndexByte(s, '{')
	if i < 0 || i > 400 || !errorShaped(s[i:]) {
		return ""
	}
	if before := strings.TrimRight(s[:i], " \t\r\n"); strings.HasSuffix(before, "[") {
		i = len(before) - 1 // a list of errors
	}
	return s[i:]
}

// errorShaped reports whether a document that follows other text begins like an error.
func errorShaped(s string) bool {
	head := s[:min(len(s), 64)]
	for _, name := range [...]string{"error", "code", "message", "type", "detail"} {
		if strings.Contains(head, `"`+name+`"`) || strings.Contains(head, `'`+name+`'`) || strings.Contains(head, `\"`+name+`\"`) {
			return true
		}
	}
	return false
}
