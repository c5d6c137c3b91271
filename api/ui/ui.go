package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection/identity"
)

//go:embed templates assets text
var files embed.FS

// policy is the content security policy of the pages.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Options configure the dashboard.
type Options struct {
	// API is the whole surface of the daemon, which the dashboard calls.
	API http.Handler
	// Identities returns the book of account ids: links hold ids as they are stored, since an
	// address must not be in a URL. Nil, or a nil book: they are stored as given.
	Identities func() *identity.Book
	// Logger receives what goes wrong. Nil: nothing is logged.
	Logger *slog.Logger
	// Version is shown.
	Version string
}

// Dashboard serves the pages.
type Dashboard struct {
	client  client
	ids     func() *identity.Book
	logger  *slog.Logger
	version string
	views   map[string]*template.Template // by the name of their file
	texts   map[string]catalogue          // by language
	stamp   string                        // of the assets, in their URLs
	mux     *http.ServeMux
	making  chan struct{} // holds one for each page that is being made
	sending outbox
}

// maxMaking is how many pages are made at once. That of a large pool takes a hundred
// megabytes while it is made, and who may read may ask for many.
const maxMaking = 4

// New returns the dashboard. An error is a fault of the binary.
func New(o Options) (*Dashboard, error) {
	d := &Dashboard{client: client{o.API}, ids: o.Identities, logger: o.Logger, version: o.Version, views: map[string]*template.Template{}, making: make(chan struct{}, maxMaking), sending: outbox{most: maxSending}}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if d.ids == nil {
		d.ids = func() *identity.Book { return nil }
	}
	var err error
	if d.texts, err = catalogues(); err != nil {
		return nil, err
	}
	if err := d.parse(); err != nil {
		return nil, err
	}
	if d.stamp, err = stamp(); err != nil {
		return nil, err
	}
	d.route()
	return d, nil
}

// parse reads the templates: each view with the layout and the parts.
func (d *Dashboard) parse() error {
	views, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return err
	}
	for _, name := range views {
		t, err := template.New("layout.html").Funcs(functions()).ParseFS(files, "templates/parts/*.html", name)
		if err != nil {
			return err
		}
		d.views[path.Base(name)] = t
	}
	return nil
}

// stamp identifies the assets of this binary: a browser that has seen others asks anew.
func stamp() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, "assets", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		sum.Write(text)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:6]), err
}

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy) // in the place of the API's, which lets nothing run
	d.mux.ServeHTTP(w, r)
}

func (d *Dashboard) route() {
	d.mux = http.NewServeMux()
	d.mux.HandleFunc("GET /{$}", d.view("grid.html", d.grid))
	d.mux.HandleFunc("GET /ui/cell", d.view("cell.html", d.cell))
	d.mux.HandleFunc("GET /ui/audit", d.view("audit.html", d.audit))
	d.mux.HandleFunc("GET /ui/status", d.view("status.html", d.status))
	d.mux.HandleFunc("GET /ui/timeline", d.view("timeline.html", d.timeline))
	d.mux.HandleFunc("POST /ui/audit", d.ask)
	d.mux.HandleFunc("POST /ui/timeline", d.ask)
	d.mux.HandleFunc("GET /ui/replay", d.view("replay.html", d.replay))
	d.mux.HandleFunc("GET /ui/rows", d.view("rows.html", d.rows))
	d.mux.HandleFunc("GET /ui/login", d.showLogin)
	d.mux.HandleFunc("POST /ui/login", d.login)
	d.mux.HandleFunc("POST /ui/logout", d.logout)
	d.mux.HandleFunc("POST /ui/settings", d.settings)
	d.mux.HandleFunc("GET /ui/assets/{stamp}/{name}", d.asset)
	d.mux.HandleFunc("/", d.lost)
}

