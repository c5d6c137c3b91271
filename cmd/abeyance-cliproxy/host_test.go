package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// maxGrowth is how far the resident set may grow over 100 000 calls, in KiB: the heap of
// a collector breathes. What one lost answer or request for each call makes is more.
const maxGrowth = 16 << 10

// compiler returns the C compiler. A machine without one cannot run these tests.
func compiler(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("the C host reads /proc and links libdl: not on %s", runtime.GOOS)
	}
	gcc, err := exec.LookPath("gcc")
	if err == nil {
		return gcc
	}
	if os.Getenv("ABEYANCE_CI") != "" {
		t.Fatalf("no C compiler: %v", err)
	}
	t.Skipf("no C compiler: %v", err)
	return ""
}

// run runs a command that must succeed and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=1")
	var problems strings.Builder
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", filepath.Base(name), err, out, problems.String())
	}
	return string(out)
}

// build makes the library and the host, and returns their paths.
func build(t *testing.T) (library, host string) {
	t.Helper()
	gcc, dir := compiler(t), t.TempDir()
	library, host = filepath.Join(dir, "abeyance.so"), filepath.Join(dir, "host")
	run(t, "go", "build", "-buildvcs=false", "-buildmode=c-shared", "-o", library, ".")
	run(t, gcc, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", host, filepath.Join("testdata", "host.c"), "-ldl", "-lpthread")
	return library, host
}

// configs are a right configuration, a wrong one, and the right one in the mode observe.
func configs(t *testing.T) []string {
	dir := filepath.Join(t.TempDir(), "data")
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	right := "enabled: true\npriority: 5\ndata-dir: " + dir + "\n"
	return []string{encode(right), encode("data-dir: ''\nmode: sometimes\n"), encode(right + "mode: observe\n")}
}

// TestHost drives the library as CLIProxyAPI does, from C.
func TestHost(t *testing.T) {
	library, host := build(t)
	t.Run("right answers", func(t *testing.T) {
		out := run(t, host, append([]string{library}, configs(t)...)...)
		if !strings.HasSuffix(out, "done\n") {
			t.Fatalf("it ended early:\n%s", out)
		}
		if grown := growth(t, out); grown > maxGrowth {
			t.Errorf("the resident set grew by %d KiB over 100 000 calls", grown)
		}
		checkHistory(t, line(t, out, "history "))
		t.Log(line(t, out, "pick_us "))
		t.Log(decoding(t, line(t, out, "pick_request ")))
		t.Log(line(t, out, "rss_kib "))
	})
	t.Run("a leak would be seen", func(t *testing.T) {
		out := run(t, host, append(append([]string{library}, configs(t)...), "leak")...)
		if grown := growth(t, out); grown <= maxGrowth {
			t.Errorf("a host that frees no answer grew by %d KiB only", grown)
		}
	})
}

// line returns what follows a word at the beginning of a line of the host's output.
func line(t *testing.T, out, word string) string {
	t.Helper()
	for l := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(l, word); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("no line begins with %q:\n%.2000s", word, out)
	return ""
}

func growth(t *testing.T, out string) int {
	t.Helper()
	var before, after, calls int
	if _, err := fmt.Sscanf(line(t, out, "rss_kib "), "before=%d after=%d calls=%d", &before, &after, &calls); err != nil || calls < 100_000 {
		t.Fatalf("%v, %d calls", err, calls)
	}
	return after - before
}

// checkHistory wants what was done by hand under the name of the management key, and no
// address where an id is stored.
func checkHistory(t *testing.T, answer string) {
	t.Helper()
	var a struct {
		Result struct {
			StatusCode int
			Body       []byte
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil || a.Result.StatusCode != 200 {
		t.Fatalf("%v: %s", err, answer)
	}
	var page struct {
		Items []struct{ Kind, Actor, Via string }
	}
	if err := json.Unmarshal(a.Result.Body, &page); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"suspended", "lifted", "cooldown_cleared"} {
		i := slices.IndexFunc(page.Items, func(e struct{ Kind, Actor, Via string }) bool { return e.Kind == kind })
		if i < 0 {
			t.Errorf("the history lacks %s", kind)
		} else if e := page.Items[i]; e.Actor != "operator:management-key" || e.Via != "compat" {
			t.Errorf("%s is by %s via %s", kind, e.Actor, e.Via)
		}
	}
}

// decoding says what encoding/json takes for the request of a pick, of which the plugin's
// whole round trip is measured: what a plugin in Go would spend before it begins.
func decoding(t *testing.T, request string) string {
	t.Helper()
	type candidate struct {
		ID, Provider, Status string
		Priority             int
		Attributes           map[string]string
		Metadata             map[string]any
	}
	doc, took := []byte(request), make([]time.Duration, 2000)
	for i := range took {
		var q struct {
			Provider, Model string
			Providers       []string
			Stream          bool
			Options         struct {
				Headers  map[string][]string
				Metadata map[string]any
			}
			Candidates []candidate
		}
		began := time.Now()
		if err := json.Unmarshal(doc, &q); err != nil || len(q.Candidates) != 60 {
			t.Fatal(err, len(q.Candidates))
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return fmt.Sprintf("decoding the same request with encoding/json: p50=%v p99=%v", took[len(took)/2], took[len(took)*99/100])
}
