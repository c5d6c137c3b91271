package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// facing returns an environment with a handler in place of the daemon, and what is
// printed.
func facing(t *testing.T, h http.HandlerFunc) (env *environment, out, errs *bytes.Buffer) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("aby_secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"USER": "tess", envURL: srv.URL, envTokenFile: token}
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	return &environment{
		standard: standard{strings.NewReader(""), out, errs},
		getenv:   func(name string) string { return vars[name] },
		now:      func() time.Time { return testNow },
	}, out, errs
}

// against runs a command line against a handler in place of the daemon.
func against(t *testing.T, h http.HandlerFunc, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	env, out, errs := facing(t, h)
	code = env.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestProblemsBecomeExitCodes(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   int
	}{
		{400, "malformed_json", exitUsage},
		{400, "empty_filter", exitUsage},
		{422, "invalid", exitUsage},
		{422, "invalid_groups", exitFailure},
		{422, "provider_mismatch", exitConflict},
		{401, "unauthorized", exitAuth},
		{403, "forbidden_scope", exitAuth},
		{404, "unknown_account", exitNotFound},
		{409, "wrong_verb", exitConflict},
		{503, "starting", exitFailure},
		{500, "internal", exitFailure},
	} {
		t.Run(c.code, func(t *testing.T) {
			code, _, stderr := against(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(c.status)
				fmt.Fprintf(w, `{"type":"about:blank","status":%d,"code":%q,"detail":"what is wrong"}`, c.status, c.code)
			}, "status")
			if code != c.want || stderr != "abeyance: what is wrong\n" {
				t.Errorf("exit %d, want %d; stderr %q", code, c.want, stderr)
			}
		})
	}
}

