// Package tests holds whole-program truths: what no single package can test of
// itself.
package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/abeyance/abeyance"

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// listPackages asks the go command for the module's packages.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// layer is the place of a package in the one direction of imports: a package may
// import those of lower layers only.
func layer(importPath string) int {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/"), "/")
	return slices.Index([]string{"events", "projection", "router", "api", "cmd", "tests"}, first)
}

func TestImportsGoOneWay(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 8 {
		t.Fatalf("go list names %d packages; the module has more", len(packages))
	}
	for _, p := range packages {
		if layer(p.ImportPath) < 0 {
			t.Errorf("%s is outside the top level that design fixes", p.ImportPath)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module) && layer(i) > layer(p.ImportPath) {
				t.Errorf("%s imports %s, against the direction cmd -> api -> router -> projection -> events", p.ImportPath, i)
			}
		}
		// The classifier is pure reading: it may know what is stored, and no state.
		if p.ImportPath == module+"/router/signal" {
			for _, i := range p.Imports {
				if strings.HasPrefix(i, module) && !strings.HasPrefix(i, module+"/events") {
					t.Errorf("%s imports %s; it may import only events", p.ImportPath, i)
				}
			}
		}
	}
}

// The libraries whose reach is bounded, and who may import them.
func TestBoundedDependencies(t *testing.T) {
	bounded := map[string][]string{
		"go.etcd.io/bbolt":                   {"events", "tests"},
		"github.com/vmihailenco/msgpack":     {"events", "tests"},
		"github.com/go-chi/chi":              {"api", "tests"},
		"github.com/danielgtaylor/huma":      {"api", "tests"},
		"github.com/spf13/cobra":             {"cmd", "tests"},
		"github.com/fsnotify/fsnotify":       {"cmd", "tests"},
		"github.com/rogpeppe/go-internal":    {"cmd", "tests"},
		"github.com/prometheus/client_model": {"tests"},
		"github.com/anishathalye/porcupine":  {"tests"},
	}
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		first, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module+"/"), "/")
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for dependency, allowed := range bounded {
				if i != dependency && !strings.HasPrefix(i, dependency+"/") {
					continue
				}
				seen[dependency] = true
				if !slices.Contains(allowed, first) {
					t.Errorf("%s imports %s; only %s may", p.ImportPath, i, strings.Join(allowed, ", "))
				}
			}
		}
	}
	for _, must := range []string{"go.etcd.io/bbolt", "github.com/go-chi/chi", "github.com/vmihailenco/msgpack"} {
		if !seen[must] {
			t.Errorf("nothing imports %s: this test looks for the wrong path", must)
		}
	}
}

// Pure packages do not reach for a clock, a disk, the network or chance.
func TestPureLeaves(t *testing.T) {
	impure := []string{"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "io/fs", "os/exec"}
	pure := []string{"events", "events/wire", "router/signal"}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if !slices.Contains(pure, name) {
			continue
		}
		for _, i := range p.Imports {
			// The classifier reads header maps; net/http is a type there, not a wire.
			if slices.Contains(impure, i) && !(path.Base(name) == "signal" && i == "net/http") {
				t.Errorf("%s imports %s; it is meant to be pure", name, i)
			}
		}
	}
}
