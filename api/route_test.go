package api_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
)

// TestEveryRouteHasATranscript plays testdata/routes/OPERATION.txt of each route of the
// table: what it does; without a token, and with one of each scope; with each kind of bad
// input; and one request for each code that the document says it can answer.
//
// For a route without a transcript, -update drafts one from the document. What the draft
// lacks is then named by the test, and is to be written by hand: requests as in other
// transcripts, after which
//
//	> as NAME           is the token, - for none; without it: admin
//	> Header: value     is a header
//	> to N bytes        pads the body with spaces
//	= pool              puts two accounts into the pool
//	= whole             gives the server a log that it can verify and copy
//	= own SECTION       has a configuration file own accounts, groups or policy
//	> in a session      is a browser that was just logged in, instead of a token
//	{x*300}             stands for 300 times x, anywhere in a request
//
// A problem is shown in a line, as STATUS CODE: DETAIL.
func TestEveryRouteHasATranscript(t *testing.T) {
	d := theDocument(t)
	known := map[string]bool{}
	for route := range api.RouteScopes() {
		name, _ := d.object(operation(route)...)["operationId"].(string)
		file := filepath.Join("testdata", "routes", name+".txt")
		known[file] = true
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				text = []byte(d.draft(route))
			}
			if err != nil && !*update {
				t.Fatalf("%s has no transcript; draft one with: go test ./api -run %s -update", route, t.Name())
			}
			s := &script{bench: newBench(t), route: route, seen: map[string]bool{}}
			got := s.play(string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("the answers changed (-want +got):\n%s", diff)
			}
			s.complete(d)
		})
	}
	files, err := filepath.Glob("testdata/routes/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !known[file] {
			t.Errorf("%s is of no route", file)
		}
	}
}

// elsewhere are the codes that say more about the server's state than about a request:
// they are alike on all routes, and tested where the state is made.
func elsewhere() map[string]string {
	return map[string]string{
		"misdirected_request":   "TestHostsComeBeforeRoutes, on every route",
		"too_many_wrong_tokens": "TestWrongTokensArePaced; the guard comes before the routes",
		"too_many_changes":      "TestChangesOfOneTokenArePaced; the guard comes before the routes",
		"invalid_config":        "TestReloadsThatFail; it takes a file",

		"starting":        "TestRule8StartingAnswersEveryRoute, on every route",
		"internal":        "TestInternalFaultsAreNotShown; it takes a fault",
		"busy":            "TestProblemsOfTheEngine, and package projection",
		"disk_full":       "TestRule05AFullDiskOverHTTP",
		"stopped":         "TestReadyzFollowsTheEngine, and of streams TestStreamsEndWithTheEngine",
		"outcome_unknown": "TestRule05DegradedOverHTTP",
		"canceled":        "TestACommandWhoseClientHasLeft",
		"request_timeout": "TestABodyThatDoesNotArrive",
		// A definition of 1 MiB takes a body that is larger than what is read, unless it
		// inherits much.
		"definition_too_large": "TestProblemsOfTheEngine, and package projection",
		"pool_full":            "TestProblemsOfTheEngine, and package projection; it takes 100 000 accounts",
	}
}

// script is one transcript of a route being played.
type script struct {
	*bench
	route string
	seen  map[string]bool // "STATUS CODE" of the route's own answers, and what was done
}

// play makes the requests and returns the transcript with the answers.
func (s *script) play(text string) string {
	s.t.Helper()
	var out strings.Builder
	var q *request
	ask := func() {
		if q != nil {
			out.WriteString(s.ask(*q))
		}
		q = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "<") {
			continue // written anew
		}
		rest, more := strings.CutPrefix(line, "> ")
		if !more || startsRequest(rest) {
			ask()
		}
		out.WriteString(line + "\n")
		switch {
		case line == "= pool":
			s.pool()
		case line == "= whole":
			s.whole()
		case strings.HasPrefix(line, "= own "):
			s.own(api.Section(line[len("= own "):]))
		case more && startsRequest(rest):
			q = &request{header: map[string]string{}}
			q.method, q.path, _ = strings.Cut(expand(rest), " ")
		case more:
			s.part(q, rest)
		}
	}
	ask()
	return out.String()
}

func startsRequest(line string) bool {
	return regexp.MustCompile(`^[A-Z]+ /`).MatchString(line)
}

var (
	repeated = regexp.MustCompile(`\{(.)\*(\d+)\}`)
	header   = regexp.MustCompile(`^([A-Za-z-]+): (.*)$`)
)

// expand writes out what a transcript abbreviates.
func expand(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(short string) string {
		parts := repeated.FindStringSubmatch(short)
		n, _ := strconv.Atoi(parts[2])
		return strings.Repeat(parts[1], n)
	})
}

