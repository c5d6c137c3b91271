package signal

import (
	"slices"
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// signal puts a verdict and the hints found into the form that is stored: bounded,
// scrubbed, and independent of the answer's memory.
func (a *answer) signal(family string, v verdict) events.Signal {
	s := events.Signal{
		Class: v.class, Scope: v.scope, Window: v.window, Reason: v.reason,
		Family:     name(v.family, events.MaxID),
		Rule:       family + "/" + v.rule,
		Classifier: Version,
		Evidence:   a.evidence(),
	}
	if len(a.hints) > 0 {
		s.Hints = slices.Clone(a.hints)
	}
	for i := range s.Hints {
		h := &s.Hints[i]
		h.Source = h.Source[:min(len(h.Source), events.MaxName)] // our own text, not the answer's
		h.Raw = raw(h)
	}
	return s
}

// name makes a name that an answer may have stated fit for storage.
func name(s string, limit int) string {
	if s == "" {
		return ""
	}
	return events.Scrub(s, limit)
}

// raw is a hint as sent. One that was read as a number or a date holds nothing else.
func raw(h *events.Hint) string {
	switch h.Lost {
	case "", events.LostUnrelated, events.LostPast, events.LostZero, events.LostNegative:
		if len(h.Raw) <= 40 {
			return strings.Clone(h.Raw)
		}
	}
	return events.Scrub(h.Raw, events.MaxRaw)
}

// evidence is the decisive excerpt: the fields the rules read, then the sentence.
func (a *answer) evidence() string {
	var b strings.Builder
	b.Grow(256)
	p := &a.problem
	field(&b, "status", strconv.Itoa(a.obs.Status))
	field(&b, "code", p.code)
	field(&b, "type", p.kind)
	field(&b, "state", p.state)
	field(&b, "reason", p.reason)
	for _, n := range a.notes {
		field(&b, n.name, n.value)
	}
	for _, h := range a.hints {
		if h.Source != sourceMessage {
			_, short, _ := strings.Cut(h.Source, ".")
			if short == "" {
				short = strings.TrimPrefix(h.Source, "header:")
			}
			field(&b, short, h.Raw)
		}
	}
	if p.message != "" && p.message != p.code {
		b.WriteString(` message="`)
		b.WriteString(p.message[:min(len(p.message), events.MaxText)])
		b.WriteByte('"')
	} else if p.message == "" && a.form != formEmpty && p.code == "" && p.kind == "" {
		b.WriteString(" body=" + a.form.String())
	}
	return events.Scrub(b.String(), events.MaxText)
}

func field(b *strings.Builder, name, content string) {
	if content == "" {
		return
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(content[:min(len(content), 160)])
}
