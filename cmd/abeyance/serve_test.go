package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// startDaemon starts a daemon in this process on a free port.
func startDaemon(t *testing.T, dir string) *daemon {
	t.Helper()
	env := &environment{standard: standard{nil, new(bytes.Buffer), new(bytes.Buffer)}, getenv: os.Getenv, now: time.Now}
	d := newDaemon(env, &settings{Listen: "127.0.0.1:0", DataDir: dir, LogFormat: logText, file: &parsedConfig{}})
	if err := d.listen(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, d.close()))
	}
	return d
}

func put(t *testing.T, d *daemon, id string) error {
	t.Helper()
	_, err := d.engine.Execute(t.Context(), projection.Command{
		Origin: events.Origin{Actor: "operator:test", Via: events.ViaGo},
		Do:     &projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: "codex"}},
	})
	return err
}

func TestServeStopsCleanlyWhenAsked(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := filepath.Join(t.TempDir(), "data")
	d := startDaemon(t, dir)
	if err := put(t, d, "a1"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, nameDaemon))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("daemon.json: %v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(d.wait(ctx), d.close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, nameDaemon)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("daemon.json is still there: %v", err)
	}
	again := startDaemon(t, dir)
	defer func() {
		if err := again.close(); err != nil {
			t.Error(err)
		}
	}()
	if again.engine.State().Account("a1") == nil {
		t.Error("the account is gone")
	}
}

// Rule 5: a daemon that cannot write its log ends with an error, and soon.
func TestRule05ServeEndsWhenTheLogCannotBeWritten(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := startDaemon(t, filepath.Join(t.TempDir(), "data"))
	if err := d.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := put(t, d, "a1"); err == nil {
		t.Fatal("a command was acknowledged without a log")
	}
	if err := d.wait(t.Context()); err == nil {
		t.Error("wait returned no error")
	}
	began := time.Now()
	if err := d.close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > graceDead {
		t.Errorf("stopping took %v", took)
	}
}

// Rule 8: while the log is read every route says so.
func TestRule08StartingIsAnsweredBeforeTheLogIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := startDaemon(t, dir).close(); err != nil {
		t.Fatal(err)
	}
	env := &environment{standard: standard{nil, new(bytes.Buffer), new(bytes.Buffer)}, getenv: os.Getenv, now: time.Now}
	d := newDaemon(env, &settings{Listen: "127.0.0.1:0", DataDir: dir, LogFormat: logText, file: &parsedConfig{}})
	if err := d.listen(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, step := range []func(context.Context) error{d.openTokens, d.serve} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.Get("http://" + d.listener.Addr().String() + "/v1/cells")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
}

func TestGreetingNamesWhatIsWrong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var log bytes.Buffer
	env := &environment{standard: standard{nil, new(bytes.Buffer), &log}, getenv: os.Getenv, now: time.Now, quiet: true}
	d := newDaemon(env, &settings{Listen: "0.0.0.0:0", DataDir: dir, LogFormat: logText, Insecure: true, file: &parsedConfig{}})
	if err := d.listen(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warning  plain HTTP", "listen   " + d.listener.Addr().String(), "(made now; only you can read it)"} {
		if got := d.greeting(); !strings.Contains(got, want) {
			t.Errorf("the greeting lacks %q:\n%s", want, got)
		}
	}
	// Even a quiet daemon warns.
	if !strings.Contains(log.String(), "level=WARN msg=\"plain HTTP beyond this machine") {
		t.Errorf("the log:\n%s", log.String())
	}
	if err := os.Remove(filepath.Join(dir, nameToken)); err != nil {
		t.Fatal(err)
	}
	if got := d.greeting(); strings.Contains(got, filepath.Join(dir, nameToken)) || !strings.Contains(got, "--token-file") {
		t.Errorf("the token's file is gone:\n%s", got)
	}
}

func TestListenURLIsForThisMachine(t *testing.T) {
	for _, c := range []struct {
		addr   string
		secure bool
		want   string
	}{
		{"127.0.0.1:80", false, "http://127.0.0.1:80"},
		{"0.0.0.0:80", false, "http://127.0.0.1:80"},
		{"[::]:80", true, "https://127.0.0.1:80"},
		{"[::1]:80", false, "http://[::1]:80"},
	} {
		if got := listenURL(address(c.addr), c.secure); got != c.want {
			t.Errorf("%s: %s, want %s", c.addr, got, c.want)
		}
	}
}

// address is a net.Addr as text.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }
