package webhooks

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abeyance/abeyance/tests/child"
)

// post is the receiver's process: where it listens, and what it writes to.
type post struct{ Addr, Ledger string }

// With this header the receiver writes a message down and does not answer for a while.
const (
	holdHeader = "X-Hold"
	holdTime   = 5 * time.Second
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// entry is one message in the ledger.
type entry struct {
	ID   string          `json:"id"`
	Body json.RawMessage `json:"body"`
}

// receive takes messages until the process is killed. It is ready at its address.
func (p post) receive() error {
	file, err := os.OpenFile(p.Ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l, err := listen(p.Addr)
	if err != nil {
		return err
	}
	child.Ready(l.Addr().String())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the message did not come as a whole
		}
		id := r.Header.Get("webhook-id")
		if got := r.Header.Get("webhook-signature"); got != signature(id, r.Header.Get("webhook-timestamp"), body) {
			http.Error(w, "the signature is wrong", http.StatusUnauthorized)
			return
		}
		line, err := json.Marshal(entry{id, body})
		if err == nil {
			_, err = file.Write(append(line, '\n'))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if r.Header.Get(holdHeader) != "" {
			time.Sleep(holdTime) // the process is killed meanwhile
		}
		w.WriteHeader(http.StatusNoContent)
	}), ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

// listen waits for the address that a killed process held.
func listen(addr string) (l net.Listener, err error) {
	for range 100 {
		if l, err = net.Listen("tcp", addr); err == nil {
			return l, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}

// signature is written after the scheme, not after the code under test.
func signature(id, timestamp string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err.Error()
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// receiver is the process, as the test has it.
type receiver struct {
	t      *testing.T
	ledger string
	addr   string // where it listens, from the first start on

	mu      sync.Mutex
	process *child.Process // nil: it is down
	kills   int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, ledger: filepath.Join(t.TempDir(), "ledger")}
	var err error
	if r.addr, err = r.startAt("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.kill() })
	return r
}

// start starts the process again, and returns when it listens.
func (r *receiver) start() error {
	_, err := r.startAt(r.addr)
	return err
}

// startAt starts the process, and returns where it listens.
func (r *receiver) startAt(addr string) (string, error) {
	p, err := child.Start(post{addr, r.ledger})
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process = p
	return p.Word, nil
}

// kill ends the process at once. It returns false if it is down already.
func (r *receiver) kill() bool {
	r.mu.Lock()
	p := r.process
	r.process = nil
	r.mu.Unlock()
	if p == nil {
		return false
	}
	p.Kill()
	r.mu.Lock()
	r.kills++
	r.mu.Unlock()
	return true
}

// has waits until a message is in the ledger, or a while has passed.
func (r *receiver) has(id string) {
	for range 1000 {
		if doc, err := os.ReadFile(r.ledger); err == nil && bytes.Contains(doc, []byte(id)) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// entries reads what the receiver got, in order. The last line may be cut off.
func (r *receiver) entries() (list []entry) {
	r.t.Helper()
	doc, err := os.ReadFile(r.ledger)
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range bytes.Lines(doc) {
		var e entry
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		if err := json.Unmarshal(line, &e); err != nil {
			r.t.Fatalf("the ledger holds %q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}
