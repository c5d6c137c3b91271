package main_test

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestPackage builds a release as the host's plugin store takes it.
func TestPackage(t *testing.T) {
	compiler(t)
	dir := t.TempDir()
	script := filepath.Join("..", "..", "deploy", "cliproxy", "build.sh")
	run(t, "bash", script, "v9.8.7-test", dir)
	name := fmt.Sprintf("abeyance_9.8.7-test_%s_%s.zip", runtime.GOOS, runtime.GOARCH)
	doc, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(doc), name); string(sums) != want {
		t.Errorf("checksums.txt holds %q, want %q", sums, want)
	}
	z, err := zip.NewReader(strings.NewReader(string(doc)), int64(len(doc)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if want := []string{"abeyance.so", "README.md", "LICENSE"}; !slices.Equal(names, want) {
		t.Errorf("the zip holds %v, want %v", names, want)
	}
}
