package boltlog

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A log that others could read or replace is refused with the command that mends it,
// and a directory that they can only look into is warned of.
func TestModesAtOpen(t *testing.T) {
	if lax {
		return // modes say nothing there
	}
	for _, c := range []struct {
		name             string
		mode             os.FileMode
		refused, warning string // empty: none
	}{
		{".", 0o700, "", ""},
		{".", 0o755, "", "chmod 700 DIR"},
		{".", 0o770, "chmod 700 DIR", ""},
		{".", 0o702, "chmod 700 DIR", ""},
		{nameLog, 0o640, "chmod 600 DIR/log.db", ""},
		{nameLog, 0o604, "chmod 600 DIR/log.db", ""},
		{nameLog, 0o602, "chmod 600 DIR/log.db", ""},
	} {
		dir, _ := newLog(t, 2)
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, c.name)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if c.refused != "" {
			words := strings.ReplaceAll(c.refused, "DIR", dir)
			if e := refused[*ModeError](t, dir, words); e.Path != path || e.Mode != c.mode {
				t.Errorf("%s with %v: %+v", c.name, c.mode, e)
			}
		}
		// A reader is only warned, for a copy is often laid out for reading.
		want := strings.ReplaceAll(c.refused+c.warning, "DIR", dir)
		if got := warned(t, dir, &Options{ReadOnly: true}); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s with %v: a reader was told %q, want %q", c.name, c.mode, got, want)
		}
		if c.refused != "" {
			continue
		}
		if got := warned(t, dir, &Options{}); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s with %v: a writer was told %q, want %q", c.name, c.mode, got, want)
		}
	}
}

// warned opens a log, and returns what its logger heard.
func warned(t *testing.T, dir string, o *Options) string {
	t.Helper()
	var heard bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&heard, nil))
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return heard.String()
}
