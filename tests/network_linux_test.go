package tests

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abeyance/abeyance/tests/program"
)

// envKnock makes this binary knock at a socket, as another user: its value is the path.
const envKnock = "ABEYANCE_TESTS_KNOCK"

// knock asks for a route that is open to everybody, and says what came of it.
func knock(path string) {
	conn, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		fmt.Println("no connection:", err)
		return
	}
	defer conn.Close()
	// A write may fail already: what counts is whether an answer comes.
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		fmt.Println("no answer")
		return
	}
	fmt.Println("answered", res.StatusCode)
}

// listening lists the local addresses on which a process listens for TCP, in the
// kernel's hexadecimal form.
func listening(t *testing.T, pid int) (addrs []string) {
	t.Helper()
	open := map[string]bool{}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil {
			open[target] = true
		}
	}
	const listen = "0A"
	for _, table := range []string{"tcp", "tcp6"} {
		doc, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(doc)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listen && open["socket:["+f[9]+"]"] {
				host, _, _ := strings.Cut(f[1], ":")
				addrs = append(addrs, host)
			}
		}
	}
	return addrs
}

// TestListensOnLoopbackOnly asks the kernel.
func TestListensOnLoopbackOnly(t *testing.T) {
	d := startDaemon(t, filepath.Join(t.TempDir(), "data"))
	if got := listening(t, d.cmd.Process.Pid); !slices.Equal(got, []string{"0100007F"}) {
		t.Errorf("the daemon listens on %v, want 127.0.0.1 alone", got)
	}
	wide := startDaemon(t, filepath.Join(t.TempDir(), "data"), "--listen", "0.0.0.0:0", "--insecure-plain-http")
	if got := listening(t, wide.cmd.Process.Pid); len(got) != 1 || got[0] == "0100007F" {
		t.Errorf("listening wider is not seen: %v", got)
	}
	dir := t.TempDir()
	socket := startSocketDaemon(t, dir)
	if got := listening(t, socket.cmd.Process.Pid); len(got) != 0 {
		t.Errorf("a daemon on a unix socket listens on %v too", got)
	}
}

// startSocketDaemon serves a unix socket in dir/run, with an umask that hides nothing.
func startSocketDaemon(t *testing.T, dir string) *daemon {
	t.Helper()
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: filepath.Join(dir, "data"), out: new(program.Output)}
	d.cmd = exec.Command("sh", "-c", `umask 0; exec "$@"`, "sh", path, "serve", "--data-dir", d.dir, "--listen", "unix:"+filepath.Join(dir, "run", "s"))
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(d.dir, "daemon.json")); err == nil {
			return d
		}
	}
	t.Fatalf("the daemon is not ready; it said:\n%s", d.out)
	return nil
}

// TestOtherUsersAreRefusedAtTheSocket although every mode lets them in: the kernel says
// who they are.
func TestOtherUsersAreRefusedAtTheSocket(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "only root can be another user")
	}
	dir, err := os.MkdirTemp("", "aby") // a path that fits a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const daemonUser, other = 65533, 65534
	// The daemon is some user, so that being root is not what lets anybody in.
	bin, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{bin: "abeyance", exe: "knock"} {
		doc, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), doc, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chown(home, daemonUser, daemonUser)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(home, "run", "s")
	d := &daemon{t: t, dir: filepath.Join(home, "data"), out: new(program.Output)}
	d.cmd = exec.Command(filepath.Join(dir, "abeyance"), "serve", "--data-dir", d.dir, "--listen", "unix:"+socket)
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.Dir = d.out, d.out, "/"
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: daemonUser, Gid: daemonUser}}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(d.dir, "daemon.json")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon is not ready; it said:\n%s", d.out)
		}
	}
	as := func(uid uint32) string {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "knock"))
		cmd.Env, cmd.Dir = []string{envKnock + "=" + socket}, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := as(other); !strings.HasPrefix(got, "no connection") {
		t.Errorf("the modes let another user in: %s", got)
	}
	for _, path := range []string{home, filepath.Dir(socket), socket} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for uid, want := range map[uint32]string{other: "no answer", daemonUser: "answered 200", 0: "answered 200"} {
		if got := as(uid); got != want {
			t.Errorf("user %d: %s, want %s", uid, got, want)
		}
	}
	if !strings.Contains(d.out.String(), "a connection of another user was refused\" uid=65534\n") {
		t.Errorf("the log does not tell of it:\n%s", d.out)
	}
}

// TestEveryFileIsPrivate, whatever the umask was: a walk through all that a daemon and
// the command line make.
func TestEveryFileIsPrivate(t *testing.T) {
	dir, err := os.MkdirTemp("", "aby")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := startSocketDaemon(t, dir)
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"accounts", "put", "a@example.com", "--provider", "codex"},
		{"suspend", "a@example.com", "-r", "x", "--forever"},
		{"token", "create", "second", "--scope", "read"},
		{"backup", filepath.Join(dir, "backup")},
		{"export", "--file", filepath.Join(dir, "export.ndjson")},
	} {
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `umask 0; exec "$@"`, "sh", path}, append(args, "--data-dir", d.dir)...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, d.out)
	}
	d.ended = true
	files := map[string]bool{}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %04o, want %04o", name, info.Mode().Perm(), want)
		}
		files[strings.TrimPrefix(name, dir+"/")] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data/log.db", "data/head", "data/token", "data/tokens.json", "data/identities.json", "data/LOCK", "backup", "export.ndjson"} {
		if !files[name] {
			t.Errorf("%s was not made: this walk looks at less than it means to", name)
		}
	}
}

// otherProcess is what this binary does when a test started it as another process.
func otherProcess() func() {
	if path := os.Getenv(envKnock); path != "" {
		return func() { knock(path) }
	}
	return nil
}