// part adds a line to a request.
func (s *script) part(q *request, line string) {
	s.t.Helper()
	if q == nil {
		s.t.Fatalf("%q follows no request", line)
	}
	raw, isRaw := strings.CutPrefix(line, "|")
	h := header.FindStringSubmatch(line)
	switch {
	case isRaw:
		q.body += expand(strings.TrimPrefix(raw, " ")) + "\n"
	case strings.HasPrefix(line, "as "):
		q.as = line[len("as "):]
	case line == "in a session":
		c := s.login("operate", "mira")
		q.as, q.header["Cookie"] = "-", c.Name+"="+c.Value
	case strings.HasPrefix(line, "to "):
		n, err := strconv.Atoi(strings.TrimSuffix(line[len("to "):], " bytes"))
		if err != nil {
			s.t.Fatal(err)
		}
		q.body += strings.Repeat(" ", n-len(q.body))
	case h != nil:
		q.header[h[1]] = expand(h[2])
	default:
		q.body = expand(line)
	}
}

// ask makes a request and shows the answer.
func (s *script) ask(q request) string {
	s.t.Helper()
	var a answer
	if s.route == "GET /v1/events/stream" {
		a = s.until("id: 4\n", q) // it has no end
	} else {
		a = s.do(q)
	}
	var text strings.Builder
	media := a.header.Get("Content-Type")
	code := ""
	switch {
	case media == "application/problem+json":
		p := a.decodeProblem()
		code = string(p.Code)
		fmt.Fprintf(&text, "< %d %s: %s\n", a.status, code, masked(p.Detail))
		for _, name := range []string{"Retry-After", "Allow", "WWW-Authenticate"} {
			if v := a.header.Get(name); v != "" {
				fmt.Fprintf(&text, "< %s: %s\n", name, v)
			}
		}
	case media == "application/json", media == api.MediaExport:
		text.WriteString(masked(shown(a)))
	default:
		fmt.Fprintf(&text, "< %d %s\n", a.status, media)
		if media == "text/event-stream" {
			for line := range strings.Lines(masked(a.body)) {
				text.WriteString(strings.TrimRight("< "+line, " \n") + "\n")
			}
		}
	}
	s.note(q, a, code)
	return text.String()
}

// masked replaces what differs from run to run.
func masked(text string) string {
	for pattern, name := range map[string]string{
		`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`: "CORRELATION", `\b[0-9a-f]{64}\b`: "HASH", `acct_[0-9a-f]{20}`: "acct_PSEUDONYM",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, name)
	}
	return text
}

// note remembers what an answer of the route shows.
func (s *script) note(q request, a answer, code string) {
	r, err := http.NewRequest(q.method, q.path, nil)
	if err != nil || s.routeOf(r) != s.route {
		return
	}
	s.seen[code] = true
	s.seen["as "+q.as+" "+code] = true
	if a.status < 300 {
		s.seen["good"] = true
	}
	if code == "invalid_body" && strings.Contains(a.body, "cannot be") {
		s.seen["wrong type"] = true
	}
}

// complete fails for what the transcript does not show.
func (s *script) complete(d *description) {
	s.t.Helper()
	want := map[string]string{"good": "a request that does what the route is for"}
	for status := range d.object(append(operation(s.route), "responses")...) {
		n, _ := strconv.Atoi(status)
		for _, code := range d.codes(s.route, n) {
			if elsewhere()[code] == "" && !cannot(s.route, code) {
				want[code] = "the code " + code + ", which the document says it can answer"
			}
		}
	}
	if need := api.RouteScopes()[s.route]; need != "" {
		want["as - unauthorized"] = "a request without a token"
		for _, scope := range api.Scopes() {
			if !slices.Contains(allowedScopes()[need], scope) {
				want["as "+string(scope)+" forbidden_scope"] = "a token of the scope " + string(scope)
			}
		}
	}
	if len(d.object(bodySchema(s.route)...)) > 0 {
		want["wrong type"] = "a member of another JSON type"
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !s.seen[key] {
			s.t.Errorf("the transcript of %s lacks %s", s.route, want[key])
		}
	}
}

// cannot tells codes that a route answers only in a moment that no transcript can hit.
func cannot(route, code string) bool {
	switch route + " " + code {
	case "POST /v1/tokens unknown_token": // the token is deleted in the moment in which it is made
		return true
	case "POST /v1/import invalid_body": // the connection breaks: TestABodyThatDoesNotArrive
		return true
	case "POST /v1/suspend model_cells_full": // 64 model cells: TestModelCellsAreFull
		return true
	case "POST /v1/reload not_available", "POST /v1/reload manual_suspension_live": // TestReloadsThatFail
		return true
	case "POST /v1/session not_available": // TestAServerWithoutSessions
		return true
	}
	return false
}
