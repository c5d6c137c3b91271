package ui_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api/ui"
	"github.com/abeyance/abeyance/projection"
)

// over is a dashboard of the site whose calls of the API go through a handler of the
// test's; it answers with a page.
func (s *site) over(api http.HandlerFunc, path string) *httptest.ResponseRecorder {
	s.t.Helper()
	d, err := ui.New(ui.Options{API: api})
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Cookie", s.cookie)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// A page is made of several answers. What is recorded between two of them must come by
// the stream, which begins after the seq that the page names.
func TestWhatHappensWhileAPageIsMadeIsNotMissed(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	for path, first := range map[string]string{"/": "/v1/summary", "/ui/cell?account=a1&target=claude": "/v1/why", "/ui/status": "/v1/summary", "/ui/timeline": "/v1/summary"} {
		before := s.engine.State().Head().Seq
		w := s.over(func(w http.ResponseWriter, r *http.Request) {
			s.server.ServeHTTP(w, r)
			if r.URL.Path == first {
				s.execute(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: "claude"}, Reason: fmt.Sprintf("%s, %d", path, before), Forever: true})
			}
		}, path)
		if s.engine.State().Head().Seq == before {
			t.Fatalf("%s: nothing was recorded meanwhile", path)
		}
		seq := regexp.MustCompile(`data-seq="(\d+)"`).FindStringSubmatch(w.Body.String())
		if seq == nil || seq[1] != fmt.Sprint(before) {
			t.Errorf("%s is followed after record %q, though a part of it is of record %d", path, seq, before)
		}
	}
}

// A browser that logs in again leaves no session behind that nobody can end; a login that
// fails ends none.
func TestALoginEndsTheOneBefore(t *testing.T) {
	s := newSite(t).ready()
	before := s.cookie
	s.post("/ui/login", url.Values{"token": {"aby_wrong"}})
	if w := s.get("/v1/session"); w.Code != http.StatusOK {
		t.Fatalf("a wrong token ended the session: %d", w.Code)
	}
	w := s.post("/ui/login", url.Values{"token": {s.token}, "person": {"Noor"}})
	if s.cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";"); s.cookie == before || len(w.Header()["Set-Cookie"]) != 1 {
		t.Fatalf("the cookies: %q", w.Header()["Set-Cookie"])
	}
	if w := s.get("/v1/session"); !strings.Contains(w.Body.String(), "Noor") {
		t.Errorf("the new session: %s", w.Body)
	}
	s.cookie = before
	if w := s.get("/v1/session"); w.Code != http.StatusUnauthorized {
		t.Errorf("the session before goes on: %d", w.Code)
	}
}

// The methods of HTTP are whatever a client writes, and labels of metrics are for ever.
func TestAMethodIsNoLabel(t *testing.T) {
	s := newSite(t).ready()
	for i := range 50 {
		s.do(httptest.NewRequest(fmt.Sprintf("EVIL%d", i), "/", nil))
		s.do(httptest.NewRequest(fmt.Sprintf("EVIL%d", i), "/ui/login", nil))
	}
	s.get("/")
	text := s.get("/metrics").Body.String()
	if strings.Contains(text, "EVIL") {
		t.Error("the metrics have methods of a client's own")
	}
	if !strings.Contains(text, `route="GET page"`) {
		t.Error("pages are not counted")
	}
}

