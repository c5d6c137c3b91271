package golden

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// release names the newest directory: that of the release to come.
const release = "v0.1"

// -update writes golden files that are missing. It never changes one.
var update = flag.Bool("update", false, "write golden files that are missing")

// dirs returns the names of the golden directories.
func dirs(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(archiveOf(release)); *update && errors.Is(err, fs.ErrNotExist) {
		dir := filepath.Join(t.TempDir(), "data")
		makeDir(t, dir)
		pack(t, dir, archiveOf(release))
	}
	paths, err := filepath.Glob(archiveOf("*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".tar.gz"))
	}
	return names
}

func archiveOf(name string) string { return filepath.Join("testdata", name+".tar.gz") }

// pack writes the files of a directory, but for LOCK.
func pack(t *testing.T, dir, to string) {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "LOCK" {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: path, Size: int64(len(text)), Mode: 0o600, Format: tar.FormatUSTAR})
		}
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack returns a copy of a golden directory.
func unpack(t testing.TB, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	f, err := os.Open(archiveOf(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		text, err := io.ReadAll(r)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// pinned returns the dump of a golden directory's state in the format of this version.
func pinned(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join("testdata", fmt.Sprintf("%s.state%d.gz", name, projection.DumpFormat))
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && *update {
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
		_, err1 := w.Write(foldOf(t, name))
		b = z.Bytes()
		if err = errors.Join(err1, w.Close()); err == nil {
			b = z.Bytes()
			err = os.WriteFile(path, b, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	dump, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return dump
}

// foldOf returns the dump of the fold of all records, which an engine reads itself.
func foldOf(t *testing.T, name string) []byte {
	t.Helper()
	log, err := boltlog.Open(unpack(t, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	return stateOf(t, log, &projection.Options{})
}
