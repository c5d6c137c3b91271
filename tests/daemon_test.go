package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/abeyance/abeyance/tests/program"
)

func TestMain(m *testing.M) {
	if be := otherProcess(); be != nil {
		be()
		os.Exit(0)
	}
	code := m.Run()
	program.Remove()
	os.Exit(code)
}

// daemon is an abeyance process that serves a directory.
type daemon struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	out   *program.Output
	url   string
	token string
	ended bool
}

// startDaemon serves dir and waits until it is ready. The process ends with the
// test.
func startDaemon(t *testing.T, dir string, args ...string) *daemon {
	t.Helper()
	path, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir, out: new(program.Output)}
	d.cmd = exec.Command(path, append(program.Serve(dir, "127.0.0.1:0"), args...)...)
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.Env = d.out, d.out, program.Environ()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if d.ready() {
			return d
		}
	}
	t.Fatalf("the daemon is not ready; it said:\n%s", d.out)
	return nil
}

func (d *daemon) ready() bool {
	at, ready := program.Serving(http.DefaultClient, d.dir)
	d.url, d.token = at.URL, at.Token
	return ready && at.PID == d.cmd.Process.Pid
}

// kill ends the process at once, as kill -9 does.
func (d *daemon) kill() {
	if d.ended {
		return
	}
	d.ended = true
	d.cmd.Process.Kill()
	d.cmd.Wait() // its error is the kill
}

// answer is an HTTP answer, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request with the daemon's token. An error means that the daemon is
// gone.
func (d *daemon) call(ctx context.Context, method, path string, body any) (answer, error) {
	var payload io.Reader
	if body != nil {
		doc, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		payload = bytes.NewReader(doc)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, payload)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, doc}, err
}

// must sends a request that has to answer with a status, and decodes the body.
func (d *daemon) must(status int, method, path string, body any) map[string]any {
	d.t.Helper()
	a, err := d.call(d.t.Context(), method, path, body)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		d.t.Fatalf("%s %s answered %d, not %d:\n%s", method, path, a.status, status, a.body)
	}
	return a.object(d.t)
}

// object decodes the body.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}
