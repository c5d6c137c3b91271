package ui

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/abeyance/abeyance/api"
)

// maxForm bounds the forms, in bytes.
const maxForm = 8 << 10

// loginForm is what the login shows.
type loginForm struct {
	Next   string
	Person string
	Wrong  string // what was wrong with the last attempt
	Detail string // what the API said of it, in English
}

func (d *Dashboard) showLogin(w http.ResponseWriter, r *http.Request) {
	p := d.page(r)
	p.Data = loginForm{Next: local(r.URL.Query().Get("next"))}
	d.render(w, http.StatusOK, "login.html", p)
}

// login begins a session with the token of the form.
func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	p := d.page(r)
	form, ok := p.form(w)
	if !ok {
		return
	}
	next := local(form.Get("next"))
	header, err := d.client.do(r, call{
		method: http.MethodPost, path: "/v1/session", token: cleanToken(form.Get("token")),
		body: api.SessionCreate{Person: form.Get("person")},
	}, new(api.SessionAnswer))
	if err != nil {
		d.refuseLogin(w, p, loginForm{Next: next, Person: form.Get("person")}, err)
		return
	}
	// The session that the browser had would go on for hours with nobody to end it. That there
	// was none is no mistake.
	_, _ = d.client.do(r, call{method: http.MethodDelete, path: "/v1/session"}, new(api.SessionEnded))
	w.Header()["Set-Cookie"] = header["Set-Cookie"]
	redirect(w, p.Root+next)
}

// cleanToken returns what may be a token: a stray line break must not become a header.
func cleanToken(text string) string {
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) || text == "" {
		return "none"
	}
	return text
}

func (d *Dashboard) refuseLogin(w http.ResponseWriter, p *page, form loginForm, err error) {
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok {
		d.refuse(w, p, err)
		return
	}
	switch problem.Code {
	case api.CodeUnauthorized:
		form.Wrong = p.T("login.wrong")
	case api.CodeForbiddenScope:
		form.Wrong = p.T("login.scope")
	default:
		form.Wrong, form.Detail = p.Code(problem.Code), problem.Detail
	}
	p.Data = form
	d.render(w, problem.Status, "login.html", p)
}

// logout ends the session. One that is over already is no mistake.
func (d *Dashboard) logout(w http.ResponseWriter, r *http.Request) {
	p := d.page(r)
	header, err := d.client.do(r, call{method: http.MethodDelete, path: "/v1/session"}, new(api.SessionEnded))
	if problem, ok := errors.AsType[*api.Problem](err); err != nil && (!ok || problem.Code != api.CodeUnauthorized) {
		d.refuse(w, p, err)
		return
	}
	w.Header()["Set-Cookie"] = header["Set-Cookie"]
	redirect(w, p.Root+"ui/login")
}

// form reads a form, and answers if there is none.
func (p *page) form(w http.ResponseWriter) (url.Values, bool) {
	text, err := io.ReadAll(http.MaxBytesReader(w, p.request.Body, maxForm))
	if err == nil && p.request.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		if form, err := url.ParseQuery(string(text)); err == nil {
			return form, true
		}
	}
	http.Error(w, p.T("form"), http.StatusBadRequest)
	return nil, false
}

// local returns an address below the root, or the grid's: a link must not lead elsewhere.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return ""
	}
	if u.Path != "" && !strings.HasPrefix(u.Path, "ui/") || strings.Contains(u.Path, "..") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return u.String()
}

func escape(text string) string { return url.QueryEscape(text) }
