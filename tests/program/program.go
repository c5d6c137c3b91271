// Package program is what the tests share that run the real program: how it is built, what
// it is given, and how one knows that it serves.
package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// built is the program of this process.
var built struct {
	once sync.Once
	path string
	err  error
}

// Build builds the abeyance binary, once in a process, and returns its path.
func Build() (path string, err error) {
	built.once.Do(func() { built.path, built.err = build() })
	return built.path, built.err
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "abeyance-tests-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "abeyance")
	out, err := exec.Command("go", "build", "-o", path, "github.com/abeyance/abeyance/cmd/abeyance").CombinedOutput()
	if err != nil {
		return "", errors.Join(fmt.Errorf("go build: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return path, nil
}

// Remove removes what Build made, if it was asked: for the end of a TestMain.
func Remove() {
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
}

// Environ is the environment without the variables that a daemon would take for its
// settings: a test's daemon is not that of whoever runs the tests.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "ABEYANCE_") })
}

// Serve is the command line that serves a directory at an address. Tests change more in a
// second than operators do.
func Serve(dir, listen string) []string {
	return []string{"serve", "--data-dir", dir, "--listen", listen, "--max-changes-per-second", "0"}
}

// Daemon is where a process serves a directory.
type Daemon struct {
	URL   string `json:"url"`
	PID   int    `json:"pid"`
	Token string `json:"-"` // that of its first start
}

// Serving returns the daemon of a directory; false if none is ready there yet.
func Serving(client *http.Client, dir string) (d Daemon, ready bool) {
	doc, err := os.ReadFile(filepath.Join(dir, "daemon.json"))
	if err != nil || json.Unmarshal(doc, &d) != nil {
		return d, false
	}
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return d, false
	}
	d.Token = strings.TrimSpace(string(token))
	resp, err := client.Get(d.URL + "/readyz")
	if err != nil {
		return d, false
	}
	resp.Body.Close()
	return d, resp.StatusCode == http.StatusOK
}

// Output takes what a process prints while a test may read it.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String returns all that was printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
