package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/abeyance/abeyance/tests/program"
)

// nameDaemon is the file that says where the daemon is.
const nameDaemon = "daemon.json"

// buildDaemon builds the program, once in a run, where every user of the machine may
// run it.
func buildDaemon(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(envInside)
	path := filepath.Join(dir, "abeyance")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "go", "build", "-buildvcs=false", "-o", path, "github.com/abeyance/abeyance/cmd/abeyance")
	return path
}

// daemon is a running program, with what it acknowledged.
type daemon struct {
	t      *testing.T
	path   string // of the program
	dir    string
	env    []string // beside the test's own
	cmd    *exec.Cmd
	out    *program.Output
	client http.Client
	url    string
	token  string
	exited chan struct{}  // closed when the process has ended
	acked  map[int]string // :: seq → request id or reason, over all runs in dir
}

// newDaemon returns one that does not run yet.
func newDaemon(t *testing.T, path, dir string) *daemon {
	d := &daemon{t: t, path: path, dir: dir, acked: map[int]string{}}
	t.Cleanup(d.client.CloseIdleConnections)
	return d
}

// launch starts the program with the arguments, below other programs if there are
// any, and does not wait.
func (d *daemon) launch(below ...string) {
	d.t.Helper()
	args := append(append(below, d.path), program.Serve(d.dir, "127.0.0.1:0")...)
	d.cmd = exec.Command(args[0], args[1:]...)
	d.begin()
}

func (d *daemon) begin() {
	d.t.Helper()
	d.out, d.exited = new(program.Output), make(chan struct{})
	d.cmd.Env = append(os.Environ(), d.env...)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if d.cmd.SysProcAttr == nil {
		d.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	d.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.kill)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait() // how it ended is in its state
		close(exited)
	}(d.cmd, d.exited)
}

// start starts the program and waits until it is ready.
func (d *daemon) start() {
	d.t.Helper()
	d.launch()
	for deadline := time.Now().Add(30 * time.Second); d.ready() != d.cmd.Process.Pid; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) || d.hasExited() {
			d.t.Fatalf("the daemon is not ready; it said:\n%s", d.out)
		}
	}
}

// ready returns the id of the process that serves the directory; 0 if none does yet.
func (d *daemon) ready() (pid int) {
	at, ready := program.Serving(&d.client, d.dir)
	if at.Token != "" {
		d.url, d.token = at.URL, at.Token
	}
	if !ready {
		return 0
	}
	return at.PID
}

func (d *daemon) hasExited() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// kill ends the process as kill -9 does.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Kill() // fails if it has ended
	<-d.exited
}

// stop asks the process to end, which it must do well.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if code := d.ends(20 * time.Second); code != 0 {
		d.t.Fatalf("asked to stop, the daemon ended with %d:\n%s", code, d.out)
	}
}

// ends waits for the process to end and returns its exit code; -1 if it was killed.
func (d *daemon) ends(limit time.Duration) int {
	d.t.Helper()
	select {
	case <-d.exited:
		return d.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		d.t.Fatalf("the daemon has not ended after %s; it said:\n%s", limit, d.out)
		return 0
	}
}

// refuses starts the program, which must end by itself with a failure, and returns
// what it said.
func (d *daemon) refuses(limit time.Duration) (code int, said string) {
	d.t.Helper()
	d.launch()
	if code = d.ends(limit); code == 0 {
		d.t.Fatalf("the daemon ended well; it said:\n%s", d.out)
	}
	return code, d.out.String()
}

// answer is an HTTP answer, read and decoded.
type answer struct {
	status int
	body   map[string]any
}

func (a answer) String() string { return fmt.Sprint(a.status, " ", a.body) }

// call sends a request with the daemon's token. An error means that the daemon is gone.
func (d *daemon) call(method, path string, body any) (answer, error) {
	var payload io.Reader
	if body != nil {
		doc, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		payload = bytes.NewReader(doc)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, payload)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode}
	if err == nil && bytes.HasPrefix(doc, []byte("{")) {
		err = json.Unmarshal(doc, &a.body)
	}
	return a, err
}