// asset serves a script or a style. Its URL changes with the binary, so that browsers may
// keep it for ever: but not under the URL of another binary, as while one replaces another.
func (d *Dashboard) asset(w http.ResponseWriter, r *http.Request) {
	text, err := files.ReadFile("assets/" + r.PathValue("name"))
	if err != nil {
		d.lost(w, r)
		return
	}
	w.Header().Set("Content-Type", assetTypes[path.Ext(r.PathValue("name"))])
	if r.PathValue("stamp") == d.stamp {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(text) // an error is the connection's
}

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// content makes what a view shows. It may return a problem of the API's.
type content func(p *page) (any, error)

// view serves a page that only who is logged in may see.
func (d *Dashboard) view(name string, m content) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := d.page(r)
		if err := d.client.get(r, "/v1/session", nil, &p.Session); err != nil {
			d.refuse(w, p, err)
			return
		}
		if stored, given := p.stored(); given {
			redirect(w, p.Root+stored)
			return
		}
		text, err := d.made(p, name, m)
		switch {
		case r.Context().Err() != nil: // nobody waits for it any more
		case err != nil:
			d.refuse(w, p, err)
		case !d.sending.enter(text.Cap()):
			d.refuse(w, p, &api.Problem{Status: http.StatusServiceUnavailable, Detail: p.T("problem.readers")})
		default:
			defer d.sending.leave(text.Cap())
			send(w, http.StatusOK, text)
		}
	}
}

// made makes a page when its turn has come. The turn is over before the page is sent: who reads
// it may be slow.
func (d *Dashboard) made(p *page, name string, m content) (*bytes.Buffer, error) {
	select {
	case d.making <- struct{}{}:
	case <-p.request.Context().Done():
		return nil, p.request.Context().Err()
	}
	defer func() { <-d.making }()
	data, err := m(p)
	if err != nil {
		return nil, err
	}
	p.Data = data
	return d.execute(name, p)
}

// ask leads from a form of filters to the page that answers it. A form that a browser makes
// an address of by itself would put an account there as it was typed.
func (d *Dashboard) ask(w http.ResponseWriter, r *http.Request) {
	p := d.page(r)
	if err := d.client.get(r, "/v1/session", nil, &p.Session); err != nil {
		d.refuse(w, p, err)
		return
	}
	form, ok := p.form(w)
	if !ok {
		return
	}
	q := url.Values{}
	for key := range form {
		if v := form.Get(key); v != "" {
			q.Set(key, v)
		}
	}
	if account := q.Get("account"); account != "" {
		q.Set("account", p.ID(account))
	}
	redirect(w, p.Root+strings.TrimPrefix(r.URL.Path, "/")+"?"+q.Encode())
}

// refuse answers with a problem of the API's: who is not logged in is asked to.
func (d *Dashboard) refuse(w http.ResponseWriter, p *page, err error) {
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok {
		d.logger.Error("a page failed", "page", p.request.URL.Path, "error", err)
		problem = &api.Problem{Status: http.StatusInternalServerError, Code: api.CodeInternal}
	}
	if problem.Code == api.CodeUnauthorized {
		if p.Fragment() { // a script asks: it reloads the page
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		redirect(w, p.Root+"ui/login?next="+escape(p.back()))
		return
	}
	p.Data = problem
	d.render(w, problem.Status, "problem.html", p)
}

// render answers with a view.
func (d *Dashboard) render(w http.ResponseWriter, status int, name string, p *page) {
	text, err := d.execute(name, p)
	if err != nil {
		d.logger.Error("a page failed", "page", p.request.URL.Path, "error", err)
		http.Error(w, p.Code(api.CodeInternal), http.StatusInternalServerError)
		return
	}
	send(w, status, text)
}

// execute makes the text of a view: as a whole, so that a fault does not answer with half a
// page.
func (d *Dashboard) execute(name string, p *page) (*bytes.Buffer, error) {
	layout := "layout.html"
	if p.Fragment() {
		layout = name
	}
	text := new(bytes.Buffer)
	return text, d.views[name].ExecuteTemplate(text, layout, p)
}

func send(w http.ResponseWriter, status int, text *bytes.Buffer) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // an error is the connection's
}

