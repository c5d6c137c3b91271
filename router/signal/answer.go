package signal

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// answer is one observation taken apart: what the rules of a family read. A family
// first collects the hints, then judges.
type answer struct {
	obs      *Observation
	provider string // lower case
	status   int    // of the innermost error: HTTP's, or what a frame or a 200 body states
	header   http.Header
	form     form
	body     string // cut at MaxBody, without space before it
	problem  problem
	low      string // the message in lower case: what text rules search
	named    struct {
		low    string // what window last looked at
		window events.Window
	}
	when  moment
	limit string // Codex: the limit named, with dashes
	hints []events.Hint
	notes []note
	store struct {
		hints [8]events.Hint
		notes [8]note
	}
}

// note is one decisive field, for the evidence.
type note struct{ name, value string }

// moment holds what is known about when the answer was sent. Zero times are unknown.
type moment struct{ observed, sent time.Time }

// past reports whether t lies before the answer, as far as that is known.
func (c moment) past(t time.Time) bool {
	return !c.sent.IsZero() && !t.After(c.sent) || !c.observed.IsZero() && !t.After(c.observed)
}

// maxHeader is how much of one header value is read.
const maxHeader = 1 << 10

// get returns the first value of a header, trimmed. The name must be canonical.
func (a *answer) get(name string) string {
	values := a.header[name]
	if len(values) == 0 {
		return ""
	}
	return strings.TrimSpace(values[0][:min(len(values[0]), maxHeader)])
}

// note records a decisive field for the evidence.
func (a *answer) note(name, content string) {
	if content != "" && len(a.notes) < 16 {
		a.notes = append(a.notes, note{name, content})
	}
}

// says reports whether the message contains one of the phrases, which are in lower
// case. An answer that blames the request may quote the prompt, so that there only
// what the provider says before any quotation counts.
func (a *answer) says(phrases ...string) bool {
	low := a.low
	if a.refusesRequest() {
		low = unquoted(low)
	}
	for _, p := range phrases {
		if strings.Contains(low, p) {
			return true
		}
	}
	return false
}

// unquoted is the beginning of a message up to a quotation, at most 160 bytes.
func unquoted(low string) string {
	low = low[:min(len(low), 160)]
	for _, mark := range [...]string{`"`, "`", " '", "“", "{"} {
		if i := strings.Index(low, mark); i >= 0 {
			low = low[:i]
		}
	}
	return low
}

// coded reports whether the error's code, type, reason or status is one of the
// names, which are in lower case.
func (a *answer) coded(names ...string) bool {
	p := &a.problem
	for _, have := range [...]string{p.code, p.kind, p.reason, p.state} {
		if have == "" {
			continue
		}
		for _, want := range names {
			if strings.EqualFold(have, want) {
				return true
			}
		}
	}
	return false
}

// canonical returns h with canonical names. It copies only if it must; of names
// that differ in case only, the bytewise first wins.
func canonical(h http.Header) http.Header {
	odd := false
	for name := range h {
		if name != http.CanonicalHeaderKey(name) {
			odd = true
			break
		}
	}
	if !odd {
		return h
	}
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make(http.Header, len(h))
	for _, name := range names {
		key := http.CanonicalHeaderKey(name)
		if _, taken := out[key]; !taken {
			out[key] = h[name]
		}
	}
	return out
}

// withFrame adds the headers of a WebSocket frame, which are the nearer ones.
func withFrame(h http.Header, frame value) http.Header {
	if frame.kind() != object {
		return h
	}
	out := h.Clone()
	if out == nil {
		out = make(http.Header)
	}
	for m := frame.first(); m.t != nil; m = m.next() {
		v := m
		if v.kind() == array {
			v = v.first()
		}
		if s := v.text(); s != "" {
			out[http.CanonicalHeaderKey(m.key())] = []string{s}
		}
	}
	return out
}
