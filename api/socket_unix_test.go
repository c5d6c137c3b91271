//go:build linux || darwin

package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// shortDir makes a directory whose path leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aby")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestUnixSocket(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(shortDir(t), "run", "socket")
	l, err := api.Listen("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewHTTPServer(b.server.Handler(), nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
	get := func(url string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+b.token["read"])
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	for url, want := range map[string]int{"http://localhost/v1/head": 200, "http://localhost:99/v1/head": 200, "http://evil.test/v1/head": 421} {
		if got := get(url); got != want {
			t.Errorf("%s: %d, want %d", url, got, want)
		}
	}
	if !strings.Contains(b.logs.String(), `"token":"read"`) {
		t.Error("a socket frees nobody of a token")
	}
	if _, err := api.Listen("unix:"+path, nil); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Errorf("listening twice: %v", err)
	}
	srv.Close()
	<-served
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestASocketThatACrashLeftIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "socket")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := api.Listen("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestPlacesForASocketThatAreRefused(t *testing.T) {
	dir := shortDir(t)
	for name, prepare := range map[string]func(dir string) error{
		"open to the group":  func(dir string) error { return os.Chmod(dir, 0o750) },
		"open to others":     func(dir string) error { return os.Chmod(dir, 0o701) },
		"a file of the name": func(dir string) error { return os.WriteFile(filepath.Join(dir, "s"), nil, 0o600) },
		"a link of the name": func(dir string) error { return os.Symlink(filepath.Join(dir, "else"), filepath.Join(dir, "s")) },
		"no parent":          os.RemoveAll,
		"a link to a directory": func(dir string) error {
			if err := os.Rename(dir, dir+"-else"); err != nil {
				return err
			}
			return os.Symlink(dir+"-else", dir)
		},
	} {
		place := filepath.Join(dir, strings.ReplaceAll(name, " ", "")[:8], "p")
		if err := os.MkdirAll(place, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := prepare(place); err != nil {
			t.Fatal(err)
		}
		if name == "no parent" {
			place = filepath.Join(place, "none")
		}
		if l, err := api.Listen("unix:"+filepath.Join(place, "s"), nil); err == nil {
			l.Close()
			t.Errorf("%s: listened on", name)
		}
	}
	for _, addr := range []string{"unix:", "unix:relative/path", "unix:/" + strings.Repeat("x", 200)} {
		if l, err := api.Listen(addr, nil); err == nil {
			l.Close()
			t.Errorf("%s: listened on", addr)
		}
	}
}