// must sends a request that has to succeed.
func (d *daemon) must(method, path string, body any) map[string]any {
	d.t.Helper()
	a, err := d.call(method, path, body)
	if err != nil || a.status != http.StatusOK && a.status != http.StatusCreated {
		d.t.Fatalf("%s %s was answered %v (%v); the daemon said:\n%s", method, path, a, err, d.out)
	}
	return a.body
}

// put adds accounts.
func (d *daemon) put(accounts ...string) {
	d.t.Helper()
	for _, a := range accounts {
		d.must("PUT", "/v1/accounts/"+a, map[string]any{"provider": provider})
	}
}

// report reports a spent quota and notes what is acknowledged.
func (d *daemon) report(account, request string) (answer, error) {
	a, err := d.call("POST", "/v1/reports", map[string]any{
		"account": account, "provider": provider, "model": model, "status": 429, "request_id": request,
		"headers": map[string]string{"Retry-After": "7200"},
		"body":    `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"reason":"QUOTA_EXHAUSTED"}]}}`,
	})
	d.note(a, err, request)
	return a, err
}

// suspend suspends by hand and notes what is acknowledged.
func (d *daemon) suspend(account, reason string) (answer, error) {
	a, err := d.call("POST", "/v1/suspend", map[string]any{
		"account": account, "target": "gemini-pro", "reason": reason, "for": "1h",
	})
	d.note(a, err, reason)
	return a, err
}

func (d *daemon) note(a answer, err error, marker string) {
	if seq, ok := a.body["seq"].(float64); ok && err == nil && a.status == http.StatusOK {
		d.acked[int(seq)] = marker
	}
}

// pick asks who may serve a model, of the candidates if there are any.
func (d *daemon) pick(model string, candidates ...string) (answer, error) {
	q := map[string]any{"provider": provider, "model": model}
	if len(candidates) > 0 {
		q["candidates"] = candidates
	}
	return d.call("POST", "/v1/pick", q)
}

// history lists the whole log: seq to the request id or reason of the record.
func (d *daemon) history() map[int]string {
	d.t.Helper()
	found := map[int]string{}
	for token := ""; ; {
		page := d.must("GET", "/v1/events?order=asc&page_size=1000"+token, nil)
		for _, item := range page["items"].([]any) {
			row := item.(map[string]any)
			seq, _ := row["seq"].(float64)
			data, _ := row["data"].(map[string]any)
			marker := fmt.Sprint(data["request_id"])
			if row["kind"] == "suspended" {
				marker = fmt.Sprint(data["reason"])
			}
			if int(seq) != len(found)+1 {
				d.t.Fatalf("record %v comes after record %d", row["seq"], len(found))
			}
			found[int(seq)] = marker
		}
		next, _ := page["next_page_token"].(string)
		if next == "" {
			return found
		}
		token = "&page_token=" + next
	}
}

// unsound says what is wrong with a history: all that was acknowledged must be in it,
// once.
func (d *daemon) unsound(found map[int]string) (wrong []string) {
	times := map[string]int{}
	for _, marker := range found {
		times[marker]++
	}
	for seq, marker := range d.acked {
		if found[seq] != marker || times[marker] != 1 {
			wrong = append(wrong, fmt.Sprintf("%q was acknowledged as record %d, which is %q; it is there %d times",
				marker, seq, found[seq], times[marker]))
		}
	}
	return wrong
}

// wantSound checks the history and the chain, and returns the history.
func (d *daemon) wantSound() map[int]string {
	d.t.Helper()
	found := d.history()
	for _, wrong := range d.unsound(found) {
		d.t.Error(wrong)
	}
	if v := d.must("GET", "/v1/verify", nil); v["ok"] != true {
		d.t.Errorf("verify: %v", v)
	}
	return found
}

// cells returns the status of the cells, touched or not, by account and target.
func (d *daemon) cells() map[string]string {
	d.t.Helper()
	found := map[string]string{}
	for _, item := range d.must("GET", "/v1/cells?page_size=1000", nil)["items"].([]any) {
		row := item.(map[string]any)
		found[fmt.Sprint(row["account"], " ", row["target"])] = fmt.Sprint(row["status"])
	}
	return found
}

// cli runs a command of the program on the directory.
func (d *daemon) cli(args ...string) (code int, out string) {
	d.t.Helper()
	cmd := exec.Command(d.path, append(args, "--data-dir", d.dir)...)
	doc, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		d.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(doc)
}
