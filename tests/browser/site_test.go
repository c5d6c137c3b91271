package browser

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/tests/program"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.Remove()
	os.Exit(code)
}

// site is a daemon with its dashboard. It can be stopped and started again at its
// address.
type site struct {
	t      *testing.T
	dir    string
	listen string
	cmd    *exec.Cmd
	said   *program.Output
	url    string
	token  string
}

// open starts a daemon over a new directory, and ends it with the test.
func open(t *testing.T) *site {
	t.Helper()
	return openDir(t, filepath.Join(t.TempDir(), "data"))
}

// openPair is open with two accounts, team-1 and team-2, of antigravity.
func openPair(t *testing.T) *site {
	t.Helper()
	s := open(t)
	for _, id := range []string{"team-1", "team-2"} {
		s.account(id, "antigravity")
	}
	return s
}

// openDir is open over a directory that may be there.
func openDir(t *testing.T, dir string) *site {
	t.Helper()
	s := &site{t: t, dir: dir, listen: "127.0.0.1:0", said: new(program.Output)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// start starts the daemon and waits until it is ready.
func (s *site) start() {
	s.t.Helper()
	path, err := program.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(path, program.Serve(s.dir, s.listen)...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env = s.said, s.said, program.Environ()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s.ready() {
			s.listen = strings.TrimPrefix(s.url, "http://")
			return
		}
	}
	s.t.Fatalf("the daemon is not ready; it said:\n%s", s.said)
}

func (s *site) ready() bool {
	at, ready := program.Serving(http.DefaultClient, s.dir)
	s.url, s.token = at.URL, at.Token
	return ready && at.PID == s.cmd.Process.Pid
}

// stop ends the daemon as an operator does, or by force after a while.
func (s *site) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	timer := time.AfterFunc(15*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	timer.Stop()
	s.cmd = nil
}

// call sends a request with the admin token, which must answer 200, and decodes the
// answer.
func (s *site) call(method, path string, body any) map[string]any {
	s.t.Helper()
	doc, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(doc))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s answered %d %s, %v", method, path, resp.StatusCode, text, err)
	}
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return value
}

// account puts an account into the pool.
func (s *site) account(id, provider string) {
	s.t.Helper()
	s.call(http.MethodPut, "/v1/accounts/"+strings.ReplaceAll(id, "/", "%2F"), map[string]any{"provider": provider})
}

// limit reports a 429 of an account's claude family.
func (s *site) limit(account string) {
	s.t.Helper()
	s.call(http.MethodPost, "/v1/reports", map[string]any{
		"account": account, "provider": "antigravity", "model": "claude-opus-4-6-thinking", "status": 429,
		"body": `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You have exhausted your capacity on this model.","details":[` +
			`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED","domain":"cloudcode-pa.googleapis.com"},` +
			`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3600s"}]}}`,
	})
}
