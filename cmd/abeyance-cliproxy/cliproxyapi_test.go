package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCLIProxyAPI runs the real host with the library, several accounts of two providers
// and an upstream on loopback that answers for both. The host is none of this project's
// dependencies: build it elsewhere and name it.
//
//	git clone https://github.com/router-for-me/CLIProxyAPI && cd CLIProxyAPI && go build -o /tmp/cli-proxy-api ./cmd/server
//	ABEYANCE_CLIPROXYAPI=/tmp/cli-proxy-api go test -v -run TestCLIProxyAPI ./cmd/abeyance-cliproxy
func TestCLIProxyAPI(t *testing.T) {
	binary := os.Getenv("ABEYANCE_CLIPROXYAPI")
	if binary == "" {
		t.Skip("ABEYANCE_CLIPROXYAPI does not name a binary of CLIProxyAPI")
	}
	library, _ := build(t)
	p := newProxy(t, binary, library)

	p.configure("enforce", true)
	p.start()
	t.Log("nothing is blocked: the host's own strategy rules")
	p.ask(12, opus)
	p.ask(12, pro)
	for _, a := range []string{"ana", "ben", "cid"} {
		p.served(a, opus, 1, 12)
		p.served(a, pro, 1, 12)
	}

	t.Logf("a request takes %v", p.median(opus))

	t.Log("one 429 of a family moves all its models, and no other")
	p.up.limit("ana", "claude")
	p.askUntil(func() bool { return p.status("ana", "claude") == "auto_suspended" }, opus)
	p.up.forget()
	p.ask(12, opus)
	p.ask(12, sonnet)
	p.ask(12, pro)
	p.served("ana", opus, 0, 0)
	p.served("ana", sonnet, 0, 0)
	p.served("ana", pro, 1, 12)
	p.served("ben", opus, 1, 12)
	p.served("ben", sonnet, 1, 12)
	p.served("cid", sonnet, 1, 12)

	t.Logf("a request takes %v while an account is blocked", p.median(opus))

	t.Log("kill -9 of the host and a start keep it")
	p.kill()
	p.start()
	p.up.forget()
	p.ask(6, opus)
	p.served("ana", opus, 0, 0)
	p.served("ben", opus, 1, 6)

	t.Log("suspend, lift and clear act at once")
	p.manual("ben", "claude", true)
	p.up.forget()
	p.ask(6, opus)
	p.served("ben", opus, 0, 0)
	p.served("cid", opus, 6, 6)
	p.manual("cid", "claude", true)
	began := time.Now()
	if status, body := p.chat(opus); status != http.StatusTooManyRequests || !strings.Contains(body, "all_cooling") || !strings.Contains(body, "retry after") {
		t.Errorf("nothing usable answered %d %s", status, body)
	}
	t.Logf("refused in %v", time.Since(began))
	p.manual("cid", "claude", false)
	p.manual("ben", "claude", false)
	p.up.limit("ana", "")
	p.clear("ana", "claude")
	p.up.forget()
	p.ask(12, opus)
	for _, a := range []string{"ana", "ben", "cid"} {
		p.served(a, opus, 1, 12)
	}

	t.Log("a model of two providers goes to the one that is left")
	p.ask(8, shared)
	p.eventually(func() bool { return strings.Contains(fmt.Sprint(p.items()), "apikey") })
	p.up.forget()
	p.manual("key-1", claudeKeyGroup, true)
	p.manual("key-2", claudeKeyGroup, true)
	p.ask(6, shared)
	p.served("key-1", shared, 0, 0)
	p.served("key-2", shared, 0, 0)
	p.manual("key-1", claudeKeyGroup, false)
	p.manual("key-2", claudeKeyGroup, false)

	t.Log("history names the management key")
	history := p.manage(http.MethodGet, "abeyance/events?page_size=200", "")
	for _, kind := range []string{"suspended", "lifted", "cooldown_cleared"} {
		if !strings.Contains(history, `"kind":"`+kind+`"`) {
			t.Errorf("the history lacks %s", kind)
		}
	}
	if !strings.Contains(history, `"actor":"operator:management-key"`) {
		t.Errorf("the history does not name the management key: %.500s", history)
	}

	t.Log("observe changes nothing")
	p.manual("ben", "claude", true)
	p.configure("observe", true)
	p.eventually(func() bool {
		p.up.forget()
		p.ask(6, opus)
		return p.up.count("ben", opus) > 0
	})

	t.Log("without the plugin the host works as before")
	p.stop()
	p.configure("enforce", false)
	p.start()
	p.up.forget()
	p.ask(12, opus)
	for _, a := range []string{"ana", "ben", "cid"} {
		p.served(a, opus, 1, 12)
	}
	t.Logf("a request takes %v without the plugin", p.median(opus))
	if status, _, err := p.send(http.MethodGet, "/v0/management/auth-files/quota-groups", "", managementKey); err != nil || status == http.StatusOK {
		t.Errorf("without the plugin its routes answer %d %v", status, err)
	}
	p.stop()
}

