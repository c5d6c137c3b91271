//go:build !windows

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
)

// newConfigured makes a daemon with settings from the flags, and does not start it.
func newConfigured(t *testing.T, f *serveFlags, getenv func(string) string) (*daemon, *daemonLog) {
	t.Helper()
	logs := new(daemonLog)
	env := &environment{standard: standard{nil, new(bytes.Buffer), logs}, getenv: getenv, now: time.Now}
	cmd := new(cobra.Command)
	config := f.config
	f.add(cmd.Flags())
	f.config = config
	s, err := f.resolve(env, cmd)
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(env, s)
	d.resolve = func() (*settings, error) { return f.resolveServable(env, cmd) }
	return d, logs
}

// A reload may be asked for as soon as requests are answered, which is before the start is
// over, and as long as they are, which is when the end has begun.
func TestReloadsWhileTheDaemonStartsAndEnds(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	heard := func() (list []string) {
		t.Helper()
		for {
			if err := manager.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1024)
			n, err := manager.Read(b)
			if err != nil {
				return list
			}
			list = append(list, string(b[:n]))
		}
	}
	name := filepath.Join(dir, "c.yaml")
	write(t, name, fmt.Sprintf("data_dir: %q\nlisten: 127.0.0.1:0\n", filepath.Join(dir, "data")))
	d, _ := newConfigured(t, &serveFlags{config: name}, func(name string) string {
		return map[string]string{envNotify: socket}[name]
	})
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.listen(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func(context.Context) error{d.openLog, d.openTokens, d.serve, d.openEngine} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reload := func() {
		if _, err := d.reloads.request(context.Background(), api.ReloadCommand{}); err != nil {
			t.Error(err)
		}
	}
	reload()
	if got := heard(); len(got) > 0 {
		t.Errorf("before the start was over the service manager heard %q", got)
	}
	var both sync.WaitGroup // at once: the race detector looks on
	both.Go(reload)
	if err := d.announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	both.Wait()
	ready := "READY=1\nSTATUS=serving " + d.url
	if got := heard(); len(got) == 0 || got[len(got)-1] != ready || !strings.HasPrefix(d.url, "http://127.0.0.1:") {
		t.Errorf("heard %q, want %q", got, ready)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := d.wait(ctx); err != nil {
		t.Fatal(err)
	}
	reload()
	if got := heard(); len(got) != 1 || got[0] != notifyStopping {
		t.Errorf("while it ended the service manager heard %q", got)
	}
}

// What a pipe held is gone once it was read: a daemon that was given its configuration by
// one keeps it.
func TestAConfigurationFromAPipeIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := fmt.Fprintf(w, "data_dir: %q\nlisten: 127.0.0.1:0\n%s", filepath.Join(dir, "data"), twoAccounts); err != nil {
		t.Fatal(err)
	}
	w.Close()
	name := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(name); err != nil {
		t.Skip("no file descriptors have names here")
	}
	d, logs := newConfigured(t, &serveFlags{config: name}, func(string) string { return "" })
	if err := errors.Join(d.listen(), d.start(t.Context())); err != nil {
		t.Fatal(errors.Join(err, d.close()))
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	time.Sleep(6 * settleTime) // that nothing happens needs time to be seen
	if strings.Contains(logs.String(), "loading the configuration") {
		t.Errorf("it was read again:\n%s", logs)
	}
	_, err = d.reloads.request(t.Context(), api.ReloadCommand{})
	if _, config := errors.AsType[*api.ConfigError](err); !config || !strings.Contains(err.Error(), "cannot be read again") {
		t.Errorf("a reload: %v", err)
	}
	var ids []string
	for a := range d.engine.State().Accounts("") {
		ids = append(ids, a.ID)
	}
	if len(ids) != 2 {
		t.Errorf("the pool is %q", ids)
	}
}

// A file that a pipe took the place of holds up neither a reload nor the end.
func TestAConfigurationThatBecomesAPipe(t *testing.T) {
	c := startConfigured(t, twoAccounts)
	if err := syscall.Mkfifo(c.name+".new", 0o600); err != nil {
		t.Fatal(err)
	}
	rename(t, c.name+".new", c.name)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(c.logs.String(), "cannot be read again"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never refused; the log:\n%s", c.logs)
		}
	}
	if got := c.accounts(); len(got) != 2 {
		t.Errorf("the pool is %q", got)
	}
}
