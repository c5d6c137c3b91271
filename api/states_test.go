package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// ask makes a request with a context or a body that no other helper gives.
func (b *bench) ask(r *http.Request) answer {
	b.t.Helper()
	r.Header.Set("Authorization", "Bearer "+b.token["admin"])
	return b.serve(r)
}

// breaking is a body that cannot be read to its end.
type breaking struct {
	start string
	err   error
}

func (r *breaking) Read(p []byte) (int, error) {
	if r.start == "" {
		return 0, r.err
	}
	n := copy(p, r.start)
	r.start = r.start[n:]
	return n, nil
}

func TestABodyThatDoesNotArrive(t *testing.T) {
	b := newBench(t)
	media := map[string]string{"/v1/clear": "application/json", "/v1/import": "application/octet-stream"}
	for path, start := range map[string]string{"/v1/clear": `{"account":`, "/v1/import": "oauth-quota-groups:\n" + strings.Repeat(" ", 100)} {
		for _, c := range []struct {
			err    error
			status int
			code   string
		}{
			{os.ErrDeadlineExceeded, http.StatusRequestTimeout, "request_timeout"},
			{errors.New("connection reset"), http.StatusBadRequest, "invalid_body"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, &breaking{start, c.err})
			r.Header.Set("Content-Type", media[path])
			if p := b.ask(r).problem(c.status, c.code); strings.Contains(p.Detail, "reset") {
				t.Errorf("%s: %s", path, p.Detail)
			}
		}
	}
}

// A client that has left sees no answer, but the metrics count it.
func TestACommandWhoseClientHasLeft(t *testing.T) {
	b := newBench(t)
	b.pool()
	head := b.engine.State().Head()
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/suspend", strings.NewReader(`{"account":"a1","reason":"r","forever":true}`))
	r.Header.Set("Content-Type", "application/json")
	b.ask(r).problem(http.StatusServiceUnavailable, "canceled")
	if b.engine.State().Head() != head {
		t.Error("the command was executed")
	}
}

func TestModelCellsAreFull(t *testing.T) {
	b := newBench(t)
	b.pool()
	suspend := func(n int) answer {
		return b.post("/v1/suspend", fmt.Sprintf(`{"account":"a1","target":"model:m%d","reason":"r","forever":true}`, n))
	}
	for n := range 64 {
		suspend(n).want(http.StatusOK)
	}
	suspend(64).problem(http.StatusConflict, "model_cells_full")
}

// TestWhatIsTestedElsewhere: the tests that the transcripts point to are there.
func TestWhatIsTestedElsewhere(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for code, where := range elsewhere() {
		names := regexp.MustCompile(`Test\w+`).FindAllString(where, -1)
		for _, name := range names {
			if !strings.Contains(all.String(), "func "+name+"(") {
				t.Errorf("%s is said to be tested by %s, which is not there", code, name)
			}
		}
		if len(names) == 0 || api.Code(code).Text() == "" {
			t.Errorf("%s is tested nowhere", code)
		}
	}
}