// A mistyped account must not look like one without cells or history.
func TestUnknownAccountsAndTargetsAreNotFound(t *testing.T) {
	for _, args := range [][]string{{"status", "nobody"}, {"status", "--target", "nothing"}, {"events", "nobody"}, {"events", "--target", "nothing"}} {
		code, out, stderr := against(t, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if q.Get("account") != "nobody" && q.Get("target") != "nothing" {
				fmt.Fprint(w, `{"items":[]}`)
				return
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"status":404,"code":"unknown_account","detail":"it is not known"}`)
		}, args...)
		if code != exitNotFound || out != "" || stderr != "abeyance: it is not known\n" {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, stderr)
		}
	}
}

func TestOtherServersAreNotTakenForADaemon(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>nope</html>", http.StatusBadGateway)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"not JSON":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
	} {
		code, _, stderr := against(t, h, "status")
		if code != exitFailure || strings.Contains(stderr, "secret") {
			t.Errorf("%s: exit %d: %s", name, code, stderr)
		}
	}
}

func TestRequestsSayWhoAsksThroughWhat(t *testing.T) {
	var got *http.Request
	_, _, stderr := against(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		fmt.Fprint(w, `{"seq":1}`)
	}, "accounts", "remove", "a/b ?#@x", "--force", "-r", "why")
	if got == nil {
		t.Fatal(stderr)
	}
	if got.URL.EscapedPath() != "/v1/accounts/a%2Fb%20%3F%23@x" || got.Method != http.MethodDelete {
		t.Errorf("%s %s", got.Method, got.URL.EscapedPath())
	}
	want := params("force", "true", "reason", "why", "on_behalf_of", "tess")
	if diff := cmp.Diff(want, got.URL.Query()); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	if got.Header.Get("Authorization") != "Bearer aby_secret" || got.Header.Get("X-Abeyance-Via") != "cli" {
		t.Errorf("headers %v", got.Header)
	}
}

func TestPagesAreFollowedToTheirEndOrTheLimit(t *testing.T) {
	// Three pages: two rows, none although there is another, one row.
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("page_token") {
		case "":
			fmt.Fprint(w, `{"as_of_seq":9,"items":[{"seq":9},{"seq":8}],"next_page_token":"b"}`)
		case "b":
			fmt.Fprint(w, `{"as_of_seq":9,"items":[],"next_page_token":"c"}`)
		case "c":
			fmt.Fprint(w, `{"as_of_seq":10,"items":[{"seq":7}],"next_page_token":null}`)
		}
	}
	for limit, want := range map[string][]uint64{"0": {9, 8, 7}, "1": {9}, "2": {9, 8}, "3": {9, 8, 7}, "50": {9, 8, 7}} {
		_, out, stderr := against(t, h, "events", "--limit", limit, "-o", "json")
		var page api.Page[api.EventRow]
		decode(t, out, &page)
		var got []uint64
		for _, r := range page.Items {
			got = append(got, r.Seq)
		}
		if !slices.Equal(got, want) || page.AsOfSeq != 9 {
			t.Errorf("limit %s: %v as of %d, want %v; %s", limit, got, page.AsOfSeq, want, stderr)
		}
	}
}

func TestMoreThanOneCellIsRefusedAfterTheDryRunOnly(t *testing.T) {
	calls := 0
	code, _, stderr := against(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		fmt.Fprint(w, `{"dry_run":true,"cells":[{"account":"a","target":"*"},{"account":"b","target":"*"}]}`)
	}, "clear", "--provider", "codex")
	if code != exitUsage || calls != 1 || !strings.Contains(stderr, "--yes") {
		t.Errorf("exit %d after %d requests: %s", code, calls, stderr)
	}
}

func TestQuestionsTakeOnlyYes(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "n\n": false, "\n": false, "": false, "y": false, "maybe\n": false} {
		var errs strings.Builder
		env := &environment{standard: standard{strings.NewReader(answer), nil, &errs}}
		if got := env.ask(t.Context(), "Really?"); got != want {
			t.Errorf("%q: %t", answer, got)
		}
		if errs.String() != "Really? [y/N] " {
			t.Errorf("asked %q", errs.String())
		}
	}
}

func TestDaemonFileCountsOnlyWhileTheLockIsHeld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	write := func(f daemonFile) {
		t.Helper()
		if err := writeDaemonFile(dir, f); err != nil {
			t.Fatal(err)
		}
	}
	look := func() string {
		found, err := findDaemon(dir)
		if err != nil {
			return err.Error()
		}
		return found.URL
	}
	_, err = findDaemon(dir)
	if want := fmt.Sprintf("is held by process %d, which does not listen", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitConflict {
		t.Errorf("without the file: %v, exit %d, want %q", err, exitCode(err), want)
	}
	write(daemonFile{URL: "http://here", PID: os.Getpid()})
	if got := look(); got != "http://here" {
		t.Errorf("while the lock is held: %s", got)
	}
	write(daemonFile{URL: "http://before", PID: os.Getpid() + 1})
	if got := look(); !strings.Contains(got, "is starting") {
		t.Errorf("while another process holds the lock: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, nameDaemon), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(); !strings.Contains(got, "is damaged") {
		t.Errorf("a damaged file: %s", got)
	}
	write(daemonFile{URL: "http://left", PID: os.Getpid()})
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != errStopped.Error() {
		t.Errorf("after the end: %s", got)
	}
	// Somebody else may listen there by now, and the next process may have the same id.
	log, err = boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if got := look(); !strings.Contains(got, "which does not listen") {
		t.Errorf("with what a crash left: %s", got)
	}
}

func TestTokenFilesHoldOneToken(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	for content, ok := range map[string]bool{"aby_x\n": true, "  aby_x  ": true, "": false, "\n": false, "a b": false, "a\nb": false, "ä": false} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := readToken(name); (err == nil) != ok || ok && token != "aby_x" {
			t.Errorf("%q: %q, %v", content, token, err)
		}
	}
}

func TestRefusalsWithoutADaemonHaveTheSameExitCodes(t *testing.T) {
	for code, want := range map[projection.Code]int{
		projection.CodeUnknownAccount: exitNotFound, projection.CodeUnknownTarget: exitNotFound, projection.CodeInvalid: exitUsage,
	} {
		if got := exitCode(&projection.Error{Code: code}); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

func TestPageSize(t *testing.T) {
	for _, c := range []struct{ limit, there, want int }{
		{0, 0, maxPage}, {0, 3000, maxPage}, {5, 0, 5}, {5, 4, 1}, {1500, 0, maxPage}, {1500, 1000, 500},
	} {
		if n := pageSize(c.limit, c.there); n != c.want {
			t.Errorf("%d of %d are there: %d are asked for, want %d", c.there, c.limit, n, c.want)
		}
	}
}
