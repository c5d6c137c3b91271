package tests

import (
	"debug/buildinfo"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/tests/program"
)

// TestNothingServesDebugging: importing these registers routes by itself. (expvar comes
// with the Prometheus client; its route is on a mux that nobody serves.)
func TestNothingServesDebugging(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/cmd/abeyance").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(string(out))
	for _, banned := range []string{"net/http/pprof", "golang.org/x/net/trace"} {
		if slices.Contains(all, banned) {
			t.Errorf("the program has %s in it", banned)
		}
	}
	if !slices.Contains(all, "net/http") {
		t.Error("this test looks at the wrong program")
	}
	d := startDaemon(t, t.TempDir())
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests"} {
		if a, err := d.call(t.Context(), "GET", path, nil); err != nil || a.status != 404 {
			t.Errorf("GET %s was answered %d, %v", path, a.status, err)
		}
	}
}

// maxModules is how many modules the program may be made of. A new one is a decision.
const maxModules = 24

// TestModulesAreCounted: those of the binary are those of go.mod, and not many.
func TestModulesAreCounted(t *testing.T) {
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(info.Deps); n == 0 || n > maxModules {
		t.Errorf("the program has %d modules in it, want at most %d", n, maxModules)
	}
	for _, m := range info.Deps {
		if m.Replace != nil || m.Sum == "" {
			t.Errorf("%s is not what its checksum says: %+v", m.Path, m)
		}
	}
	t.Logf("%d modules", len(info.Deps))
}
