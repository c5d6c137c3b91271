package ui

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/language"
)

// Names of the cookies that hold a browser's settings. They are no secrets.
const (
	langCookie  = "abeyance_lang"
	themeCookie = "abeyance_theme"
)

// catalogue :: key → text of one language. Texts with places for values are fmt formats
// with numbered verbs, since languages order them differently.
type catalogue map[string]string

// defaultLang is what a browser gets that asks for none of ours.
const defaultLang = "en"

// languages are those that there is a catalogue of, the default first.
func languages() []string { return []string{defaultLang, "zh-CN"} }

func catalogues() (map[string]catalogue, error) {
	all := map[string]catalogue{}
	names, err := fs.Glob(files, "text/*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var c catalogue
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[strings.TrimSuffix(path.Base(name), ".json")] = c
	}
	return all, nil
}

// language chooses by the browser's own setting, or else by what it says it reads.
func (d *Dashboard) language(r *http.Request) string {
	if c, err := r.Cookie(langCookie); err == nil && d.texts[c.Value] != nil {
		return c.Value
	}
	var offered []language.Tag
	for _, name := range languages() {
		offered = append(offered, language.MustParse(name))
	}
	_, i := language.MatchStrings(language.NewMatcher(offered), r.Header.Get("Accept-Language"))
	return languages()[i]
}

// settings keeps a browser's language and colours, and goes back to where it was.
func (d *Dashboard) settings(w http.ResponseWriter, r *http.Request) {
	p := d.page(r)
	form, ok := p.form(w)
	if !ok {
		return
	}
	if lang := form.Get("lang"); d.texts[lang] != nil {
		http.SetCookie(w, setting(langCookie, lang))
	}
	if theme := form.Get("theme"); theme == "light" || theme == "dark" || theme == "auto" {
		http.SetCookie(w, setting(themeCookie, theme))
	}
	redirect(w, p.Root+local(form.Get("next")))
}

func setting(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}
