package ui

import (
	"encoding/json"
	"errors"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// functions are what templates may call beside the methods of the page.
func functions() template.FuncMap {
	return template.FuncMap{
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"shape": shape,
		"pair":  func(p *page, v any) pair { return pair{p, v} },
	}
}

// pair hands the page to a part together with what the part is about.
type pair struct {
	P *page
	V any
}

// shape is what a state looks like beside its word and its colour.
func shape(status string) string {
	switch status {
	case string(projection.StatusAvailable):
		return "●"
	case string(projection.StatusCooling):
		return "◔"
	case string(projection.StatusHeld):
		return "■"
	case string(projection.StatusSuspended):
		return "▮▮"
	}
	return "○"
}

// Left says how long it is until an instant, in the page's language: the two largest
// units that matter. The scripts say it in the same way.
func (p *page) Left(now, at time.Time) string {
	d := at.Sub(now)
	if d <= 0 {
		return p.T("time.due")
	}
	return p.T("time.in", p.Span(d))
}

// Span is a length of time in words.
func (p *page) Span(d time.Duration) string {
	seconds := int64((d + time.Second - 1) / time.Second)
	days, hours, minutes := seconds/86400, seconds/3600%24, seconds/60%60
	switch {
	case days > 0:
		return p.T("time.dh", days, hours)
	case hours > 0:
		return p.T("time.hm", hours, minutes)
	case minutes > 0:
		return p.T("time.ms", minutes, seconds%60)
	}
	return p.T("time.s", seconds)
}

// Seconds is a length of time in words.
func (p *page) Seconds(s float64) string { return p.Span(time.Duration(s * float64(time.Second))) }

// Clock is an instant in words, in UTC, as logs have it.
func (p *page) Clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// scriptTexts are the groups of texts that scripts need.
func scriptTexts() []string { return []string{"act", "code", "js", "origin", "state", "time"} }

// Words is the part of the catalogue that scripts need, as JSON.
func (p *page) Words() (string, error) {
	some := catalogue{}
	for key, text := range p.dash.texts[p.Lang] {
		if group, _, _ := strings.Cut(key, "."); slices.Contains(scriptTexts(), group) {
			some[key] = text
		}
	}
	text, err := json.Marshal(some)
	return string(text), err
}

func isUnknown(err error) bool {
	problem, ok := errors.AsType[*api.Problem](err)
	return ok && problem.Code == api.Code(projection.CodeUnknownAccount)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
