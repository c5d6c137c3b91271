package ui_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// call posts to the API as an admin, and returns a member of the answer.
func (s *site) call(path, body, member string) string {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.server.Handler().ServeHTTP(w, r)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		s.t.Fatalf("%s answered %d %s, %v", path, w.Code, w.Body, err)
	}
	text, _ := answer[member].(string)
	return text
}

// configured puts an account of a provider into the pool.
func (s *site) configured(id, provider string) {
	s.t.Helper()
	s.execute(&projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: provider, Weight: 1}})
}

// minutesAgo is the query of a range that began some minutes ago.
func minutesAgo(n int) string {
	return url.Values{"from": {time.Now().UTC().Add(-time.Duration(n) * time.Minute).Format(time.RFC3339)}}.Encode()
}

// A probe that finds the quota back is marked, as one that is refused is.
func TestAProbeThatIsServedIsMarked(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	s.configured("c1", "codex") // another group: probes of one are spaced
	for model, status := range map[string]int{`"account":"a1","provider":"antigravity","model":"claude-opus-4-6"`: 200, `"account":"c1","provider":"codex","model":"gpt-5"`: 429} {
		report := "{" + model + `,"headers":{"Retry-After":"3600"},"status":%d,"lease":%q}`
		target := s.call("/v1/reports", fmt.Sprintf(report, 429, ""), "target")
		s.call("/v1/recheck", `{`+strings.Split(model, ",")[0]+`,"target":"`+target+`","reason":"r"}`, "")
		_, ask, _ := strings.Cut(model, ",")
		lease := s.call("/v1/pick", "{"+ask+"}", "lease")
		if !strings.Contains(lease, ".p") {
			t.Fatalf("%q is no probe's lease", lease)
		}
		s.call("/v1/reports", fmt.Sprintf(report, status, lease), "effect")
	}
	_, lanes, _ := strings.Cut(s.get("/ui/timeline?"+minutesAgo(5)).Body.String(), `<g class="lane">`)
	for class, want := range map[string]int{"limit": 2, "probe": 1, "served": 1} {
		if n := strings.Count(lanes, `<path class="`+class+`"`); n != want {
			t.Errorf("%d marks of the kind %s, not %d, in:\n%s", n, class, want, lanes)
		}
	}
}

// The legend shows what the bars show, beside their colours, even above an empty picture.
func TestTheLegendShowsThePatterns(t *testing.T) {
	s := newSite(t).ready()
	_, after, _ := strings.Cut(s.get("/ui/timeline").Body.String(), `<ul class="legend">`)
	legend, _, _ := strings.Cut(after, "</ul>")
	for _, part := range []string{`<pattern id="dots"`, `<pattern id="stripes"`, `class="b-held" width="26" height="12"/><rect fill="url(#dots)"`, `class="b-suspended" width="26" height="12"/><rect fill="url(#stripes)"`, `class="served"`} {
		if !strings.Contains(legend, part) {
			t.Errorf("the legend lacks %s: %s", part, legend)
		}
	}
}

// From the newest range nothing leads on; the range that ends now has no end in its
// address.
func TestNothingIsLaterThanNow(t *testing.T) {
	s := newSite(t).ready()
	later := regexp.MustCompile(`<a id="later" ([^>]*)>`)
	if got := later.FindStringSubmatch(s.get("/ui/timeline").Body.String()); got == nil || strings.Contains(got[1], "href") {
		t.Errorf("the newest range leads on: %q", got)
	}
	q := url.Values{"from": {"2026-01-01T00:00:00Z"}, "to": {"2026-01-02T00:00:00Z"}}
	if got := later.FindStringSubmatch(s.get("/ui/timeline?" + q.Encode()).Body.String()); got == nil || !strings.Contains(got[1], "to=2026-01-02T12%3A00%3A00Z") {
		t.Errorf("a range of the past leads to %q", got)
	}
}

// order lists the providers and groups of a page, as they come.
func (s *site) order(path string) []string {
	s.t.Helper()
	var list []string
	for _, m := range regexp.MustCompile(`<section class="pool" data-provider="([^"]+)"|<th scope="col" data-group="([^"]+)"`).FindAllStringSubmatch(s.get(path).Body.String(), -1) {
		list = append(list, m[1]+m[2])
	}
	return list
}

// What has nothing usable comes first in the past, as it does in the present.
func TestThePastIsSortedAsThePresentIs(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	s.configured("c1", "codex")
	same := func(first string) {
		t.Helper()
		now, then := s.order("/"), s.order("/ui/replay")
		if len(now) < 5 || now[0] != first || !slices.Equal(now, then) {
			t.Errorf("the pool is sorted %q, the past %q", now, then)
		}
	}
	same("antigravity")
	s.execute(&projection.Suspend{Filter: projection.Filter{Account: "c1", Target: "codex-spark"}, Reason: "r", Forever: true})
	same("codex")
	before := s.engine.State().Head().Seq
	s.execute(&projection.Suspend{Filter: projection.Filter{Account: "a1", Target: "gemini-pro"}, Reason: "r", Forever: true})
	same("antigravity")
	if got := s.order("/"); got[1] != "gemini-pro" {
		t.Fatalf("the columns of the pool: %q", got)
	}
	if got := s.order(fmt.Sprintf("/ui/replay?at=seq:%d", before)); got[0] != "codex" {
		t.Errorf("the record before is sorted %q", got)
	}
}

// A minute on from a moment of this minute is now, and not the future.
func TestNoMinuteIsInTheFuture(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	at := regexp.MustCompile(`data-minute-next="([^"]+)"`)
	path := "/ui/replay"
	for range 3 {
		w := s.get(path)
		next := at.FindStringSubmatch(w.Body.String())
		if w.Code != http.StatusOK || next == nil {
			t.Fatalf("%s answered %d %s", path, w.Code, main(w.Body))
		}
		path = "/ui/replay?" + url.Values{"at": {strings.ReplaceAll(next[1], "&#43;", "+")}}.Encode()
	}
}
