package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api"
)

// login begins a session with a token and returns the cookie.
func (b *bench) login(as, person string) *http.Cookie {
	b.t.Helper()
	body, _ := json.Marshal(api.SessionCreate{Person: person})
	a := b.do(request{method: http.MethodPost, path: "/v1/session", as: as, body: string(body)}).want(http.StatusOK)
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 1 {
		b.t.Fatalf("%d cookies", len(cookies))
	}
	return cookies[0]
}

// with sends a request with a cookie and no token.
func (b *bench) logged(c *http.Cookie, q request) answer {
	b.t.Helper()
	q.as = "-"
	if q.header == nil {
		q.header = map[string]string{}
	}
	q.header["Cookie"] = c.Name + "=" + c.Value
	return b.do(q)
}

func TestASessionStandsForItsToken(t *testing.T) {
	b := newBench(t)
	b.pool()
	c := b.login("operate", " Mia ")
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || time.Until(c.Expires) > 13*time.Hour {
		t.Errorf("the cookie: %+v", c)
	}
	who := decode[api.SessionAnswer](b.logged(c, request{method: http.MethodGet, path: "/v1/session"}).want(http.StatusOK))
	if who.Token != "operate" || who.Person != "Mia" || who.ExpiresAt.IsZero() || len(who.Scopes) != 1 {
		t.Errorf("it is %+v", who)
	}
	if who := decode[api.SessionAnswer](b.get("/v1/session").want(http.StatusOK)); who.Token != "admin" || !who.ExpiresAt.IsZero() {
		t.Errorf("the token is %+v", who)
	}
	// It may do what the token may, and no more.
	body := `{"account":"a1","target":"claude","reason":"r","forever":true}`
	b.logged(c, request{method: http.MethodPost, path: "/v1/suspend", body: body}).want(http.StatusOK)
	b.logged(c, request{method: http.MethodPut, path: "/v1/groups", body: `{}`}).problem(http.StatusForbidden, "forbidden_scope")
	// Whatever the request says it is, it is a browser; and the person is named.
	b.logged(c, request{
		method: http.MethodPost, path: "/v1/lift", body: `{"account":"a1","target":"claude"}`, header: map[string]string{"X-Abeyance-Via": "cli"},
	}).want(http.StatusOK)
	b.logged(c, request{method: http.MethodPost, path: "/v1/suspend", body: strings.Replace(body, "{", `{"on_behalf_of":"Noor",`, 1)}).want(http.StatusOK)
	var got []string
	for _, r := range b.records() {
		if r.Actor == "operator:operate" {
			got = append(got, fmt.Sprintf("%s %s %s", r.Event.Kind(), r.Via, r.OnBehalfOf))
		}
	}
	if want := "suspended ui Mia, lifted ui Mia, suspended ui Noor"; strings.Join(got, ", ") != want {
		t.Errorf("recorded were %q, not %q", got, want)
	}
}

func TestASessionBeginsNoOther(t *testing.T) {
	b := newBench(t)
	c := b.login("read", "")
	b.logged(c, request{method: http.MethodPost, path: "/v1/session", body: `{}`}).problem(http.StatusUnauthorized, "unauthorized")
	b.do(request{method: http.MethodPost, path: "/v1/session", as: "route", body: `{}`}).problem(http.StatusForbidden, "forbidden_scope")
	b.do(request{method: http.MethodPost, path: "/v1/session", as: "-", body: `{}`}).problem(http.StatusUnauthorized, "unauthorized")
	b.do(request{method: http.MethodDelete, path: "/v1/session"}).problem(http.StatusUnprocessableEntity, "invalid")
	b.post("/v1/session", `{"person":"`+strings.Repeat("x", 65)+`"}`).problem(http.StatusUnprocessableEntity, "invalid")
}

// A server that keeps no sessions says so; its tokens work as ever.
func TestAServerWithoutSessions(t *testing.T) {
	b := newBench(t, tune{options: func(o *api.Options) { o.Sessions = nil }})
	b.post("/v1/session", `{"person":"mira"}`).problem(http.StatusNotImplemented, "not_available")
	b.get("/v1/session").want(http.StatusOK)
	b.do(request{method: http.MethodDelete, path: "/v1/session"}).problem(http.StatusUnprocessableEntity, "invalid")
}

// A page of another site has the browser send the cookie along: SameSite forbids it, and
// so does the server.
func TestASessionIsOfNoUseToAnotherSite(t *testing.T) {
	b := newBench(t)
	b.pool()
	c := b.login("operate", "Mia")
	for _, header := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.test"}, {"Origin": "null"},
	} {
		b.logged(c, request{method: http.MethodPost, path: "/v1/clear", body: `{"account":"a1"}`, header: header}).problem(http.StatusForbidden, "cross_origin")
	}
}