// Who is not logged in is sent to the login, and back: not with an address in the URL.
func TestTheWayToTheLoginHoldsNoAddress(t *testing.T) {
	s := newSite(t).ready()
	s.cookie = ""
	for path, want := range map[string]string{
		"/ui/audit?account=user%40example.com&kind=lifted":    "ui/audit?kind=lifted",
		"/ui/audit?account=a1&account=user@example.com":       "ui/audit?",
		"/?q=user@example.com&sort=back":                      "?sort=back",
		"/ui/cell?account=acct_0123456789abcdef0123&at=seq:4": "ui/cell?account=acct_0123456789abcdef0123&at=seq:4",
	} {
		to, err := url.Parse(s.get(path).Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if got := to.Query().Get("next"); got != want {
			t.Errorf("%s: after the login comes %q, not %q", path, got, want)
		}
	}
}

// A filter by an address leads to a page whose own address does not hold it.
func TestAFilterByAnAddress(t *testing.T) {
	s := newSite(t).ready()
	s.account("user@example.com")
	for _, path := range []string{"/ui/audit", "/ui/timeline"} {
		page := s.get(path + "?account=" + s.book.Stored("user@example.com")).Body.String()
		form := regexp.MustCompile(`<form class="tools" method="(\w+)"`).FindStringSubmatch(page)
		if form == nil || form[1] != "post" || !strings.Contains(page, `name="account" value="user@example.com"`) {
			t.Errorf("%s: the browser would put the account into the address: %q", path, form)
		}
		w := s.post(path, url.Values{"account": {"user@example.com"}, "target": {"claude"}, "provider": {""}})
		want := ".." + path + "?account=" + s.book.Stored("user@example.com") + "&target=claude"
		if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != want {
			t.Errorf("%s leads to %d %q, not %q", path, w.Code, got, want)
		}
	}
	s.cookie = ""
	w := s.post("/ui/audit", url.Values{"account": {"user@example.com"}})
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != "../ui/login?next=ui%2Faudit" {
		t.Errorf("nobody is led to %d %q", w.Code, got)
	}
}

// An account that is named twice is not sent on, and still no link holds an address.
func TestAnAccountGivenTwice(t *testing.T) {
	s := newSite(t).ready()
	s.account("user@example.com")
	w := s.get("/ui/cell?account=user@example.com&account=x&at=seq:3")
	for _, l := range regexp.MustCompile(`(?:href|action|src)="([^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if strings.Contains(l[1], "example.com") {
			t.Errorf("it links to %s", l[1])
		}
	}
}

// Who may read asks for many pages at once: so many are made that the memory for a large
// pool is bounded, and the others come after them.
func TestFewPagesAreMadeAtOnce(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	var mu sync.Mutex
	now, most := 0, 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most = max(most, now)
	}
	d, err := ui.New(ui.Options{API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/cells" {
			count(1)
			time.Sleep(10 * time.Millisecond) // long enough for all the others to begin
			defer count(-1)
		}
		s.server.ServeHTTP(w, r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
			r.Header.Set("Cookie", s.cookie)
			if d.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Errorf("a page answered %d", w.Code)
			}
		})
	}
	wg.Wait()
	if most > 4 || most < 2 {
		t.Errorf("%d pages were made at once", most)
	}
	// Who gave up does not wait for a turn.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, w := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx), httptest.NewRecorder()
	r.Header.Set("Cookie", s.cookie)
	d.ServeHTTP(w, r)
}

// An asset under the stamp of another binary, as a browser asks while one replaces the
// other, must not be kept for ever.
func TestAnAssetOfAnotherBinaryIsNotKept(t *testing.T) {
	s := newSite(t)
	w := s.get("/ui/assets/000000000000/abeyance.css")
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("it answered %d, Cache-Control: %s", w.Code, w.Header().Get("Cache-Control"))
	}
}

// A timeline of a provider without 429s looks at those of the others: not at all of a
// log without end.
func TestATimelineLooksAtBoundedRecords(t *testing.T) {
	s := newSite(t).ready()
	row := `{"seq":9,"at":"2026-01-01T00:00:00.000Z","kind":"limit_observed","account":"a1","data":{"provider":"other","target":"claude"}}`
	full := `{"as_of_seq":9,"now":"2026-01-01T00:00:00.000Z","items":[` + strings.Repeat(row+",", 999) + row + `],"next_page_token":"more"}`
	asked := 0
	w := s.over(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			s.server.ServeHTTP(w, r)
			return
		}
		if asked++; asked > 1000 {
			http.Error(w, "{}", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(full))
	}, "/ui/timeline?provider=antigravity&from=2000-01-01T00:00:00Z")
	if w.Code != http.StatusOK || asked != 200 || !strings.Contains(w.Body.String(), "more than is drawn") {
		t.Errorf("it answered %d after %d pages", w.Code, asked)
	}
}

// slow is a reader that reads nothing until it is freed.
type slow struct {
	*httptest.ResponseRecorder
	began chan<- struct{}
	freed <-chan struct{}
}

func (w slow) Write(p []byte) (int, error) {
	w.began <- struct{}{}
	<-w.freed
	return w.ResponseRecorder.Write(p)
}

// Readers that do not read keep nobody from the pages.
func TestSlowReadersKeepNobodyWaiting(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const readers = 20
	began, freed := make(chan struct{}, readers), make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(freed)
	for range readers {
		w := slow{httptest.NewRecorder(), began, freed}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		r.Header.Set("Cookie", s.cookie)
		wg.Go(func() { s.server.Handler().ServeHTTP(w, r) })
	}
	for n := range readers {
		select {
		case <-began:
		case <-ctx.Done():
			t.Fatalf("only %d readers were answered", n)
		}
	}
	if w := s.get("/ui/status"); w.Code != http.StatusOK {
		t.Errorf("another page answered %d", w.Code)
	}
}
