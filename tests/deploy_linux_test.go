package tests

import (
	"debug/elf"
	"net"
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

// notifications listens as a service manager does, and hands on what it is told.
func notifications(t *testing.T) (socket string, told <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "abeyance-notify-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 16)
	t.Cleanup(func() { conn.Close() })
	go func() {
		defer close(messages)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return // closed
			}
			messages <- string(buf[:n])
		}
	}()
	return socket, messages
}

func wantTold(t *testing.T, told <-chan string, want string) string {
	t.Helper()
	select {
	case text := <-told:
		if first, _, _ := strings.Cut(text, "\n"); first != want {
			t.Fatalf("the service manager was told %q, want %s", text, want)
		}
		return text
	case <-time.After(30 * time.Second):
		t.Fatalf("the service manager was never told %s", want)
		return ""
	}
}

// The unit's command line runs as it stands there, tells when it is ready and that it
// stops, and keeps to its own directory.
func TestSystemdUnitRuns(t *testing.T) {
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	unit := directives(t, unitFile, "=")
	if !slices.Equal(unit["Type"], []string{"notify"}) || !slices.Equal(unit["StateDirectory"], []string{"abeyance"}) {
		t.Fatalf("Type=%q, StateDirectory=%q", unit["Type"], unit["StateDirectory"])
	}
	example, err := filepath.Abs(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	// DynamicUser: the directory is a link to one that is there and empty.
	state := filepath.Join(t.TempDir(), "abeyance")
	if err := os.Symlink(t.TempDir(), state); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(strings.NewReplacer("${STATE_DIRECTORY}", state, "/etc/abeyance/abeyance.yaml", example).Replace(unit["ExecStart"][0]))
	if words[0] != "/usr/local/bin/abeyance" {
		t.Fatalf("ExecStart=%q", words)
	}
	socket, told := notifications(t)
	cmd := exec.Command(path, append(words[1:], "--listen", "127.0.0.1:0")...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	out := new(program.Output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // an error: it has ended
	})
	text := wantTold(t, told, "READY=1")
	if !strings.Contains(text, "STATUS=serving http://127.0.0.1:") {
		t.Errorf("ready was told as %q", text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantTold(t, told, "STOPPING=1")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v and said:\n%s", err, out)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
}

// A manager that cannot be told is no reason not to run.
func TestServeRunsThoughNobodyListens(t *testing.T) {
	for _, socket := range []string{"/nonexistent/notify", "@abeyance-nobody-listens", "relative"} {
		t.Run(socket, func(t *testing.T) {
			t.Setenv("NOTIFY_SOCKET", socket)
			d := startDaemon(t, t.TempDir())
			// It answers before it tells the manager.
			for deadline := time.Now().Add(30 * time.Second); !strings.Contains(d.out.String(), "the service manager could not be told"); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("it did not say so:\n%s", d.out)
				}
			}
		})
	}
}

// staticProgram builds the binary as the Dockerfile does, but for what only makes it
// smaller and would have every package compiled anew.
func staticProgram(t *testing.T, to string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", to, module+"/cmd/abeyance")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	f, err := elf.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a segment %v", p.Type)
		}
	}
}

// The image of the Dockerfile, without docker: an empty root that only root can write,
// the user without rights, the words of the compose file, and the health check.
func TestContainerWithoutDocker(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "only root may change the root directory of a process")
	}
	root := t.TempDir()
	for dir := root; dir != "/"; dir = filepath.Dir(dir) { // others must get in
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 && os.Chmod(dir, info.Mode().Perm()|0o001) != nil {
			t.Fatalf("%s: %v", dir, err)
		}
	}
	const nobody = 65532
	s := readCompose(t).Services["abeyance"]
	data := filepath.Join(root, s.Environment["ABEYANCE_DATA_DIR"])
	example, err := os.ReadFile(exampleFile)
	for _, step := range []func() error{
		func() error { return err },
		func() error { return os.MkdirAll(filepath.Dir(data), 0o755) },
		func() error { return os.Mkdir(data, 0o700) },
		func() error { return os.Chown(data, nobody, nobody) },
		func() error { return os.Mkdir(filepath.Join(root, "etc"), 0o755) },
		func() error { return os.WriteFile(filepath.Join(root, "etc/abeyance.yaml"), example, 0o644) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	image := directives(t, dockerFile, " ")
	entry := execForm(t, image["ENTRYPOINT"][0])[0]
	staticProgram(t, filepath.Join(root, entry))
	inside := func(words ...string) (*exec.Cmd, *program.Output) {
		cmd, out := exec.Command(entry, words...), new(program.Output)
		cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
		cmd.Env = []string{"ABEYANCE_DATA_DIR=" + s.Environment["ABEYANCE_DATA_DIR"]}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd, out
	}
	check := execForm(t, image["HEALTHCHECK"][0])[1:]
	if cmd, out := inside(check...); cmd.Run() == nil {
		t.Errorf("it is healthy before it runs:\n%s", out)
	}

	// Only where it listens differs: a test stays on loopback, on a free port.
	words := slices.Clone(s.Command)
	if i := slices.Index(words, "0.0.0.0:8417"); i < 0 {
		t.Fatalf("the compose file runs %q", words)
	} else {
		words[i] = "127.0.0.1:0"
	}
	cmd, out := inside(words...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() }) // an error: it has ended
	healthy := false
	for deadline := time.Now().Add(30 * time.Second); !healthy && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		probe, _ := inside(check...)
		healthy = probe.Run() == nil
	}
	if !healthy {
		t.Fatalf("it does not become healthy; it said:\n%s", out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v and said:\n%s", err, out)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	if cmd, out := inside(check...); cmd.Run() == nil {
		t.Errorf("it is healthy after it ended:\n%s", out)
	}
	// Nothing was written but the data.
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid == nobody && !strings.HasPrefix(path, data) {
			t.Errorf("it wrote %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
