package ui_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/api/ui"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server with its dashboard over an engine on a log in memory.
type site struct {
	t      *testing.T
	server *api.Server
	engine *projection.Engine
	book   *identity.Book
	token  string
	cookie string
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	tokens, _, err := api.OpenTokens(dir)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.ReadFile(filepath.Join(dir, api.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := api.OpenSessions(dir, tokens)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, book: identity.New(), token: strings.TrimSpace(string(plain))}
	if s.server, err = api.New(api.Options{Tokens: tokens, Sessions: sessions, AllowedHosts: []string{"example.com"}}); err != nil {
		t.Fatal(err)
	}
	pages, err := ui.New(ui.Options{API: s.server.Handler(), Identities: func() *identity.Book { return s.book }, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.server.Dashboard(pages)
	if s.engine, err = projection.Open(t.Context(), eventstest.New(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.engine.Close() })
	return s
}

// ready ends the start, and logs in.
func (s *site) ready() *site {
	s.t.Helper()
	s.server.Ready(api.Backend{Engine: s.engine, Router: router.New(s.engine, &router.Options{Identities: s.book}), Identities: s.book})
	w := s.post("/ui/login", url.Values{"token": {s.token}, "person": {"Mia"}})
	s.cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
	if w.Code != http.StatusSeeOther || s.cookie == "" {
		s.t.Fatalf("logging in answered %d %s", w.Code, w.Body)
	}
	return s
}

func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	if s.cookie != "" {
		r.Header.Set("Cookie", s.cookie)
	}
	w := httptest.NewRecorder()
	s.server.Handler().ServeHTTP(w, r)
	return w
}

func (s *site) get(path string) *httptest.ResponseRecorder {
	return s.do(httptest.NewRequest(http.MethodGet, path, nil))
}

func (s *site) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

func (s *site) execute(do projection.Intent) {
	s.t.Helper()
	_, err := s.engine.Execute(context.Background(), projection.Command{Origin: events.Origin{Actor: "operator:test", Via: events.ViaGo}, Do: do})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) account(id string) {
	s.t.Helper()
	if err := s.book.Add(id); err != nil {
		s.t.Fatal(err)
	}
	s.execute(&projection.PutAccount{ID: s.book.Stored(id), Spec: events.AccountSpec{Provider: "antigravity", Weight: 1}})
}

// pages are all pages that show data.
func pages() []string {
	return []string{"/", "/ui/rows?account=a1", "/ui/cell?account=a1&target=claude", "/ui/timeline", "/ui/replay", "/ui/audit", "/ui/audit?seq=1", "/ui/status"}
}

func TestNothingIsShownBeforeLogin(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	for _, path := range pages() {
		if w := s.get(path); w.Code != http.StatusOK {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
	}
	s.cookie = ""
	for _, path := range pages() {
		w := s.get(path)
		if w.Code != http.StatusSeeOther || w.Body.Len() != 0 || !strings.Contains(w.Header().Get("Location"), "ui/login?next=") {
			t.Errorf("%s answered %d %q to nobody: %s", path, w.Code, w.Header().Get("Location"), w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/ui/rows?account=a1", nil)
	r.Header.Set("X-Abeyance-Part", "1")
	if w := s.do(r); w.Code != http.StatusUnauthorized || w.Body.Len() != 0 {
		t.Errorf("a part answered %d %s to nobody", w.Code, w.Body)
	}
}

// The page says that the log is being read, and shows nothing yet.
func TestWhileTheLogIsRead(t *testing.T) {
	s := newSite(t)
	for _, path := range pages() {
		if w := s.get(path); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "the log is being read") {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
	}
	if w := s.post("/ui/login", url.Values{"token": {s.token}}); w.Code != http.StatusServiceUnavailable || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("logging in answered %d", w.Code)
	}
}

func TestLoggingIn(t *testing.T) {
	s := newSite(t).ready()
	s.cookie = ""
	for _, token := range []string{"", "wrong", "aby_wrong", s.token + "x", "a b", "x\r\nX-Evil: 1", strings.Repeat("x", 5000)} {
		w := s.post("/ui/login", url.Values{"token": {token}, "person": {"Mia"}})
		if w.Code != http.StatusUnauthorized || w.Header().Get("Set-Cookie") != "" || !strings.Contains(w.Body.String(), "No such token") {
			t.Errorf("%.20q answered %d", token, w.Code)
		}
		if token != "" && strings.Contains(w.Body.String(), token) {
			t.Errorf("the page repeats %.20q", token)
		}
	}
	if w := s.post("/ui/login", url.Values{"token": {s.token}, "person": {strings.Repeat("x", 9000)}}); w.Code != http.StatusBadRequest {
		t.Errorf("a long form answered %d", w.Code)
	}
	for next, want := range map[string]string{
		"": "../", "ui/audit?account=a1": "../ui/audit?account=a1", "?q=x": "../?q=x", "https://evil.test/": "../", "//evil.test": "../",
		"/ui/audit": "../", `\\evil.test`: "../", "ui/../../x": "../", "javascript:alert(1)": "../", "ui/audit\r\nX: 1": "../", "v1/export": "../",
	} {
		w := s.post("/ui/login", url.Values{"token": {s.token}, "next": {next}})
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("%q leads to %q, not %q", next, got, want)
		}
	}
}

// A block's page links to the definitions that it was decided under, which may be others
// than those in force.
func TestABlockShowsTheRulesOfThen(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	s.execute(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: "claude"}, Reason: "r", Forever: true})
	s.execute(&projection.DefineGroups{Config: projection.GroupsConfig{Aliases: map[string]map[string]string{"antigravity": {"x": "y"}}}})
	body := s.get("/ui/cell?account=a1&target=claude").Body.String()
	then, now, both := strings.Cut(body, "In force:")
	if !both || !strings.Contains(then, "Rules of then</h3>") || !strings.Contains(then, ">groups version 1</a>") || !strings.Contains(now, ">groups version 2</a>") {
		t.Errorf("the page is\n%s", body)
	}
}

// A person in an e-mail's form does not reach the log, and no link holds an address.
func TestNoAddressIsInALink(t *testing.T) {
	s := newSite(t).ready()
	const given = "user@example.com"
	s.account(given)
	s.execute(&projection.Suspend{
		Filter: projection.Filter{Account: s.book.Stored(given), Target: "claude"}, Reason: "r", Forever: true,
	})
	link := regexp.MustCompile(`(?:href|action|src)="([^"]*)"`)
	for _, path := range []string{
		"/", "/ui/cell?account=" + s.book.Stored(given) + "&target=claude", "/ui/cell?account=" + s.book.Stored(given), "/ui/timeline", "/ui/replay", "/ui/audit",
		"/ui/audit?seq=4&account=" + s.book.Stored(given), "/ui/status",
	} {
		w := s.get(path)
		if w.Code != http.StatusOK {
			t.Errorf("%s answered %d", path, w.Code)
		}
		links := link.FindAllStringSubmatch(w.Body.String(), -1)
		if len(links) < 8 {
			t.Errorf("%s has %d links", path, len(links))
		}
		for _, l := range links {
			if strings.Contains(l[1], "example.com") {
				t.Errorf("%s links to %s", path, l[1])
			}
		}
		if path != "/ui/status" && path != "/ui/timeline" && !strings.Contains(w.Body.String(), given) {
			t.Errorf("%s does not show the account as it was given", path)
		}
	}
	for _, path := range []string{"/ui/cell", "/ui/audit", "/ui/timeline"} {
		w := s.get(path + "?" + url.Values{"account": {given}}.Encode())
		if want := ".." + path + "?account=" + s.book.Stored(given); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%s leads to %d %q, not %q", path, w.Code, w.Header().Get("Location"), want)
		}
	}
}

func TestHeadersOfThePages(t *testing.T) {
	s := newSite(t).ready()
	for _, path := range append(pages(), "/ui/login", "/ui/nothing", "/ui/assets/x/nothing") {
		h := s.get(path).Header()
		for name, want := range map[string]string{
			"Content-Security-Policy":      "script-src 'self'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-store",
		} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestAssetsMayBeKept(t *testing.T) {
	s := newSite(t)
	name := regexp.MustCompile(`ui/assets/[0-9a-f]{12}/abeyance\.css`).FindString(s.get("/ui/login").Body.String())
	w := s.get("/" + name)
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("%s answered %d %v", name, w.Code, w.Header())
	}
	for _, path := range []string{"/ui/assets/x/../ui.go", "/ui/assets/x/%2e%2e%2fui.go", "/ui/assets/x/..%2Ftext%2Fen.json"} {
		if w := s.get(path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

func TestBadQuestionsGetAClearPage(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	for path, want := range map[string]string{
		"/ui/cell":                          "ask about an account",
		"/ui/cell?account=nosuch":           "no account &#34;nosuch&#34; is known",
		"/ui/cell?account=a1&target=nosuch": "no group",
		"/ui/cell?account=a1&at=seq:99":     "99",
		"/ui/audit?kind=nosuch":             "is none of",
		"/ui/audit?seq=x":                   "&#34;x&#34; is no number",
		"/ui/audit?seq=stream":              "is no number",
		"/ui/audit?seq=0":                   "0 is not within",
		"/ui/audit?seq=99":                  "99",
		"/ui/audit?since=yesterday":         "since",
		"/ui/timeline?from=yesterday":       "&#34;yesterday&#34; is no time",
		"/ui/timeline?by=color":             "account or group",
		"/ui/timeline?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z": "a minute long",
		"/ui/replay?at=never":   "never",
		"/ui/replay?from=never": "is no time",
		"/ui/nothing":           "no such page",
	} {
		w := s.get(path)
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s answered %d, without %q: %s", path, w.Code, want, main(w.Body))
		}
	}
	if w := s.do(httptest.NewRequest(http.MethodPost, "/ui/cell", nil)); w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
		t.Errorf("a post to a page answered %d", w.Code)
	}
}

// What is wrong is said in the language of the page; what the API says of it stands below.
func TestProblemsInChinese(t *testing.T) {
	s := newSite(t).ready()
	s.cookie += "; abeyance_lang=zh-CN"
	for path, want := range map[string][]string{
		"/ui/audit?seq=x":          {"有一个值不正确。", "&#34;x&#34; 不是记录编号"},
		"/ui/cell?account=nosuch":  {"没有这个账号。", "no account &#34;nosuch&#34; is known"},
		"/ui/audit?seq=99":         {"没有这条记录。", "99"},
		"/ui/nothing":              {"没有这个页面。"},
		"/ui/cell?account=a&at=no": {"有一个值不正确。", "at:"},
	} {
		page := main(s.get(path).Body)
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s does not say %q: %s", path, text, page)
			}
		}
		if strings.Contains(page, "is no number") || strings.Contains(page, "no such page") {
			t.Errorf("%s is not all Chinese: %s", path, page)
		}
	}
	s.cookie = "abeyance_lang=zh-CN"
	for range 1000 {
		w := s.post("/ui/login", url.Values{"token": {"aby_wrong"}})
		if w.Code == http.StatusUnauthorized {
			continue
		}
		if text := w.Body.String(); w.Code != http.StatusTooManyRequests || !strings.Contains(text, "您的地址提交了过多错误令牌") || !strings.Contains(text, `<span class="detail" lang="en">too many wrong tokens`) {
			t.Errorf("the login answered %d %s", w.Code, text)
		}
		return
	}
	t.Error("a thousand wrong tokens are not too many")
}

// main is the part of a page that matters.
func main(r io.Reader) string {
	text, _ := io.ReadAll(r)
	_, after, _ := strings.Cut(string(text), "<main")
	return after
}

// A token that may only read is offered no action.
func TestWhoMayOnlyReadIsOfferedNoAction(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	paths := []string{"/", "/ui/cell?account=a1&target=claude"}
	for _, path := range paths {
		if !strings.Contains(s.get(path).Body.String(), "data-verb") {
			t.Errorf("%s offers nothing to an admin", path)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/tokens", strings.NewReader(`{"name":"reader","scopes":["read"]}`))
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	s.cookie = ""
	token := regexp.MustCompile(`aby_[A-Za-z0-9_-]+`).FindString(s.do(r).Body.String())
	w := s.post("/ui/login", url.Values{"token": {token}})
	s.cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
	for _, path := range paths {
		if w := s.get(path); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "data-verb") || strings.Contains(w.Body.String(), "<dialog") {
			t.Errorf("%s answered %d and offers actions to a reader", path, w.Code)
		}
	}
	if strings.Contains(s.get("/ui/audit").Body.String(), "v1/export") {
		t.Error("an export is offered to a reader")
	}
}