// redirect sends a browser to an address relative to the page's, which http.Redirect would
// make absolute: under the prefix of a proxy it would lead elsewhere.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func (d *Dashboard) lost(w http.ResponseWriter, r *http.Request) {
	p := d.page(r)
	p.Data = &api.Problem{Status: http.StatusNotFound, Code: api.CodeNotFound}
	d.render(w, http.StatusNotFound, "problem.html", p)
}

// page is what every view is given.
type page struct {
	request *http.Request
	dash    *Dashboard

	Root    string // the relative way to /, for links
	Assets  string // where the assets are
	Lang    string
	Theme   string // light, dark; empty: as the system has it
	Version string
	Session api.SessionAnswer
	Data    any
}

func (d *Dashboard) page(r *http.Request) *page {
	root := strings.Repeat("../", strings.Count(r.URL.Path, "/")-1)
	if root == "" {
		root = "./"
	}
	p := &page{request: r, dash: d, Root: root, Lang: d.language(r), Version: d.version}
	p.Assets = root + "ui/assets/" + d.stamp + "/"
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		p.Theme = c.Value
	}
	return p
}

// Fragment reports whether a script asks for a part of a page.
func (p *page) Fragment() bool { return p.request.Header.Get("X-Abeyance-Part") != "" }

// Name is the last part of the page's path; empty for the grid.
func (p *page) Name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.request.URL.Path, "/"), "ui/")
}

// Can reports whether the session may operate: what it may not do it is not offered.
func (p *page) Can() bool { return p.Session.Allows(api.ScopeOperate) }

// Admin reports whether the session may do everything, such as export.
func (p *page) Admin() bool { return p.Session.Allows(api.ScopeAdmin) }

// Verbs are what may be done to many cells at once.
func (p *page) Verbs() []string { return []string{"suspend", "lift", "clear", "recheck"} }

// ID is an account as links name it.
func (p *page) ID(account string) string { return p.dash.ids().Stored(account) }

// stored returns the page's address with the account named as it is stored, and whether
// it names another: somebody has typed an address into a form.
func (p *page) stored() (address string, given bool) {
	q := p.request.URL.Query()
	account := q.Get("account")
	if len(q["account"]) != 1 || p.ID(account) == account || p.Fragment() {
		return "", false
	}
	q.Set("account", p.ID(account))
	return strings.TrimPrefix(p.request.URL.Path, "/") + "?" + q.Encode(), true
}

// Given is an account as it was given, for fields and texts.
func (p *page) Given(account string) string { return p.dash.ids().Given(account) }

// Here is the page's own address below the root.
func (p *page) Here() string {
	at := strings.TrimPrefix(p.request.URL.Path, "/")
	if q := p.request.URL.RawQuery; q != "" {
		at += "?" + q
	}
	return at
}

// back is where a login leads back to: here, but without what may be an address, as of an
// account. What it is stored as is for those to know who are logged in.
func (p *page) back() string {
	q, changed := p.request.URL.Query(), false
	for key, values := range q {
		if strings.Contains(strings.Join(values, ""), "@") {
			q.Del(key)
			changed = true
		}
	}
	if !changed {
		return p.Here()
	}
	return strings.TrimPrefix(p.request.URL.Path, "/") + "?" + q.Encode()
}

// OtherLang is the language to change to.
func (p *page) OtherLang() string {
	all := languages()
	return all[(slices.Index(all, p.Lang)+1)%len(all)]
}

// OtherTheme is what the colours change to: light, dark, then as the system has it.
func (p *page) OtherTheme() string {
	switch p.Theme {
	case "":
		return "light"
	case "light":
		return "dark"
	}
	return "auto"
}

// ThemeKey is the text of the button that changes the colours.
func (p *page) ThemeKey() string { return "theme." + p.OtherTheme() }

// get asks the API.
func (p *page) get(path string, query map[string]string, into any) error {
	return p.dash.client.get(p.request, path, query, into)
}

// Code says which problem it is.
func (p *page) Code(code api.Code) string { return p.T("code." + string(code)) }

// T returns a text of the catalogue in the page's language.
func (p *page) T(key string, args ...any) string {
	text, ok := p.dash.texts[p.Lang][key]
	if !ok { // unreachable: a test looks every key up
		return key
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}