const (
	opus   = "claude-opus-4-6-thinking"
	sonnet = "claude-sonnet-4-6"
	pro    = "gemini-3.1-pro-low"
	shared = "claude-shared"

	managementKey  = "a-management-key"
	claudeKeyGroup = "claude-shared"
)

// upstream answers as Antigravity and Anthropic do, and counts who asked for what.
type upstream struct {
	*httptest.Server
	mu      sync.Mutex
	limited map[string]string         // account → the part of the names of the models it has no quota for
	asked   map[string]map[string]int // account → model → requests
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{limited: map[string]string{}, asked: map[string]map[string]int{}}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) limit(account, models string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.limited[account] = models
}

func (u *upstream) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = map[string]map[string]int{}
}

func (u *upstream) count(account, model string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[account][model]
}

// note counts a request and reports whether the account has quota for it.
func (u *upstream) note(account, model string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.asked[account] == nil {
		u.asked[account] = map[string]int{}
	}
	u.asked[account][model]++
	part := u.limited[account]
	return part == "" || !strings.Contains(model, part)
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var q struct {
		Model  string
		Stream bool
	}
	_ = json.Unmarshal(body, &q)
	account := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if key := r.Header.Get("X-Api-Key"); key != "" {
		account = key
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/messages"):
		u.note(account, q.Model)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range []string{
			`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ok"}}`,
			`{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`,
			`{"type":"message_stop"}`,
		} {
			_, _ = io.WriteString(w, "data: "+e+"\n\n")
		}
	case !strings.Contains(r.URL.Path, "enerateContent"):
		http.NotFound(w, r)
	case !u.note(account, q.Model):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"code":429,"message":"You have exhausted your capacity on this model. Your quota will reset after 1h0m0s.","status":"RESOURCE_EXHAUSTED",`+
			`"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3600s"}]}}`)
	default:
		answer := `{"response":{"candidates":[{"content":{"role":"model","parts":[{"text":"ok"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}}}`
		if strings.Contains(r.URL.Path, "stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			answer = "data: " + answer + "\n\n"
		} else {
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = io.WriteString(w, answer)
	}
}

// proxy is the host.
type proxy struct {
	*testing.T
	binary, dir string
	port        string
	up          *upstream
	process     *exec.Cmd
	output      *os.File
}

func newProxy(t *testing.T, binary, library string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	p := &proxy{T: t, binary: binary, dir: t.TempDir(), port: port, up: newUpstream(t)}
	for _, name := range []string{"plugins", "auths", "home"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	p.write("plugins/abeyance.so", string(doc))
	for _, name := range []string{"ana", "ben", "cid"} {
		p.write("auths/antigravity-"+name+"@example.com.json", fmt.Sprintf(
			`{"type":"antigravity","email":"%s@example.com","access_token":"%s","refresh_token":"none","project_id":"p","expired":"2099-01-01T00:00:00Z","base_url":"%s"}`,
			name, name, p.up.URL))
	}
	if p.output, err = os.Create(filepath.Join(p.dir, "output")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		p.output.Close()
		if t.Failed() {
			log, _ := os.ReadFile(p.output.Name())
			t.Logf("the host's output:\n%s", log[max(0, len(log)-16<<10):])
		}
	})
	return p
}

func (p *proxy) write(name, text string) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// configure writes the host's configuration, which it reads again while it runs.
func (p *proxy) configure(mode string, plugins bool) {
	p.Helper()
	p.write("config.yaml", fmt.Sprintf(`
host: 127.0.0.1
port: %s
auth-dir: %q
api-keys: [client]
remote-management: {secret-key: %s, disable-control-panel: true}
disable-cooling: true
request-retry: 0
claude-api-key:
  - {api-key: key-1, base-url: %q, models: [{name: claude-shared, alias: claude-shared}]}
  - {api-key: key-2, base-url: %q, models: [{name: claude-shared, alias: claude-shared}]}
oauth-model-alias:
  antigravity: [{name: claude-sonnet-4-6, alias: claude-shared, fork: true}]
plugins:
  enabled: %t
  dir: %q
  configs:
    abeyance:
      enabled: true
      data-dir: %q
      mode: %s
      groups: [{id: claude-shared, providers: [claude], patterns: [claude-shared]}]
`, p.port, filepath.Join(p.dir, "auths"), managementKey, p.up.URL, p.up.URL, plugins, filepath.Join(p.dir, "plugins"), filepath.Join(p.dir, "abeyance"), mode))
}

// start runs the host until it serves its models.
func (p *proxy) start() {
	p.Helper()
	p.process = exec.Command(p.binary, "-config", filepath.Join(p.dir, "config.yaml"))
	p.process.Dir = p.dir
	p.process.Env = append(os.Environ(), "HOME="+filepath.Join(p.dir, "home"))
	p.process.Stdout, p.process.Stderr = p.output, p.output
	if err := p.process.Start(); err != nil {
		p.Fatal(err)
	}
	p.eventually(func() bool {
		_, body, err := p.send(http.MethodGet, "/v1/models", "", "client")
		return err == nil && strings.Contains(body, opus) && strings.Contains(body, shared)
	})
}

// stop ends the host as an operator does, kill as a fault does.
func (p *proxy) stop() { p.end(os.Interrupt) }
func (p *proxy) kill() { p.end(os.Kill) }

func (p *proxy) end(s os.Signal) {
	if p.process == nil {
		return
	}
	_ = p.process.Process.Signal(s)
	_ = p.process.Wait() // that it was killed is no news
	p.process = nil
}

func (p *proxy) eventually(ok func() bool) {
	p.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	p.Fatal("it did not come to that")
}

func (p *proxy) send(method, path, body, key string) (status int, answer string, err error) {
	r, err := http.NewRequest(method, "http://127.0.0.1:"+p.port+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(doc), err
}

func (p *proxy) chat(model string) (status int, answer string) {
	p.Helper()
	status, answer, err := p.send(http.MethodPost, "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hello"}]}`, "client")
	if err != nil {
		p.Fatal(err)
	}
	return status, answer
}

// ask sends requests that must all be served.
func (p *proxy) ask(n int, model string) {
	p.Helper()
	for range n {
		if status, body := p.chat(model); status != http.StatusOK {
			p.Fatalf("%s answered %d %s", model, status, body)
		}
	}
}

// median is what a request of many takes, the host and the upstream included.
func (p *proxy) median(model string) time.Duration {
	p.Helper()
	took := make([]time.Duration, 400)
	for i := range took {
		began := time.Now()
		p.ask(1, model)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// askUntil sends requests, which may fail, until something holds.
func (p *proxy) askUntil(ok func() bool, model string) {
	p.Helper()
	p.eventually(func() bool {
		p.chat(model)
		return ok()
	})
}

// served wants an account to have had so many requests for a model.
func (p *proxy) served(account, model string, least, most int) {
	p.Helper()
	if n := p.up.count(account, model); n < least || n > most {
		p.Errorf("%s had %d requests for %s, want %d to %d: %v", account, n, model, least, most, p.up.asked)
	}
}

func (p *proxy) manage(method, path, body string) string {
	p.Helper()
	status, answer, err := p.send(method, "/v0/management/"+path, body, managementKey)
	if err != nil || status != http.StatusOK {
		p.Fatalf("%s %s answered %d %s %v", method, path, status, answer, err)
	}
	return answer
}

type item struct {
	ID     string `json:"auth_id"`
	Group  string `json:"group_id"`
	Status string `json:"effective_status"`
}

func (p *proxy) items() []item {
	p.Helper()
	var list struct{ Items []item }
	if err := json.Unmarshal([]byte(p.manage(http.MethodGet, "auth-files/quota-groups", "")), &list); err != nil {
		p.Fatal(err)
	}
	return list.Items
}

// id is the host's id of an account: the name of its file, or what the host makes of a
// key.
func (p *proxy) id(account string) string {
	p.Helper()
	var keys []string
	for _, i := range p.items() {
		if strings.Contains(i.ID, "-"+account+"@") {
			return i.ID
		}
		if i.Group == claudeKeyGroup {
			keys = append(keys, i.ID)
		}
	}
	if n := strings.Index("12", account[len(account)-1:]); n >= 0 && len(keys) == 2 {
		return keys[n]
	}
	p.Fatalf("no account %s is known: %+v", account, p.items())
	return ""
}

func (p *proxy) status(account, group string) string {
	p.Helper()
	for _, i := range p.items() {
		if strings.Contains(i.ID, "-"+account+"@") && i.Group == group {
			return i.Status
		}
	}
	return ""
}

func (p *proxy) manual(account, group string, on bool) {
	p.Helper()
	p.manage(http.MethodPatch, "auth-files/quota-groups/manual",
		fmt.Sprintf(`{"auth_id":%q,"group_id":%q,"manual_suspended":%t,"reason":"a test"}`, p.id(account), group, on))
}

func (p *proxy) clear(account, group string) {
	p.Helper()
	p.manage(http.MethodPatch, "auth-files/quota-groups/auto/clear", fmt.Sprintf(`{"auth_id":%q,"group_id":%q}`, p.id(account), group))
}
