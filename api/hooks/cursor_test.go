package hooks

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

func TestCursorsAreReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	c, err := openCursors(path, "log", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("there is a file without a hook: %v", err)
	}
	one := cursor{Seq: 7, Hash: events.Hash{1}, At: time.Date(2026, 3, 17, 12, 0, 0, 123456789, time.UTC), Told: []string{"x", "y"}}
	two := cursor{Seq: 8, Hash: events.Hash{2}, At: one.At}
	for name, x := range map[string]cursor{"one": one, "two": two, "gone": two} {
		if err := c.put(name, x); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.keep(map[string]bool{"one": true, "two": true, "new": true}); err != nil {
		t.Fatal(err)
	}
	again, err := openCursors(path, "log", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]cursor{"one": one, "two": two}, again.hooks); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAFailedWriteChangesNoCursor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	c, err := openCursors(filepath.Join(dir, FileName), "log", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.put("one", cursor{Seq: 1}); err == nil || !strings.Contains(err.Error(), FileName) {
		t.Errorf("error %v, want one that names the file", err)
	}
	if _, ok := c.get("one"); ok {
		t.Error("a cursor that was not written is there")
	}
}

func TestOpenCursorsOfAnotherKind(t *testing.T) {
	for _, c := range []struct{ name, doc, err, log string }{
		{"damaged", `{"version": 1, "log_id": "log", "hooks": {"one": {"seq": `, "", "damaged"},
		{"empty", "", "", "damaged"},
		{"other JSON", `[1]`, "", "damaged"},
		{"a hash that is none", `{"version":1,"log_id":"log","hooks":{"one":{"seq":1,"hash":"zz","at":"2026-03-17T12:00:00Z"}}}`, "", "damaged"},
		{"a negative seq", `{"version":1,"log_id":"log","hooks":{"one":{"seq":-1}}}`, "", "damaged"},
		{"a later version", `{"version": 2, "log_id": "log", "hooks": {}}`, "format version 2", ""},
		{"another log", `{"version": 1, "log_id": "other", "hooks": {"one": {"seq": 1}}}`, "", "another log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(path, []byte(c.doc), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			got, err := openCursors(path, "log", slog.New(slog.NewTextHandler(&log, nil)))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || len(got.hooks) > 0 || !strings.Contains(log.String(), c.log) {
				t.Errorf("%v, %v; logged %q", got, err, log.String())
			}
			kept, err := os.ReadFile(path + ".damaged")
			if damaged := c.log == "damaged"; damaged != (err == nil) || damaged && string(kept) != c.doc {
				t.Errorf("kept %q, %v", kept, err)
			}
		})
	}
}

func TestCursorsThatOthersCouldWriteAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openCursors(path, "log", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("error %v", err)
	}
}