func TestLoggingOutEndsASession(t *testing.T) {
	b := newBench(t)
	one, two := b.login("read", "Mia"), b.login("read", "Noor")
	stream := startStream(b, one)
	a := b.logged(one, request{method: http.MethodDelete, path: "/v1/session"}).want(http.StatusOK)
	if c := a.header.Get("Set-Cookie"); !strings.Contains(c, "Max-Age=0") {
		t.Errorf("the browser keeps its cookie: %q", c)
	}
	if why := <-stream; !strings.Contains(why, ": end: the session has ended") {
		t.Errorf("the stream ended with %q", why)
	}
	b.logged(one, request{method: http.MethodGet, path: "/v1/head"}).problem(http.StatusUnauthorized, "unauthorized")
	b.logged(two, request{method: http.MethodGet, path: "/v1/head"}).want(http.StatusOK)
	// So does deleting the token.
	b.do(request{method: http.MethodDelete, path: "/v1/tokens/read"}).want(http.StatusOK)
	b.logged(two, request{method: http.MethodGet, path: "/v1/head"}).problem(http.StatusUnauthorized, "unauthorized")
}

// startStream opens a stream with a cookie and returns what it said once it has ended.
func startStream(b *bench, c *http.Cookie) <-chan string {
	b.t.Helper()
	srv := httptest.NewServer(b.server.Handler())
	b.t.Cleanup(srv.Close)
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	b.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/v1/events/stream", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.AddCookie(c)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%v, %v", resp, err)
	}
	said := make(chan string, 1)
	go func() {
		defer resp.Body.Close()
		var text strings.Builder
		buf := make([]byte, 1024)
		for {
			n, err := resp.Body.Read(buf)
			text.Write(buf[:n])
			if err != nil {
				said <- text.String()
				return
			}
		}
	}()
	return said
}

// Sessions outlive the daemon; only hashes of them are kept.
func TestSessionsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	tokens, _, err := api.OpenTokens(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *api.Server {
		sessions, err := api.OpenSessions(dir, tokens)
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, tune{starts: true})
		s, err := api.New(api.Options{Tokens: tokens, Sessions: sessions, AllowedHosts: []string{"example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		s.Ready(b.backend())
		return s
	}
	plain, err := os.ReadFile(filepath.Join(dir, api.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/session", strings.NewReader(`{"person":"Mia"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(plain)))
	w := httptest.NewRecorder()
	open().Handler().ServeHTTP(w, r)
	cookie := w.Result().Cookies()[0]
	ask := func(s *api.Server) int {
		r := httptest.NewRequest(http.MethodGet, "/v1/head", nil)
		r.AddCookie(cookie)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	if got := ask(open()); got != http.StatusOK {
		t.Errorf("after a restart: %d", got)
	}
	path := filepath.Join(dir, api.SessionsFile)
	doc, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(doc), cookie.Value) {
		t.Errorf("the file holds the cookie, or %v: %s", err, doc)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the file: %v, %v", info, err)
	}
	for name, change := range map[string][2]string{
		"it is over":        {`"expires_at": "2`, `"expires_at": "1`},
		"of another token":  {`"token": "admin"`, `"token": "other"`},
		"of an older token": {`("token_sha256": ")[0-9a-f]{8}`, `${1}00000000`},
		"of another cookie": {`("sha256": ")[0-9a-f]{8}`, `${1}00000000`},
	} {
		text := regexp.MustCompile(change[0]).ReplaceAllString(string(doc), change[1])
		if text == string(doc) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := ask(open()); got != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := ask(open()); got != http.StatusUnauthorized {
		t.Errorf("without the file: %d", got)
	}
	for name, text := range map[string]string{"damaged": "{", "format version 2": `{"version": 2}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := api.OpenSessions(dir, tokens); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The login that is over first makes room.
func TestSessionsAreBounded(t *testing.T) {
	b := newBench(t)
	first := b.login("read", "")
	time.Sleep(1100 * time.Millisecond) // ends are whole seconds
	second := b.login("read", "")
	for range 255 {
		b.login("read", "")
	}
	b.logged(first, request{method: http.MethodGet, path: "/v1/head"}).problem(http.StatusUnauthorized, "unauthorized")
	b.logged(second, request{method: http.MethodGet, path: "/v1/head"}).want(http.StatusOK)
}

// Who may only read cannot log the others out by logging in again and again.
func TestNoTokenLogsTheOthersOut(t *testing.T) {
	b := newBench(t)
	admin := b.login("admin", "Mia")
	for range 300 {
		b.login("read", "")
	}
	b.logged(admin, request{method: http.MethodGet, path: "/v1/head"}).want(http.StatusOK)
}
