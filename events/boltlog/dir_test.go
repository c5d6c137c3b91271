package boltlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/events"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// names returns what is in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// refused opens dir, which must fail with an error of the type E that says all of
// words, and change nothing.
func refused[E error](t *testing.T, dir string, words ...string) E {
	t.Helper()
	before := contents(t, dir)
	l, err := Open(dir, nil)
	if err == nil {
		l.Close()
		t.Fatalf("the log was opened, want an error about %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the message %q does not say %q", err, w)
		}
	}
	if after := contents(t, dir); before != after {
		t.Errorf("the refusal changed the directory from\n%s to\n%s", before, after)
	}
	want, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("got the error %v (%T), want a %T", err, err, want)
	}
	return want
}

// contents describes the files of a directory, but for LOCK.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range names(t, dir) {
		if name == nameLock {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(name + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
	}
	return all.String()
}

func TestMakesItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l := mustOpen(t, dir, nil)
	fill(t, l, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{nameLock, nameHead, nameIndex, nameLog}; !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
	for name, want := range map[string]os.FileMode{".": os.ModeDir | 0o700, nameLock: 0o600, nameHead: 0o600, nameIndex: 0o600, nameLog: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestTightensAnEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, nil)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %v (%v), want 0700", info.Mode(), err)
	}
}

func TestRefusesAMissingParent(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "not", "mounted")
	dir := filepath.Join(parent, "data")
	_, err := Open(dir, nil)
	if missing, ok := errors.AsType[*MissingError](err); !ok || missing.Path != parent {
		t.Errorf("got the error %v, want a *MissingError of %s", err, parent)
	}
	if _, err := os.Stat(parent); err == nil {
		t.Error("the parent was made")
	}
}

func TestRefusesAFileAsDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "")
	if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got the error %v, want one that names %s", err, path)
	}
}

func TestRefusesAForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"thesis.tex", "a", "b", "c", "d", "z", "token"} {
		write(t, filepath.Join(dir, name), "mine")
	}
	before := names(t, dir)
	foreign := refused[*ForeignError](t, dir, dir, "thesis.tex", "1 more", "empty directory")
	if want := []string{"a", "b", "c", "d", "thesis.tex", "z"}; !slices.Equal(foreign.Found, want) {
		t.Errorf("found %q, want %q", foreign.Found, want)
	}
	if after := names(t, dir); !slices.Equal(before, after) {
		t.Errorf("the refusal left %q, before there was %q", after, before)
	}
}

func TestAcceptsFilesOfAbeyance(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"index", "identities.json", "tokens.json", "webhooks.json", "token", "daemon.json", "abeyance.sock",
		".tokens.json8172635", "head.new", "log.db.new",
	} {
		write(t, filepath.Join(dir, name), "ours")
	}
	for _, name := range []string{"checkpoints", "lost+found"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir, nil)
}

func TestToleratesForeignFilesBesideALog(t *testing.T) {
	dir, _ := newLog(t, 3)
	write(t, filepath.Join(dir, "README"), "do not touch")
	if n := count(t, mustOpen(t, dir, nil)); n != 3 {
		t.Errorf("read %d records, want 3", n)
	}
}

// TestTornCreation leaves what a crash at each step of making a log leaves.
func TestTornCreation(t *testing.T) {
	whole, _ := newLog(t, 0)
	log, err := os.ReadFile(filepath.Join(whole, nameLog))
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string]string{
		"locked":                   {nameLock: "4711\n"},
		"an empty new log":         {nameLock: "4711\n", "log.db.new": ""},
		"half a new log":           {nameLock: "4711\n", "log.db.new": string(log[:5000])},
		"a whole log, no name":     {nameLock: "4711\n", "log.db.new": string(log)},
		"a whole log, no head":     {nameLock: "4711\n", nameLog: string(log)},
		"a whole log, half a head": {nameLock: "4711\n", nameLog: string(log), "head.new": "abeyance he"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range files {
				write(t, filepath.Join(dir, file), text)
			}
			l := mustOpen(t, dir, nil)
			fill(t, l, 2)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := names(t, dir), []string{nameLock, nameHead, nameIndex, nameLog}; !slices.Equal(got, want) {
				t.Errorf("the directory holds %q, want %q", got, want)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	dir, head := newLog(t, 5)
	before := contents(t, dir)
	if err := os.Remove(filepath.Join(dir, nameLock)); err != nil { // as in a copy
		t.Fatal(err)
	}
	l := mustOpen(t, dir, &Options{ReadOnly: true})
	if got, err := l.Head(t.Context()); err != nil || got.Seq != head.Seq || got.Hash != head.Hash {
		t.Errorf("the head is %+v (%v), want %+v", got, err, head)
	}
	if n := count(t, l); n != 5 {
		t.Errorf("read %d records, want 5", n)
	}
	recs, err := events.Seal(head, head.At, lifts(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), recs); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Append: got the error %v, want ErrReadOnly", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if after := contents(t, dir); before != after {
		t.Errorf("reading changed the directory from\n%s to\n%s", before, after)
	}
	if slices.Contains(names(t, dir), nameLock) {
		t.Error("reading made LOCK")
	}
}

func TestReadOnlyMakesNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "data")
	for _, dir := range []string{missing, t.TempDir()} {
		if _, err := Open(dir, &Options{ReadOnly: true}); err == nil {
			t.Errorf("%s was opened", dir)
		} else if _, ok := errors.AsType[*MissingError](err); !ok {
			t.Errorf("got the error %v, want a *MissingError", err)
		}
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the directory was made")
	}
}
