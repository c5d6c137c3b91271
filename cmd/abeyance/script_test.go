package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary answer to the name abeyance, so that scripts start
// the program itself, as processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"abeyance": main})
}

// TestScripts runs the command line as an operator does: the scripts are in
// tests/cli, beside the other whole-program tests.
func TestScripts(t *testing.T) {
	// Where the tests run under nohup SIGHUP is ignored, and would be by all that a script
	// starts. Caught here, it is for those as it is elsewhere.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("..", "..", "tests", "cli"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("USER", "tess")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else every process under -race sleeps for a second at its end
			e.Setenv(envDataDir, filepath.Join(e.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ready":      ready,
			"rot":        rot,
			"eventually": eventually,

			"certificate": certificate,
		},
		RequireUniqueNames: true,
	})
}

// startTimeout bounds how long a daemon may take to come up.
const startTimeout = 20 * time.Second

// ready waits until the daemon of $ABEYANCE_DATA_DIR answers, and sets URL and TOKEN.
// The file it left behind when it was killed does not count.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: ready")
	}
	dir := ts.Getenv(envDataDir)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		found, err := findDaemon(dir)
		if err == nil && answers(ctx, found.URL) {
			token, err := os.ReadFile(filepath.Join(dir, nameToken))
			ts.Check(err)
			ts.Setenv("URL", found.URL)
			ts.Setenv("TOKEN", string(token))
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			ts.Fatalf("the daemon did not come up: %v", err)
		}
	}
}

func answers(ctx context.Context, base string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// eventually runs a command until a line of what it prints matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND [ARGUMENT...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && pattern.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never matched %s: %v", args[0], err)
		}
	}
}

// rot flips one bit in every place where a file holds a text: pages that bbolt no
// longer uses keep old copies.
func rot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rot FILE TEXT")
	}
	name, text := ts.MkAbs(args[0]), []byte(args[1])
	doc, err := os.ReadFile(name)
	ts.Check(err)
	if !bytes.Contains(doc, text) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	flipped := bytes.Clone(text)
	flipped[0] ^= 1
	ts.Check(os.WriteFile(name, bytes.ReplaceAll(doc, text, flipped), 0o600))
}
