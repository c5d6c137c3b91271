package sidecar

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteThenRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading an absent file: %v", err)
	}
	for _, text := range []string{"one", "another, longer", ""} {
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); err != nil || string(got) != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || !lax && info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("writing left %d files, %v", len(entries), err)
	}
}

func TestWhatOthersCouldReadIsRefused(t *testing.T) {
	if lax {
		return // modes say nothing there
	}
	dir := t.TempDir()
	open, link := filepath.Join(dir, "open"), filepath.Join(dir, "link")
	if err := os.WriteFile(open, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	private := filepath.Join(dir, "private")
	if err := Write(private, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(private, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, link, dir, pipe(t, dir)} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s was read: %v", path, err)
		}
	}
}

func TestLinksAreNamedAsSuch(t *testing.T) {
	dir := t.TempDir()
	private, link := filepath.Join(dir, "private"), filepath.Join(dir, "link")
	if err := Write(private, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(private, link); err != nil {
		t.Skip("no links can be made here: ", err)
	}
	if _, err := Read(link); err == nil || !strings.Contains(err.Error(), link+" is a link") || strings.Contains(err.Error(), "chmod") {
		t.Errorf("a link to a file that is private: %v", err)
	}
}

// TestCredentials: the files that systemd gives to a service show the mode 0440, and no
// group may read them. Elsewhere that mode means what it says.
func TestCredentials(t *testing.T) {
	if lax {
		return // modes say nothing there
	}
	top := t.TempDir()
	dir, beside := filepath.Join(top, "credentials"), filepath.Join(top, "credentials.old")
	put := func(path string, mode os.FileMode) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to, path string) string {
		t.Helper()
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, outside := put(filepath.Join(dir, "secret"), 0o440), put(filepath.Join(beside, "secret"), 0o440)
	inTree := put(filepath.Join(dir, "tree", "secret"), 0o440)
	alias := link(dir, filepath.Join(top, "alias"))
	t.Chdir(dir)
	for _, c := range []struct {
		what, variable, path string
		read                 bool
	}{
		{"a credential", dir, secret, true},
		{"one of a directory", dir, inTree, true},
		{"by a path that is not clean", dir + "/", dir + "/tree/../secret", true},
		{"by a relative path", dir, "secret", true},
		{"the directory is reached by a link", alias, secret, true},
		{"the path leads through a link", dir, filepath.Join(alias, "secret"), true},
		{"read-only for its owner alone", dir, put(filepath.Join(dir, "own"), 0o400), true},
		{"the group may write", dir, put(filepath.Join(dir, "written"), 0o460), false},
		{"everybody may read", dir, put(filepath.Join(dir, "open"), 0o444), false},
		{"beside the directory", dir, outside, false},
		{"out of it again", dir, filepath.Join(dir, "..", "credentials.old", "secret"), false},
		{"a link out of it", dir, filepath.Join(link(beside, filepath.Join(dir, "out")), "secret"), false},
		{"there are no credentials", "", secret, false},
		{"a directory that depends on where the process is", ".", secret, false},
		{"a directory that is not there", filepath.Join(top, "none"), secret, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Setenv(credentialsVariable, c.variable)
			if _, err := Read(c.path); (err == nil) != c.read {
				t.Errorf("reading %s with %s=%s: %v", c.path, credentialsVariable, c.variable, err)
			} else if err != nil && !strings.Contains(err.Error(), c.path+" can be used by others (its mode is 04") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
